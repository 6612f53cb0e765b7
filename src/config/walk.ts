import type { Block, Line } from './block.ts';
import type { Named } from './directives/index.ts';

/** Every line of every directive, block by block, nested ones included. */
export function* allLines(block: Block): Generator<{ block: Block; declaration: Named; line: Line }> {
  for (const { declaration, lines } of block.settings.values()) {
    for (const line of lines) {
      yield { block, declaration, line };
      if (line.nested) yield* allLines(line.nested);
    }
  }
  for (const inner of block.blocks) yield* allLines(inner);
}
