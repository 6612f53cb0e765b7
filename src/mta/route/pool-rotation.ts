import type { Pool } from '../../config/index.ts';

/** Whose turn it is in each pool: members in the order of their lines, repeated lines count as more turns. */
export class PoolRotation {
  readonly #next = new Map<string, number>();

  take(pool: Pool): string {
    const turn = this.#next.get(pool.name) ?? 0;
    this.#next.set(pool.name, (turn + 1) % pool.members.length);
    return pool.members[turn % pool.members.length]!;
  }
}
