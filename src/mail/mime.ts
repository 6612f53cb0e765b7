import { Header } from './header.ts';
import { type MimeValue, parseMimeValue } from './mime-parameters.ts';

/** One node of a message's MIME tree (RFC 2045, 2046), as offsets into the message. */
export interface MimePart {
  readonly header: Header;
  /** `text/plain` where the field is missing, `message/rfc822` inside multipart/digest, '' where it is malformed. */
  readonly type: string;
  readonly parameters: ReadonlyMap<string, string>;
  /** `inline`, `attachment` …, '' if there is none. */
  readonly disposition: string;
  /** File name from Content-Disposition, else Content-Type; '' if there is none. */
  readonly filename: string;
  /** Content-Transfer-Encoding in lower case without white space; '' if there is none. */
  readonly encoding: string;
  /** The body, without the line end that belongs to the delimiter after it. */
  readonly bodyStart: number;
  readonly bodyEnd: number;
  /** Children of a multipart, in order; empty for every other part and for those with a `fault`. */
  readonly parts: readonly MimePart[];
  /** Why this node's inside was not read; such a part is to be treated as opaque octets. */
  readonly fault: MimeFault | null;
}

export type MimeFault = 'content type' | 'no boundary' | 'no close delimiter' | 'nesting' | 'too many parts';

export interface MimeLimits {
  /** Levels of multipart inside multipart. */
  readonly nesting: number;
  /** Parts in the whole message. */
  readonly parts: number;
}

const LIMITS: MimeLimits = { nesting: 20, parts: 1000 };

const DASH = 0x2d;
const CR = 0x0d;
const LF = 0x0a;
const EMPTY: ReadonlyMap<string, string> = new Map();
const LONGEST_BOUNDARY = 256;

/**
 * Reads the tree of a message. Never fails: what is damaged, too deep or too much becomes an opaque part with a
 * `fault`. Enclosed messages (message/*) are leaves; whoever wants their inside calls this again on their body.
 */
export function parseMime(raw: Buffer, limits: MimeLimits = LIMITS): MimePart {
  return readPart(raw, 0, raw.length, { left: limits.parts, nesting: limits.nesting }, 0, 'text/plain');
}

function readPart(
  raw: Buffer,
  start: number,
  end: number,
  budget: { left: number; readonly nesting: number },
  depth: number,
  defaultType: string,
): MimePart {
  budget.left--;
  const header = new Header(raw, start, end);
  const typeText = header.get('content-type');
  const type = typeText === null ? { value: defaultType, parameters: EMPTY } : contentType(typeText);
  const disposition = parseMimeValue(header.get('content-disposition') ?? '', false);
  const bodyStart = header.bodyStart;
  const part = {
    header,
    type: type?.value ?? '',
    parameters: type?.parameters ?? EMPTY,
    disposition: disposition?.value ?? '',
    filename: disposition?.parameters.get('filename') ?? type?.parameters.get('name') ?? '',
    encoding: (header.get('content-transfer-encoding') ?? '')
      .replace(/\([^()]*\)/g, '')
      .trim()
      .toLowerCase(),
    bodyStart,
    bodyEnd: Math.max(bodyStart, end),
    parts: [] as MimePart[],
    fault: null as MimeFault | null,
  };
  if (type === null) part.fault = 'content type';
  if (!part.type.startsWith('multipart/')) return part;

  // RFC 2046 section 5.1.1: a boundary never ends with white space, whatever its quotes say.
  const boundary = part.parameters.get('boundary')?.trimEnd() ?? '';
  if (boundary === '' || boundary.length > LONGEST_BOUNDARY) part.fault = 'no boundary';
  else if (depth >= budget.nesting) part.fault = 'nesting';
  else {
    const ranges = splitMultipart(raw, bodyStart, part.bodyEnd, boundary, budget.left);
    if (typeof ranges === 'string') part.fault = ranges;
    else {
      const inner = part.type === 'multipart/digest' ? 'message/rfc822' : 'text/plain';
      for (const [from, to] of ranges) {
        if (budget.left <= 0) {
          part.fault = 'too many parts';
          part.parts = [];
          break;
        }
        part.parts.push(readPart(raw, from, to, budget, depth + 1, inner));
      }
    }
  }
  return part;
}

function contentType(text: string): MimeValue | null {
  const parsed = parseMimeValue(text, true);
  if (parsed) return parsed;
  // RFC 2045 section 5.2: an empty field says as much as none.
  return text === '' ? { value: 'text/plain', parameters: EMPTY } : null;
}

/** The ranges of a multipart's children. A delimiter is a whole line, with nothing but white space after it. */
function splitMultipart(
  raw: Buffer,
  start: number,
  end: number,
  boundary: string,
  most: number,
): [from: number, to: number][] | MimeFault {
  const ranges: [number, number][] = [];
  const delimiter = Buffer.from(`--${boundary}`);
  // Not beyond: a hundred parts whose boundary is nowhere would each have the whole message searched.
  const inside = raw.subarray(0, end);
  let from = -1;
  let at = start;
  for (;;) {
    const found = inside.indexOf(delimiter, at);
    if (found < 0) return 'no close delimiter';
    at = found + delimiter.length;
    if (found > start && raw[found - 1] !== LF) continue;
    let after = at;
    const close = raw[after] === DASH && raw[after + 1] === DASH && after + 2 <= end;
    if (close) after += 2;
    while (after < end && (raw[after] === 0x20 || raw[after] === 0x09)) after++;
    const lineEnd = endOfLine(raw, after, end);
    if (lineEnd < 0) continue;
    if (from >= 0) ranges.push([from, Math.max(from, beforeLineEnd(raw, found))]);
    if (ranges.length > most) return 'too many parts';
    if (close) return ranges.length > 0 ? ranges : 'no close delimiter';
    from = lineEnd;
    at = lineEnd;
  }
}

/** The offset after the line end at `at` (or `at` at the very end), -1 if something else stands there. */
function endOfLine(raw: Buffer, at: number, end: number): number {
  if (at >= end) return end;
  if (raw[at] === LF) return at + 1;
  return raw[at] === CR && raw[at + 1] === LF && at + 1 < end ? at + 2 : -1;
}

/** The line end before a delimiter belongs to the delimiter. */
function beforeLineEnd(raw: Buffer, delimiter: number): number {
  return raw[delimiter - 2] === CR ? delimiter - 2 : delimiter - 1;
}

/** The part's body with its transfer encoding undone is in `transfer-encoding.ts`; this lists all leaves in order. */
export function* leaves(part: MimePart): Generator<MimePart> {
  if (part.parts.length === 0) yield part;
  for (const child of part.parts) yield* leaves(child);
}
