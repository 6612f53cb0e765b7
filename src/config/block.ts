import type { Scope } from './declaration.ts';
import type { Origin } from './diagnostic.ts';
import type { Named } from './directives/index.ts';

/** One line of a directive. `text` is its value as written; `written` the keyword used, maybe an old spelling. */
export interface Line {
  readonly value: unknown;
  readonly text: string;
  readonly written: string;
  readonly origin: Origin;
  /** The nested list that a pattern rule opened. */
  readonly nested?: Block;
}

/** All lines of one directive in one block, in file order. For a directive that does not repeat the last one counts. */
export interface Setting {
  readonly declaration: Named;
  readonly lines: Line[];
}

/** What stands between a tag and its end, or in the file itself; blocks of the same name are merged into one. */
export class Block {
  readonly scope: Scope;
  readonly argument: string;
  readonly origin: Origin;
  readonly parent: Block | null;
  readonly settings = new Map<string, Setting>();
  readonly blocks: Block[] = [];
  /** Directives whose value was refused: they are not missing, and were told of already. */
  readonly refused = new Set<string>();
  /** Lines of every directive in file order, where order across directives counts (rules). */
  readonly rules: { readonly name: string; readonly line: Line }[] = [];

  constructor(scope: Scope, argument: string, origin: Origin, parent: Block | null) {
    this.scope = scope;
    this.argument = argument;
    this.origin = origin;
    this.parent = parent;
  }

  /** Nested blocks of one scope, in file order. */
  blocksOf(scope: Scope): Block[] {
    return this.blocks.filter((b) => b.scope === scope);
  }

  /** Values of all lines of a directive. */
  lines(name: string): readonly Line[] {
    return this.settings.get(name)?.lines ?? [];
  }
}
