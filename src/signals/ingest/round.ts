import type { EventRow, EventStore, MessageRow } from '../store/event-store.ts';
import { enriched, isEnriched, type NormalEvent, rowOf, type ShownEvent } from './normalise.ts';
import type { Providers } from './providers/providers.ts';

/** A valid event of a batch that waits to be stored. */
export interface WaitingEvent {
  readonly batchId: string;
  readonly event: NormalEvent;
}

/** What became of the events of each batch, by its id. */
export interface RoundResult {
  /** Times of the events that are stored, milliseconds since the epoch. */
  readonly succeeded: Map<string, number[]>;
  /** How many were known. */
  readonly duplicates: Map<string, number>;
}

function count(into: Map<string, number>, batchId: string): void {
  into.set(batchId, (into.get(batchId) ?? 0) + 1);
}

/**
 * Stores events, each once however often this is called with it: removes duplicates, enriches, inserts, and enriches
 * stored events whose injection has now come. With `doubt`, part of the events may have been stored by a call that
 * broke off; it is looked for, and what hangs on it is mended.
 *
 * An event id may stand in `waiting` several times, from several batches; the first is the event.
 */
export async function storeRound(
  store: EventStore,
  waiting: readonly WaitingEvent[],
  doubt: boolean,
  providers: Providers,
  log: (message: string) => void,
): Promise<RoundResult> {
  const result: RoundResult = { succeeded: new Map(), duplicates: new Map() };
  if (waiting.length === 0) return result;
  // First of all: what is looked up below must know all that stands in `events`, or an open that comes anew would not
  // find its delivery, nor a delivery its open.
  if (doubt) await store.repairLookups([...new Set(waiting.map((w) => w.batchId))]);
  const known = await store.knownIds([...new Set(waiting.map((w) => w.event.eventId))]);
  if (doubt) {
    const times = waiting.map((w) => w.event.at);
    const batches = new Set(waiting.map((w) => w.batchId));
    const stored = await store.storedOf(
      [...batches],
      times.reduce((a, b) => Math.min(a, b)),
      times.reduce((a, b) => Math.max(a, b)),
    );
    // The lookup may have become durable without the event: of these batches only the events themselves count.
    for (const [id, batch] of known) if (batches.has(batch)) known.delete(id);
    for (const [id, batch] of stored) known.set(id, batch);
  }
  const fresh: WaitingEvent[] = [];
  const already: WaitingEvent[] = [];
  const taken = new Set<string>();
  for (const one of waiting) {
    const { eventId } = one.event;
    const holder = known.get(eventId);
    if (taken.has(eventId) || (holder !== undefined && holder !== one.batchId)) {
      count(result.duplicates, one.batchId);
      continue;
    }
    taken.add(eventId);
    const times = result.succeeded.get(one.batchId);
    if (times) times.push(one.event.at);
    else result.succeeded.set(one.batchId, [one.event.at]);
    (holder === undefined ? fresh : already).push(one);
  }
  const rows = await enrichedRows(store, fresh, providers);
  // Asked for the stored injections too: the break may have come before their orphans were looked after.
  rows.push(...(await adopted(store, doubt ? [...fresh, ...already] : fresh, providers)));
  if (rows.length > 0) await store.insert(rows);
  if (doubt) await store.repairRollups([...new Set(waiting.map((w) => w.batchId))], log);
  return result;
}

function parsed(row: MessageRow): ShownEvent {
  return JSON.parse(row.data) as ShownEvent;
}

/**
 * The message an event belongs to. An id of the sender's own choice may exist in several subaccounts; an event that
 * names none is given to a message only if there is no second candidate.
 */
function choose<T extends { subaccount: number }>(candidates: readonly T[], subaccount: number): T | null {
  const own = candidates.find((c) => c.subaccount === subaccount);
  if (own) return own;
  return subaccount === 0 && candidates.length === 1 ? candidates[0]! : null;
}

interface Candidate {
  readonly subaccount: number;
  readonly injection: boolean;
  readonly shown: ShownEvent;
  readonly vmta: string;
  readonly node: string;
}

function subaccountOf(shown: ShownEvent): number {
  return typeof shown.subaccount_id === 'number' ? shown.subaccount_id : 0;
}

/** Messages that the events of this round tell of themselves. */
function messagesAmong(events: readonly WaitingEvent[]): Map<string, Candidate[]> {
  const found = new Map<string, Candidate[]>();
  for (const { event } of events) {
    if (event.messageId === '' || (event.type !== 'injection' && event.type !== 'delivery')) continue;
    const subaccount = subaccountOf(event.shown);
    const { shown, vmta, node } = event;
    const candidate = { subaccount, injection: event.type === 'injection', shown, vmta, node };
    const others = found.get(event.messageId);
    if (!others) found.set(event.messageId, [candidate]);
    else {
      const same = others.findIndex((o) => o.subaccount === subaccount);
      if (same < 0) others.push(candidate);
      else if (candidate.injection && !others[same]!.injection) others[same] = candidate;
    }
  }
  return found;
}

async function enrichedRows(
  store: EventStore,
  fresh: readonly WaitingEvent[],
  providers: Providers,
): Promise<EventRow[]> {
  const here = messagesAmong(fresh);
  const wanted = new Set<string>();
  for (const { event } of fresh) {
    // An injection of another subaccount is no reason not to look for the event's own.
    const subaccount = subaccountOf(event.shown);
    const isHere = here.get(event.messageId)?.some((c) => c.injection && c.subaccount === subaccount);
    if (isEnriched(event.type) && !isHere) wanted.add(event.messageId);
  }
  const stored = await store.messages([...wanted]);
  return fresh.map(({ batchId, event }) => {
    if (!isEnriched(event.type)) return rowOf(event, batchId, 1, false, providers);
    const subaccount = subaccountOf(event.shown);
    const candidates = new Map<number, Candidate>();
    for (const row of stored.get(event.messageId) ?? []) {
      candidates.set(row.subaccount_id, {
        subaccount: row.subaccount_id,
        injection: row.injection === 1,
        shown: parsed(row),
        vmta: row.vmta,
        node: row.node,
      });
    }
    for (const candidate of here.get(event.messageId) ?? []) {
      if (candidate.injection || !candidates.has(candidate.subaccount)) {
        candidates.set(candidate.subaccount, candidate);
      }
    }
    const message = choose([...candidates.values()], subaccount);
    if (!message) return rowOf(event, batchId, 1, true, providers);
    const { at, shown, vmta, node } = event;
    return rowOf(enriched({ at, shown, vmta, node }, message), batchId, 1, false, providers);
  });
}

/** Two rows for each stored event whose message has come only now: one that takes it back, one that is complete. */
async function adopted(
  store: EventStore,
  fresh: readonly WaitingEvent[],
  providers: Providers,
): Promise<EventRow[]> {
  const here = messagesAmong(fresh);
  const batchOf = new Map(fresh.map((w) => [w.event.messageId, w.batchId]));
  const orphans = await store.orphansOf([...here.keys()]);
  const rows: EventRow[] = [];
  for (const orphan of orphans) {
    const message = choose(here.get(orphan.message_id) ?? [], orphan.subaccount_id);
    if (!message) continue;
    const { ts: at, vmta, node } = orphan;
    const shown = JSON.parse(orphan.data) as ShownEvent;
    const batchId = batchOf.get(orphan.message_id)!;
    rows.push({ ...orphan, batch_id: batchId, sign: -1 });
    rows.push(
      rowOf(enriched({ at, shown, vmta, node }, message), batchId, orphan.version + 1, false, providers),
    );
  }
  return rows;
}
