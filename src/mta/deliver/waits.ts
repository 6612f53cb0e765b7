import type { Clock } from '../../system/clock.ts';

/** Grants without a connection that wait for their time; the scheduler may call them before it. */
export class Waits {
  readonly #clock: Clock;
  readonly #waiting = new Map<number, () => void>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Resolves at `time`, or when `resume` is called for this grant. */
  async until(id: number, time: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const cancel = this.#clock.after(time - this.#clock.now(), resolve);
      this.#waiting.set(id, () => {
        cancel();
        resolve();
      });
    });
    this.#waiting.delete(id);
  }

  readonly resume = (id: number): void => this.#waiting.get(id)?.();
}
