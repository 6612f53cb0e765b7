/**
 * Who gives way when connections run out: less urgent queues to more urgent ones at once (section 12), and every queue
 * to those that are no less urgent when its connection has had its turn, so that nobody starves behind a long queue.
 */
import type { Connection } from './connection.ts';
import type { ConnectionCounter } from './connection-limits.ts';
import type { Queue } from './queue.ts';

/**
 * The connections that should end so that `queue` gets as many as it wants under this counter: those of the least
 * urgent queues first, none of a queue that forbids it or is no less urgent.
 */
export function connectionsToTake(
  counter: ConnectionCounter,
  connections: ReadonlyMap<number, Connection>,
  queue: Queue,
  wanted: number,
): Connection[] {
  const taken: Connection[] = [];
  if (wanted <= 0) return taken;
  for (const id of counter.holders.below(queue.limits.priority)) {
    const connection = connections.get(id)!;
    if (connection.endsFor || !connection.grant.queue.limits.allowInterruption) continue;
    taken.push(connection);
    if (taken.length >= wanted) break;
  }
  return taken;
}

/** A connection keeps its place under a limit that others wait for so long at least: opening one has a price. */
export const TURN_MS = 30_000;

/**
 * The queue for which an open connection that has had its turn should end: one that waits for a limit under which it
 * is counted, is no less urgent, and has no other connection ending for it.
 */
export function turnGoesTo(
  { grant: { queue }, openedAt, counted }: Connection,
  server: ConnectionCounter,
  now: number,
): Queue | null {
  if (now - openedAt < TURN_MS || !queue.limits.allowInterruption) return null;
  const { priority } = queue.limits;
  for (const counter of [server, queue.vmtaUse.connections, ...counted]) {
    if (counter.waiting.size === 0 || counter.hasRoom) continue;
    for (const next of counter.waiting.notBelow(priority)) {
      if (next !== queue && next.claims === 0) return next;
    }
  }
  return null;
}
