/** HTML as values: what is put into a template is escaped unless it is HTML itself. */
import { printable } from '../../../system/log.ts';

export class Html {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** Nothing is shown for null and false. Attributes are written in double quotes. */
export type Piece = Html | string | number | null | false | readonly Piece[];

export function html(strings: TemplateStringsArray, ...pieces: readonly Piece[]): Html {
  let out = strings[0]!;
  for (const [i, piece] of pieces.entries()) out += textOf(piece) + strings[i + 1]!;
  return new Html(out);
}

/** Text whose every character stays, for what is sent back to us; everything else shows control characters. */
export function exactly(text: string): Html {
  return new Html(escapeMarkup(text));
}

function textOf(piece: Piece): string {
  if (piece === null || piece === false) return '';
  if (piece instanceof Html) return piece.text;
  if (typeof piece === 'object') return piece.map(textOf).join('');
  return escapeMarkup(typeof piece === 'number' ? String(piece) : visible(piece));
}

/** Remote hosts and senders wrote some of it: directions and controls are shown and not obeyed. Lines stay. */
function visible(text: string): string {
  return text
    .split(/(\r?\n|\t)/)
    .map((part, i) => (i % 2 === 1 ? part : printable(part)))
    .join('');
}

function escapeMarkup(text: string): string {
  return text.replace(
    /[&<>"']/g,
    (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' })[c]!,
  );
}
