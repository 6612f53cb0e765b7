import type { Clock } from '../../../system/clock.ts';

/** Milliseconds, as `Reception` tells them. */
interface Took {
  readonly mailFrom: number;
  readonly data: number;
  readonly total: number;
}

const TOLD_AFTER_MS = 500;

/** Adds up how long messages took to come in, and tells it now and then. */
export class TimingSums {
  readonly #clock: Clock;
  readonly #tell: (sums: Took & { readonly count: number }) => void;
  #sums = { count: 0, mailFrom: 0, data: 0, total: 0 };

  constructor(clock: Clock, tell: (sums: Took & { readonly count: number }) => void) {
    this.#clock = clock;
    this.#tell = tell;
  }

  add({ mailFrom, data, total }: Took): void {
    const sums = this.#sums;
    if (sums.count === 0) this.#clock.after(TOLD_AFTER_MS, () => this.#told());
    sums.count++;
    sums.mailFrom += mailFrom;
    sums.data += data;
    sums.total += total;
  }

  #told(): void {
    this.#tell(this.#sums);
    this.#sums = { count: 0, mailFrom: 0, data: 0, total: 0 };
  }
}
