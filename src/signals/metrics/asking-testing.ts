/** Random questions for metrics and search, each with the plain predicate that it means. */
import { type Fact, hashOf } from './facts-testing.ts';

export interface Asked {
  readonly parameters: Readonly<Record<string, string>>;
  readonly matches: (fact: Fact) => boolean;
}

type Next = () => number;

const fields: readonly (readonly [parameter: string, of: (f: Fact) => string])[] = [
  ['domains', (f) => f.domain],
  ['campaigns', (f) => f.campaign],
  ['templates', (f) => f.template],
  ['sending_ips', (f) => f.ip],
  ['ip_pools', (f) => f.pool],
  ['vmtas', (f) => f.vmta],
  ['nodes', (f) => f.node],
  ['sending_domains', (f) => f.sendingDomain],
  ['mailbox_providers', (f) => f.provider],
  ['mailbox_provider_regions', (f) => f.region],
  ['subaccounts', (f) => String(f.subaccount)],
];

/** Values that occur, and one that does not. */
function some(facts: readonly Fact[], of: (f: Fact) => string, next: Next): string[] {
  const values = Array.from({ length: 1 + Math.floor(next() * 3) }, () => {
    const fact = facts[Math.floor(next() * facts.length)];
    return fact ? of(fact) : '';
  });
  return [...new Set([...values.filter((v) => v !== ''), ...(next() < 0.2 ? ['999999999'] : [])])];
}

/** SparkPost's web interface takes the first of these that stands in no value. */
function delimiterFor(values: readonly string[]): string {
  return [',', ';', ':', '+', '~', '|'].find((d) => values.every((v) => !v.includes(d)))!;
}

/** Filters of a metrics request: none, simple ones, or grouped ones. */
export function metricsFilters(facts: readonly Fact[], next: Next): Asked {
  const kind = next();
  if (kind < 0.3) return { parameters: {}, matches: () => true };
  return kind < 0.65 ? simpleFilters(facts, next) : groupedFilters(facts, next);
}

function simpleFilters(facts: readonly Fact[], next: Next): Asked {
  const chosen = fields
    .filter(() => next() < 0.25)
    .map(([parameter, of]) => ({ parameter, of, values: some(facts, of, next) }))
    .filter((c) => c.values.length > 0);
  const delimiter = delimiterFor(chosen.flatMap((c) => c.values));
  return {
    parameters: {
      ...Object.fromEntries(chosen.map((c) => [c.parameter, c.values.join(delimiter)])),
      delimiter,
    },
    matches: (f) => chosen.every((c) => c.values.includes(c.of(f))),
  };
}

function groupedFilters(facts: readonly Fact[], next: Next): Asked {
  const groupings = Array.from({ length: 1 + Math.floor(next() * 2) }, () => {
    const join = next() < 0.5 ? 'AND' : 'OR';
    const picked = fields.filter(() => next() < 0.3);
    const parts = (picked.length > 0 ? picked : fields.slice(1, 2)).map(([parameter, of]) => {
      const isNumber = parameter === 'subaccounts';
      const alike = !isNumber && next() < 0.5;
      const not = next() < 0.4;
      const values = some(facts, of, next).map((v) => (alike ? v.slice(1).toUpperCase() : v));
      const usable = values.filter((v) => !alike || v.length >= 3);
      const list = usable.length > 0 ? usable : ['999999'];
      const comparator = { eq: not ? 'notEq' : 'eq', like: not ? 'notLike' : 'like' }[alike ? 'like' : 'eq'];
      const hit = (f: Fact) =>
        list.some((v) => (alike ? of(f).toLowerCase().includes(v.toLowerCase()) : of(f) === v));
      return {
        parameter,
        json: { [comparator]: isNumber ? list.map(Number) : list },
        matches: (f: Fact) => hit(f) !== not,
      };
    });
    return {
      json: { [join]: Object.fromEntries(parts.map((p) => [p.parameter, p.json])) },
      matches: (f: Fact) =>
        join === 'AND' ? parts.every((p) => p.matches(f)) : parts.some((p) => p.matches(f)),
    };
  });
  return {
    // The simple filter beside it is ignored.
    parameters: {
      campaigns: 'nothing has this name',
      query_filters: JSON.stringify({ groupings: groupings.map((g) => g.json) }),
    },
    matches: (f) => groupings.every((g) => g.matches(f)),
  };
}

const words = (text: string, periods: boolean) =>
  text
    .toLowerCase()
    .split(periods ? /[\s\-_.]+/ : /[\s\-_]+/)
    .filter((w) => w !== '');

/** All words of the value stand as whole words in the text; the exact value always matches. */
function keyword(text: string, value: string, periods: boolean): boolean {
  if (text === value) return true;
  const asked = words(value, periods);
  const there = words(text, periods);
  return asked.length > 0 && asked.every((w) => there.includes(w));
}

const exact =
  (of: (f: Fact) => string) =>
  (f: Fact, value: string): boolean =>
    of(f) === value && value !== '';
const byWords =
  (...of: ((f: Fact) => string)[]) =>
  (f: Fact, value: string): boolean =>
    of.some((one) => one(f) !== '' && keyword(one(f), value, false));
