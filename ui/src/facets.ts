/** What the event list can be filtered by: name in the address, word in the query box, parameter of the API. */
import type { Filter, FilterOp } from './address.ts';
import { bounceClasses, bounceClassName, eventType, eventTypes, isEventType } from './event-words.ts';

export interface Facet {
  readonly key: string;
  /** Word before the colon in the query box. */
  readonly token: string;
  readonly label: string;
  /** List parameter of `GET /api/v1/events/message`. */
  readonly parameter: string;
  readonly hint: string;
  /** Field of an event that a filter of this facet comes from. */
  readonly field: string;
}

export const eventFacets: readonly Facet[] = [
  {
    key: 'type',
    token: 'type',
    label: 'Type',
    parameter: 'events',
    hint: 'kind of event, such as bounce',
    field: 'type',
  },
  {
    key: 'recipient',
    token: 'rcpt',
    label: 'Recipient',
    parameter: 'recipients',
    hint: 'whole address',
    field: 'rcpt_to',
  },
  {
    key: 'campaign',
    token: 'campaign',
    label: 'Campaign',
    parameter: 'campaigns',
    hint: 'name or whole words of it',
    field: 'campaign_id',
  },
  {
    key: 'subaccount',
    token: 'subaccount',
    label: 'Subaccount',
    parameter: 'subaccounts',
    hint: 'number, 0 is the primary account',
    field: 'subaccount_id',
  },
  {
    key: 'class',
    token: 'class',
    label: 'Bounce class',
    parameter: 'bounce_classes',
    hint: 'number, such as 10',
    field: 'bounce_class',
  },
  {
    key: 'reason',
    token: 'reason',
    label: 'Reason',
    parameter: 'reasons',
    hint: 'whole words of the reply',
    field: 'reason',
  },
];

const byKey: ReadonlyMap<string, Facet> = new Map(eventFacets.map((f) => [f.key, f]));
const byToken: ReadonlyMap<string, Facet> = new Map(
  eventFacets.flatMap((f) => [[f.token, f] as const, [f.key, f] as const]),
);

/** The events API joins filters by inclusion only. */
export const eventFacetOps: ReadonlyMap<string, readonly FilterOp[]> = new Map(
  eventFacets.map((f) => [f.key, ['eq'] as const]),
);

export function facet(key: string): Facet | undefined {
  return byKey.get(key);
}

/** How a filter reads on its chip: `Type is Bounce`. */
export function filterName(filter: Filter): string {
  return `${byKey.get(filter.facet)?.label ?? filter.facet} is ${valueName(filter)}`;
}

export function valueName(filter: Filter): string {
  if (filter.facet === 'type') return eventType(filter.value).label;
  if (filter.facet === 'class') return bounceClassName(filter.value);
  return filter.value;
}

export interface Read {
  readonly filters: Filter[];
  /** Set when the text names one message. */
  readonly message: string | null;
  /** Parts that could not be understood, each with what to do. */
  readonly problems: string[];
}

const MESSAGE_ID = /^[0-9a-f]{20}$/i;

/** Cuts at blanks outside double quotes: `reason:"too many" rcpt:bob@example.net`. */
function words(text: string): string[] {
  const out: string[] = [];
  let word = '';
  let quoted = false;
  for (const c of text.slice(0, 2000)) {
    if (c === '"') quoted = !quoted;
    else if (!quoted && /\s/.test(c)) {
      if (word) out.push(word);
      word = '';
    } else word += c;
  }
  if (word) out.push(word);
  return out;
}

/** Reads what was typed into the query box: `word:value` pairs, a bare address, or a bare message id. */
export function readQuery(text: string): Read {
  const filters: Filter[] = [];
  const problems: string[] = [];
  let message: string | null = null;
  for (const word of words(text)) {
    const colon = word.indexOf(':');
    const name = colon > 0 ? word.slice(0, colon).toLowerCase() : '';
    const value = colon > 0 ? word.slice(colon + 1).trim() : word;
    if (name === 'message' && value) message = value;
    else if (colon <= 0 && MESSAGE_ID.test(value)) message = value.toLowerCase();
    else if (colon <= 0 && /^[^@\s]+@[^@\s]+$/.test(value)) add('recipient', value);
    else if (name.startsWith('-')) problems.push(`“${word}”: leaving out is not possible here yet.`);
    else if (!byToken.has(name)) {
      problems.push(
        `“${word}”: put a name before it, such as ${eventFacets.map((f) => `${f.token}:`).join(' ')}message:`,
      );
    } else if (!value) problems.push(`“${word}”: a value is missing after the colon.`);
    else add(byToken.get(name)!.key, value);
  }
  return { filters, message, problems };

  function add(key: string, given: string) {
    const value = normal(key, given);
    if (value === null)
      problems.push(
        `“${given}” is not ${key === 'type' ? 'a type of event' : key === 'class' ? 'a bounce class' : 'a subaccount number'}.`,
      );
    else filters.push({ facet: key, op: 'eq', value });
  }
}

/** The form in which a value is kept; null when the facet has no such value. */
function normal(key: string, given: string): string | null {
  if (key === 'type') {
    const name = given.toLowerCase().replaceAll(/[ -]/g, '_');
    return isEventType(name) ? name : null;
  }
  if (key === 'class') return bounceClasses.some((c) => String(c.code) === given) ? given : null;
  if (key === 'subaccount') return /^\d{1,9}$/.test(given) ? String(Number(given)) : null;
  return given;
}

export interface Offer {
  /** What the last word becomes. */
  readonly text: string;
  readonly label: string;
  readonly hint: string;
}

/** Completions for the last word of the query box. `seen` holds values of the rows on the page, by facet key. */
export function offers(text: string, seen: ReadonlyMap<string, ReadonlySet<string>>): Offer[] {
  const last = /(\S*)$/.exec(text)![1]!;
  const colon = last.indexOf(':');
  if (colon < 0) {
    return eventFacets
      .filter((f) => f.token.startsWith(last.toLowerCase()))
      .map((f) => ({ text: `${f.token}:`, label: `${f.token}:`, hint: f.hint }));
  }
  const found = byToken.get(last.slice(0, colon).toLowerCase());
  if (!found) return [];
  const typed = last.slice(colon + 1).toLowerCase();
  const offer = (value: string, hint: string): Offer => ({
    text: `${found.token}:${/\s/.test(value) ? `"${value}"` : value}`,
    label: `${found.token}:${value}`,
    hint,
  });
  if (found.key === 'type') {
    return eventTypes
      .filter((t) => t.type.includes(typed) || t.label.toLowerCase().includes(typed))
      .map((t) => offer(t.type, t.label));
  }
  if (found.key === 'class') {
    return bounceClasses
      .filter((c) => String(c.code).startsWith(typed) || c.name.toLowerCase().includes(typed))
      .map((c) => offer(String(c.code), c.name));
  }
  return [...(seen.get(found.key) ?? [])]
    .filter((value) => value.toLowerCase().includes(typed) && !value.includes('"'))
    .slice(0, 8)
    .map((value) => offer(value, found.label));
}
