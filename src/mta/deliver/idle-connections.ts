import type { SmtpClient } from '../../smtp/index.ts';
import type { Clock } from '../../system/clock.ts';
import { Deadline } from '../../system/deadline.ts';

interface Wait {
  readonly deadline: Deadline;
  /** Ends it, when somebody waits. */
  end: ((woken: boolean) => void) | null;
}

/** Open connections that wait: for new work, or for a limit to free. */
export class IdleConnections {
  readonly #clock: Clock;
  readonly #waits = new Map<number, Wait>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Ends the wait of one connection: there is work, or it is gone. */
  wake(id: number): void {
    const wait = this.#waits.get(id);
    wait?.deadline.lift();
    this.#end(wait, true);
  }

  /** Waits until `wake` (true) or until the time has come (false). */
  wait(id: number, until: number): Promise<boolean> {
    let wait = this.#waits.get(id);
    if (!wait) {
      const made: Wait = { deadline: new Deadline(this.#clock, () => this.#end(made, false)), end: null };
      wait = made;
      this.#waits.set(id, made);
    }
    const { promise, resolve } = Promise.withResolvers<boolean>();
    wait.end = resolve;
    wait.deadline.set(Math.max(0, until - this.#clock.now()));
    return promise;
  }

  #end(wait: Wait | undefined, woken: boolean): void {
    const end = wait?.end;
    if (!end) return;
    wait.end = null;
    end(woken);
  }

  /** The end of the connection ends its wait too. */
  watch(id: number, client: SmtpClient): void {
    client.onClose(() => {
      this.wake(id);
      this.#waits.get(id)?.deadline.stop();
      this.#waits.delete(id);
    });
  }
}
