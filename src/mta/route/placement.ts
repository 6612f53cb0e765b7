/**
 * The queue that a recipient's message joins (delivery guide, sections 6 and 10), decided when it is stored: `queue-to`
 * first, else the roll-up that DNS is known to lead to, then the diversion to a cold VMTA.
 */
import type { Config } from '../../config/index.ts';
import type { Clock } from '../../system/clock.ts';
import type { ColdCounts } from './cold-counts.ts';
import { type Diversion, divertToCold, localDay } from './cold-plan.ts';
import { queueDomain } from './queue-domain.ts';

export interface QueueName {
  readonly domain: string;
  readonly vmta: string;
}

export interface PlacementsDeps {
  readonly cold: ColdCounts;
  /** The roll-up queue that new mail for a domain joins, as far as DNS has answered; null: none. */
  readonly rollup: (config: Config, domain: string, vmta: string) => string | null;
  readonly clock: Clock;
}

export class Placements {
  readonly #deps: PlacementsDeps;
  #day: number;

  constructor(deps: PlacementsDeps) {
    this.#deps = deps;
    this.#day = localDay(deps.clock.now());
    void deps.cold.purge(this.#day);
  }

  /** For one submission. Only what comes over SMTP is diverted to cold VMTAs (D6.6). */
  begin(config: Config, origin: 'smtp' | 'pickup' | 'http'): Placement {
    const now = this.#deps.clock.now();
    const day = localDay(now);
    if (day !== this.#day) {
      this.#day = day;
      void this.#deps.cold.purge(day);
    }
    return new Placement(this.#deps, config, origin === 'smtp', now);
  }
}

/** Places the recipients of one submission, and makes the counts durable together with it. */
export class Placement {
  readonly #deps: PlacementsDeps;
  readonly #config: Config;
  readonly #mayDivert: boolean;
  readonly #now: number;
  readonly #diversions: Diversion[] = [];
  /** Recipients of one message in one queue go the same way, and count once. */
  readonly #placed = new Map<string, QueueName>();

  constructor(deps: PlacementsDeps, config: Config, mayDivert: boolean, now: number) {
    this.#deps = deps;
    this.#config = config;
    this.#mayDivert = mayDivert;
    this.#now = now;
  }

  /**
   * The queue for a recipient of `domain` (A-labels, lower case) whose message was given to `vmta`. `copy`: this
   * recipient's message is one of its own (mail merge), and counts for itself.
   */
  queue(domain: string, vmta: string, copy = false): QueueName {
    const key = `${domain}/${vmta}`;
    const known = copy ? undefined : this.#placed.get(key);
    if (known) return known;
    const named = queueDomain(this.#config, domain, vmta);
    const joined = named === domain ? (this.#deps.rollup(this.#config, domain, vmta) ?? domain) : named;
    const placed = this.#divert(joined, vmta, copy);
    if (!copy) this.#placed.set(key, placed);
    return placed;
  }

  /** Whether there is anything to count. */
  get counts(): boolean {
    return this.#diversions.length > 0;
  }

  /** Resolves when every count is on disk: part of what must have happened before a 250. */
  async counted(): Promise<void> {
    await Promise.all(this.#diversions.map(({ counted }) => counted));
  }

  /** The submission was not accepted. */
  undo(): void {
    for (const diversion of this.#diversions) diversion.undo();
  }

  #divert(domain: string, vmta: string, copy: boolean): QueueName {
    if (!this.#mayDivert) return { domain, vmta };
    // Two domains of one message that share a queue are one message in it.
    const key = `to ${domain}/${vmta}`;
    const known = copy ? undefined : this.#placed.get(key);
    if (known) return known;
    const diversion = divertToCold(this.#config, this.#deps.cold, domain, vmta, this.#now);
    if (diversion) this.#diversions.push(diversion);
    const placed = { domain, vmta: diversion?.vmta ?? vmta };
    if (!copy) this.#placed.set(key, placed);
    return placed;
  }
}
