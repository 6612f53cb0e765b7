import { cut, pieces } from '../outside-text.ts';

/** Text from outside: never markup, and what would not show itself is shown by name. */
export function Outside({ text, most = 400, keep = '' }: { text: string; most?: number; keep?: string }) {
  return (
    <bdi class="outside">
      {pieces(cut(text, most), keep).map((piece, i) =>
        piece.hidden ? (
          <span class="hidden-char" key={i}>
            {piece.text}
          </span>
        ) : (
          piece.text
        ),
      )}
    </bdi>
  );
}
