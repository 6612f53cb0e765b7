import { isUtf8 } from 'node:buffer';

/** One field of a header block as offsets into the message: nothing is copied until somebody asks. */
export interface HeaderField {
  /** As written, without the colon; '' for a damaged line (no colon, forbidden character in the name). */
  readonly name: string;
  /** `name` in lower case, to compare. */
  readonly key: string;
  readonly start: number;
  /** The octet after the colon; `start` for a damaged line. */
  readonly valueStart: number;
  /** After the line ending of the field's last line. */
  readonly end: number;
}

/** More fields than any real message has; what lies beyond is still kept and passed on, only not listed. */
const MOST_FIELDS = 10_000;
const LONGEST_NAME = 998;
const LONGEST_VALUE = 64 * 1024;

const CR = 0x0d;
const LF = 0x0a;
const COLON = 0x3a;
const SPACE = 0x20;
const TAB = 0x09;

/**
 * A header block (RFC 5322 section 2.2). Lines end with CRLF or, in damaged mail, with LF; a bare CR is data. The
 * block ends at the first empty line and nowhere else, so no line of it, however damaged, can be taken for a body by
 * us and for a field by the next host.
 */
export class Header {
  readonly raw: Buffer;
  readonly start: number;
  /** Where the fields end: the offset of the empty line, or of the end when there is none. */
  readonly end: number;
  /** The first octet of the body. */
  readonly bodyStart: number;
  /** The first 10,000 fields in order. */
  readonly fields: readonly HeaderField[];
  /** There are more fields than listed. */
  readonly truncated: boolean;

  constructor(raw: Buffer, start = 0, limit = raw.length) {
    const fields: HeaderField[] = [];
    let truncated = false;
    const { end, bodyStart } = eachField(raw, start, limit, (field) => {
      if (fields.length < MOST_FIELDS) fields.push(field);
      else truncated = true;
    });
    this.raw = raw;
    this.start = start;
    this.end = end;
    this.bodyStart = bodyStart;
    this.fields = fields;
    this.truncated = truncated;
  }

  /** Value of the first field of that name, unfolded; `null` if there is none. */
  get(name: string): string | null {
    const field = this.find(name);
    return field ? this.value(field) : null;
  }

  find(name: string): HeaderField | undefined {
    const key = name.toLowerCase();
    for (const field of this.fields) if (field.key === key) return field;
    return undefined;
  }

  all(name: string): HeaderField[] {
    const key = name.toLowerCase();
    return this.fields.filter((field) => field.key === key);
  }

  /** The value as it stands, with folding, without the last line ending. */
  rawValue(field: HeaderField): Buffer {
    return this.raw.subarray(field.valueStart, lineContentEnd(this.raw, field.valueStart, field.end));
  }

  /**
   * The value without outer white space, each folding as one blank; UTF-8 where the octets are that, else Latin-1.
   * At most 64 KiB of it.
   */
  value(field: HeaderField): string {
    return unfold(headerText(this.rawValue(field).subarray(0, LONGEST_VALUE)));
  }

  /** Names and values of all listed fields in order, damaged lines left out. */
  entries(most = MOST_FIELDS): [name: string, value: string][] {
    const entries: [string, string][] = [];
    for (const field of this.fields) {
      if (entries.length >= most) break;
      if (field.name !== '') entries.push([field.name, this.value(field)]);
    }
    return entries;
  }
}

/** Joins the lines of a folded value with one blank each, without outer white space. */
export function unfold(text: string): string {
  return text
    .replace(/\r?\n[ \t]*/g, ' ')
    .replace(/^[ \t]+/, '')
    .trimEnd();
}

/** Octets of a header as text. What is not UTF-8 is read as Windows-1252, which is what such mail mostly means. */
export function headerText(bytes: Uint8Array): string {
  return isUtf8(bytes)
    ? Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString()
    : cp1252.decode(bytes);
}

