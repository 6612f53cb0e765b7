import type { Clock } from './clock.ts';

/**
 * A time limit that moves often. It moves with every command; the timer behind it is set anew only when it has fired
 * too early, for setting one each time would cost more than the command itself.
 */
export class Deadline {
  readonly #clock: Clock;
  readonly #then: () => void;
  #at = Number.POSITIVE_INFINITY;
  #timerAt = 0;
  #cancel: (() => void) | null = null;

  /** `then` is called once for each deadline that passes. */
  constructor(clock: Clock, then: () => void) {
    this.#clock = clock;
    this.#then = then;
  }

  /** From now, in place of the deadline before. */
  set(ms: number): void {
    this.#at = this.#clock.now() + ms;
    if (this.#cancel && this.#timerAt <= this.#at) return;
    this.#cancel?.();
    this.#timerAt = this.#at;
    this.#cancel = this.#clock.after(ms, this.#fired);
  }

  /** No limit for now; a timer may be left that finds nothing to do. */
  lift(): void {
    this.#at = Number.POSITIVE_INFINITY;
  }

  /** No limit, and no timer left. */
  stop(): void {
    this.lift();
    this.#cancel?.();
    this.#cancel = null;
  }

  readonly #fired = (): void => {
    this.#cancel = null;
    if (this.#at === Number.POSITIVE_INFINITY) return;
    const left = this.#at - this.#clock.now();
    if (left > 0) {
      this.set(left);
      return;
    }
    this.lift();
    this.#then();
  };
}
