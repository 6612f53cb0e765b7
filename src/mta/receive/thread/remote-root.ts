/** Root for the moment in which a port is bound: only the main thread can change the user of the process. */
import { withRoot } from '../../../system/privileges.ts';

export interface RootAsked {
  readonly kind: 'root-wanted' | 'root-done';
  readonly ask: number;
}

export interface RootGiven {
  readonly kind: 'root-given';
  readonly ask: number;
}

/** The thread's end. */
export class RemoteRoot {
  readonly #say: (asked: RootAsked) => void;
  readonly #waiting = new Map<number, () => void>();
  #last = 0;

  constructor(say: (asked: RootAsked) => void) {
    this.#say = say;
  }

  /** As `withRoot`. */
  readonly raise = (): Promise<() => void> => {
    const ask = ++this.#last;
    return new Promise((resolve) => {
      this.#waiting.set(ask, () => resolve(() => this.#say({ kind: 'root-done', ask })));
      this.#say({ kind: 'root-wanted', ask });
    });
  };

  given({ ask }: RootGiven): void {
    this.#waiting.get(ask)?.();
    this.#waiting.delete(ask);
  }
}

/** The main thread's end. */
export class RootForThread {
  readonly #say: (given: RootGiven) => void;
  readonly #held = new Map<number, () => void>();

  constructor(say: (given: RootGiven) => void) {
    this.#say = say;
  }

  async asked({ kind, ask }: RootAsked): Promise<void> {
    if (kind === 'root-wanted') {
      this.#held.set(ask, await withRoot());
      this.#say({ kind: 'root-given', ask });
      return;
    }
    this.#held.get(ask)?.();
    this.#held.delete(ask);
  }
}
