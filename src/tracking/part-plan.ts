import { isAscii } from 'node:buffer';
import type { MimePart } from '../mail/mime.ts';
import { encodeBase64, encodeQuotedPrintable } from '../mail/transfer-encoding.ts';
import type { TextEdit } from './html-rewrite.ts';
import type { PartText } from './part-text.ts';
import type { PlannedLink } from './tracking-plan.ts';

export type PartKind = 'html' | 'amp' | 'text';

/** A place that each recipient's URL goes into. */
export interface Slot {
  readonly kind: 'link' | 'initial-pixel' | 'pixel';
  /** For links. */
  readonly link: PlannedLink | null;
  readonly quoted: boolean;
  readonly amp: boolean;
  /** The octets that stand there now, in the form of the part's pieces: kept when no URL can be made. */
  readonly original: Buffer;
  /** Which of the part's `lines` it stands on. */
  readonly line: number;
}

/**
 * `splice`: the pieces are the body. `splice-qp`: they are quoted-printable already and only the slots are encoded.
 * `quoted-printable`, `base64`: they are decoded text and the whole is encoded.
 */
export type PartForm = 'splice' | 'splice-qp' | 'quoted-printable' | 'base64';

/** A part's body as octets that stay and slots to fill. */
export interface PlannedPart {
  readonly pieces: readonly (Buffer | Slot)[];
  readonly form: PartForm;
  /** For `splice`: octets of each line that has slots, without what goes into them. */
  readonly lines: readonly number[];
  readonly encode: (text: string) => Buffer;
  /** A line end follows the last line inside the body. */
  readonly endsWithLine: boolean;
  /** The part's own header says quoted-printable or base64 already. */
  readonly encoded: boolean;
}

/** RFC 5322 section 2.1.1. */
const LONGEST_LINE = 998;
const QP_LINE = 76;
const LF = 0x0a;
const SOFT_BREAK = Buffer.from('=\r\n');
const SOFT_BLANK = Buffer.from('=20=\r\n');

/** Turns edits of a part's text into pieces and slots. `number` gives a link its place in the message. */
export function planPart(
  raw: Buffer,
  part: MimePart,
  text: PartText,
  edits: readonly TextEdit[],
  kind: PartKind,
  number: (edit: TextEdit & { kind: 'link' }) => PlannedLink,
): PlannedPart {
  const body = raw.subarray(part.bodyStart, part.bodyEnd);
  const form = formOf(part.encoding, text, body, edits);
  const source = form === 'splice-qp' ? body : text.bytes;
  const place = form === 'splice-qp' ? (i: number) => text.offsets![i]! : (i: number) => i;

  const pieces: (Buffer | Slot)[] = [];
  const lines: number[] = [];
  let lineEnd = -1;
  let kept = 0;
  for (const edit of edits) {
    const start = place(edit.start * text.unit);
    const end = place(edit.end * text.unit);
    if (start > kept) pieces.push(source.subarray(kept, start));
    const original = source.subarray(start, end);
    kept = end;
    if (form === 'splice' && start > lineEnd) {
      const lineStart = source.lastIndexOf(LF, start - 1) + 1;
      const next = source.indexOf(LF, start);
      lineEnd = next < 0 ? source.length : next;
      lines.push(lineEnd - (start === 0 ? 0 : lineStart));
    }
    const line = lines.length - 1;
    if (form === 'splice') {
      lines[line]! -= end - start;
      if (end > lineEnd) {
        // What goes holds the line's end: the next line becomes its rest.
        const next = source.indexOf(LF, end);
        const merged = next < 0 ? source.length : next;
        lines[line]! += merged - lineEnd;
        lineEnd = merged;
      }
    }

    const soft = form === 'splice-qp' && !isLineStart(body, start);
    if (edit.kind === 'cut') {
      if (edit.blank) pieces.push(form === 'splice-qp' ? SOFT_BLANK : text.encode(' '));
      // Two halves of one line fit in one line again; halves of two lines need their break.
      else if (soft && original.includes(LF)) pieces.push(SOFT_BREAK);
      continue;
    }
    if (soft) pieces.push(SOFT_BREAK);
    pieces.push({
      kind: edit.kind,
      link: edit.kind === 'link' ? number(edit) : null,
      quoted: edit.kind === 'link' && edit.quoted,
      amp: kind === 'amp',
      original,
      line,
    });
    if (form === 'splice-qp' && end < body.length) pieces.push(SOFT_BREAK);
  }
  if (kept < source.length) pieces.push(source.subarray(kept));
  return {
    pieces,
    form,
    lines,
    encode: text.encode,
    endsWithLine: body.at(-1) === LF,
    encoded: part.encoding === 'quoted-printable' || part.encoding === 'base64',
  };
}

