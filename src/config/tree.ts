import type { Findings } from './diagnostic.ts';
import { withoutComment } from './tokens.ts';

/** Longest line that is read; macro lists run to many thousand names. */
const LONGEST_LINE = 1 << 20;
/** Deepest nesting of tags: pattern lists may nest freely, the stack may not. */
const DEEPEST = 200;

/** `raw` is the line (or lines) as in the file, with the line end, so that a tree prints back what it was read from. */
interface AnyNode {
  readonly line: number;
  readonly raw: string;
}

/** A blank or comment-only line, or one that could not be read. */
export interface TriviaNode extends AnyNode {
  readonly kind: 'trivia';
}

/** A keyword and its value. The keywords `*` and `/regex/` stand for rules that have none. */
export interface SettingNode extends AnyNode {
  readonly kind: 'setting';
  /** In lower case. */
  readonly keyword: string;
  /** As written. */
  readonly written: string;
  readonly column: number;
  readonly value: string;
  readonly valueColumn: number;
}

/** A tag with what stands inside. `rule` is the line's beginning when a rule opened a nested pattern list. */
export interface BlockNode extends AnyNode {
  readonly kind: 'block';
  readonly tag: string;
  readonly column: number;
  readonly argument: string | null;
  readonly argumentColumn: number;
  readonly children: TreeNode[];
  readonly rule: SettingNode | null;
  /** The closing line; empty when the file ended before. */
  closing: string;
}

export type TreeNode = TriviaNode | SettingNode | BlockNode;

/** One file, whole: printing its nodes gives back the text to the byte. */
export interface Tree {
  readonly file: string;
  readonly nodes: TreeNode[];
  /** Number of physical lines. */
  readonly lines: number;
}

/** The text of a tree. */
export function printTree(tree: Tree): string {
  const out: string[] = [];
  const print = (nodes: readonly TreeNode[]): void => {
    for (const node of nodes) {
      out.push(node.raw);
      if (node.kind === 'block') {
        print(node.children);
        out.push(node.closing);
      }
    }
  };
  print(tree.nodes);
  return out.join('');
}

/** Lines with their ends: LF, CRLF, or nothing at the end of the file. */
function* physicalLines(text: string): Generator<string> {
  let start = 0;
  while (start < text.length) {
    const end = text.indexOf('\n', start);
    if (end < 0) {
      yield text.slice(start);
      return;
    }
    yield text.slice(start, end + 1);
    start = end + 1;
  }
}

/** Byte order mark and trailing blanks off; comment off. */
function meaning(raw: string): string {
  const line = raw.charCodeAt(0) === 0xfeff ? ` ${raw.slice(1)}` : raw;
  return withoutComment(line).trimEnd();
}

const OPEN = /^[ \t]*<[ \t]*([A-Za-z][A-Za-z0-9-]*)(?:[ \t]+(.*))?$/;

