import { createHash } from 'node:crypto';
import { randomOf } from '../../metrics/history-testing.ts';

/** A year of a sender for tests: events, when they happened, and when uploads bring them, perhaps twice. */
export interface Mailing {
  readonly seed: number;
  /** Instants at which uploads arrive, ascending, with what they carry. */
  readonly uploads: readonly { readonly at: number; readonly events: readonly Sent[] }[];
  /** Lines for the operator's list of traps. */
  readonly traps: readonly string[];
}

/** An event on its way. */
export interface Sent {
  readonly cls: string;
  readonly at: number;
  readonly fields: Readonly<Record<string, unknown>>;
}

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

/** Days on which something is sent, counted back from the end: far enough apart for every cohort. */
const activeDays = [378, 100, 21, 14, 13, 10, 9, 8, 7, 6, 5];
/** Days without mail on which late things still arrive. */
const quietDays = [377, 99, 20, 12, 4, 3];
const UPLOADS_PER_DAY = 2;

const sha1 = (text: string) => createHash('sha1').update(text);

/** `end`: an instant at the start of a day. */
export function makeMailing(seed: number, end: number): Mailing {
  const random = randomOf(seed);
  const below = (n: number) => Math.floor(random() * n);
  const chance = (p: number) => random() < p;
  const pick = <T>(all: readonly T[]): T => all[below(all.length)]!;
  const sent: Sent[] = [];
  let ids = seed * 100_000;
  const emit = (cls: string, type: string, at: number, fields: Record<string, unknown>) => {
    const whole = Math.floor(at / 1000) * 1000;
    sent.push({
      cls,
      at: whole,
      fields: { type, event_id: String(++ids), timestamp: String(whole / 1000), ...fields },
    });
  };

  const people = [
    ...Array.from({ length: 40 }, (_, i) => `person${i}@${pick(['example.net', 'gmail.com', 'web.de'])}`),
    'sales@example.net',
    'Trap.Listed@example.net',
    'lost@gmial.com',
    'any@parked-domain.example',
    'x@mailinator.com',
  ];
  /** Whose address a sender never tells, only its hash, in one of two spellings. */
  const hashed = new Set(people.filter((_, i) => i % 6 === 1));
  const recipientOf = (address: string): Record<string, unknown> => {
    if (!hashed.has(address)) return { rcpt_to: chance(0.5) ? address : address.toUpperCase() };
    const digest = sha1(address.toLowerCase());
    return { rcpt_hash: digest.digest(chance(0.5) ? 'hex' : 'base64'), rcpt_domain: address.split('@')[1] };
  };

  const inject = (at: number, to: string, message: Record<string, unknown>, subaccount: number) =>
    emit('message_event', 'reception', at, {
      ...message,
      ...recipientOf(to),
      ...(subaccount > 0 ? { subaccount_id: subaccount } : {}),
      ...(chance(0.9) ? { open_tracking: true } : {}),
    });
  const engage = (at: number, fields: Record<string, unknown>) =>
    emit('track_event', pick(['open', 'initial_open', 'click', 'amp_open', 'amp_click']), at, fields);

  const mail = (at: number, to: string, subaccount: number) => {
    const message = {
      message_id: `m${seed}-${++ids}`,
      campaign_id: pick(['', 'spring', 'summer', 'autumn', 'winter', 'welcome']),
      binding_group: pick(['', 'fast', 'slow']),
      friendly_from: pick(['a@brand.example', 'b@other.example']),
    };
    const own = { ...message, ...(subaccount > 0 ? { subaccount_id: subaccount } : {}) };
    inject(at, to, message, subaccount);
    const twin = pick(people);
    const isShared = chance(0.08) && twin !== to;
    if (isShared) inject(at + below(5) * 1000, twin, message, subaccount);
    // Feeders of engagement often know no more than the message; of a shared one they must say who.
    const bare = (address: string): Record<string, unknown> => ({
      message_id: message.message_id,
      ...(isShared || chance(0.3) ? recipientOf(address) : { rcpt_to: '' }),
      ...(subaccount > 0 && chance(0.4) ? { subaccount_id: subaccount } : {}),
    });
    const later = () => at + Math.floor(pick([60, 3600, 86_400, 172_800, 200_000]) * random()) * 1000;
    for (const address of isShared ? [to, twin] : [to]) {
      const who = recipientOf(address);
      if (chance(0.15))
        for (let n = 1 + below(3); n > 0; n--) emit('message_event', 'tempfail', later(), { ...own, ...who });
      if (chance(0.15)) {
        emit('message_event', pick(['inband', 'outofband']), later(), {
          ...own,
          ...who,
          bounce_class: pick(['10', '30', '50', '51', '20', '25', '1', '999']),
          raw_reason: chance(0.3) ? '550 recipient is in suppression list "gone"' : '550 no',
        });
      }
      if (chance(0.4)) engage(later(), bare(address));
      if (chance(0.1)) engage(at + 48 * HOUR, bare(address));
      if (chance(0.1)) engage(at + 48 * HOUR + 1000, bare(address));
      if (chance(0.1)) engage(at, bare(address));
      if (chance(0.05)) engage(at - 2000, bare(address));
      if (chance(0.2)) emit('track_event', 'open', later(), { ...bare(address), user_agent: 'Mozilla/5.0' });
      if (chance(0.2))
        emit('track_event', 'click', later(), {
          ...bare(address),
          user_agent_parsed: { engagement_class: 'scanner' },
        });
      // Somebody else's address: a forwarded mail, a report that hides its recipient.
      if (!isShared && chance(0.05))
        engage(later(), { message_id: message.message_id, rcpt_to: pick(people) });
      if (chance(0.1))
        emit('unsubscribe_event', pick(['list', 'link']), later(), { ...bare(address), rcpt_to: address });
      if (chance(0.1)) {
        const hidden = !isShared && chance(0.5);
        emit('message_event', 'feedback', later(), {
          ...bare(address),
          rcpt_to: hidden ? 'hidden@web.de' : address,
        });
      }
    }
  };

  for (const back of activeDays) {
    const start = end - back * DAY;
    for (let n = 14 + below(10); n > 0; n--) {
      mail(start + below(86_400) * 1000, pick(people), pick([0, 0, 4, 9]));
    }
    // The last millisecond's second of the day, and its first.
    mail(start, pick(people), 0);
    mail(start + DAY - 1000, pick(people), 4);
    for (let n = below(4); n > 0; n--) {
      emit('message_event', 'rejection', start + below(86_400) * 1000, {
        message_id: `r${++ids}`,
        rcpt_to: pick(people),
        campaign_id: 'spring',
        raw_reason: pick(['550 suppressed', '550 refused']),
      });
      engage(start + below(86_400) * 1000, {
        message_id: `nobody-${++ids}`,
        rcpt_to: chance(0.5) ? pick(people) : '',
      });
    }
  }

  // The limits of the cohorts, to the second.
  const edge = (name: string, subaccount: number, engaged: number | null, mailed: readonly number[]) => {
    const to = `edge-${name}@example.net`;
    const message = (n: number) => ({
      message_id: `edge-${name}-${n}`,
      campaign_id: 'edge',
      friendly_from: 'a@brand.example',
    });
    mailed.forEach((at, n) => {
      inject(at, to, message(n), subaccount);
    });
    if (engaged !== null) engage(engaged, { ...message(0), rcpt_to: '' });
  };
  const noon = (back: number) => end - back * DAY + 12 * HOUR;
  edge('365', 0, noon(378), [noon(378) - HOUR, noon(13), noon(13) + 1000, noon(13) + HOUR]);
  edge('90', 4, noon(100), [noon(100) - HOUR, noon(10) - 1000, noon(10), noon(10) + 1000]);
  edge('14', 0, noon(21), [noon(21) - HOUR, noon(7), noon(7) + 1000]);
  edge('7', 9, null, [noon(14), noon(7), noon(7) + 1000, noon(6)]);
  edge('now', 0, noon(9), [noon(9) - 1000, noon(9), noon(9) + 1000]);

  // The same subscriber of two subaccounts is two recipients.
  inject(noon(21), 'both@example.net', { message_id: 'both-0' }, 0);
  engage(noon(21) + HOUR, { message_id: 'both-0', rcpt_to: '' });
  inject(noon(8), 'both@example.net', { message_id: 'both-1' }, 0);
  inject(noon(8), 'both@example.net', { message_id: 'both-2' }, 4);

  const steps = [...activeDays, ...quietDays]
    .flatMap((back) =>
      Array.from({ length: UPLOADS_PER_DAY }, (_, n) => end - back * DAY + ((n + 1) * DAY) / UPLOADS_PER_DAY),
    )
    .sort((a, b) => a - b);
  const uploads = steps.map((at) => ({ at, events: [] as Sent[] }));
  const arrive = (event: Sent, delay: number) => {
    const upload = uploads.find((u) => u.at >= event.at + delay);
    if (upload) upload.events.splice(below(upload.events.length + 1), 0, event);
  };
  for (const event of sent) {
    arrive(event, chance(0.6) ? 0 : random() * 26 * HOUR);
    if (chance(0.06)) arrive(event, random() * 30 * HOUR);
  }
  const traps = [
    `recycled ${sha1('trap.listed@example.net').digest('hex')}`,
    'parked parked-domain.example',
    `typo ${createHash('sha256').update('person3@example.net').digest('hex')}`,
  ];
  return { seed, uploads, traps };
}
