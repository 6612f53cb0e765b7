/** Which of the configured name servers is asked next. */
import { getServers } from 'node:dns';
import type { Clock } from '../system/clock.ts';
import type { DnsServerAddress } from './exchange.ts';

/** How long a server that gave no usable answer stands behind those that do. */
const PENALTY_MS = 30_000;

/**
 * The servers in turn, so that each gets its share (guide 3.3.1.26); those that failed lately come last, so that a dead
 * server costs one time-out in half a minute and not one in every second question.
 */
export class NameServers {
  readonly #servers: readonly DnsServerAddress[];
  readonly #clock: Clock;
  readonly #badUntil = new Map<DnsServerAddress, number>();
  #turn = 0;

  /** Those of the operating system when none are given. */
  constructor(given: readonly DnsServerAddress[], clock: Clock) {
    this.#servers = given.length > 0 ? given : systemServers();
    this.#clock = clock;
  }

  get count(): number {
    return this.#servers.length;
  }

  /** The order in which to ask them one question. */
  order(): DnsServerAddress[] {
    const first = this.#turn++ % Math.max(1, this.#servers.length);
    const all = [...this.#servers.slice(first), ...this.#servers.slice(0, first)];
    const now = this.#clock.now();
    const bad = (server: DnsServerAddress) => (this.#badUntil.get(server) ?? 0) > now;
    return [...all.filter((server) => !bad(server)), ...all.filter(bad)];
  }

  failed(server: DnsServerAddress): void {
    this.#badUntil.set(server, this.#clock.now() + PENALTY_MS);
  }

  answered(server: DnsServerAddress): void {
    this.#badUntil.delete(server);
  }
}

function systemServers(): DnsServerAddress[] {
  return getServers().map((server) => {
    const withPort = /^\[(.+)\]:(\d+)$/.exec(server) ?? /^([\d.]+):(\d+)$/.exec(server);
    return withPort ? { address: withPort[1]!, port: Number(withPort[2]) } : { address: server, port: 53 };
  });
}
