import { printable } from '../../system/log.ts';

/**
 * The shapes in which the management interface answers (management guide, section 3): one value tree, printed as
 * JSON, XML or DOM. A tree holds text, numbers, booleans and nested trees; `Kb` marks a figure in kilobytes, which
 * XML and DOM print with one decimal and JSON as a plain number.
 */
export type Tree = { readonly [name: string]: Value };
export type Value =
  | string
  | number
  | boolean
  | Kb
  | Tree
  | Many
  | JsonOnly
  | readonly Tree[]
  | readonly string[];

/** A list: JSON has one array under the plural name, XML and DOM repeat the singular element (section 3). */
export class Many {
  readonly plural: string;
  readonly items: readonly Tree[] | readonly string[];
  /** XML and DOM do not show it. */
  readonly jsonOnly: boolean;

  constructor(plural: string, items: readonly Tree[] | readonly string[], { jsonOnly = false } = {}) {
    this.plural = plural;
    this.items = items;
    this.jsonOnly = jsonOnly;
  }
}

/** Titles and totals, which the web pages' JSON has and the command's XML has not. */
export class JsonOnly {
  readonly value: string | number | boolean;

  constructor(value: string | number | boolean) {
    this.value = value;
  }
}

export class Kb {
  readonly value: number;

  /** From bytes; kilobytes are 1024 of them. */
  constructor(bytes: number) {
    this.value = Math.round((bytes / 1024) * 10) / 10;
  }

  toJSON(): number {
    return this.value;
  }
}

/** What the command's XML and DOM have and the web pages' JSON has not. */
export class XmlOnly {
  readonly value: string;

  constructor(value: string) {
    this.value = value;
  }
}

/** `text` is for people; each page has its own (text.ts). */
export type Format = 'json' | 'xml' | 'dom' | 'text';

export const CONTENT_TYPES: Record<Format, string> = {
  json: 'application/json; charset=utf-8',
  xml: 'text/xml; charset=utf-8',
  dom: 'text/plain; charset=utf-8',
  text: 'text/plain; charset=utf-8',
};

export function printSuccess(data: Tree | string, format: Format, message = ''): string {
  if (format === 'json') {
    const plain = typeof data === 'string' ? data : json(data);
    return `${JSON.stringify({ data: plain, status: 'success', message })}\n`;
  }
  if (format === 'dom' || format === 'text') {
    if (typeof data !== 'string') return dom('', data).join('');
    return format === 'text' && message !== '' ? `${message}\n` : data;
  }
  const inside = typeof data === 'string' ? escapeXml(data) : xml(data);
  const end = message === '' ? '<succ/>' : `<succ>${escapeXml(message)}</succ>`;
  return `<rsp><data>${inside}</data>${end}</rsp>\n`;
}

export function printFailure(message: string, format: Format): string {
  if (format === 'json') return `${JSON.stringify({ data: {}, status: 'fail', message })}\n`;
  if (format === 'dom' || format === 'text') return `${message}\n`;
  return `<rsp><fail>${escapeXml(message)}</fail></rsp>\n`;
}

/** What the web's JSON has under `data`, as plain objects. */
export function plainData(data: Tree): unknown {
  return JSON.parse(JSON.stringify(json(data)));
}

function json(value: Value): unknown {
  if (Array.isArray(value)) return (value as readonly Value[]).map(json);
  if (value instanceof JsonOnly) return value.value;
  if (!isTree(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, inside]) => !(inside instanceof XmlOnly))
      .map(([name, inside]) =>
        inside instanceof Many
          ? [inside.plural, (inside.items as readonly Value[]).map(json)]
          : [name, json(inside)],
      ),
  );
}

/** What XML and DOM show under a name: nothing, one thing, or a list. */
function elements(value: Value): { readonly list: boolean; readonly items: readonly Value[] } {
  if (value instanceof JsonOnly) return { list: true, items: [] };
  if (value instanceof Many) return { list: true, items: value.jsonOnly ? [] : value.items };
  if (Array.isArray(value)) return { list: true, items: value as readonly Value[] };
  return { list: false, items: [value] };
}

function xml(tree: Tree): string {
  let out = '';
  for (const [name, value] of Object.entries(tree)) {
    for (const item of elements(value).items) {
      const inside = isTree(item) ? xml(item) : escapeXml(leaf(item));
      out += inside === '' ? `<${name}/>` : `<${name}>${inside}</${name}>`;
    }
  }
  return out;
}

function dom(path: string, tree: Tree): string[] {
  const lines: string[] = [];
  for (const [name, value] of Object.entries(tree)) {
    const at = path === '' ? name : `${path}.${name}`;
    const { list, items } = elements(value);
    for (const [i, item] of items.entries()) {
      const here = list ? `${at}[${i}]` : at;
      if (isTree(item)) lines.push(...dom(here, item));
      else lines.push(domLine(here, leaf(item)));
    }
  }
  return lines;
}

function domLine(path: string, text: string): string {
  const safe = printable(text.replace(/[\r\n]+/g, ' ')).replace(/["\\]/g, (c) => `\\${c}`);
  return `${path}="${safe}"\n`;
}

function isTree(value: Value): value is Tree {
  return (
    typeof value === 'object' &&
    !(value instanceof Kb) &&
    !(value instanceof Many) &&
    !(value instanceof JsonOnly) &&
    !(value instanceof XmlOnly) &&
    !Array.isArray(value)
  );
}

function leaf(value: Value): string {
  if (value instanceof Kb) return value.value.toFixed(1);
  if (value instanceof XmlOnly) return value.value;
  if (typeof value === 'boolean') return value ? '1' : '0';
  return String(value);
}

function escapeXml(text: string): string {
  return text
    .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, '\ufffd')
    .replace(/[&<>"]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c]!);
}
