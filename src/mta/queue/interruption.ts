/** Queue priority (section 12): when connections run out, a more urgent queue takes them from less urgent ones. */
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