const cp1252 = new TextDecoder('windows-1252');

/** Calls `each` for every field without keeping any; returns where the block ends. */
function eachField(
  raw: Buffer,
  start: number,
  limit: number,
  each: (field: HeaderField) => void,
): { end: number; bodyStart: number } {
  let at = start;
  while (at < limit) {
    let next = lineEnd(raw, at, limit);
    if (raw[at] === LF) return { end: at, bodyStart: at + 1 };
    if (raw[at] === CR && raw[at + 1] === LF && at + 1 < limit) return { end: at, bodyStart: at + 2 };
    while (next < limit && (raw[next] === SPACE || raw[next] === TAB)) next = lineEnd(raw, next, limit);
    const colon = endOfName(raw, at, next);
    if (colon < 0) each({ name: '', key: '', start: at, valueStart: at, end: next });
    else {
      const name = raw.toString('latin1', at, colon).trimEnd();
      each({ name, key: name.toLowerCase(), start: at, valueStart: colon + 1, end: next });
    }
    at = next;
  }
  return { end: limit, bodyStart: limit };
}

function lineEnd(raw: Buffer, from: number, limit: number): number {
  const lf = raw.indexOf(LF, from);
  return lf < 0 || lf >= limit ? limit : lf + 1;
}

/** Whether the first line of these octets is a field, or begins one. */
export function beginsWithField(raw: Buffer): boolean {
  return endOfName(raw, 0, raw.length) > 0;
}

/** Offset of the colon after a field name (blanks before it are obsolete but legal), -1 if the line has no name. */
function endOfName(raw: Buffer, start: number, end: number): number {
  const last = Math.min(end, start + LONGEST_NAME);
  let blank = false;
  for (let i = start; i < last; i++) {
    const c = raw[i]!;
    if (c === COLON) return i > start ? i : -1;
    if (c === SPACE || c === TAB) blank = i > start || blank;
    if (c === SPACE || c === TAB ? i === start : c < 0x21 || c > 0x7e || blank) return -1;
  }
  return -1;
}

/** The end of [start, end) without its line ending. */
function lineContentEnd(raw: Buffer, start: number, end: number): number {
  if (end > start && raw[end - 1] === LF) end--;
  else return end;
  if (end > start && raw[end - 1] === CR) end--;
  return end;
}

export interface HeaderEdits {
  /** Complete fields, in order, at the very top. */
  readonly prepend?: readonly string[];
  /** Complete fields directly after our Received: the prepended ones, else the topmost Received of the message. */
  readonly insertAfterReceived?: readonly string[];
  /** Complete fields after the last one. */
  readonly append?: readonly string[];
  /** Names of fields that go, every occurrence, in any case. */
  readonly remove?: Iterable<string>;
}

/**
 * The message with fields added and removed and every other octet as it was. Fields are given whole (see
 * `headerField`), with or without a final line ending. Line endings are those of the message's first line.
 */
export function editHeaders(raw: Buffer, edits: HeaderEdits): Buffer {
  const remove = new Set<string>();
  for (const name of edits.remove ?? []) remove.add(name.toLowerCase());
  const firstLf = raw.indexOf(LF);
  const eol = firstLf > 0 && raw[firstLf - 1] !== CR ? '\n' : '\r\n';
  const prepend = edits.prepend ?? [];
  const insert = edits.insertAfterReceived ?? [];
  const append = edits.append ?? [];

  const pieces: Buffer[] = [];
  let kept = 0;
  const upTo = (offset: number) => {
    if (offset > kept) pieces.push(raw.subarray(kept, offset));
    kept = offset;
  };
  const add = (fields: readonly string[]) => {
    for (const field of fields) pieces.push(Buffer.from(wholeLines(field, eol)));
  };

  add(prepend);
  if (prepend.length > 0) add(insert);
  const top = pieces.length;
  let inserted = prepend.length > 0 || insert.length === 0;
  if (inserted && remove.size === 0 && append.length === 0) {
    pieces.push(raw);
    return pieces.length === 1 ? raw : Buffer.concat(pieces);
  }
  const { end } = eachField(raw, 0, raw.length, (field) => {
    if (remove.has(field.key)) {
      upTo(field.start);
      kept = field.end;
    } else if (!inserted && field.key === 'received') {
      upTo(field.end);
      add(insert);
      inserted = true;
    }
  });
  if (!inserted) pieces.splice(top, 0, ...insert.map((field) => Buffer.from(wholeLines(field, eol))));
  if (append.length > 0) {
    upTo(end);
    // A message that is all header may lack its last line ending.
    if (end > 0 && raw[end - 1] !== LF) pieces.push(Buffer.from(eol));
    add(append);
  }
  if (pieces.length === 0 && kept === 0) return raw;
  upTo(raw.length);
  return Buffer.concat(pieces);
}