const byDomainWords =
  (of: (f: Fact) => string) =>
  (f: Fact, value: string): boolean =>
    of(f) !== '' && keyword(of(f), value, true);

interface SearchFilter {
  readonly parameter: string;
  readonly value: (f: Fact) => string;
  readonly matches: (f: Fact, value: string) => boolean;
  /** Whether a word of a value is a value, too. */
  readonly words?: boolean;
}

const searchFilters: readonly SearchFilter[] = [
  { parameter: 'events', value: (f) => f.type, matches: exact((f) => f.type) },
  { parameter: 'event_ids', value: (f) => f.id, matches: exact((f) => f.id) },
  { parameter: 'messages', value: (f) => f.message, matches: exact((f) => f.message) },
  { parameter: 'transmissions', value: (f) => f.transmission, matches: exact((f) => f.transmission) },
  {
    parameter: 'recipients',
    value: (f) => f.rawTo || f.hash,
    matches: (f, value) =>
      f.to === value.toLowerCase() || (f.hash !== '' && (f.hash === value || f.hash === hashOf(value))),
  },
  {
    parameter: 'recipient_domains',
    value: (f) => f.domain,
    matches: byDomainWords((f) => f.domain),
    words: true,
  },
  {
    parameter: 'from_addresses',
    value: (f) => f.from,
    matches: (f, value) => f.from !== '' && f.from.toLowerCase() === value.toLowerCase(),
  },
  {
    parameter: 'sending_domains',
    value: (f) => f.sendingDomain,
    matches: byDomainWords((f) => f.sendingDomain),
    words: true,
  },
  { parameter: 'subjects', value: (f) => f.subject, matches: byWords((f) => f.subject), words: true },
  {
    parameter: 'bounce_classes',
    value: (f) => (f.bounceClass === null ? '' : String(f.bounceClass)),
    matches: (f, value) => f.bounceClass === Number(value),
  },
  {
    parameter: 'reasons',
    value: (f) => f.rawReason,
    matches: byWords(
      (f) => f.reason,
      (f) => f.rawReason,
    ),
    words: true,
  },
  { parameter: 'campaigns', value: (f) => f.campaign, matches: byWords((f) => f.campaign), words: true },
  { parameter: 'templates', value: (f) => f.template, matches: byWords((f) => f.template), words: true },
  { parameter: 'sending_ips', value: (f) => f.ip, matches: exact((f) => f.ip) },
  { parameter: 'vmtas', value: (f) => f.vmta, matches: exact((f) => f.vmta) },
  { parameter: 'nodes', value: (f) => f.node, matches: exact((f) => f.node) },
  { parameter: 'ip_pools', value: (f) => f.pool, matches: byWords((f) => f.pool), words: true },
  {
    parameter: 'subaccounts',
    value: (f) => String(f.subaccount),
    matches: (f, value) => f.subaccount === Number(value),
  },
  {
    parameter: 'mailbox_providers',
    value: (f) => f.provider,
    matches: byWords((f) => f.provider),
    words: true,
  },
  {
    parameter: 'mailbox_provider_regions',
    value: (f) => f.region,
    matches: byWords((f) => f.region),
    words: true,
  },
  { parameter: 'ab_tests', value: (f) => f.abTest, matches: byWords((f) => f.abTest), words: true },
  { parameter: 'ab_test_versions', value: (f) => f.abVersion, matches: exact((f) => f.abVersion) },
];

export const searchParameters: readonly string[] = searchFilters.map((s) => s.parameter);

/** Filters of an event search: `first` and sometimes more. */
export function searchFor(first: string, facts: readonly Fact[], next: Next): Asked {
  const chosen = searchFilters
    .filter(
      (s) =>
        s.parameter === first ||
        (first === 'ab_test_versions' && s.parameter === 'ab_tests') ||
        (next() < 0.05 && s.parameter !== 'ab_test_versions'),
    )
    .map((s) => ({ ...s, values: some(facts, s.value, next).map((v) => (s.words ? aWord(v, next) : v)) }))
    .map((s) => ({ ...s, values: s.values.length > 0 ? s.values : ['999999'] }));
  const valid = chosen.map((s) =>
    s.parameter === 'events' ? { ...s, values: s.values.filter(isEvent) } : s,
  );
  const used = valid.filter((s) => s.values.length > 0);
  const delimiter = delimiterFor(used.flatMap((s) => s.values));
  return {
    parameters: {
      ...Object.fromEntries(used.map((s) => [s.parameter, s.values.join(delimiter)])),
      delimiter,
    },
    matches: (f) => used.every((s) => s.values.some((v) => s.matches(f, v))),
  };
}

const isEvent = (value: string) => /^[a-z_]+$/.test(value);

/** The value, one of its words, or its words in another order and letter case. */
function aWord(value: string, next: Next): string {
  const parts = value.split(/[\s\-_.]+/).filter((p) => p !== '');
  const kind = next();
  if (kind < 0.4 || parts.length === 0) return value;
  if (kind < 0.7) return parts[Math.floor(next() * parts.length)]!;
  return parts.reverse().join(' ').toUpperCase();
}
