/** Leave to connect to one host from one local address: limits that are known only when the host is (D5.6, D5.7). */
import { isIPv6 } from 'node:net';
import type { Blocker, Connection } from './connection.ts';
import { type ConnectionCounter, RemoteCounters } from './connection-limits.ts';
import type { HoldKind, HoldReason, Limit } from './hold.ts';
import type { LimitSource } from './limits.ts';
import type { RateLimiter } from './rate-limit.ts';
import type { SourceAddress, SourceUse } from './source-pool.ts';

export type Reserved =
  /** null: the system chooses the local address. */
  | { readonly kind: 'source'; readonly source: SourceAddress | null }
  | { readonly kind: 'held'; readonly hold: HoldReason };

export class Reservations {
  readonly #remote: RemoteCounters;

  constructor(limits: LimitSource) {
    this.#remote = new RemoteCounters(limits);
  }

  /** The connection has nothing reserved when this is called. What refuses is noted among its blockers. */
  reserve(
    connection: Connection,
    target: { readonly host: string; readonly address: string },
    sources: readonly SourceAddress[],
    now: number,
  ): Reserved {
    const { queue } = connection.grant;
    // Behind a proxy the addresses are of the proxy's family.
    const family = isIPv6(sources[0]?.address ?? target.address) ? 6 : 4;
    queue.sources.see(family, sources);
    const address = this.#remote.address(target.address);
    if (address && !address.admitsConnection(connection.ticket, queue)) {
      connection.blockers.push(counterBlocker(address));
      return { kind: 'held', hold: address.hold };
    }
    const refusals: Blocker[] = [];
    const start = this.#turn(connection, family, sources.length);
    const choices = Math.max(1, sources.length);
    for (let i = 0; i < choices; i++) {
      const source = sources[(start + i) % choices] ?? null;
      const host = this.#remote.host(target.host, source?.address ?? '');
      const refusal = refusalOf(connection, source, host, now);
      if (refusal) {
        refusals.push(refusal);
        continue;
      }
      const use = queue.sources.use(source?.address ?? '');
      use.connections++;
      use.connects.spend(1, now);
      connection.source = use;
      for (const counter of [address, host]) {
        if (!counter) continue;
        counter.inUse++;
        connection.counted.push(counter);
      }
      return { kind: 'source', source };
    }
    connection.blockers.push(...refusals);
    return { kind: 'held', hold: soonest(refusals.map(({ hold }) => hold)) };
  }

  forgetUnused(counter: ConnectionCounter): void {
    this.#remote.forgetUnused(counter);
  }

  #turn(connection: Connection, family: 4 | 6, choices: number): number {
    if (choices <= 1) return 0;
    const { turns } = connection.grant.queue.vmtaUse;
    const own = connection.turn[family] ?? turns[family] % choices;
    if (connection.turn[family] === null) {
      connection.turn[family] = own;
      turns[family] = (own + 1) % choices;
    }
    return own;
  }
}

/** Why this local address may not be used for this host; null when it may. */
function refusalOf(
  connection: Connection,
  source: SourceAddress | null,
  host: ConnectionCounter | null,
  now: number,
): Blocker | null {
  const { queue } = connection.grant;
  const name = source?.address ?? '';
  const { sources } = queue;
  const disabled = sources.disabledNow(name);
  if (disabled) {
    const hold: HoldReason = {
      kind: 'sources-disabled',
      limit: null,
      current: sources.disabled.size,
      freesAt: disabled.until,
      remedy: `${name || 'the source address'} is disabled (${disabled.why}); wait, or: pmta enable source ${name || '*'} ${queue.name}`,
    };
    return { hold, counter: null, still: () => sources.disabledNow(name) !== undefined };
  }
  if (host && !host.admitsConnection(connection.ticket, queue)) return counterBlocker(host);
  if (!queue.limits.source) return null;
  const use = sources.use(name);
  const { connections } = use.limits();
  if (use.connections >= connections.value) {
    return {
      hold: sourceHold('source-connections', use, connections, use.connections, null),
      counter: null,
      still: () => use.connections >= use.limits().connections.value,
    };
  }
  for (const [kind, limiter] of [
    ['connect-rate', use.connects],
    ['message-rate', use.messages],
    ['data-volume-rate', use.data.limiter],
  ] as const) {
    if (limiter.whole(now) >= 1) continue;
    return rateBlocker(kind, use, limiter, now);
  }
  return null;
}

function counterBlocker(counter: ConnectionCounter): Blocker {
  return { hold: counter.hold, counter, still: () => !counter.hasRoom || counter.waiting.size > 0 };
}

function rateBlocker(kind: HoldKind, use: SourceUse, limiter: RateLimiter, now: number): Blocker {
  const hold = sourceHold(kind, use, limiter.limit, limiter.spent(now), limiter.freesAt(1, now));
  return { hold, counter: null, still: (at) => limiter.whole(at) < 1 };
}

function sourceHold(
  kind: HoldKind,
  use: SourceUse,
  limit: Limit,
  current: number,
  freesAt: number | null,
): HoldReason {
  return {
    kind,
    limit,
    current,
    freesAt,
    remedy: `wait, or raise ${limit.directive} for ${use.address || 'the source address'}`,
  };
}

/** Several local addresses are held: the first that comes free ends the wait. */
function soonest(holds: readonly HoldReason[]): HoldReason {
  let best = holds[0]!;
  for (const hold of holds) {
    if (hold.freesAt !== null && (best.freesAt === null || hold.freesAt < best.freesAt)) best = hold;
  }
  // Disabled addresses say little about the wait when others are merely busy.
  if (best.kind === 'sources-disabled') return holds.find(({ kind }) => kind !== 'sources-disabled') ?? best;
  return best;
}
