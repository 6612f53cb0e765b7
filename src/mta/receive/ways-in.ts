import type { Config } from '../../config/index.ts';
import type { Pickup } from './pickup/pickup.ts';
import type { TransmissionsListeners } from './transmissions/transmissions-listeners.ts';

/** One way that mail comes in. */
interface Way {
  /** Brings a configuration into force; UserError when it cannot, and then nothing of this way has changed. */
  apply(config: Config): Promise<void>;
}

/** Listening addresses of SMTP, wherever they are served. */
export interface SmtpWay extends Way {
  readonly addresses: readonly string[];
  /** Takes no more connections; resolves when all sessions have ended, which are cut after `graceMs`. */
  close(graceMs: number): Promise<void>;
}

/** Every way that mail comes in, brought into force together. */
export class WaysIn {
  readonly #listeners: SmtpWay;
  readonly #transmissions: TransmissionsListeners;
  readonly #pickup: Pickup;
  readonly #ways: readonly Way[];
  #config: Config | null = null;

  constructor(listeners: SmtpWay, transmissions: TransmissionsListeners, pickup: Pickup) {
    this.#listeners = listeners;
    this.#transmissions = transmissions;
    this.#pickup = pickup;
    this.#ways = [listeners, transmissions, pickup];
  }

  /** Where mail may be brought, for people. */
  get addresses(): string[] {
    const { folder } = this.#pickup;
    const own = [...this.#listeners.addresses, ...this.#transmissions.addresses];
    return folder ? [...own, `file://${folder}`] : own;
  }

  /** All of them, or, when one cannot, all as they were. */
  async apply(config: Config): Promise<void> {
    const before = this.#config;
    const changed: Way[] = [];
    try {
      for (const way of this.#ways) {
        await way.apply(config);
        changed.push(way);
      }
    } catch (error) {
      if (before) for (const way of changed) await way.apply(before);
      throw error;
    }
    this.#config = config;
  }

  /** Takes no more and finishes what is in hand; sessions that go on are cut after `graceMs`. */
  async close(graceMs: number): Promise<void> {
    await Promise.all([
      this.#listeners.close(graceMs),
      this.#transmissions.close(graceMs),
      this.#pickup.close(),
    ]);
  }
}
