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
  /** List parameter of the metrics calls; null where metrics are not kept by it. */
  readonly metrics: string | null;
  readonly hint: string;
  /** Field of an event that a filter of this facet comes from. */
  readonly field: string;
}

function row(
  key: string,
  token: string,
  label: string,
  parameter: string,
  metrics: string | null,
  field: string,
  hint: string,
): Facet {
  return { key, token, label, parameter, metrics, field, hint };
}

export const eventFacets: readonly Facet[] = [
  row('type', 'type', 'Type', 'events', null, 'type', 'kind of event, such as bounce'),
  row('recipient', 'rcpt', 'Recipient', 'recipients', null, 'rcpt_to', 'whole address'),
  row('campaign', 'campaign', 'Campaign', 'campaigns', 'campaigns', 'campaign_id', 'name'),
  row(
    'subaccount',
    'subaccount',
    'Subaccount',
    'subaccounts',
    'subaccounts',
    'subaccount_id',
    'number, 0 is the primary account',
  ),
  row('class', 'class', 'Bounce class', 'bounce_classes', null, 'bounce_class', 'number, such as 10'),
  row('reason', 'reason', 'Reason', 'reasons', null, 'reason', 'whole words of the reply'),
  row(
    'recipient_domain',
    'rcpt_domain',
    'Recipient domain',
    'recipient_domains',
    'domains',
    'recipient_domain',
    'domain of the address',
  ),
  row(
    'mailbox_provider',
    'provider',
    'Mailbox provider',
    'mailbox_providers',
    'mailbox_providers',
    'mailbox_provider',
    'who hosts the domain',
  ),
  row(
    'sending_domain',
    'sending_domain',
    'Sending domain',
    'sending_domains',
    'sending_domains',
    'sending_domain',
    'domain of the From address',
  ),
  row('from', 'from', 'From', 'from_addresses', null, 'friendly_from', 'address in the From header'),
  row('subject', 'subject', 'Subject', 'subjects', null, 'subject', 'whole words of it'),
  row('ip_pool', 'pool', 'IP pool', 'ip_pools', 'ip_pools', 'ip_pool', 'name'),
  row('sending_ip', 'ip', 'Sending IP', 'sending_ips', 'sending_ips', 'sending_ip', 'address or binding'),
  row('vmta', 'vmta', 'VirtualMTA', 'vmtas', 'vmtas', 'vmta', 'name'),
  row('node', 'node', 'Node', 'nodes', 'nodes', 'node', 'host name or label of its key'),
  row('template', 'template', 'Template', 'templates', 'templates', 'template_id', 'name'),
];

/** Facets that metrics are kept by: the filters of report pages. */
export const metricFacets: readonly Facet[] = eventFacets.filter((f) => f.metrics !== null);

const byKey: ReadonlyMap<string, Facet> = new Map(eventFacets.map((f) => [f.key, f]));

/** Both APIs join filters by inclusion only. */
export function operatorsOf(facets: readonly Facet[]): ReadonlyMap<string, readonly FilterOp[]> {
  return new Map(facets.map((f) => [f.key, ['eq'] as const]));
}

export function facet(key: string): Facet | undefined {
  return byKey.get(key);
}

/** How a filter reads on its chip: `Type is Bounce`. */
export function filterName(filter: Filter): string {
  return `${byKey.get(filter.facet)?.label ?? filter.facet} is ${valueName(filter)}`;
}

function valueName(filter: Filter): string {
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
export function readQuery(text: string, facets: readonly Facet[] = eventFacets): Read {
  const known = new Map(facets.flatMap((f) => [[f.token, f] as const, [f.key, f] as const]));
  const whole = facets === eventFacets;
  const filters: Filter[] = [];
  const problems: string[] = [];
  let message: string | null = null;
  for (const word of words(text)) {
    const colon = word.indexOf(':');
    const name = colon > 0 ? word.slice(0, colon).toLowerCase() : '';
    const value = colon > 0 ? word.slice(colon + 1).trim() : word;
    if (whole && name === 'message' && value) message = value;
    else if (whole && colon <= 0 && MESSAGE_ID.test(value)) message = value.toLowerCase();
    else if (whole && colon <= 0 && /^[^@\s]+@[^@\s]+$/.test(value)) add('recipient', value);
    else if (name.startsWith('-')) problems.push(`“${word}”: leaving out is not possible here yet.`);
    else if (!known.has(name)) {
      problems.push(
        `“${word}”: put a name before it, such as ${eventFacets.map((f) => `${f.token}:`).join(' ')}message:`,
      );
    } else if (!value) problems.push(`“${word}”: a value is missing after the colon.`);
    else add(known.get(name)!.key, value);
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
export function offers(
  text: string,
  seen: ReadonlyMap<string, ReadonlySet<string>>,
  facets: readonly Facet[] = eventFacets,
): Offer[] {
  const last = /(\S*)$/.exec(text)![1]!;
  const colon = last.indexOf(':');
  if (colon < 0) {
    return facets
      .filter((f) => f.token.startsWith(last.toLowerCase()))
      .map((f) => ({ text: `${f.token}:`, label: `${f.token}:`, hint: f.hint }));
  }
  const found = facets.find((f) => [f.token, f.key].includes(last.slice(0, colon).toLowerCase()));
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
