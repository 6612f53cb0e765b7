import { createHash } from 'node:crypto';
import { replaceWord, withoutRecipient } from '../../events/mask.ts';
import { recipientHash } from '../ingest/normalise.ts';
import type { EventRow } from '../store/event-store.ts';

/** SHA-1 of an address in lower-case hexadecimal: how hashed recipients are told (SparkPost, Anonymised recipients). */
export function digestOf(address: string): string {
  return createHash('sha1').update(address.toLowerCase()).digest('hex');
}

/** The ways in which an address may stand in a text, all in the letter case that it came in. */
export function formsOf(address: string): string[] {
  const at = address.lastIndexOf('@');
  const verp = at < 0 ? address : `${address.slice(0, at)}=${address.slice(at + 1)}`;
  const escaped = JSON.stringify(address).slice(1, -1);
  return [...new Set([address, escaped, encodeURIComponent(address), verp])];
}

/** What tells of a person or of what belongs to one. */
const personal = [
  'rcpt_to',
  'raw_rcpt_to',
  'rcpt_hash',
  'rcpt_meta',
  'rcpt_tags',
  'rcpt_subs',
  'geo_ip',
  'user_agent',
  'user_agent_parsed',
  'mailfrom',
];
/** The same when only the address is to be hidden: its hash stands for it. */
const addresses = ['rcpt_to', 'raw_rcpt_to', 'mailfrom'];

/** Texts that people write: a part of an address is removed from them too. */
const prose = new Set(['reason', 'raw_reason', 'subject']);
/** What reports count by, and what events are found by, stays as it is. */
const kept = new Set([
  'type',
  'event_id',
  'message_id',
  'batch_id',
  'timestamp',
  'recipient_domain',
  'routing_domain',
]);

/** `text` without the address, in whatever form. */
function cleaned(text: string, address: string, isProse: boolean): string {
  let clean = isProse ? withoutRecipient(text, address) : text;
  for (const form of formsOf(address)) clean = replaceEverywhere(clean, form);
  return clean;
}

function replaceEverywhere(text: string, word: string): string {
  const clean = replaceWord(text, word, '...');
  const hay = clean.toLowerCase();
  const needle = word.toLowerCase();
  if (needle === '' || !hay.includes(needle)) return clean;
  // Inside a longer word, as in "xada@example.netx": rather too much removed than too little.
  return hay.split(needle).join('...');
}

function deep(value: unknown, address: string, isProse: boolean): unknown {
  if (typeof value === 'string') return cleaned(value, address, isProse);
  if (Array.isArray(value)) return value.map((item) => deep(item, address, isProse));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, v]) => [cleaned(key, address, false), deep(v, address, isProse)]),
  );
}

/**
 * Removes an address from an event's fields. `whose`: the event is that recipient's: then what else tells of a person
 * goes as well or, with `keepHash`, the hash takes the place of the address. Otherwise it is only mentioned.
 */
export function scrubFields(
  fields: Readonly<Record<string, unknown>>,
  address: string,
  whose: 'erase' | 'hash' | 'mention',
): Record<string, unknown> {
  const gone = whose === 'erase' ? personal : whose === 'hash' ? addresses : [];
  const out: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(fields)) {
    if (gone.includes(name)) continue;
    out[name] = address === '' || kept.has(name) ? value : deep(value, address, prose.has(name));
  }
  if (whose === 'hash' && address !== '') out.rcpt_hash = digestOf(address);
  return out;
}

/** A row of `events` with its recipient hashed or erased. */
export function scrubRow(row: EventRow, whose: 'erase' | 'hash'): EventRow {
  const address = row.rcpt_to || row.raw_rcpt_to;
  const hash = row.rcpt_hash;
  const clean = (text: string, isProse: boolean) => (address === '' ? text : cleaned(text, address, isProse));
  return {
    ...row,
    rcpt_to: '',
    raw_rcpt_to: '',
    rcpt_hash: whose === 'erase' ? '' : address === '' ? hash : digestOf(address),
    subject: clean(row.subject, true),
    reason: clean(row.reason, true),
    raw_reason: clean(row.raw_reason, true),
    link_name: clean(row.link_name, false),
    data: JSON.stringify(scrubFields(JSON.parse(row.data) as Record<string, unknown>, address, whose)),
  };
}

/** The recipient of an ingest line's or a stored event's fields, as a digest; '' if it names none. */
export function digestOfFields(fields: Readonly<Record<string, unknown>>): string {
  for (const name of ['rcpt_to', 'raw_rcpt_to']) {
    const value = fields[name];
    if (typeof value === 'string' && value !== '') return digestOf(value);
  }
  return recipientHash(fields.rcpt_hash);
}

/** Ids of messages that a line says went to the recipient with this digest. */
export function messagesOfLine(line: string, digest: string): string[] {
  const found: string[] = [];
  const visit = (value: unknown, depth: number): void => {
    if (depth > 8 || typeof value !== 'object' || value === null) return;
    const fields = value as Record<string, unknown>;
    if (digestOfFields(fields) === digest) {
      for (const id of [fields.message_id, fields.custom_message_id])
        if (typeof id === 'string' && id) found.push(id);
    }
    for (const child of Object.values(fields)) visit(child, depth + 1);
  };
  try {
    visit(JSON.parse(line), 0);
  } catch {
    // Not JSON: it names no message.
  }
  return found;
}

/** A line of a batch or of its failures without the address; `null` if nothing had to be changed. */
export function scrubLine(
  line: string,
  who: { readonly address: string | null; readonly digest: string; readonly messages: ReadonlySet<string> },
): string | null {
  let changed = false;
  const visit = (value: unknown, depth: number): unknown => {
    if (depth > 64 || typeof value !== 'object' || value === null) return value;
    if (Array.isArray(value)) return value.map((v) => visit(v, depth + 1));
    const fields = value as Record<string, unknown>;
    const digest = digestOfFields(fields);
    const isOf = (id: unknown) => typeof id === 'string' && who.messages.has(id);
    const isOwn =
      digest === who.digest || (digest === '' && (isOf(fields.message_id) || isOf(fields.custom_message_id)));
    if (isOwn && (digest !== '' || personal.some((name) => name in fields))) {
      changed = true;
      const address = who.address ?? String(fields.rcpt_to ?? fields.raw_rcpt_to ?? '');
      return scrubFields(fields, address, 'erase');
    }
    return Object.fromEntries(Object.entries(fields).map(([k, v]) => [k, visit(v, depth + 1)]));
  };
  let text = line;
  try {
    const parsed = visit(JSON.parse(line), 0);
    if (changed) text = JSON.stringify(parsed);
  } catch {
    // Not JSON: only the text below remains.
  }
  if (who.address !== null) {
    const hay = text.toLowerCase();
    if (formsOf(who.address).some((form) => hay.includes(form.toLowerCase()))) {
      text = cleaned(text, who.address, false);
      changed = true;
    }
  }
  return changed ? text : null;
}