/** A tag's argument out of `ARG>`: quoted, or everything up to the `>`. */
function readArgument(rest: string): { argument: string; ok: boolean; surplus: string } {
  const trimmed = rest.trimStart();
  if (trimmed.startsWith('"')) {
    const match = /^"((?:[^"\\]|\\.)*)"[ \t]*>(.*)$/.exec(trimmed);
    if (match) {
      return { argument: match[1]!.replace(/\\(["\\$ ])/g, '$1'), ok: true, surplus: match[2]!.trim() };
    }
  }
  const end = trimmed.indexOf('>');
  if (end < 0) return { argument: '', ok: false, surplus: '' };
  return { argument: trimmed.slice(0, end).trim(), ok: true, surplus: trimmed.slice(end + 1).trim() };
}

function readSetting(line: string, number: number, raw: string): SettingNode {
  const column = line.search(/[^ \t]/);
  if (line[column] === '/') {
    return {
      kind: 'setting',
      line: number,
      raw,
      keyword: '/regex/',
      written: '/regex/',
      column: column + 1,
      value: line.slice(column).trim(),
      valueColumn: column + 1,
    };
  }
  let end = column;
  while (end < line.length && line[end] !== ' ' && line[end] !== '\t') end++;
  let valueStart = end;
  while (valueStart < line.length && (line[valueStart] === ' ' || line[valueStart] === '\t')) valueStart++;
  const written = line.slice(column, end);
  return {
    kind: 'setting',
    line: number,
    raw,
    keyword: written.toLowerCase(),
    written,
    column: column + 1,
    value: line.slice(valueStart),
    valueColumn: valueStart + 1,
  };
}

/** Whether a macro's list goes on in the next line: it ends in a comma, or nothing but the name is there yet. */
const continues = (value: string): boolean => /,[ \t]*$/.test(value) || !/[ \t]/.test(value);

const NESTED = /^(.*?)[ \t]*<[ \t]*pattern-list[ \t]*>$/i;

/** Text to tree. What cannot be read is reported and kept as trivia, so that one fault does not hide the next. */
export function parseTree(text: string, file: string, findings: Findings): Tree {
  const top: TreeNode[] = [];
  const stack: BlockNode[] = [];
  let nodes = top;
  let number = 0;
  let pending: SettingNode | null = null;

  const say = (line: number, message: string, more: { column?: number; text?: string; hint?: string } = {}) =>
    findings.error({ file, line }, message, more);

  const open = (node: BlockNode) => {
    nodes.push(node);
    stack.push(node);
    nodes = node.children;
  };

  const close = (line: string, raw: string): void => {
    const match = /^[ \t]*<\/[ \t]*([A-Za-z][A-Za-z0-9-]*)(.*)>[ \t]*$/.exec(line);
    const name = (match?.[1] ?? '').toLowerCase();
    const at = stack.findLastIndex((b) => b.tag === name);
    const inner = stack.at(-1);
    if (!match) say(number, 'tag is not closed by ">"', { text: line.trim() });
    else if (!inner) say(number, `</${name}> closes nothing`, { text: line.trim() });
    else if (inner.tag !== name) {
      say(number, `</${name}> does not match <${inner.tag}> of line ${inner.line}`, { text: line.trim() });
    }
    // A wrong closing tag still closes what it most likely meant; the error is told, the rest reads well.
    if (match && inner && (at >= 0 || stack.length > 0)) {
      const depth = at >= 0 ? at : stack.length - 1;
      stack[depth]!.closing = raw;
      stack.length = depth;
      nodes = stack.at(-1)?.children ?? top;
    } else {
      nodes.push({ kind: 'trivia', line: number, raw });
    }
  };

  const openTag = (line: string, raw: string): void => {
    const column = line.search(/[^ \t]/) + 1;
    const bare = /^[ \t]*<[ \t]*([A-Za-z][A-Za-z0-9-]*)[ \t]*>(.*)$/.exec(line);
    const match = bare ?? OPEN.exec(line);
    const trivia = () => nodes.push({ kind: 'trivia', line: number, raw });
    if (!match) {
      say(number, 'tag cannot be read', { column, text: line.trim(), hint: 'write as <tag argument>' });
      trivia();
      return;
    }
    const read = bare ? { argument: null, ok: true, surplus: bare[2]!.trim() } : readArgument(match[2] ?? '');
    if (!read.ok) {
      say(number, 'tag is not closed by ">"', { column, text: line.trim() });
      trivia();
      return;
    }
    if (read.surplus) say(number, `"${read.surplus}" follows the tag`, { column, text: read.surplus });
    if (stack.length >= DEEPEST) {
      say(number, 'tags are nested too deeply', { column, hint: `at most ${DEEPEST} levels` });
      trivia();
      return;
    }
    open({
      kind: 'block',
      line: number,
      raw,
      tag: match[1]!.toLowerCase(),
      column,
      argument: read.argument,
      argumentColumn: bare ? column : line.length - (match[2] ?? '').length + 1,
      children: [],
      rule: null,
      closing: '',
    });
  };

  for (const raw of physicalLines(text)) {
    number++;
    if (raw.length > LONGEST_LINE) {
      say(number, 'line is too long', { hint: `at most ${LONGEST_LINE} characters` });
      nodes.push({ kind: 'trivia', line: number, raw });
      continue;
    }
    const line = meaning(raw);
    if (line.trim() === '') {
      if (pending) pending = rewritten(nodes, pending, { raw: pending.raw + raw });
      else nodes.push({ kind: 'trivia', line: number, raw });
      continue;
    }
    const bad = line.search(/[\u0000\ufffd]/);
    if (bad >= 0) {
      const nul = line[bad] === '\u0000';
      say(number, nul ? 'NUL character' : 'text is not UTF-8', { column: bad + 1, text: line });
      nodes.push({ kind: 'trivia', line: number, raw });
      continue;
    }
    if (pending && !/^[ \t]*</.test(line)) {
      const value: string = `${pending.value} ${line.trim()}`;
      if (value.length <= LONGEST_LINE) {
        const grown: SettingNode = rewritten(nodes, pending, { raw: pending.raw + raw, value });
        pending = /,$/.test(value) ? grown : null;
        continue;
      }
    }
    pending = null;
    if (/^[ \t]*<\//.test(line)) close(line, raw);
    else if (/^[ \t]*</.test(line)) openTag(line, raw);
    else {
      const nested = NESTED.exec(line);
      const setting = readSetting(nested ? nested[1]! : line, number, raw);
      if (nested && nested[1]!.trim() && stack.length < DEEPEST) {
        open({
          kind: 'block',
          line: number,
          raw,
          tag: 'pattern-list',
          column: setting.column,
          argument: null,
          argumentColumn: setting.column,
          children: [],
          rule: setting,
          closing: '',
        });
        continue;
      }
      if (nested) say(number, 'tags are nested too deeply', { hint: `at most ${DEEPEST} levels` });
      nodes.push(setting);
      if (setting.keyword === 'domain-macro' && setting.value && continues(setting.value)) {
        findings.warn({ file, line: number }, 'list goes on in the next line', {
          column: setting.column,
          text: setting.value,
          hint: 'write it in one line; only domain-macro may be broken',
        });
        pending = setting;
      }
    }
  }
  for (const block of stack.toReversed()) {
    say(block.line, `<${block.tag}> is not closed before the end of the file`, {
      column: block.column,
      text: `<${block.tag}>`,
      hint: `add </${block.tag}>`,
    });
  }
  return { file, nodes: top, lines: number };
}

/** Replaces the last setting of a list by one that also holds the lines after it. */
function rewritten(nodes: TreeNode[], old: SettingNode, change: Partial<SettingNode>): SettingNode {
  const next = { ...old, ...change };
  nodes[nodes.lastIndexOf(old)] = next;
  return next;
}
