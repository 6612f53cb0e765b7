/** Counts failures per client address, so that guessing passwords is slow; forgets after the window. */
export class Throttle {
  readonly #most: number;
  readonly #windowMs: number;
  readonly #now: () => number;
  readonly #counts = new Map<string, { since: number; n: number }>();

  constructor(options: { most: number; windowMs: number; now: () => number }) {
    this.#most = options.most;
    this.#windowMs = options.windowMs;
    this.#now = options.now;
  }

  isOver(client: string): boolean {
    const entry = this.#counts.get(client);
    return entry !== undefined && this.#now() - entry.since < this.#windowMs && entry.n >= this.#most;
  }

  count(client: string): void {
    const now = this.#now();
    const entry = this.#counts.get(client);
    if (entry && now - entry.since < this.#windowMs) entry.n++;
    else {
      this.#counts.delete(client);
      this.#counts.set(client, { since: now, n: 1 });
      // Oldest first: a Map keeps the order of insertion.
      if (this.#counts.size > 10_000) this.#counts.delete(this.#counts.keys().next().value!);
    }
  }
}
