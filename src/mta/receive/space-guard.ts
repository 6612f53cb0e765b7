import { statfs } from 'node:fs/promises';
import type { Clock } from '../../system/clock.ts';

/** Looks at the free space below a folder from time to time, so that asking costs nothing per message. */
export interface SpaceGuard {
  /** Why no mail can be stored; null when there is room. */
  readonly refusal: () => string | null;
  close(): void;
}

const LOOK_EVERY_MS = 5_000;

/** Guards `least` bytes free to ordinary users (`min-free-space`); 0 switches it off. */
export async function spaceGuard(dir: string, least: number, clock: Clock): Promise<SpaceGuard> {
  let refusal: string | null = null;
  let cancel = () => {};
  const look = async () => {
    const stats = await statfs(dir);
    const free = stats.bavail * stats.bsize;
    refusal =
      free < least
        ? `${dir} has ${Math.floor(free / 1024)} kB free, min-free-space is ${least / 1024} kB`
        : null;
  };
  const again = () => {
    cancel = clock.after(LOOK_EVERY_MS, () => {
      look()
        .catch(() => {})
        .then(again);
    });
  };
  if (least > 0 && Number.isFinite(least)) {
    await look();
    again();
  }
  return { refusal: () => refusal, close: () => cancel() };
}
