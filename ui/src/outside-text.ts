/**
 * Text from outside (subjects, replies, user agents, links) is hostile: characters that draw nothing or change the
 * direction of what follows are shown by name, so that what the eye reads is what is stored.
 */

export interface Piece {
  readonly text: string;
  /** Set when the piece stands for a character that would not show itself. */
  readonly hidden: boolean;
}

/** Controls, separators, direction marks and overrides, zero-width and tag characters, lone surrogates, BOM. */
const HIDDEN =
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\ufff9-\ufffc\u{e0000}-\u{e007f}\ud800-\udfff]|\u034f/gu;

const names: Readonly<Record<string, string>> = { '\t': 'TAB', '\n': 'LF', '\r': 'CR', '\0': 'NUL' };

/** Cuts a text into readable pieces and named hidden characters. `keep` leaves some as they are (line ends in JSON). */
export function pieces(text: string, keep = ''): Piece[] {
  const out: Piece[] = [];
  let from = 0;
  for (const m of text.matchAll(HIDDEN)) {
    if (keep.includes(m[0])) continue;
    if (m.index > from) out.push({ text: text.slice(from, m.index), hidden: false });
    out.push({ text: nameOf(m[0]), hidden: true });
    from = m.index + m[0].length;
  }
  if (from < text.length) out.push({ text: text.slice(from), hidden: false });
  return out;
}

/** The same as one plain text, for titles, announcements and attributes. */
export function visible(text: string): string {
  return pieces(text)
    .map((piece) => piece.text)
    .join('');
}

function nameOf(character: string): string {
  const known = names[character];
  if (known) return `[${known}]`;
  return `[U+${character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}]`;
}

/** Cuts after `most` characters, never inside a pair. */
export function cut(text: string, most: number): string {
  if (text.length <= most) return text;
  const end = /[\ud800-\udbff]/.test(text[most - 1] ?? '') ? most - 1 : most;
  return `${text.slice(0, end)}…`;
}
