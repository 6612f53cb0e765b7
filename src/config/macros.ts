import type { Block } from './block.ts';
import type { Findings, Origin } from './diagnostic.ts';
import { Fault } from './diagnostic.ts';
import { type DomainPattern, readDomainPattern } from './domain-pattern.ts';
import { nearest } from './nearest.ts';

/** Names that one tag argument may stand for, and names of all expansions together. */
const MOST_NAMES = 200_000;
const MOST_IN_ALL = 5_000_000;

const REFERENCE = /\$([A-Za-z0-9_]+)/;

/** The patterns that a `<domain>` argument with macros stands for, by their keys. */
export type Expansion = ReadonlyMap<string, DomainPattern>;

/**
 * `domain-macro` definitions. Expansions are made once per argument text and shared by every `<domain>` tag that uses
 * it: ten thousand VMTAs with the same macro cost one list.
 */
export class Macros {
  readonly #items = new Map<string, { items: readonly string[]; origin: Origin }>();
  readonly #flat = new Map<string, readonly string[] | null>();
  readonly #expansions = new Map<string, Expansion>();
  readonly #findings: Findings;
  #total = 0;

  constructor(root: Block, findings: Findings) {
    this.#findings = findings;
    for (const line of root.lines('domain-macro')) {
      const { name, items } = line.value as { name: string; items: readonly string[] };
      this.#items.set(name, { items, origin: line.origin });
    }
    for (const name of this.#items.keys()) this.#flatten(name, []);
  }

  /** Every pattern of a tag argument; the same object for the same text. */
  expand(argument: string, origin: Origin): Expansion {
    const known = this.#expansions.get(argument);
    if (known) return known;
    const found = new Map<string, DomainPattern>();
    this.#expansions.set(argument, found);
    const texts = this.#product(argument, origin);
    this.#total += texts.length;
    if (this.#total > MOST_IN_ALL) {
      if (this.#total - texts.length <= MOST_IN_ALL) {
        this.#findings.error(origin, `macros stand for more than ${MOST_IN_ALL} domains in all`, {
          text: argument,
        });
      }
      return found;
    }
    for (const text of texts) {
      const pattern = readDomainPattern(text);
      if (pattern instanceof Fault) {
        this.#findings.error(origin, `"${argument}" expands to "${text}", which is not a domain pattern`, {
          text: argument,
        });
        return found;
      }
      found.set(pattern.key, pattern);
    }
    return found;
  }

  /** All texts that an argument stands for: the product of its macros. */
  #product(text: string, origin: Origin): readonly string[] {
    let heads = [''];
    let rest = text;
    for (;;) {
      const match = REFERENCE.exec(rest);
      if (!match) return heads.map((h) => h + rest);
      const name = match[1]!;
      const items = this.#flatten(name, []);
      if (items === undefined) {
        const meant = nearest(name, this.#items.keys());
        this.#findings.error(origin, `macro $${name} is not defined`, {
          text,
          ...(meant ? { hint: `did you mean $${meant}?` } : {}),
        });
        return [];
      }
      if (items === null) return [];
      if (heads.length * items.length > MOST_NAMES) {
        this.#findings.error(origin, `"${text}" stands for more than ${MOST_NAMES} domains`, { text });
        return [];
      }
      const before = rest.slice(0, match.index);
      heads = heads.flatMap((h) => items.map((item) => h + before + item));
      rest = rest.slice(match.index + match[0].length);
    }
  }

  /** Items of a macro with the macros in them expanded; null when it was reported as wrong, undefined if unknown. */
  #flatten(name: string, using: readonly string[]): readonly string[] | null | undefined {
    if (this.#flat.has(name)) return this.#flat.get(name);
    const macro = this.#items.get(name);
    if (!macro) return undefined;
    const { items, origin } = macro;
    if (using.includes(name) || using.length > 100) {
      const chain = [...using.slice(Math.max(0, using.indexOf(name))), name];
      this.#findings.error(origin, 'macros use each other in a loop', {
        text: name,
        hint: chain.map((n) => `$${n}`).join(' > '),
      });
      this.#flat.set(name, null);
      return null;
    }
    const out: string[] = [];
    for (const item of items) {
      let heads = [''];
      let rest = item;
      for (let match = REFERENCE.exec(rest); match; match = REFERENCE.exec(rest)) {
        const inner = this.#flatten(match[1]!, [...using, name]);
        if (inner === undefined) {
          this.#findings.error(origin, `macro $${match[1]} is not defined`, { text: item });
        }
        if (!inner || heads.length * inner.length + out.length > MOST_NAMES) {
          if (inner)
            this.#findings.error(origin, `macro stands for more than ${MOST_NAMES} items`, { text: name });
          this.#flat.set(name, null);
          return null;
        }
        const before = rest.slice(0, match.index);
        heads = heads.flatMap((h) => inner.map((i) => h + before + i));
        rest = rest.slice(match.index + match[0].length);
      }
      for (const head of heads) out.push(head + rest);
    }
    this.#flat.set(name, out);
    return out;
  }
}

export const usesMacro = (argument: string): boolean => REFERENCE.test(argument);