/** A field as `headerField` makes them: lines that end with CRLF, each after the first begun by a blank and not empty. */
const WHOLE = /^[^\s][^\r\n]*\r\n(?:[ \t]+[^\s][^\r\n]*\r\n)*$/;

/** A field with the message's own line endings, and nothing that would end the header block. */
function wholeLines(field: string, eol: string): string {
  if (eol === '\r\n' && WHOLE.test(field)) return field;
  const lines = field.split(/\r\n|\r|\n/).filter((line, i) => (i === 0 ? line !== '' : line.trim() !== ''));
  return lines.map((line, i) => (i === 0 || /^[ \t]/.test(line) ? line : ` ${line}`) + eol).join('');
}

/**
 * One field of our own, ready for `editHeaders`: folded at blanks so that lines stay within 78 characters where they
 * can (RFC 5322 section 2.1.1). Line breaks and other controls in `value` become blanks: a value cannot add a field.
 */
export function headerField(name: string, value: string): string {
  const text = value.replace(CONTROLS, ' ').trim();
  let out = `${name}: `;
  let column = out.length;
  /** The words of the line at hand begin here. */
  let line = 0;
  for (let at = 0; ; ) {
    const blank = text.indexOf(' ', at);
    const end = blank < 0 ? text.length : blank;
    if (at > 0 && end > at && column + end - at > 78) {
      out += `${text.slice(line, at - 1)}\r\n\t`;
      line = at;
      column = 8;
    }
    if (blank < 0) return `${out}${text.slice(line)}\r\n`;
    column += end - at + 1;
    at = end + 1;
  }
}

const CONTROLS = /[\u0000-\u001f\u007f]+/g;

const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

let lastSecond = Number.NaN;
let lastDate = '';

/** A date as RFC 5322 section 3.3 writes it, in local time with its offset. */
export function dateHeader(ms: number): string {
  // Many messages come in the same second.
  const second = Math.floor(ms / 1000);
  if (second !== lastSecond) {
    lastDate = dateText(second * 1000);
    lastSecond = second;
  }
  return lastDate;
}

function dateText(ms: number): string {
  const d = new Date(ms);
  const two = (n: number) => String(n).padStart(2, '0');
  const offset = -d.getTimezoneOffset();
  const zone = `${offset < 0 ? '-' : '+'}${two(Math.trunc(Math.abs(offset) / 60))}${two(Math.abs(offset) % 60)}`;
  return (
    `${DAYS[d.getDay()]}, ${d.getDate()} ${MONTHS[d.getMonth()]} ${d.getFullYear()} ` +
    `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())} ${zone}`
  );
}

/** A Message-ID (RFC 5322 section 3.6.4) from a part that is unique on this host and the host's name. */
export function messageId(unique: string, host: string): string {
  const safe = (text: string) =>
    text.replace(/[^A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+/g, '.').replace(/^\.+|\.+$/g, '');
  return `<${safe(unique) || '0'}@${safe(host) || 'localhost'}>`;
}
