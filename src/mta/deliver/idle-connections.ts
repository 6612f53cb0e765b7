import type { SmtpClient } from '../../smtp/index.ts';
import type { Clock } from '../../system/clock.ts';

/** Open connections that wait: for new work, or for a limit to free. */
export class IdleConnections {
  readonly #clock: Clock;
  readonly #waiting = new Map<number, () => void>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Ends the wait of one connection: there is work, or it is gone. */
  wake(id: number): void {
    this.#waiting.get(id)?.();
  }

  /** Waits until `wake` (true) or until the time has come (false). */
  async wait(id: number, until: number): Promise<boolean> {
    const woken = await new Promise<boolean>((resolve) => {
      const cancel = this.#clock.after(Math.max(0, until - this.#clock.now()), () => resolve(false));
      this.#waiting.set(id, () => {
        cancel();
        resolve(true);
      });
    });
    this.#waiting.delete(id);
    return woken;
  }

  /** The end of the connection ends its wait too. */
  watch(id: number, client: SmtpClient): void {
    client.onClose(() => this.wake(id));
  }
}
