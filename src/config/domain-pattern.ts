import { Fault } from './diagnostic.ts';
import {
  type Cidr,
  canonicalDomain,
  canonicalIp,
  cidrContains,
  ipBytes,
  readCidr,
} from './values/network.ts';
import { wordType } from './values/scalars.ts';
import type { ValueType } from './values/value-type.ts';

/**
 * A domain pattern. `key` is its one spelling: `*`, `shop.example`, `*.shop.example`, `[*.]shop.example`,
 * `{sparkpost}`, or the network in brackets.
 */
export type DomainPattern =
  | { readonly kind: 'any'; readonly key: '*' }
  | { readonly kind: 'exact' | 'below' | 'with-below'; readonly key: string; readonly domain: string }
  | { readonly kind: 'literal'; readonly key: string; readonly cidr: Cidr }
  | { readonly kind: 'reserved'; readonly key: string };

/** Reads a domain pattern (config language 4.1), reserved names in braces included. */
export function readDomainPattern(word: string): DomainPattern | Fault {
  if (word === '*') return { kind: 'any', key: '*' };
  if (/^\{[^{}\s]{1,100}\}$/.test(word)) return { kind: 'reserved', key: word.toLowerCase() };
  const literal = /^\[(?:IPv6:)?([0-9a-f.:/]+)\]$/i.exec(word);
  if (literal) {
    const cidr = readCidr(literal[1]!);
    if (cidr instanceof Fault) return cidr;
    return { kind: 'literal', key: `[${cidr.text.toLowerCase()}]`, cidr };
  }
  const [kind, rest, prefix] = word.startsWith('*.')
    ? (['below', word.slice(2), '*.'] as const)
    : word.startsWith('[*.]')
      ? (['with-below', word.slice(4), '[*.]'] as const)
      : (['exact', word, ''] as const);
  const domain = canonicalDomain(rest);
  if (!domain) {
    return new Fault(`"${word}" is not a domain pattern`, {
      text: word,
      hint: 'write *, a domain, *.domain, [*.]domain or [network]',
    });
  }
  return { kind, key: prefix + domain, domain };
}

export const domainPattern: ValueType<DomainPattern> = wordType<DomainPattern>(
  'domain-pattern',
  'DOMPAT',
  (w) => readDomainPattern(w),
);

/** The address inside a domain literal `[192.0.2.9]` or `[IPv6:…]`; null for anything else. */
export function literalIp(domain: string): string | null {
  const match = /^\[(?:IPv6:)?([^\]]+)\]$/i.exec(domain);
  return match ? canonicalIp(match[1]!) : null;
}

/**
 * The name a queue's settings are looked up by: canonical domain, `[address]`, or a reserved `{name}` in lower case.
 * A name that is no domain at all keeps its text in lower case: only `*` can match it.
 */
export function canonicalQueueDomain(domain: string): string {
  if (domain.startsWith('{')) return domain.toLowerCase();
  const ip = literalIp(domain);
  if (ip) return `[${ip}]`;
  return canonicalDomain(domain) ?? domain.toLowerCase();
}

/** Keys of the patterns that match a domain, most specific first; networks and `*` left out. */
export function* keysFor(domain: string): Generator<string> {
  yield domain;
  if (domain.startsWith('{') || domain.startsWith('[')) return;
  yield `[*.]${domain}`;
  let dot = domain.indexOf('.');
  for (let depth = 0; dot >= 0 && depth < 127; depth++) {
    const parent = domain.slice(dot + 1);
    yield `*.${parent}`;
    yield `[*.]${parent}`;
    dot = domain.indexOf('.', dot + 1);
  }
}

/** Whether a pattern matches a canonical name (see `canonicalQueueDomain`). */
export function matchesDomain(pattern: DomainPattern, domain: string): boolean {
  switch (pattern.kind) {
    case 'any':
      return !domain.startsWith('{');
    case 'exact':
      return domain === pattern.domain;
    case 'below':
      return domain.endsWith(`.${pattern.domain}`);
    case 'with-below':
      return domain === pattern.domain || domain.endsWith(`.${pattern.domain}`);
    case 'reserved':
      return domain === pattern.key;
    case 'literal': {
      const ip = literalIp(domain);
      return ip !== null && cidrContains(pattern.cidr, ipBytes(ip));
    }
  }
}

/** A table of patterns with one value each, looked up by best match, whatever their order. */
export class DomainTable<V> {
  readonly #byKey = new Map<string, V>();
  readonly #literals: { cidr: Cidr; key: string; value: V }[] = [];

  /** The value of exactly this pattern. */
  at(pattern: DomainPattern): V | undefined {
    if (pattern.kind !== 'literal') return this.#byKey.get(pattern.key);
    return this.#literals.find((l) => l.key === pattern.key)?.value;
  }

  set(pattern: DomainPattern, value: V): void {
    if (pattern.kind !== 'literal') {
      this.#byKey.set(pattern.key, value);
      return;
    }
    const old = this.#literals.findIndex((l) => l.key === pattern.key);
    if (old >= 0) this.#literals.splice(old, 1);
    this.#literals.push({ cidr: pattern.cidr, key: pattern.key, value });
    this.#literals.sort((x, y) => y.cidr.bits - x.cidr.bits);
  }

  /** The value of the pattern with this key; networks left out. */
  byKey(key: string): V | undefined {
    return this.#byKey.get(key);
  }

  /** Values of the networks that hold a domain literal, the smallest first. */
  networks(domain: string): V[] {
    const ip = this.#literals.length > 0 ? literalIp(domain) : null;
    if (!ip) return [];
    const bytes = ipBytes(ip);
    return this.#literals.filter((l) => cidrContains(l.cidr, bytes)).map((l) => l.value);
  }

  /** Values of all patterns that match, best first. `domain` as from `canonicalQueueDomain`. */
  *matches(domain: string): Generator<V> {
    for (const key of keysFor(domain)) {
      const value = this.#byKey.get(key);
      if (value !== undefined) yield value;
    }
    yield* this.networks(domain);
    const any = domain.startsWith('{') ? undefined : this.#byKey.get('*');
    if (any !== undefined) yield any;
  }

  best(domain: string): V | undefined {
    for (const value of this.matches(domain)) return value;
    return undefined;
  }
}
