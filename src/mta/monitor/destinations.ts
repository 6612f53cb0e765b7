/**
 * Outcomes by VMTA and destination for Prometheus. The names come from outside and series are dear, so only the
 * busiest get one of their own and the rest is counted as `other`; no series ever goes down.
 */
import type { Outcome } from '../../events/outcome.ts';
import type { Queue } from '../queue/queue.ts';

export interface OutcomeCounts {
  delivered: number;
  bounced: number;
  deferred: number;
}

const MOST_NAMED = 50;
/** Names outside the series that are watched for becoming busy. */
const MOST_WATCHED = 5000;
/** How much busier than the quietest of the named one must be to take its place: else two of them change for ever. */
const TAKEOVER = 2;

/** Counts by name, `most` of them named. */
export class LabelledCounts {
  readonly #most: number;
  readonly #named = new Map<string, OutcomeCounts>();
  /** What was counted under `other` lately, by name. */
  readonly #watched = new Map<string, number>();
  readonly other: OutcomeCounts = none();

  constructor(most = MOST_NAMED) {
    this.#most = most;
  }

  get named(): ReadonlyMap<string, Readonly<OutcomeCounts>> {
    return this.#named;
  }

  add(name: string, kind: keyof OutcomeCounts): void {
    // A VMTA may be called so; one name must not make two series, which no scraper takes.
    if (name === 'other') {
      this.other[kind]++;
      return;
    }
    let counts = this.#named.get(name);
    if (!counts && this.#deservesName(name)) {
      counts = none();
      this.#named.set(name, counts);
      this.#watched.delete(name);
    }
    (counts ?? this.other)[kind]++;
  }

  #deservesName(name: string): boolean {
    if (this.#named.size < this.#most) return true;
    const seen = (this.#watched.get(name) ?? 0) + 1;
    if (this.#watched.size >= MOST_WATCHED) this.#watched.clear();
    this.#watched.set(name, seen);
    // Looking for the quietest is work; now and then is enough.
    if (seen % 100 !== 0) return false;
    let quietest: [string, OutcomeCounts] | null = null;
    for (const entry of this.#named) {
      if (!quietest || sum(entry[1]) < sum(quietest[1])) quietest = entry;
    }
    if (!quietest || seen < TAKEOVER * sum(quietest[1])) return false;
    const [left, counts] = quietest;
    this.#named.delete(left);
    this.other.delivered += counts.delivered;
    this.other.bounced += counts.bounced;
    this.other.deferred += counts.deferred;
    return true;
  }
}

export class Destinations {
  readonly vmtas = new LabelledCounts();
  readonly domains = new LabelledCounts();

  outcomes(queue: Queue, outcomes: readonly Outcome[]): void {
    for (const { kind } of outcomes) {
      if (kind !== 'delivered' && kind !== 'bounced' && kind !== 'deferred') continue;
      this.vmtas.add(queue.vmta, kind);
      this.domains.add(queue.domain, kind);
    }
  }
}

function none(): OutcomeCounts {
  return { delivered: 0, bounced: 0, deferred: 0 };
}

function sum({ delivered, bounced, deferred }: OutcomeCounts): number {
  return delivered + bounced + deferred;
}
