import { createHash } from 'node:crypto';
import { type SumName, sums } from '../sums.ts';
import { dayOf } from './days.ts';
import type { Mailing } from './mailing-testing.ts';

/**
 * The daily figures worked out from the events alone, the slow and obvious way; for tests. Nothing here knows of
 * tables, slices or refreshes: every mail looks through all that is known of its recipient and its message.
 */
export type Recount = Map<string, Record<SumName, number>>;

/** One event that the store must have, once. */
interface Known {
  readonly type: string;
  readonly at: number;
  readonly message: string;
  /** Subaccount that the event names, 0 if none. */
  readonly given: number;
  /** Hexadecimal SHA-1 of its own recipient, '' if it names none. */
  readonly recipient: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** An event as it is stored at last: what decides where the sums over events count it. */
export interface StoredEvent {
  readonly event_id: string;
  readonly at: number;
  readonly type: string;
  readonly sid: number;
  readonly message_id: string;
  readonly recipient: string;
  readonly campaign_id: string;
  readonly ip_pool: string;
  readonly mb_provider: string;
  readonly sending_domain: string;
  readonly bounce_category: string;
  readonly raw_reason: string;
}

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

/** Events that ingest must take: young enough when their upload arrives, and the first of their id. */
export function accepted(mailing: Mailing): Known[] {
  const seen = new Set<unknown>();
  const known: Known[] = [];
  for (const { at: now, events } of mailing.uploads) {
    for (const { at, fields } of events) {
      if (now - at >= DAY || seen.has(fields.event_id)) continue;
      seen.add(fields.event_id);
      const { rcpt_to: address, rcpt_hash: hash } = fields as { rcpt_to?: string; rcpt_hash?: string };
      known.push({
        type: String(fields.type),
        at,
        message: String(fields.message_id),
        given: Number(fields.subaccount_id ?? 0),
        recipient: address
          ? createHash('sha1').update(address.toLowerCase()).digest('hex')
          : hash
            ? hash.length === 40
              ? hash
              : Buffer.from(hash, 'base64').toString('hex')
            : '',
        fields,
      });
    }
  }
  return known;
}

const engaging = ['open', 'initial_open', 'amp_open', 'amp_initial_open', 'click', 'amp_click'];
const isEngagement = (e: Known) =>
  engaging.includes(e.type) &&
  e.fields.user_agent !== 'Mozilla/5.0' &&
  (e.fields.user_agent_parsed as { engagement_class: string } | undefined)?.engagement_class !== 'scanner';

const providers: Readonly<Record<string, string>> = { 'gmail.com': 'Gmail', 'web.de': 'WEB.DE' };

/** Figures by `day sid campaign pool provider domain`, from what was sent and, for sums over events, what is stored. */
export function recount(mailing: Mailing, stored: readonly StoredEvent[]): Recount {
  const events = accepted(mailing);
  const found: Recount = new Map();
  const add = (key: string, name: SumName, n = 1) => {
    const row = found.get(key) ?? (Object.fromEntries(sums.map((s) => [s, 0])) as Record<SumName, number>);
    row[name] += n;
    found.set(key, row);
  };

  const injections = events.filter((e) => e.type === 'reception');
  const byMessage = Map.groupBy(injections, (e) => e.message);
  /** Subaccount and recipient of an event, by itself or by its message. */
  const belongs = (e: Known): { sid: number; recipient: string } => {
    const own = byMessage.get(e.message) ?? [];
    const fits = own.filter((i) => e.given === 0 || i.given === e.given);
    const message = fits[0];
    return {
      sid: e.given || message?.given || 0,
      recipient: e.recipient || message?.recipient || '',
    };
  };
  const acts = events
    .filter((e) => isEngagement(e) || ['list', 'link', 'feedback'].includes(e.type))
    .map((e) => ({ ...e, ...belongs(e) }));
  const engagements = acts.filter(isEngagement);

  for (const mail of injections) {
    const sid = mail.given;
    const past = engagements
      .filter((e) => e.sid === sid && e.recipient === mail.recipient && e.at <= mail.at)
      .map((e) => e.at);
    const first = Math.min(
      ...injections.filter((i) => i.given === sid && i.recipient === mail.recipient).map((i) => i.at),
    );
    const cohort = cohortOf(mail.at, first, past.length > 0 ? Math.max(...past) : null);
    const to = String(mail.fields.rcpt_to ?? '').toLowerCase();
    const domain = to ? to.split('@')[1]! : String(mail.fields.rcpt_domain);
    const text = (name: string) => String(mail.fields[name] ?? '');
    const key = [
      dayOf(mail.at),
      sid,
      text('campaign_id'),
      text('binding_group'),
      providers[domain] ?? '',
      text('friendly_from').split('@')[1] ?? '',
    ].join(' ');
    add(key, 'injections');
    add(key, `c_${cohort}`);
    if (mail.fields.open_tracking === true) add(key, 'tracked');
    if (to) add(key, 'clear_addresses');
    if (to.startsWith('sales@') || domain === 'mailinator.com') add(key, 'list_quality');
    if (mail.recipient === createHash('sha1').update('trap.listed@example.net').digest('hex'))
      add(key, 'trap_recycled');
    if (domain === 'parked-domain.example') add(key, 'trap_parked');
    // A hash by another method than the sender's can be compared with a clear address only.
    if (domain === 'gmial.com' || to === 'person3@example.net') add(key, 'trap_typo');

    const recipients = new Set(
      injections
        .filter((i) => i.message === mail.message && i.given === sid && dayOf(i.at) === dayOf(mail.at))
        .map((i) => i.recipient),
    );
    const drew = (which: (e: Known) => boolean) =>
      acts.some(
        (e) =>
          which(e) &&
          e.message === mail.message &&
          e.sid === sid &&
          e.at >= mail.at &&
          e.at <= mail.at + 48 * HOUR &&
          (recipients.size === 1 || e.recipient === mail.recipient),
      );
    if (drew(isEngagement)) add(key, `c_${cohort}_eng`);
    if (drew((e) => e.type === 'list' || e.type === 'link')) add(key, `c_${cohort}_unsub`);
    if (drew((e) => e.type === 'feedback')) add(key, `c_${cohort}_fbl`);
  }

  const delayed = new Set<string>();
  for (const e of stored) {
    const key = [dayOf(e.at), e.sid, e.campaign_id, e.ip_pool, e.mb_provider, e.sending_domain].join(' ');
    if (e.type === 'bounce' || e.type === 'out_of_band') {
      add(
        key,
        e.bounce_category === 'Hard'
          ? 'hard_bounces'
          : e.bounce_category === 'Block'
            ? 'block_bounces'
            : 'other_bounces',
      );
    }
    if (e.type === 'spam_complaint') add(key, 'complaints');
    if (e.type === 'list_unsubscribe' || e.type === 'link_unsubscribe') add(key, 'unsubscribes');
    if (['bounce', 'policy_rejection'].includes(e.type) && e.raw_reason.includes('suppress'))
      add(key, 'suppressed');
    if (e.type === 'delay' && !delayed.has(`${key} ${e.message_id} ${e.recipient}`)) {
      delayed.add(`${key} ${e.message_id} ${e.recipient}`);
      add(key, 'delayed');
    }
  }
  return found;
}

function cohortOf(
  at: number,
  first: number,
  engaged: number | null,
): 'new' | '14d' | '90d' | '365d' | 'uneng' {
  if (engaged === null) return at - first <= 7 * DAY ? 'new' : 'uneng';
  const age = at - engaged;
  return age <= 14 * DAY ? '14d' : age <= 90 * DAY ? '90d' : age <= 365 * DAY ? '365d' : 'uneng';
}
