/** Keys of the last moments, at most a fixed number of them: the oldest go first. */
export class RecentKeys {
  readonly #spanMs: number;
  readonly #most: number;
  /** In the order in which they were noted. */
  readonly #at = new Map<string, number>();

  constructor(spanMs: number, most: number) {
    this.#spanMs = spanMs;
    this.#most = most;
  }

  /** Whether the key was noted within the span. A clock that was set back forgets. */
  has(key: string, now: number): boolean {
    const at = this.#at.get(key);
    return at !== undefined && now >= at && now - at < this.#spanMs;
  }

  note(key: string, now: number): void {
    this.#at.delete(key);
    this.#at.set(key, now);
    // Two leave for one that comes: what is outdated goes soon, and no request pays for all of it.
    let looks = 2;
    for (const [oldest, at] of this.#at) {
      const outdated = now < at || now - at >= this.#spanMs;
      if (looks-- === 0 || (!outdated && this.#at.size <= this.#most)) break;
      this.#at.delete(oldest);
    }
  }

  get size(): number {
    return this.#at.size;
  }
}
