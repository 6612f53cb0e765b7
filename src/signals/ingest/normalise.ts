import type { EventType } from '../../events/catalogue.ts';
import type { CheckedEvent } from '../../events/check.ts';
import { type Field, fields } from '../../events/fields.ts';
import { maskedReason } from '../../events/mask.ts';
import { marksOf } from '../score/marks.ts';
import type { Traps } from '../score/traps/traps.ts';
import { parseInstant } from '../search/parameters.ts';
import type { EventRow } from '../store/event-store.ts';
import { bounceClass, classByReply } from './bounce-classes.ts';
import type { Providers } from './providers/providers.ts';

/** An event as search shows it; keys are field names of the vocabulary only. */
export type ShownEvent = Record<string, unknown>;

/** An event on its way into the store: enrichment changes `shown`, then `rowOf` makes the row. */
export interface NormalEvent {
  readonly eventId: string;
  readonly messageId: string;
  readonly type: string;
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly shown: ShownEvent;
  /** What search does not show and reports go by; '' where it is not known. */
  readonly vmta: string;
  readonly node: string;
  /** What the scores must know of it (`score/marks.ts`); events that are enriched have none. */
  readonly marks: number;
}

const LONGEST_TEXT = 16_384;
/** Of an event as a whole, as JSON: a page of a search holds thousands of them. */
const LONGEST_EVENT = 65_536;
/** What is kept of each text where they are too long all together. */
const SHORTENED_TEXT = 1024;
/** Of what reports group by: the engine keeps each distinct name of these in a dictionary. */
const LONGEST_NAME = 512;
/** What a column of ids holds; a search asks for no larger one. */
const LARGEST_INTEGER = 2 ** 32 - 1;
const DEEPEST_OBJECT = 8;
const MOST_NODES = 1000;

/** Every installation is one SparkPost account. */
export const CUSTOMER_ID = 1;

function textOf(value: unknown): string | undefined {
  if (typeof value === 'number' && Number.isFinite(value)) return String(value);
  if (typeof value !== 'string' || value === '') return undefined;
  return value.slice(0, LONGEST_TEXT).toWellFormed();
}

/** The node that an ingest line, right or wrong, says it is from; '' if it says none. */
export function nodeOf(line: unknown): string {
  const wrapped = isObject(line) && isObject(line.msys) ? Object.values(line.msys)[0] : undefined;
  return isObject(wrapped) ? (nameOf(wrapped.node_name) ?? '') : '';
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

function nameOf(value: unknown): string | undefined {
  return textOf(value)?.slice(0, LONGEST_NAME).toWellFormed();
}

/** Fields that stand in columns of names. */
const names = new Set([
  'campaign_id',
  'template_id',
  'recipient_domain',
  'sending_domain',
  'routing_domain',
  'sending_ip',
  'ip_pool',
  'mailbox_provider',
  'mailbox_provider_region',
  'friendly_from',
  'ab_test_id',
  'ab_test_version',
]);

function digitsOf(value: unknown): string | undefined {
  const text = textOf(value);
  return text !== undefined && /^\d{1,18}(?:\.\d{1,9})?$/.test(text) ? text : undefined;
}

function booleanOf(value: unknown): boolean | undefined {
  if (value === true || value === '1' || value === 'true' || value === 1) return true;
  if (value === false || value === '0' || value === 'false' || value === 0) return false;
  return undefined;
}

/** Whether a value nests no deeper, holds no more and is no longer than a sender's data sensibly is. */
function modest(value: unknown): boolean {
  let level: unknown[] = [value];
  let nodes = 0;
  let characters = 0;
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > DEEPEST_OBJECT) return false;
    const next: unknown[] = [];
    for (const item of level) {
      if (typeof item !== 'object' || item === null) continue;
      const children = Object.values(item);
      nodes += children.length;
      for (const key of Object.keys(item)) characters += key.length;
      for (const child of children) if (typeof child === 'string') characters += child.length;
      if (nodes > MOST_NODES || characters > LONGEST_TEXT) return false;
      next.push(...children);
    }
    level = next;
  }
  return true;
}

const placeKeys = ['country', 'region', 'city', 'latitude', 'longitude', 'zip', 'postal_code'];

/** One widespread tracker sends the keys capitalised and every value empty or zero: that is no place. */
function placeOf(value: object): object | undefined {
  const given = new Map(
    Object.entries(value).map(([key, v]) => [key.toLowerCase().replace('postalcode', 'postal_code'), v]),
  );
  const place: Record<string, unknown> = {};
  for (const key of placeKeys) {
    const v = given.get(key);
    if (v === undefined || v === null || v === '' || typeof v === 'object') continue;
    if (key === 'latitude' || key === 'longitude') {
      const number = Number(v);
      if (Number.isFinite(number)) place[key] = number;
    } else if (v !== 0) place[key] = typeof v === 'string' ? v.slice(0, 256).toWellFormed() : v;
  }
  if (!place.latitude && !place.longitude) {
    delete place.latitude;
    delete place.longitude;
  }
  return Object.keys(place).length > 0 ? place : undefined;
}

