/** What an open connection is given: the recipients of one message, as many as every limit leaves. */
import { rateHold } from './admission.ts';
import type { Connection, Work } from './connection.ts';
import type { DataVolume } from './data-volume.ts';
import type { HoldReason } from './hold.ts';
import { isExpired, nextOpening, type QueuedRecipient } from './queued-recipient.ts';
import type { RateLimiter } from './rate-limit.ts';

/** With no limit of time: a volume waits for transfers under way, which `resume` tells. */
const TRANSFER_MS = 60_000;

/** The queue's first ready recipient may be tried. Spends what rates count. */
export function takeWork(connection: Connection, atMost: number, now: number): Work {
  const { id, queue } = connection.grant;
  const { limits } = queue;
  const source = connection.source;
  if (connection.endsFor || connection.messages >= limits.maxMessagesPerConnection.value)
    return { kind: 'close' };
  if (source && queue.sources.disabledNow(source.address)) return { kind: 'close' };
  const first = queue.ready.peek();
  if (!first) {
    leaveLines(connection);
    if (limits.idleTimeout.value <= 0) return { kind: 'close' };
    queue.idle.push(id);
    return { kind: 'idle', until: now + limits.idleTimeout.value };
  }
  const rates = source ? [queue.messages, source.messages] : [queue.messages];
  const volumes = source ? [queue.data, source.data] : [queue.data];
  let room = Math.min(atMost, limits.maxRecipientsPerMessage.value);
  for (const rate of rates) {
    const free = rate.whole(now);
    if (free < 1) {
      leaveLines(connection);
      return wait(connection, rate, rateHold('message-rate', queue, rate, 0, now), rate.freesAt(1, now), now);
    }
    room = Math.min(room, free);
  }
  for (const volume of volumes) {
    if (volume.mayBegin(now)) continue;
    leaveLines(connection);
    return wait(
      connection,
      volume.limiter,
      rateHold('data-volume-rate', queue, volume.limiter, 0, now),
      volumeFreesAt(volume, now),
      now,
    );
  }
  for (const gate of queue.vmtaUse.gates) {
    const share = gate.share(queue, connection.owed, now);
    if (share >= 1) {
      room = Math.min(room, share);
      continue;
    }
    // In one line at a time: two queues that wait for each other's turn would never get on.
    leaveLines(connection);
    gate.line.add(queue, connection.owed ? 1 : 0);
    return wait(connection, gate.limiter, gate.hold(now), gate.waitUntil(queue, now), now);
  }
  leaveLines(connection);
  const items = sameMessage(connection, room, now);
  connection.messages++;
  queue.inDelivery += items.length;
  for (const rate of [...rates, queue.vmtaUse.messageGate.limiter]) rate.spend(items.length, now);
  for (const gate of queue.vmtaUse.gates) gate.keep(id);
  connection.transfer = [...volumes, queue.vmtaUse.data].filter((volume) => volume.limited);
  for (const volume of connection.transfer) volume.begin();
  return { kind: 'deliver', items };
}

/** One connection of a queue waits for a rate; more of them would only wait as well. */
function wait(
  { grant: { id, queue } }: Connection,
  limiter: RateLimiter,
  hold: HoldReason,
  until: number,
  now: number,
): Work {
  if ([...queue.waiting.values()].includes(limiter)) return { kind: 'close' };
  queue.waiting.set(id, limiter);
  return { kind: 'wait', until: Math.max(until, now + 1), hold };
}

function volumeFreesAt(volume: DataVolume, now: number): number {
  return volume.waitsForTransfers(now) ? now + TRANSFER_MS : volume.limiter.freesAt(1, now);
}

function leaveLines({ grant: { queue } }: Connection): void {
  for (const gate of queue.vmtaUse.gates) gate.line.delete(queue);
}

/** The first ready recipient and those behind it that are of the same message. */
function sameMessage({ grant: { queue } }: Connection, room: number, now: number): QueuedRecipient[] {
  const first = queue.ready.shift()!;
  const items = [first];
  const bounceAfter = queue.limits.bounceAfter.value;
  for (let next = queue.ready.peek(); next && items.length < room; next = queue.ready.peek()) {
    if (next.spoolId !== first.spoolId || next.job !== first.job) break;
    if (isExpired(next, bounceAfter, now) || nextOpening(next, now) > now) break;
    items.push(queue.ready.shift()!);
  }
  return items;
}
