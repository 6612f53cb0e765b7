import path from 'node:path';
import { Block, type Line } from './block.ts';
import type { Scope } from './declaration.ts';
import { Fault, type Findings, type Origin } from './diagnostic.ts';
import {
  allDirectives,
  allTags,
  directive,
  directivesIn,
  type Named,
  scopesOf,
  tag,
  tagsIn,
} from './directives/index.ts';
import { type Disk, expandWildcard, hasWildcard } from './disk.ts';
import { nearest } from './nearest.ts';
import { oneWord } from './tokens.ts';
import { type BlockNode, parseTree, type SettingNode, type Tree, type TreeNode } from './tree.ts';

/** Includes within includes. */
const DEEPEST_INCLUDE = 20;
/** Statements in all files together, each include counted again: a bound on include bombs. */
const MOST_STATEMENTS = 2_000_000;
const MOST_INCLUDES = 20_000;

/** Everything read: the statements as nested blocks, and the files they came from. */
export interface Interpreted {
  readonly root: Block;
  /** What stood in each of the files. */
  readonly texts: ReadonlyMap<string, string>;
  readonly trees: ReadonlyMap<string, Tree>;
}

/** Scopes whose directives are rules, kept in file order across keywords. */
const RULES: ReadonlySet<Scope> = new Set([
  'pattern-list',
  'smtp-pattern-list',
  'bounce-category-patterns',
  'mx-rollup-list',
  'rewrite-list',
  'signals-filter',
  'address-list',
  'aliases',
  'domain-key-list',
]);

const placesOf = (scopes: readonly Scope[]): string[] =>
  scopes.map((scope) => (scope === 'global' ? 'at file level' : `in <${scope}>`));

/** Names of directives, whatever their scope, without the two that are no words. */
function* everyName(): Generator<string> {
  for (const { name } of allDirectives()) if (/^[a-z]/.test(name)) yield name;
}

/** Turns trees into blocks: resolves includes, checks names, places and values, and reports all that is wrong. */
export class Interpreter {
  readonly root: Block;
  readonly #findings: Findings;
  readonly #disk: Disk;
  readonly #folder: string;
  readonly #trees = new Map<string, Tree>();
  readonly #texts = new Map<string, string>();
  readonly #merged = new Map<Block, Map<string, Block>>();
  #including: string[] = [];
  #statements = 0;
  #includes = 0;

  constructor(mainFile: string, disk: Disk, findings: Findings) {
    this.#findings = findings;
    this.#disk = disk;
    this.#folder = path.dirname(mainFile);
    this.root = new Block('global', '', { file: mainFile, line: 1 }, null);
  }

  /** Adds the statements of a file to the file level. */
  readMain(file: string): void {
    const tree = this.#tree(file, { file, line: 1 }, {});
    if (tree) this.#within(file, () => this.#walk(tree.nodes, file, this.root));
  }

  /** Adds the statements of a text that is no file. */
  readText(text: string, as: string): void {
    this.#walk(parseTree(text, as, this.#findings).nodes, as, this.root);
  }

  result(): Interpreted {
    return { root: this.root, texts: this.#texts, trees: this.#trees };
  }

  #within(file: string, work: () => void): void {
    this.#including = [...this.#including, file];
    work();
    this.#including = this.#including.slice(0, -1);
  }

  #tree(file: string, at: Origin, more: { column?: number; text?: string }): Tree | null {
    const known = this.#trees.get(file);
    if (known) return known;
    let text: string;
    try {
      text = this.#disk.readFile(file);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      const why =
        code === 'ENOENT'
          ? 'there is no such file'
          : code === 'EACCES'
            ? 'permission denied'
            : code === 'EISDIR'
              ? 'it is a folder'
              : (error as Error).message;
      this.#findings.error(at, `${file} cannot be read: ${why}`, more);
      return null;
    }
    const tree = parseTree(text, file, this.#findings);
    this.#trees.set(file, tree);
    this.#texts.set(file, text);
    return tree;
  }