function shownValue(field: Field, value: unknown): unknown {
  switch (field.type) {
    case 'string':
      return names.has(field.name) ? nameOf(value) : textOf(value);
    case 'numeric-string':
      return digitsOf(value);
    case 'integer': {
      const number = Number(digitsOf(value));
      return Number.isInteger(number) && number <= LARGEST_INTEGER ? number : undefined;
    }
    case 'boolean':
      return booleanOf(value);
    case 'iso8601': {
      const at = typeof value === 'string' ? parseInstant(value) : null;
      return at === null ? undefined : new Date(at).toISOString();
    }
    case 'object':
      if (typeof value !== 'object' || value === null || Array.isArray(value) || !modest(value))
        return undefined;
      if (field.name === 'geo_ip') return placeOf(value);
      return Object.keys(value).length > 0 ? value : undefined;
    case 'array<string>':
      if (!Array.isArray(value)) return undefined;
      return value.slice(0, 100).flatMap((item) => nameOf(item) ?? []);
    case 'unix-seconds-string':
      return undefined;
  }
}

function domainOf(address: unknown): string | undefined {
  if (typeof address !== 'string') return undefined;
  const at = address.lastIndexOf('@');
  if (at < 0 || at >= address.length - 1) return undefined;
  return address
    .slice(at + 1, at + 1 + LONGEST_NAME)
    .toLowerCase()
    .toWellFormed();
}

/** Fields that search shows of a type of event, by name; those that ingest sets itself are left out. */
const shownFields = new Map<EventType | null, ReadonlyMap<string, Field>>();

function shownFieldsOf(entry: EventType | null): ReadonlyMap<string, Field> {
  let found = shownFields.get(entry);
  if (!found) {
    const set = new Set(['type', 'event_id', 'timestamp', 'customer_id', 'message_id']);
    const all = [...(entry?.fields ?? fields.values())].filter(
      (f) => f.surface === 'all' && !set.has(f.name),
    );
    found = new Map(all.map((field) => [field.name, field]));
    shownFields.set(entry, found);
  }
  return found;
}

/**
 * The event in search's words: SparkPost's rules of normalisation that need nothing but the event itself. `uploader` is
 * the label of the key that it came with: the node, if the event names none. Not of engagement, which a tracker uploads
 * and which goes by the node of its message.
 */
export function normalise(checked: CheckedEvent, traps: Traps, uploader: string): NormalEvent {
  const { event, eventId, messageId } = checked;
  const shown: ShownEvent = {
    type: checked.publicType,
    event_id: eventId.toWellFormed(),
    timestamp: new Date(checked.at).toISOString(),
    customer_id: CUSTOMER_ID,
  };
  if (messageId !== '') shown.message_id = messageId.toWellFormed();
  const known = shownFieldsOf(checked.entry);
  for (const name in event) {
    const field = known.get(name);
    if (!field) continue;
    const value = shownValue(field, event[name]);
    // Subaccount 0 is the account itself, of which nothing is shown.
    if (value === undefined || (value === 0 && name === 'subaccount_id')) continue;
    shown[name] = value;
  }
  fill(shown, 'sending_ip', nameOf(event.binding));
  fill(shown, 'ip_pool', nameOf(event.binding_group));
  if (shown.reason !== undefined || shown.raw_reason !== undefined) {
    fill(shown, 'raw_reason', shown.reason);
    // Reports group by the reason, so what differs from message to message is left out of it, if it is not already.
    shown.reason = maskedReason((shown.reason ?? shown.raw_reason) as string);
  }
  if (shown.bounce_class === undefined && (shown.type === 'bounce' || shown.type === 'out_of_band')) {
    const found = classByReply(columnText(shown.raw_reason), columnText(shown.error_code));
    if (found !== null) shown.bounce_class = String(found);
  }
  const recipient = shown.rcpt_to;
  if (typeof recipient === 'string') {
    shown.rcpt_to = recipient.toLowerCase();
    fill(shown, 'raw_rcpt_to', recipient);
  }
  lower(shown, 'recipient_domain');
  lower(shown, 'routing_domain');
  lower(shown, 'sending_domain');
  const domain = domainOf(recipient) ?? nameOf(event.rcpt_domain)?.toLowerCase();
  if (domain !== undefined) shown.recipient_domain = domain;
  fill(shown, 'sending_domain', domainOf(shown.friendly_from));
  return {
    eventId: shown.event_id as string,
    messageId: (shown.message_id as string | undefined) ?? '',
    type: checked.publicType,
    at: checked.at,
    shown,
    vmta: nameOf(event.binding) ?? '',
    node: nameOf(event.node_name) ?? (isEnriched(checked.publicType) ? '' : (nameOf(uploader) ?? '')),
    marks: marksOf(shown, recipientHash(shown.rcpt_hash), traps),
  };
}

