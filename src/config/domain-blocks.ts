import type { Block } from './block.ts';
import type { Findings } from './diagnostic.ts';
import { Fault } from './diagnostic.ts';
import { DomainTable, keysFor, readDomainPattern } from './domain-pattern.ts';
import { type Expansion, type Macros, usesMacro } from './macros.ts';

/**
 * The `<domain>` blocks of one scope (file level, a VMTA, a pool), found by best match (config language 9): literally
 * listed before expanded from a macro, exact before wildcard, near before far.
 */
export class DomainBlocks {
  readonly #literal = new DomainTable<Block>();
  readonly #expanded: { names: Expansion; block: Block }[] = [];
  readonly isEmpty: boolean;

  constructor(parent: Block, macros: Macros, findings: Findings) {
    const blocks = parent.blocksOf('domain');
    this.isEmpty = blocks.length === 0;
    for (const block of blocks) {
      if (usesMacro(block.argument)) {
        this.#expanded.unshift({ names: macros.expand(block.argument, block.origin), block });
        continue;
      }
      const pattern = readDomainPattern(block.argument);
      if (pattern instanceof Fault) {
        findings.error(block.origin, `<domain>: ${pattern.message}`, {
          text: block.argument,
          ...(pattern.hint ? { hint: pattern.hint } : {}),
        });
        continue;
      }
      const same = this.#literal.at(pattern);
      // Two spellings of one pattern (case, A-label) are one block.
      if (same) absorb(same, block);
      else this.#literal.set(pattern, block);
    }
  }

  /** Blocks that match, best first. `isLocal` lets the pseudo domain `local` stand for a local host name. */
  matching(domain: string, isLocal: boolean): Block[] {
    if (this.isEmpty) return [];
    if (this.#expanded.length === 0 && !isLocal) return [...this.#literal.matches(domain)];
    const found: Block[] = [];
    const take = (key: string) => {
      const literal = this.#literal.byKey(key);
      if (literal) found.push(literal);
      for (const { names, block } of this.#expanded) {
        if (names.has(key) && !found.includes(block)) found.push(block);
      }
    };
    for (const key of keysFor(domain)) {
      take(key);
      if (key === domain && isLocal) take('local');
    }
    found.push(...this.#literal.networks(domain));
    if (!domain.startsWith('{')) take('*');
    return found;
  }
}

/** Adds a block's lines to another, as if they had been written there. */
function absorb(into: Block, from: Block): void {
  for (const [name, setting] of from.settings) {
    const known = into.settings.get(name);
    if (known) known.lines.push(...setting.lines);
    else into.settings.set(name, setting);
  }
  into.blocks.push(...from.blocks);
}