  #walk(nodes: readonly TreeNode[], file: string, block: Block): void {
    for (const node of nodes) {
      if (node.kind === 'trivia') continue;
      if (++this.#statements > MOST_STATEMENTS) {
        if (this.#statements === MOST_STATEMENTS + 1) {
          this.#findings.error(
            { file, line: node.line },
            `configuration is larger than ${MOST_STATEMENTS} statements`,
          );
        }
        return;
      }
      if (node.kind === 'setting') this.#setting(node, file, block);
      else this.#block(node, file, block);
    }
  }

  #setting(node: SettingNode, file: string, block: Block): void {
    if (node.keyword === 'include') {
      this.#include(node, file, block);
      return;
    }
    const line = this.#line(node, file, block);
    if (line) this.#keep(line.declaration, line.line, block);
  }

  /** Reads one setting; null when it was reported as wrong or is to be ignored. */
  #line(node: SettingNode, file: string, block: Block): { declaration: Named; line: Line } | null {
    const origin = { file, line: node.line };
    if (block.scope === 'gm-imprinter') return null;
    const declaration = directive(block.scope, node.keyword);
    if (!declaration) {
      this.#unknown(node, origin, block);
      return null;
    }
    const where = { column: node.valueColumn, text: shown(declaration, node.value) };
    if (declaration.deprecated) {
      this.#findings.warn(origin, `${declaration.name} is an old directive`, {
        column: node.column,
        text: node.written,
        ...(declaration.aliasOf ? { hint: `now written ${declaration.aliasOf}` } : {}),
      });
    } else if (declaration.documented === false && declaration.tier === 'rare') {
      this.#findings.warn(origin, `${declaration.name} is not documented by PowerMTA`, {
        column: node.column,
        text: node.written,
      });
    }
    const target = declaration.aliasOf
      ? (directive(block.scope, declaration.aliasOf) ?? declaration)
      : declaration;
    const text = declaration.translate ? declaration.translate(node.value) : node.value;
    const value =
      target.emptyClears && /^""$/.test(text.trim())
        ? ((target.type as { empty?: unknown }).empty ?? null)
        : text === '' && target.name !== '*'
          ? new Fault('argument missing')
          : target.type.parse({ text, folder: this.#folder });
    if (value instanceof Fault) {
      block.refused.add(target.name);
      const offset = value.offset ?? (value.text ? Math.max(0, node.value.indexOf(value.text)) : 0);
      this.#findings.error(origin, `${node.written}: ${value.message}`, {
        column: node.valueColumn + offset,
        text: target.type.secret ? '' : (value.text ?? where.text),
        ...(value.hint ? { hint: value.hint } : {}),
      });
      return null;
    }
    return { declaration: target, line: { value, text, written: node.written, origin } };
  }

  #keep(declaration: Named, line: Line, block: Block): void {
    const known = block.settings.get(declaration.name);
    if (known) known.lines.push(line);
    else block.settings.set(declaration.name, { declaration, lines: [line] });
    if (RULES.has(block.scope)) block.rules.push({ name: declaration.name, line });
  }

  #unknown(node: SettingNode, origin: Origin, block: Block): void {
    const where = block.scope === 'global' ? 'at file level' : `in <${block.scope}>`;
    const more = { column: node.column, text: node.written };
    const scopes = scopesOf(node.keyword);
    if (scopes.length > 0) {
      this.#findings.error(origin, `${node.written} may not stand ${where}`, {
        ...more,
        hint: `it belongs ${placesOf(scopes).join(' or ')}`,
      });
      return;
    }
    const meant = nearest(node.keyword, [...directivesIn(block.scope).keys(), 'include']);
    const elsewhere = meant ? null : nearest(node.keyword, everyName());
    const hint = meant
      ? { hint: `did you mean ${meant}?` }
      : elsewhere
        ? { hint: `did you mean ${elsewhere}? It belongs ${placesOf(scopesOf(elsewhere)).join(' or ')}` }
        : {};
    // Maintenance releases of PowerMTA added options to <signals> after its guide was printed.
    if (block.scope === 'signals') {
      this.#findings.warn(origin, `${node.written} is not known ${where}; ignored`, { ...more, ...hint });
      return;
    }
    this.#findings.error(origin, `unknown directive ${node.written}`, { ...more, ...hint });
  }

  #include(node: SettingNode, file: string, block: Block): void {
    const origin = { file, line: node.line };
    const more = { column: node.valueColumn, text: node.value };
    const word = oneWord(node.value);
    if (word instanceof Fault) {
      this.#findings.error(origin, `include: ${word.message}`, more);
      return;
    }
    const wanted = path.resolve(this.#folder, word.text);
    const files = hasWildcard(word.text) ? expandWildcard(wanted, this.#disk) : [wanted];
    for (const one of files) {
      if (++this.#includes > MOST_INCLUDES) {
        if (this.#includes === MOST_INCLUDES + 1) {
          this.#findings.error(origin, `more than ${MOST_INCLUDES} includes`, more);
        }
        return;
      }
      if (this.#including.includes(one)) {
        this.#findings.error(origin, `${one} includes itself`, {
          ...more,
          hint: [...this.#including.slice(this.#including.indexOf(one)), one].join(' > '),
        });
        continue;
      }
      if (this.#including.length > DEEPEST_INCLUDE) {
        this.#findings.error(origin, `includes are nested deeper than ${DEEPEST_INCLUDE}`, more);
        return;
      }
      const tree = this.#tree(one, origin, more);
      if (tree) this.#within(one, () => this.#walk(tree.nodes, one, block));
    }
  }

  #block(node: BlockNode, file: string, parent: Block): void {
    const origin = { file, line: node.line };
    const more = { column: node.column, text: `<${node.tag}>` };
    if (node.rule) {
      const read = this.#line(node.rule, file, parent);
      const nested = new Block('pattern-list', '', origin, parent);
      if (read) {
        const { value } = read.line as { value: { result: unknown } };
        if (value.result)
          this.#findings.error(origin, 'a rule has a result or a nested list, not both', more);
        this.#keep(read.declaration, { ...read.line, nested }, parent);
      }
      this.#walk(node.children, file, nested);
      return;
    }
    const known = tag(node.tag);
    if (!known) {
      const meant = nearest(node.tag, Object.keys(allTags));
      this.#findings.error(origin, `unknown tag <${node.tag}>`, {
        ...more,
        ...(meant ? { hint: `did you mean <${meant}>?` } : {}),
      });
      return;
    }
    const scope = (known.aliasOf ?? node.tag) as Scope;
    if (!tagsIn(parent.scope).includes(node.tag)) {
      const place = parent.scope === 'global' ? 'at file level' : `inside <${parent.scope}>`;
      const places = known.parents.map((p) => (p === 'global' ? 'at file level' : `inside <${p}>`));
      this.#findings.error(origin, `<${node.tag}> may not stand ${place}`, {
        ...more,
        hint: `it belongs ${places.join(' or ')}`,
      });
      return;
    }
    const argument = node.argument ?? '';
    const nestedList = scope === 'address-list' && parent.scope !== 'global';
    if (argument === '' && known.argument === 'required') {
      this.#findings.error(origin, `argument missing in <${node.tag}>`, {
        ...more,
        hint: known.grammar ?? '',
      });
      return;
    }
    if (argument === '' && scope === 'address-list' && parent.scope === 'global') {
      this.#findings.error(origin, `argument missing in <${node.tag}>`, { ...more, hint: 'it needs a name' });
      return;
    }
    if (argument === '' && scope === 'pattern-list') {
      this.#findings.error(origin, 'argument missing in <pattern-list>', {
        ...more,
        hint: 'it needs a name',
      });
      return;
    }
    if (argument !== '' && known.argument === 'none') {
      this.#findings.error(origin, `surplus argument "${argument}" in <${node.tag}>`, more);
    }
    if (known.deprecated) {
      this.#findings.warn(origin, `<${node.tag}> is an old tag`, {
        ...more,
        ...(known.aliasOf ? { hint: `now written <${known.aliasOf}>` } : {}),
      });
    }
    const repeat = nestedList ? 'append' : known.repeat;
    const block = this.#open(scope, argument, origin, parent, repeat, more);
    this.#walk(node.children, file, block);
  }

  /** The block a tag opens: a new one, or the one of the same name that it continues. */
  #open(
    scope: Scope,
    argument: string,
    origin: Origin,
    parent: Block,
    repeat: 'merge' | 'unique' | 'independent' | 'append',
    more: { column: number; text: string },
  ): Block {
    const fresh = new Block(scope, argument, origin, parent);
    if (repeat === 'independent' || repeat === 'append') {
      parent.blocks.push(fresh);
      return fresh;
    }
    let known = this.#merged.get(parent);
    if (!known) {
      known = new Map();
      this.#merged.set(parent, known);
    }
    // User names differ by case; every other name is looked up without it.
    const key = `${scope} ${scope === 'smtp-user' ? argument : argument.toLowerCase()}`;
    const old = known.get(key);
    if (old && repeat === 'merge') return old;
    if (old) {
      this.#findings.error(origin, `<${scope} ${argument}> is defined twice`, {
        ...more,
        hint: `first in line ${old.origin.line} of ${old.origin.file}`,
      });
      return fresh;
    }
    known.set(key, fresh);
    parent.blocks.push(fresh);
    return fresh;
  }
}

/** The value as it may be shown in a message. */
const shown = (declaration: Named, value: string): string => (declaration.type.secret ? '' : value);