function lower(shown: ShownEvent, name: string): void {
  const value = shown[name];
  if (typeof value === 'string') shown[name] = value.toLowerCase();
}

function fill(shown: ShownEvent, name: string, value: unknown): void {
  if (shown[name] === undefined && value !== undefined && value !== '') shown[name] = value;
}

const enrichedFields = [
  'campaign_id',
  'subject',
  'ip_pool',
  'sending_ip',
  'rcpt_meta',
  'rcpt_tags',
  'routing_domain',
  'recipient_domain',
  'sending_domain',
  'template_id',
  'template_version',
  'transmission_id',
  'friendly_from',
  'msg_from',
  'rcpt_to',
  'raw_rcpt_to',
  'rcpt_hash',
  'rcpt_type',
  'msg_size',
  'injection_time',
  'open_tracking',
  'click_tracking',
  'initial_pixel',
  'amp_enabled',
  'ab_test_id',
  'ab_test_version',
  'recv_method',
  'transactional',
  'subaccount_id',
];

/** Of these, what tells of the recipient and not of the message. */
const ofRecipient = new Set([
  'rcpt_meta',
  'rcpt_tags',
  'routing_domain',
  'recipient_domain',
  'rcpt_to',
  'raw_rcpt_to',
  'rcpt_hash',
  'rcpt_type',
]);

const enrichedTypes = new Set([
  'open',
  'initial_open',
  'click',
  'amp_open',
  'amp_initial_open',
  'amp_click',
  'list_unsubscribe',
  'link_unsubscribe',
  'spam_complaint',
  'out_of_band',
]);

/** Whether events of this type arrive with little more than `message_id` and learn the rest from the message. */
export function isEnriched(type: string): boolean {
  return enrichedTypes.has(type);
}

/** What reports go by and search does not show. */
type Source = Pick<NormalEvent, 'shown' | 'vmta' | 'node'>;

/**
 * The event with what it lacks from its message's injection or delivery. The node is that of the message whatever the
 * event says: who takes in a complaint, or a bounce that came later, is not who sent the mail.
 */
export function enriched<Event extends Source>(event: Event, message: Source): Event {
  const shown = { ...event.shown };
  enrich(shown, message.shown);
  return { ...event, shown, vmta: event.vmta || message.vmta, node: message.node };
}

function enrich(shown: ShownEvent, message: ShownEvent): void {
  const anonymous = shown.rcpt_to === undefined && shown.rcpt_hash !== undefined;
  // A message of several recipients may have one id: what belongs to another of them is not this one's.
  const isAnother =
    (shown.rcpt_to ?? message.rcpt_to) !== message.rcpt_to ||
    (shown.recipient_domain ?? message.recipient_domain) !== message.recipient_domain;
  for (const name of enrichedFields) {
    if (isAnother && ofRecipient.has(name)) continue;
    // A hash stands in place of the address; joining it with the address would undo it.
    if (anonymous && (name === 'rcpt_to' || name === 'raw_rcpt_to')) continue;
    if (name === 'rcpt_hash' && shown.rcpt_to !== undefined) continue;
    fill(shown, name, message[name]);
  }
  if (message.type === 'injection') fill(shown, 'injection_time', message.timestamp);
}

/** SHA-1 of a recipient in lower-case hexadecimal, from either of the two spellings in use; '' if it is neither. */
export function recipientHash(text: unknown): string {
  if (typeof text !== 'string') return '';
  if (/^[0-9a-f]{40}$/i.test(text)) return text.toLowerCase();
  if (/^[A-Za-z0-9+/_-]{27}=?$/.test(text)) {
    return Buffer.from(text.replaceAll('-', '+').replaceAll('_', '/'), 'base64').toString('hex');
  }
  return '';
}

function numberOf(value: unknown, most = Number.MAX_SAFE_INTEGER): number {
  const number = Math.trunc(Number(value ?? 0));
  return Number.isFinite(number) && number > 0 ? Math.min(number, most) : 0;
}