function formOf(encoding: string, text: PartText, body: Buffer, edits: readonly TextEdit[]): PartForm {
  switch (encoding) {
    case 'base64':
      return 'base64';
    case 'quoted-printable':
      return canSplice(text, body, edits) ? 'splice-qp' : 'quoted-printable';
    case 'binary':
      return 'quoted-printable';
    default: {
      const sevenBit = encoding !== '8bit';
      return (sevenBit && !isAscii(text.bytes)) || hasLongLine(text.bytes) || text.unit > 1
        ? 'quoted-printable'
        : 'splice';
    }
  }
}

/**
 * Quoted-printable text can be edited where it stands if a soft break fits before every edit. Lines that are longer
 * than the standard allows, and edits at the very end of a full line, need the whole part encoded anew.
 */
function canSplice(text: PartText, body: Buffer, edits: readonly TextEdit[]): boolean {
  for (const edit of edits) {
    const start = text.offsets![edit.start * text.unit]!;
    const lineStart = start === 0 ? 0 : body.lastIndexOf(LF, start - 1) + 1;
    if (start - lineStart > QP_LINE - 4) return false;
    const next = body.indexOf(LF, start);
    if ((next < 0 ? body.length : next) - lineStart > QP_LINE + 1) return false;
  }
  return true;
}

function isLineStart(body: Buffer, at: number): boolean {
  return at === 0 || body[at - 1] === LF;
}

function hasLongLine(bytes: Buffer): boolean {
  let start = 0;
  // From the end of what one line may have: most lines are a tenth of that.
  while (bytes.length - start > LONGEST_LINE + 1) {
    const last = bytes.lastIndexOf(LF, start + LONGEST_LINE + 1);
    if (last < start) return true;
    start = last + 1;
  }
  return false;
}

/** Octets of a message: as they are, or ASCII text of our own, which becomes octets in its place only. */
export type Piece = Buffer | string;

/** A recipient's body of a part. */
export interface FilledPart {
  readonly body: readonly Piece[];
  readonly becameQuotedPrintable: boolean;
}

/** Fills a part's slots; `fill` gives what stands there for this recipient, `null` to leave it as it is. */
export function fillPart(part: PlannedPart, fill: (slot: Slot) => string | null): FilledPart {
  if (part.form === 'splice') return splice(part, fill);
  const whole = encodedPieces(part, fill);
  switch (part.form) {
    case 'splice-qp':
      return { body: [whole], becameQuotedPrintable: false };
    case 'quoted-printable':
      return { body: [encodeQuotedPrintable(whole)], becameQuotedPrintable: !part.encoded };
    case 'base64': {
      const encoded = encodeBase64(whole);
      return { body: [part.endsWithLine ? encoded : encoded.subarray(0, -2)], becameQuotedPrintable: false };
    }
  }
}

function splice(part: PlannedPart, fill: (slot: Slot) => string | null): FilledPart {
  const lengths = [...part.lines];
  const body: Piece[] = [];
  for (const piece of part.pieces) {
    if (Buffer.isBuffer(piece)) {
      body.push(piece);
      continue;
    }
    const filled = fill(piece) ?? piece.original;
    lengths[piece.line]! += filled.length;
    body.push(filled);
  }
  return lengths.some((length) => length > LONGEST_LINE)
    ? { body: [encodeQuotedPrintable(joinPieces(body))], becameQuotedPrintable: true }
    : { body, becameQuotedPrintable: false };
}

/** The filled pieces in the form of the part, our own text in its charset. */
function encodedPieces(part: PlannedPart, fill: (slot: Slot) => string | null): Buffer {
  const out: Buffer[] = [];
  for (const piece of part.pieces) {
    if (Buffer.isBuffer(piece)) {
      out.push(piece);
      continue;
    }
    const text = fill(piece);
    if (text === null) out.push(piece.original);
    else out.push(part.form === 'splice-qp' ? encodeQuotedPrintable(part.encode(text)) : part.encode(text));
  }
  return Buffer.concat(out);
}

/** All pieces, one after the other. */
export function joinPieces(pieces: readonly Piece[]): Buffer {
  let length = 0;
  for (const piece of pieces) length += piece.length;
  const out = Buffer.allocUnsafe(length);
  let at = 0;
  for (const piece of pieces) {
    if (typeof piece === 'string') out.write(piece, at, 'latin1');
    else out.set(piece, at);
    at += piece.length;
  }
  return out;
}
