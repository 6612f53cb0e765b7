/**
 * The shapes in which the management interface answers (management guide, section 3): one value tree, printed as
 * JSON, XML or DOM. A tree holds text, numbers, booleans and nested trees; `Kb` marks a figure in kilobytes, which
 * XML and DOM print with one decimal and JSON as a plain number.
 */
export type Tree = { readonly [name: string]: Value };
export type Value = string | number | boolean | Kb | Tree | readonly Tree[] | readonly string[];

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

/** `text` is for people; each page has its own (text.ts). */
export type Format = 'json' | 'xml' | 'dom' | 'text';

export const CONTENT_TYPES: Record<Format, string> = {
  json: 'application/json; charset=utf-8',
  xml: 'text/xml; charset=utf-8',
  dom: 'text/plain; charset=utf-8',
  text: 'text/plain; charset=utf-8',
};

export function printSuccess(data: Tree | string, format: Format, message = ''): string {
  if (format === 'json') return `${JSON.stringify({ data, status: 'success', message })}\n`;
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

function xml(tree: Tree): string {
  let out = '';
  for (const [name, value] of Object.entries(tree)) {
    const items = Array.isArray(value) ? (value as readonly Value[]) : [value as Value];
    for (const item of items) out += `<${name}>${isTree(item) ? xml(item) : escapeXml(leaf(item))}</${name}>`;
  }
  return out;
}

function dom(path: string, tree: Tree): string[] {
  const lines: string[] = [];
  for (const [name, value] of Object.entries(tree)) {
    const at = path === '' ? name : `${path}.${name}`;
    if (Array.isArray(value)) {
      for (const [i, item] of (value as readonly (Tree | string)[]).entries()) {
        if (typeof item === 'string') lines.push(domLine(`${at}[${i}]`, item));
        else lines.push(...dom(`${at}[${i}]`, item));
      }
    } else if (isTree(value as Value)) lines.push(...dom(at, value as Tree));
    else lines.push(domLine(at, leaf(value as Value)));
  }
  return lines;
}

function domLine(path: string, text: string): string {
  const safe = text.replace(/[\r\n]+/g, ' ').replace(/["\\]/g, (c) => `\\${c}`);
  return `${path}="${safe}"\n`;
}

function isTree(value: Value): value is Tree {
  return typeof value === 'object' && !(value instanceof Kb) && !Array.isArray(value);
}

function leaf(value: Value): string {
  if (value instanceof Kb) return value.value.toFixed(1);
  if (typeof value === 'boolean') return value ? '1' : '0';
  return String(value);
}

function escapeXml(text: string): string {
  return text
    .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, '\ufffd')
    .replace(/[&<>"]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c]!);
}
