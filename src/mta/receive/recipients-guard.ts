import type { Clock } from '../../system/clock.ts';

/** A count is good for this long: a limit of many thousands need not be exact. */
const COUNT_EVERY_MS = 1_000;

/**
 * Why no mail can be taken when as many recipients wait as `spool-max-recipients` lets wait; null when there is room.
 * `auto` is no limit: a recipient that waits takes some hundred bytes.
 */
export function recipientsGuard(
  limit: () => number | 'auto' | null,
  count: () => number,
  clock: Clock,
): () => string | null {
  let countedAt = Number.NEGATIVE_INFINITY;
  let counted = 0;
  return () => {
    const most = limit();
    if (most === 'auto' || most === null) return null;
    const now = clock.now();
    if (Math.abs(now - countedAt) >= COUNT_EVERY_MS) {
      countedAt = now;
      counted = count();
    }
    return counted < most ? null : `${counted} recipients wait, spool-max-recipients is ${most}`;
  };
}
