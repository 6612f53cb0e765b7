/** One queue's local addresses: what each has in use for it, and which are disabled (D5.7, D8.14 to D8.16). */
import { DataVolume } from './data-volume.ts';
import type { QueueLimits, SourceLimits } from './limits.ts';
import { RateLimiter } from './rate-limit.ts';

/** A local address that connections may come from, and the name it greets with. */
export interface SourceAddress {
  readonly address: string;
  readonly host: string;
}

export interface Disabled {
  /** When it comes back by itself; null: when somebody enables it. */
  readonly until: number | null;
  readonly why: string;
}

const UNLIMITED = { directive: '', value: Number.POSITIVE_INFINITY, origin: null };
const NO_LIMITS: SourceLimits = {
  connections: UNLIMITED,
  messageRate: UNLIMITED,
  dataRate: UNLIMITED,
  connectRate: UNLIMITED,
};

/** What one queue does from one local address. */
export class SourceUse {
  readonly address: string;
  readonly limits: () => SourceLimits;
  connections = 0;
  readonly messages: RateLimiter;
  readonly connects: RateLimiter;
  readonly data: DataVolume;

  constructor(address: string, limits: () => QueueLimits) {
    this.address = address;
    this.limits = () => limits().source?.(address) ?? NO_LIMITS;
    this.messages = new RateLimiter(() => this.limits().messageRate);
    this.connects = new RateLimiter(() => this.limits().connectRate);
    this.data = new DataVolume(() => this.limits().dataRate);
  }

  get forgettableAt(): number {
    return Math.max(
      this.messages.forgettableAt,
      this.connects.forgettableAt,
      this.data.limiter.forgettableAt,
    );
  }
}

export class SourcePool {
  readonly #limits: () => QueueLimits;
  readonly #uses = new Map<string, SourceUse>();
  readonly #disabled = new Map<string, Disabled>();
  /** The VMTA's addresses of each family, as last seen. */
  #seen: { 4: readonly SourceAddress[]; 6: readonly SourceAddress[] } = { 4: [], 6: [] };

  constructor(limits: () => QueueLimits) {
    this.#limits = limits;
  }

  /** '' stands for the address that the system chooses. */
  use(address: string): SourceUse {
    let use = this.#uses.get(address);
    if (!use) {
      use = new SourceUse(address, this.#limits);
      this.#uses.set(address, use);
    }
    return use;
  }

  see(family: 4 | 6, sources: readonly SourceAddress[]): void {
    if (this.#seen[family] !== sources) this.#seen = { ...this.#seen, [family]: sources };
  }

  disable(address: string, disabled: Disabled): void {
    this.#disabled.set(address, disabled);
  }

  enable(address: string): boolean {
    return this.#disabled.delete(address);
  }

  /** Without addresses of its own a VMTA has one, the system's: what is disabled is that. */
  disabledNow(address: string): Disabled | undefined {
    if (address !== '') return this.#disabled.get(address);
    const [first] = this.#disabled.values();
    return first;
  }

  get disabled(): ReadonlyMap<string, Disabled> {
    return this.#disabled;
  }

  /** Every address that the VMTA has, as far as is known, is disabled. */
  get allDisabled(): boolean {
    if (this.#disabled.size === 0) return false;
    const known = [...this.#seen[4], ...this.#seen[6]];
    return known.every(({ address }) => this.#disabled.has(address));
  }

  /** When the next address comes back by itself; Infinity for never. */
  get nextReturn(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const { until } of this.#disabled.values()) next = Math.min(next, until ?? next);
    return next;
  }

  /** Until then something is counted, or disabled, that must not be forgotten. */
  get forgettableAt(): number {
    if (this.#disabled.size > 0) return Number.POSITIVE_INFINITY;
    let at = 0;
    for (const use of this.#uses.values()) at = Math.max(at, use.forgettableAt);
    return at;
  }
}
