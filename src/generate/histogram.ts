/** Times in milliseconds, in buckets that grow by a tenth: any percentile to 10 %, in constant memory. */
export class Histogram {
  readonly #buckets = new Map<number, number>();
  #count = 0;
  #max = 0;

  add(ms: number): void {
    const value = Math.max(0, ms);
    const bucket = value < 1 ? 0 : Math.ceil(Math.log(value) / Math.log(1.1)) + 1;
    this.#buckets.set(bucket, (this.#buckets.get(bucket) ?? 0) + 1);
    this.#count++;
    this.#max = Math.max(this.#max, value);
  }

  /** The time that `share` (0 to 1) of all stayed below. */
  percentile(share: number): number {
    let rest = share * this.#count;
    for (const [bucket, count] of [...this.#buckets].sort(([a], [b]) => a - b)) {
      rest -= count;
      if (rest <= 0) return Math.min(this.#max, bucket === 0 ? 0 : 1.1 ** (bucket - 1));
    }
    return this.#max;
  }

  summary(): { count: number; p50: number; p95: number; p99: number; max: number } {
    const ms = (value: number) => Math.round(value * 10) / 10;
    return {
      count: this.#count,
      p50: ms(this.percentile(0.5)),
      p95: ms(this.percentile(0.95)),
      p99: ms(this.percentile(0.99)),
      max: ms(this.#max),
    };
  }
}
