import { stripPath } from '../series.ts';

const WIDTH = 120;
const HEIGHT = 40;

/** A small line beside a figure: the range now, the comparison as a ghost. The figure says the same in words. */
export function Strip({
  values,
  ghost,
  finished,
}: {
  values: readonly (number | null)[];
  ghost: readonly (number | null)[];
  /** Number of buckets that are finished; the line beyond is dashed. */
  finished: number;
}) {
  const known = [...values, ...ghost].filter((v): v is number => v !== null);
  if (known.length < 2) return <span class="strip" />;
  const low = Math.min(0, ...known);
  const top = Math.max(...known, low + 1e-9);
  const mask = (keep: (i: number) => boolean) => values.map((v, i) => (keep(i) ? v : null));
  const ghosts = Array.from({ length: values.length }, (_, i) => ghost[i] ?? null);
  return (
    <svg class="strip" viewBox={`0 -2 ${WIDTH} ${HEIGHT + 4}`} preserveAspectRatio="none" aria-hidden="true">
      <path class="ghost" d={stripPath(ghosts, WIDTH, HEIGHT, low, top)} />
      <path
        d={stripPath(
          mask((i) => i < finished),
          WIDTH,
          HEIGHT,
          low,
          top,
        )}
      />
      {finished > 0 && finished < values.length && (
        <path
          class="so-far"
          d={stripPath(
            mask((i) => i >= finished - 1),
            WIDTH,
            HEIGHT,
            low,
            top,
          )}
        />
      )}
    </svg>
  );
}