function columnText(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

/** Shortens texts of an event that is too long as a whole. */
function bound(shown: ShownEvent): void {
  let characters = 0;
  for (const name in shown) {
    const value = shown[name];
    if (typeof value === 'string') characters += value.length;
  }
  if (characters <= LONGEST_EVENT) return;
  for (const name in shown) {
    const value = shown[name];
    if (typeof value !== 'string' || value.length <= SHORTENED_TEXT) continue;
    shown[name] = value.slice(0, SHORTENED_TEXT).toWellFormed();
  }
}

/** Lone surrogates deep in a sender's own data are U+FFFD too: many clients cannot write what has some. */
function jsonOf(shown: ShownEvent): string {
  const text = JSON.stringify(shown);
  // They are the only characters that are written so.
  if (!text.includes('\\ud')) return text;
  return text.replace(/\\(?:ud[89a-f][0-9a-f]{2}|.)/g, (found) => (found.length > 2 ? '\ufffd' : found));
}

/** Classes of engagement that no person made (docs/tracker.md, Machine traffic). */
const machines: readonly unknown[] = ['prefetch', 'scanner', 'bot'];

/** Whether a machine fetched the image: the tracker's own judgement, else what is known of the user agent. */
function isPrefetched(shown: ShownEvent): boolean {
  const parsed = shown.user_agent_parsed as
    | { is_prefetched?: unknown; engagement_class?: unknown }
    | undefined;
  if (booleanOf(parsed?.is_prefetched) === true) return true;
  if (typeof parsed?.engagement_class === 'string') return machines.includes(parsed.engagement_class);
  return shown.user_agent === 'Mozilla/5.0';
}

/** The row of an event after enrichment; applies the rules that may only come then. */
export function rowOf(
  event: Pick<NormalEvent, 'at'> & Source & { readonly marks?: number },
  batchId: string,
  version: number,
  orphan: boolean,
  providers: Providers,
): EventRow {
  const { shown } = event;
  bound(shown);
  fill(shown, 'routing_domain', shown.recipient_domain);
  fill(shown, 'sending_domain', domainOf(shown.msg_from));
  const provider = providers.of(columnText(shown.recipient_domain));
  const routed = provider.name === '' ? providers.of(columnText(shown.routing_domain)) : provider;
  fill(shown, 'mailbox_provider', routed.name);
  fill(shown, 'mailbox_provider_region', routed.region);
  const raw = columnText(shown.raw_rcpt_to).toLowerCase();
  const code = shown.bounce_class === undefined ? 1 : numberOf(shown.bounce_class, 65_535);
  const failed = shown.type === 'bounce' || shown.type === 'out_of_band' || shown.bounce_class !== undefined;
  return {
    ts: event.at,
    event_id: columnText(shown.event_id),
    type: columnText(shown.type),
    batch_id: batchId,
    sign: 1,
    version,
    orphan: orphan ? 1 : 0,
    subaccount_id: numberOf(shown.subaccount_id, 2 ** 32 - 1),
    campaign_id: columnText(shown.campaign_id),
    template_id: columnText(shown.template_id),
    recipient_domain: columnText(shown.recipient_domain),
    sending_domain: columnText(shown.sending_domain),
    sending_ip: columnText(shown.sending_ip),
    ip_pool: columnText(shown.ip_pool),
    mailbox_provider: columnText(shown.mailbox_provider),
    mailbox_provider_region: columnText(shown.mailbox_provider_region),
    vmta: event.vmta,
    node: event.node,
    message_id: columnText(shown.message_id),
    transmission_id: columnText(shown.transmission_id),
    rcpt_to: columnText(shown.rcpt_to),
    raw_rcpt_to: raw === shown.rcpt_to ? '' : raw,
    rcpt_hash: recipientHash(shown.rcpt_hash),
    routing_domain: columnText(shown.routing_domain),
    friendly_from: columnText(shown.friendly_from),
    subject: columnText(shown.subject),
    ab_test_id: columnText(shown.ab_test_id),
    ab_test_version: columnText(shown.ab_test_version),
    bounce_class: failed ? code : 0,
    bounce_category: failed ? bounceClass(code).category : '',
    reason: columnText(shown.reason),
    raw_reason: columnText(shown.raw_reason),
    link_name: columnText(shown.target_link_name) || columnText(shown.target_link_url),
    num_retries: numberOf(shown.num_retries, 2 ** 32 - 1),
    queue_time: numberOf(shown.queue_time),
    msg_size: numberOf(shown.msg_size),
    prefetched: isPrefetched(shown) ? 1 : 0,
    marks: event.marks ?? 0,
    data: jsonOf(shown),
    outbound_tls: shown.outbound_tls === '1' ? 1 : 0,
  };
}
