import { type EventClass, type EventType, ingestClasses, ingestedType, needsMessageId } from './catalogue.ts';

export interface CheckLimits {
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** Events this old or older are refused; SparkPost's limit is 24 hours. */
  readonly maxAgeMs: number;
  /** How far ahead of `now` an event may be (clock skew, wrong time zone); default 24 hours. */
  readonly maxAheadMs?: number;
}

export interface CheckedEvent {
  readonly ok: true;
  readonly class: EventClass;
  /** The sender's name of the type, whichever spelling the line used. */
  readonly ingestType: string;
  /** The name in search, webhooks and metrics. */
  readonly publicType: string;
  /** Catalogue entry; `null` for adaptive events, whose types are not catalogued. */
  readonly entry: EventType | null;
  /** `event_id` as text. */
  readonly eventId: string;
  /** Milliseconds since the epoch; the wire's fraction of a second is kept to the millisecond. */
  readonly at: number;
  /** `custom_message_id` if there is one, else `message_id`; '' where the class has none. */
  readonly messageId: string;
  /** The event's fields as sent; has no prototype, so any key is safe to ask for. */
  readonly event: Readonly<Record<string, unknown>>;
}

export interface RefusedEvent {
  readonly ok: false;
  /** One sentence for the sender; quotes at most a short piece of its data. */
  readonly message: string;
}

const DAY = 86_400_000;
const LONGEST_ID = 512;

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function own(object: Record<string, unknown>, key: string): unknown {
  return Object.hasOwn(object, key) ? object[key] : undefined;
}

/** SparkPost's senders leave a field out, or give `null` or `""`: all three mean that there is none. */
function absent(value: unknown): boolean {
  return value === undefined || value === null || value === '';
}

/** A value that ingest takes for a text; one of another type counts as absent. */
function isText(value: unknown): boolean {
  return (typeof value === 'string' && value !== '') || typeof value === 'number';
}

function quote(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text);
}

const refuse = (message: string): RefusedEvent => ({ ok: false, message });

/** An id as text; a number is taken as long as JSON has not rounded it. */
function idOf(value: unknown): string | null {
  if (typeof value === 'string') return value.length <= LONGEST_ID ? value : null;
  return Number.isSafeInteger(value) && (value as number) >= 0 ? String(value) : null;
}

/** Seconds since the epoch, as text or number, with or without fraction → milliseconds, `null` if it is none. */
function timeOf(value: unknown): number | null {
  if (typeof value === 'number') return Number.isFinite(value) ? Math.round(value * 1000) : null;
  if (typeof value !== 'string' || !/^\d{1,15}(?:\.\d{1,12})?$/.test(value)) return null;
  return Math.round(Number(value) * 1000);
}

/**
 * Whether ingest takes this line (already parsed from JSON), by the rules of SparkPost's Events Ingest: one known
 * wrapper under `msys`, a known type, `event_id`, a time within the limits, `message_id` where the class has one,
 * a recipient where the type has one, and `rcpt_hash` never without `rcpt_domain`. Unknown fields are no fault.
 * Our own MTA, tracker and agents pass the same check. Of a line that is taken, the event itself is handed out in
 * `event`, without its prototype.
 */
export function checkIngestLine(value: unknown, limits: CheckLimits): CheckedEvent | RefusedEvent {
  if (!isObject(value)) return refuse('The line is not a JSON object');
  const msys = own(value, 'msys');
  if (!isObject(msys)) return refuse('Missing msys object');
  const classes = ingestClasses.filter((c) => Object.hasOwn(msys, c));
  if (classes.length === 0) {
    const first = Object.keys(msys)[0];
    return refuse(
      first === undefined
        ? 'Missing event class under msys'
        : `Unknown event class ${quote(first)} under msys`,
    );
  }
  if (classes.length > 1) return refuse(`More than one event class under msys: ${classes.join(', ')}`);
  const cls = classes[0]!;
  const wrapped = msys[cls];
  if (!isObject(wrapped)) return refuse(`${cls} is not a JSON object`);

  const type = own(wrapped, 'type');
  if (absent(type)) return refuse('Missing type on event');
  if (typeof type !== 'string' || type.length > 64) return refuse('Invalid type on event');
  const entry = ingestedType(cls, type) ?? null;
  if (!entry && cls !== 'adaptive_event') return refuse(`Unknown type ${quote(type)} for ${cls}`);

  if (absent(own(wrapped, 'event_id'))) return refuse('Missing event_id on event');
  const eventId = idOf(wrapped.event_id);
  if (eventId === null) return refuse('Invalid event_id on event');

  if (absent(own(wrapped, 'timestamp'))) return refuse('Missing timestamp on event');
  const at = timeOf(wrapped.timestamp);
  if (at === null) return refuse('Invalid timestamp on event: it must be seconds since the epoch');
  if (limits.now - at >= limits.maxAgeMs) return refuse('Invalid timestamp on event: it is too old');
  if (at - limits.now > (limits.maxAheadMs ?? DAY)) {
    return refuse('Invalid timestamp on event: it is in the future');
  }

  let messageId = '';
  if (needsMessageId(cls) && entry?.publicType !== 'sms_status') {
    const id = absent(own(wrapped, 'custom_message_id'))
      ? own(wrapped, 'message_id')
      : wrapped.custom_message_id;
    if (absent(id)) return refuse('Missing message_id on event');
    const text = idOf(id);
    if (text === null) return refuse('Invalid message_id on event');
    messageId = text;
  }

  const hash = isText(own(wrapped, 'rcpt_hash'));
  const domain = isText(own(wrapped, 'rcpt_domain'));
  if (hash && !domain) return refuse('Missing rcpt_domain on event with rcpt_hash');
  if (domain && !hash) return refuse('Missing rcpt_hash on event with rcpt_domain');
  if (entry?.recipient === 'required' && !hash && !isText(own(wrapped, 'rcpt_to'))) {
    return refuse('Missing rcpt_to on event');
  }

  return {
    ok: true,
    class: cls,
    ingestType: entry?.ingestType ?? type,
    publicType: entry?.publicType ?? type,
    entry,
    eventId,
    at,
    messageId,
    // The line is the caller's no longer: taking the prototype away costs a tenth of a copy.
    event: Object.setPrototypeOf(wrapped, null) as Record<string, unknown>,
  };
}
