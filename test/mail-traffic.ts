/** Invented mail of a working day, as the lines that an MTA and a tracker upload; the same for the same seed. */
import { gzipSync } from 'node:zlib';

export interface TrafficPlan {
  /** Milliseconds; injections lie between them, nothing happens at or after `to`. */
  readonly from: number;
  readonly to: number;
  readonly messages: number;
  readonly seed: number;
  /** First number of message and event ids, so that two plans do not share any. */
  readonly firstId: number;
}

/** What was made, counted while it was made: independent of the service that counts it again. */
export interface Truth {
  readonly injected: number;
  readonly delivered: number;
  readonly bounced: number;
  readonly outOfBand: number;
  readonly delayed: number;
  readonly opened: number;
  readonly clicked: number;
  readonly complained: number;
  /** Injections by campaign; mail without one is under ''. */
  readonly campaigns: ReadonlyMap<string, number>;
}

const campaigns = ['spring-sale', 'weekly-digest', 'order-receipts', 'welcome-series', 'win-back', ''];
const subjects: Readonly<Record<string, string>> = {
  'spring-sale': 'Spring colours, 20 % off until Sunday',
  'weekly-digest': 'Your week in three minutes',
  'order-receipts': 'Your order is on its way',
  'welcome-series': 'Good to have you here',
  'win-back': 'We kept your place',
  '': 'A note from the team',
};
const domains = [
  'gmail.sink.test',
  'outlook.sink.test',
  'yahoo.sink.test',
  'icloud.sink.test',
  'corp.sink.test',
];
const names = ['ana', 'bob', 'carla', 'deniz', 'eve', 'finn', 'goran', 'hana'];
const refusals: readonly (readonly [bounceClass: string, code: string, text: string])[] = [
  ['10', '550', '550 5.1.1 <RCPT>: Recipient address rejected: User unknown'],
  ['10', '550', '550 5.1.1 The email account that you tried to reach does not exist'],
  ['22', '552', '552 5.2.2 <RCPT>: Mailbox is full'],
  ['51', '550', '550 5.7.1 Message rejected as spam by content filtering'],
  ['50', '554', '554 5.7.1 Service unavailable; client host [127.0.0.2] blocked'],
];
const agents = [
  'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15',
  'Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15',
  'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36',
];

