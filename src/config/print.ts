import type { Block, Line } from './block.ts';
import type { Loaded } from './load.ts';
import { printTree } from './tree.ts';

/** The main file as it was read, to the byte. */
export function printFile(loaded: Loaded, file: string): string {
  const tree = loaded.trees.get(file);
  return tree ? printTree(tree) : '';
}

/** A tag's argument as it must be written. */
const quoted = (argument: string): string =>
  /[>"]|^\s|\s$/.test(argument) ? `"${argument.replace(/(["\\])/g, '\\$1')}"` : argument;

/**
 * One file that means the same: includes put in their places, blocks of one name joined, old spellings in their
 * present form, values that a later line of the same block replaced left out. Relative paths are not touched, so it
 * belongs into the same folder. It loads to the same settings.
 */
export function printResolved(loaded: Loaded): string {
  const out: string[] = [];
  const say = (depth: number, text: string) => out.push(`${'    '.repeat(depth)}${text}`);
  const ours = (line: Line) => loaded.trees.has(line.origin.file);
  const statement = (name: string, line: Line): string =>
    name === '/regex/' ? line.text.trim() : `${name} ${line.text.trim()}`;

  const rules = (block: Block, depth: number): void => {
    for (const { name, line } of block.rules) {
      if (!ours(line)) continue;
      if (!line.nested) {
        say(depth, statement(name, line));
        continue;
      }
      say(depth, `${statement(name, line).trim()} <pattern-list>`);
      rules(line.nested, depth + 1);
      say(depth, '</pattern-list>');
    }
  };
  const body = (block: Block, depth: number): void => {
    if (block.rules.length > 0) rules(block, depth);
    else {
      for (const { declaration, lines } of block.settings.values()) {
        const kept = (declaration.repeatable ? lines : lines.slice(-1)).filter(ours);
        for (const line of kept) say(depth, statement(declaration.name, line));
      }
    }
    for (const inner of block.blocks) {
      if (!loaded.trees.has(inner.origin.file)) continue;
      say(depth, `<${inner.scope}${inner.argument ? ` ${quoted(inner.argument)}` : ''}>`);
      body(inner, depth + 1);
      say(depth, `</${inner.scope}>`);
    }
  };
  body(loaded.root, 0);
  return `${out.join('\n')}\n`;
}
