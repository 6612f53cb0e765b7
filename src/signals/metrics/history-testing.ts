/** Histories of events for tests: as a sender's uploads bring them, with everything that goes wrong in the field. */
import { createHash } from 'node:crypto';

/** A line as ingest takes it, and which batch carries it. */
export interface WireEvent {
  readonly cls: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export interface History {
  readonly seed: number;
  /** The service's clock, milliseconds. */
  readonly now: number;
  /** Older events are refused. */
  readonly ageHours: number;
  /** In the order of arrival. */
  readonly batches: readonly (readonly WireEvent[])[];
}

/** The same numbers for the same seed, from 0 to below 1 (mulberry32). */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const HOUR = 3_600_000;
const MINUTE = 60_000;

/** Changes of clocks that a history lies around: Berlin and New York in autumn, Berlin and Lord Howe in spring. */
export const seasons = [
  { changes: ['2026-10-25T01:00:00Z', '2026-11-01T06:00:00Z'], now: '2026-11-02T09:17:23.456Z' },
  { changes: ['2026-03-29T01:00:00Z', '2026-04-04T15:00:00Z'], now: '2026-04-06T03:41:07.890Z' },
] as const;

const campaigns = [
  '',
  'spring',
  'spring-2026',
  'vip_spring',
  'springtime',
  'Autumn Sale',
  'a,b',
  "été ☀ 100% 'q\\",
];
const templates = ['', 'welcome-mail', 'Welcome', 't.2'];
const recipientDomains = [
  'gmail.com',
  'mail.yahoo.com',
  'yahoo.co.uk',
  'notyahoo.com',
  'Web.DE',
  'uni.example.edu',
];
const senders = ['News@Brand.example', 'a@eu.brand.example', 'x@brandexample.org', 'shop@brand.example.org'];
const sources = ['192.0.2.1', '192.0.2.2', '2001:db8::7', 'mta-3'];
const vmtas = ['mta-3', 'mta-9', 'Vmta "é"', ''];
const nodes = ['mta1.brand.example', 'mta2.brand.example', undefined];
const pools = ['', 'pool-one', 'pool_two', 'Default'];
const subjects = ['', 'Spring sale - 20% off', 'Re: Your_order 5.4.7', 'été ☀'];
const bounceClasses = [
  '',
  '1',
  '10',
  '20',
  '22',
  '24',
  '25',
  '30',
  '40',
  '51',
  '54',
  '60',
  '80',
  '90',
  '100',
  '999',
];
const agents = ['', 'Firefox', 'Mozilla/5.0', 'curl/8'];
const links = ['https://brand.example/a', 'https://brand.example/b?x=1,2', 'https://brand.example/"é"'];

/** A random history of about `messages` messages. */
export function makeHistory(seed: number, messages = 180): History {
  const next = randomOf(seed);
  const chance = (p: number) => next() < p;
  const below = (n: number) => Math.floor(next() * n);
  const pick = <T>(from: readonly T[]): T => from[below(from.length)]!;
  const season = seasons[seed % seasons.length]!;
  const now = Date.parse(season.now);
  const ageHours = 24 * 10;

  /** Mostly near a change of clocks or a border of minutes, hours and days. */
  const someTime = (): number => {
    const around = chance(0.75)
      ? Date.parse(pick(season.changes)) + (next() - 0.5) * 10 * HOUR
      : now - next() * 4 * 24 * HOUR;
    const size = pick([MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR / 2, HOUR, 24 * HOUR]);
    const border = Math.floor(around / size) * size;
    return chance(0.3) ? border + pick([-1000, -1, 0, 0, 1, 1000]) : Math.floor(around);
  };
  const stamp = (ms: number): unknown => {
    const whole = Math.floor(ms / 1000);
    return pick([`${whole}`, whole, `${whole}.${String(ms % 1000).padStart(3, '0')}`]);
  };
  let nextId = seed * 1_000_000;
  const id = () => String(4_400_000_000_000_000 + nextId++);
  const all: { at: number; event: WireEvent }[] = [];
  const say = (cls: string, type: string, at: number, fields: Record<string, unknown>): void => {
    const kept = Object.entries(fields).filter(([, v]) => v !== undefined);
    all.push({
      at,
      event: {
        cls,
        fields: {
          type,
          event_id: id(),
          timestamp: stamp(Math.min(at, now - 1)),
          ...Object.fromEntries(kept),
        },
      },
    });
  };
  /** Senders write numbers as text, as numbers, or leave them empty. */
  const number = (n: number): unknown => pick<unknown>([String(n), n]);
  const subaccountText = (n: number): unknown => (n === 0 ? pick<unknown>([0, '0', undefined]) : number(n));

  /** What the tracker thinks of who asked. */
  const judged = () => ({
    is_prefetched: pick<unknown>([true, false, '0']),
    ...(chance(0.5) ? { engagement_class: pick(['human', 'proxy', 'prefetch', 'scanner', 'bot']) } : {}),
  });
  const failure = (): Record<string, unknown> => {
    const bounce_class = pick(bounceClasses);
    const status = pick(['5.1.1', '5.4.7', '5.4.71', '4.2.2']);
    const raw = `550 ${status} refused ${pick(['ada', 'bob'])}@example.net`;
    return {
      bounce_class,
      error_code: '550',
      // Some senders mask the reason, some do not, some give the raw one alone.
      ...pick([
        { reason: `550 ${status} refused ...@...`, raw_reason: raw },
        { reason: raw },
        { reason: '', raw_reason: raw },
      ]),
    };
  };

  const taken = new Set<string>();
  for (let m = 0; m < messages; m++) {
    const subaccount = pick([0, 0, 0, 5, 12, 4_000_000_001]);
    // An id of the sender's own choice may be used by two subaccounts, never by the main one here: see `naming`.
    const order = below(6);
    const shared = chance(0.1) && subaccount !== 0 && !taken.has(`${order} ${subaccount}`);
    if (shared) taken.add(`${order} ${subaccount}`);
    const custom = shared || chance(0.25);
    const messageId = shared
      ? `order ${order}`
      : custom
        ? `order-${seed}-${m}`
        : `0000${m.toString(16).padStart(16, '0')}`;
    const names = custom
      ? { message_id: chance(0.5) ? '0000ffffffffffffffff' : '', custom_message_id: messageId }
      : { message_id: messageId };
    const sender = pick(senders);
    const ip = pick(sources);
    const pool = pick(pools);
    const node = pick(nodes);
    const isTest = chance(0.2);
    const shares = {
      campaign_id: pick(campaigns),
      template_id: pick(templates),
      template_version: pick(['', '3']),
      transmission_id: chance(0.5) ? String(65_832_150_921_904_000 + m) : undefined,
      friendly_from: chance(0.9) ? sender : '',
      msg_from: `bounces@${pick(['mail.brand.example', 'brandexample.org'])}`,
      subject: pick(subjects),
      ...(ip.startsWith('mta') ? { binding: ip } : { sending_ip: ip, binding: pick(vmtas) }),
      node_name: node,
      ...(chance(0.5) ? { ip_pool: pool } : { binding_group: pool }),
      subaccount_id: subaccountText(subaccount),
      ...(isTest ? { ab_test_id: pick(['test-1', 'Test_2']), ab_test_version: pick(['1', '2']) } : {}),
      open_tracking: pick<unknown>([true, '1', undefined]),
    };
    const hidden = chance(0.15);
    const recipients = Array.from({ length: chance(0.15) ? 3 : 1 }, (_, r) => {
      const address = `User${m}.${r}@${pick(recipientDomains)}`;
      const sha1 = createHash('sha1').update(address.toLowerCase()).digest();
      return hidden
        ? {
            rcpt_hash: chance(0.5) ? sha1.toString('hex') : sha1.toString('base64'),
            rcpt_domain: address.split('@')[1]!,
          }
        : { rcpt_to: address };
    });
    const start = someTime();
    if (!hidden && chance(0.06)) {
      const type = pick(['gen_fail', 'gen_rejection']);
      const subject = type === 'gen_fail' ? undefined : shares.subject;
      say('gen_event', type, start, { ...shares, subject, ...recipients[0], ...failure() });
      continue;
    }
    for (const recipient of recipients) {
      const mail = { ...names, ...recipient, ...shares };
      if (chance(0.06)) {
        say('message_event', 'rejection', start, { ...mail, ...failure() });
        continue;
      }
      const size = { msg_size: number(below(50_000)) };
      // Of some messages nothing but engagement arrives; of some, the injection never.
      const unknown = chance(0.08);
      if (!unknown && chance(0.9)) {
        const injection = { ...mail, ...size, recv_method: 'esmtp' };
        say('message_event', 'reception', start, injection);
        // Some are told again, as another event, on the same day or the next.
        if (chance(0.08)) say('message_event', 'reception', start + below(30 * HOUR), injection);
      }
      // Of some no end is ever told.
      if (chance(0.06)) continue;
      const delays = chance(0.75) ? 0 : 1 + below(3);
      let at = start;
      const attempt = (retries: number) => ({
        num_retries: retries === 0 ? pick<unknown>(['0', 0, '', undefined]) : number(retries),
        queue_time: number(at - start),
      });
      for (let d = 0; d < delays && !unknown; d++) {
        at += below(20 * MINUTE);
        say('message_event', 'tempfail', at, { ...mail, ...size, ...attempt(d), ...failure() });
      }
      at += below(5 * MINUTE);
      if (!unknown && chance(0.2)) {
        say('message_event', 'inband', at, { ...mail, ...size, ...attempt(delays), ...failure() });
        continue;
      }
      if (!unknown)
        say('message_event', 'delivery', at, {
          ...mail,
          ...size,
          ...attempt(delays),
          outbound_tls: pick(['0', '1', undefined]),
        });
      // Engagement comes from another uploader: it knows the id, perhaps the recipient, perhaps the subaccount.
      const many = recipients.length > 1 || shared;
      const elsewhere = chance(0.03) && subaccount !== 0;
      const naming = (): Record<string, unknown> => ({
        ...(chance(0.5)
          ? { message_id: messageId }
          : { custom_message_id: messageId, message_id: '0000ffffffffffffffff' }),
        subaccount_id: elsewhere
          ? 77
          : shared || chance(0.5)
            ? subaccountText(subaccount)
            : subaccountText(0),
        // The node that took the report in, not the one that sent the mail.
        node_name: pick([undefined, 'tracker.brand.example']),
      });
      const whom = () => (many || hidden || chance(0.5) ? recipient : { rcpt_to: '' });
      const later = () => at + pick([below(MINUTE), below(HOUR), below(30 * HOUR)]);
      const times = chance(0.5) ? 1 + below(5) : 0;
      for (let k = 0; k < times; k++) {
        const isClick = chance(0.35);
        const type = isClick
          ? pick(['click', 'amp_click'])
          : pick(['open', 'initial_open', 'open', 'amp_open', 'amp_initial_open']);
        const when = later();
        for (let again = chance(0.3) ? 3 : 1; again > 0; again--) {
          say('track_event', type, when + below(2) * below(3 * HOUR), {
            ...naming(),
            ...whom(),
            user_agent: pick(agents),
            ...(chance(0.3) ? { user_agent_parsed: judged() } : {}),
            ...(chance(0.2) ? { geo_ip: { Country: '', City: '', Latitude: 0, Longitude: 0, Zip: 0 } } : {}),
            target_link_url: isClick ? pick(links) : '',
            ...(isClick && chance(0.5) ? { target_link_name: pick(['Spring banner', 'a,b']) } : {}),
          });
        }
      }
      // A report may be stamped before the delivery it belongs to.
      if (chance(0.12))
        say('message_event', 'outofband', at + pick([-2 * HOUR, -1000, below(20 * HOUR)]), {
          ...naming(),
          ...recipient,
          ...failure(),
        });
      if (chance(0.08))
        say('message_event', 'feedback', later(), {
          ...naming(),
          ...recipient,
          fbtype: 'abuse',
          report_by: '',
        });
      if (chance(0.08))
        say('unsubscribe_event', pick(['list', 'link']), later(), {
          ...naming(),
          ...recipient,
          mailfrom: 'u@example.net',
        });
    }
  }
  for (let i = 0; i < 5; i++) {
    say('message_event', 'reception', now - (ageHours + 1 + i) * HOUR, {
      message_id: `old${i}`,
      rcpt_to: 'old@gmail.com',
    });
  }

  return { seed, now, ageHours, batches: batched(all, next) };
}

/** In order of time, roughly or not at all; some lines twice; cut into batches. */
function batched(all: readonly { at: number; event: WireEvent }[], next: () => number): WireEvent[][] {
  const jitter = [0, HOUR, 1000 * HOUR][Math.floor(next() * 3)]!;
  const lines = all
    .flatMap(({ at, event }) => {
      const copies: { key: number; event: WireEvent }[] = [{ key: at + next() * jitter, event }];
      if (next() < 0.06) {
        // A copy may come at any time, and say something else: the first to arrive is the event.
        // Not of what others learn from, as they learn from what is there when they come.
        const isMail = /^(?:reception|delivery)$/.test(String(event.fields.type));
        const changed =
          isMail || next() < 0.5 ? event : { ...event, fields: { ...event.fields, campaign_id: 'changed' } };
        copies.push({ key: next() < 0.5 ? at : at + next() * 1000 * HOUR, event: changed });
      }
      return copies;
    })
    .sort((a, b) => a.key - b.key)
    .map((line) => line.event);
  const batches: WireEvent[][] = [];
  for (let at = 0; at < lines.length; ) {
    const size = 1 + Math.floor(next() ** 3 * 400);
    batches.push(lines.slice(at, at + size));
    at += size;
  }
  return batches;
}

/** The NDJSON of a batch. */
export function linesOf(batch: readonly WireEvent[]): string {
  return batch.map(({ cls, fields }) => `${JSON.stringify({ msys: { [cls]: fields } })}\n`).join('');
}