/** A small generator of numbers in [0, 1) (mulberry32), so that a run can be repeated. */
function random(seed: number): () => number {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export function mailTraffic(plan: TrafficPlan): { lines: string[]; truth: Truth } {
  const next = random(plan.seed);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(next() * list.length)]!;
  const lines: string[] = [];
  const truth = {
    injected: 0,
    delivered: 0,
    bounced: 0,
    outOfBand: 0,
    delayed: 0,
    opened: 0,
    clicked: 0,
    complained: 0,
    campaigns: new Map<string, number>(),
  };
  let eventId = 4_000_000_000_000_000_000n + BigInt(plan.firstId) * 10n;
  const write = (wrapper: string, type: string, at: number, fields: object): boolean => {
    if (at >= plan.to) return false;
    const timestamp = String(Math.floor(at / 1000));
    lines.push(
      JSON.stringify({ msys: { [wrapper]: { type, event_id: String(eventId++), timestamp, ...fields } } }),
    );
    return true;
  };

  for (let i = 0; i < plan.messages; i++) {
    const at = injectionTime(plan, next);
    const campaign = campaigns[Math.floor(next() ** 1.7 * campaigns.length)]!;
    const rcpt = `${pick(names)}${plan.firstId + i}@${pick(domains)}`;
    const sender = campaign === 'order-receipts' ? 'shop.test' : 'brand.test';
    const subaccount = campaign === 'order-receipts' ? 2 : 1;
    const id = {
      message_id: `0000${(plan.firstId + i).toString(16).padStart(16, '0')}`,
      subaccount_id: subaccount,
    };
    const message = {
      ...id,
      rcpt_to: rcpt,
      raw_rcpt_to: rcpt,
      friendly_from: `news@${sender}`,
      msg_from: `b+${plan.firstId + i}@bounces.demo.test`,
      subject: subjects[campaign],
      msg_size: String(9000 + Math.floor(next() * 40_000)),
      recv_method: 'esmtp',
      routing_domain: rcpt.split('@')[1],
      binding: 'vmta-1',
      binding_group: subaccount === 2 ? 'transactional' : 'marketing',
      sending_ip: `127.0.0.${2 + (i % 2)}`,
      open_tracking: true,
      ...(campaign ? { campaign_id: campaign } : {}),
    };
    write('message_event', 'reception', at, message);
    truth.injected++;
    truth.campaigns.set(campaign, (truth.campaigns.get(campaign) ?? 0) + 1);

    let tried = at + 400 + next() * 2600;
    let retries = 0;
    while (retries < 3 && next() < 0.055) {
      const reason = '451 4.7.1 Greylisted, try again later';
      const waited = { num_retries: String(retries), queue_time: String(Math.round(tried - at)) };
      const why = { bounce_class: '20', error_code: '451', reason, raw_reason: reason };
      if (write('message_event', 'tempfail', tried, { ...message, ...waited, ...why })) truth.delayed++;
      retries++;
      tried += retries * (300_000 + next() * 900_000);
    }
    const attempt = {
      num_retries: String(retries),
      queue_time: String(Math.round(tried - at)),
      delv_method: 'esmtp',
    };
    if (next() < (campaign === 'win-back' ? 0.07 : 0.022)) {
      const [bounceClass, code, text] = pick(refusals);
      const raw = text.replace('RCPT', rcpt);
      const why = { bounce_class: bounceClass, error_code: code, reason: raw, raw_reason: raw };
      if (write('message_event', 'inband', tried, { ...message, ...attempt, ...why })) truth.bounced++;
      continue;
    }
    const accepted = { ...message, ...attempt, outbound_tls: '1', ip_address: '127.0.0.1' };
    if (!write('message_event', 'delivery', tried, accepted)) continue;
    truth.delivered++;
    if (next() < 0.003) {
      const reason = '550 5.1.1 mailbox is gone';
      const late = {
        ...id,
        rcpt_to: rcpt,
        bounce_class: '10',
        error_code: '550',
        reason,
        raw_reason: reason,
      };
      if (write('message_event', 'outofband', tried + 90_000, late)) truth.outOfBand++;
      continue;
    }
    if (next() > (campaign === 'order-receipts' ? 0.62 : 0.3)) continue;
    const opened = tried + 20_000 + next() ** 3 * 10 * 3_600_000;
    const reader = {
      ...id,
      rcpt_to: rcpt,
      user_agent: pick(agents),
      ip_address: '127.0.0.9',
      delv_method: 'esmtp',
    };
    if (write('track_event', 'open', opened, reader)) truth.opened++;
    if (next() < 0.27) {
      const target_link_url = `https://${sender}/${campaign || 'notes'}?item=${i % 40}`;
      if (write('track_event', 'click', opened + 15_000, { ...reader, target_link_url })) truth.clicked++;
    }
    if (next() < 0.004) {
      const report = { ...id, rcpt_to: rcpt, fbtype: 'abuse', report_by: rcpt.split('@')[1] };
      if (write('message_event', 'feedback', opened + 60_000, report)) truth.complained++;
    }
  }
  return { lines, truth };
}

/** More by day than by night, with a send-out at nine. */
function injectionTime(plan: TrafficPlan, next: () => number): number {
  for (;;) {
    const at = plan.from + next() * (plan.to - plan.from);
    const hour = (at / 3_600_000) % 24;
    const day = 0.25 + 0.75 * Math.max(0, Math.sin(((hour - 5) / 16) * Math.PI));
    const burst = Math.exp(-(((hour - 9.5) / 0.9) ** 2));
    if (next() < (day + 0.9 * burst) / 1.9) return at;
  }
}

/** Uploads lines as an MTA does: gzip, a few thousand at a time. Throws when the service does not take them. */
export async function upload(url: string, key: string, lines: readonly string[]): Promise<void> {
  for (let i = 0; i < lines.length; i += 4000) {
    const body = gzipSync(`${lines.slice(i, i + 4000).join('\n')}\n`);
    const response = await fetch(`${url}/api/v1/ingest/events`, {
      method: 'POST',
      headers: { Authorization: key, 'Content-Type': 'application/x-ndjson', 'Content-Encoding': 'gzip' },
      body,
    });
    if (!response.ok) throw new Error(`ingest answered ${response.status}: ${await response.text()}`);
  }
}
