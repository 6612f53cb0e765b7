/** Where mail goes that a queue does not keep: to another VMTA's queue of the same domain, and on (D8.2 to D8.4). */

/** Circles whose report is remembered. */
const MOST_REPORTED = 1000;
/** VMTAs of one chain; beyond, the mail stays where the chain has come to. */
const LONGEST = 100;

export class Reroutes {
  readonly #rerouteOf: (domain: string, vmta: string) => string | null;
  readonly #onLoop: (queues: readonly string[]) => void;
  readonly #reported = new Set<string>();

  /** `rerouteOf` answers the VMTA that takes the mail of a queue in its present mode; null when it stays. */
  constructor(
    rerouteOf: (domain: string, vmta: string) => string | null,
    onLoop: (queues: readonly string[]) => void,
  ) {
    this.#rerouteOf = rerouteOf;
    this.#onLoop = onLoop;
  }

  /** The VMTA whose queue takes the mail of `domain/vmta`; that VMTA itself when its queue keeps it. */
  target(domain: string, vmta: string): string {
    let next = this.#rerouteOf(domain, vmta);
    // Nearly always.
    if (next === null) return vmta;
    const chain = [vmta];
    for (let at = vmta; next !== null && next !== at && chain.length < LONGEST; ) {
      const before = chain.indexOf(next);
      if (before >= 0) {
        this.#report(chain.slice(before).map((one) => `${domain}/${one}`));
        return at;
      }
      chain.push(next);
      at = next;
      next = this.#rerouteOf(domain, at);
    }
    return chain.at(-1)!;
  }

  #report(circle: readonly string[]): void {
    const key = circle.toSorted().join(' ');
    if (this.#reported.has(key)) return;
    if (this.#reported.size >= MOST_REPORTED) this.#reported.clear();
    this.#reported.add(key);
    this.#onLoop(circle);
  }
}
