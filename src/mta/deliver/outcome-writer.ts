/**
 * Writes what a delivery attempt did: outcome and new state of each recipient in one transaction of the spool, then
 * the scheduler is told. A recipient stays "in delivery" until its outcome is on disk, so nothing is sent twice
 * because a write was slow; when the disk refuses, the write is tried again for as long as it takes.
 */
import type {
  AttemptFacts,
  Bounced,
  Delivered,
  Outcome,
  QueueDeferred,
  StatusFacts,
} from '../../events/outcome.ts';
import type { NewMessage, Settlement, Spool } from '../../spool/spool.ts';
import { SpoolWriteError } from '../../spool/spool-write-error.ts';
import type { Envelope, PendingRecipient, StoredRecipient } from '../../spool/stored-message.ts';
import type { Clock } from '../../system/clock.ts';
import type { Log } from '../../system/log.ts';
import type { Queue, QueuedRecipient } from '../queue/queue.ts';
import type { Scheduler } from '../queue/scheduler.ts';
import { deliveryFacts } from './delivery-facts.ts';
import type { TriedRecipient } from './transaction.ts';

const RETRY_WRITE_MS = 2000;
const LONGEST_KEPT_REPLY = 1000;
const NOTHING: Caused = { messages: [], outcomes: [] };

/** The outcome of one recipient, with the stored message that it belongs to. */
export interface Told {
  readonly envelope: Envelope;
  readonly index: number;
  readonly outcome: Delivered | Bounced;
}

/** Messages of our own, with the records of their reception. */
export interface Caused {
  readonly messages: readonly NewMessage[];
  readonly outcomes: readonly Outcome[];
}

/** What outcomes make us send: reports to senders, copies. Asked before the outcomes are written. */
export type Consequences = (queue: Queue, told: readonly Told[]) => Caused;

export interface OutcomeWriterDeps {
  readonly spool: Spool;
  readonly scheduler: Scheduler;
  readonly clock: Clock;
  readonly log: Log;
  /** Called after each write: the publisher and the dispatcher have something to do. */
  readonly onWritten: () => void;
  /** Stored in the transaction of the outcomes that cause it, so that a kill neither loses nor repeats it. */
  readonly consequences?: Consequences;
  /** Shown what became of a queue's recipients, once it is on disk and the scheduler knows. */
  readonly observe?: (queue: Queue, outcomes: readonly Outcome[]) => void;
  /** Messages of our own are stored: they may be delivered. */
  readonly enqueue?: (recipients: readonly PendingRecipient[]) => void;
}

export class OutcomeWriter {
  readonly #deps: OutcomeWriterDeps;
  readonly #pending = new Set<Promise<void>>();

  constructor(deps: OutcomeWriterDeps) {
    this.#deps = deps;
  }

  /**
   * Records one transaction. Recipients without an answer are not among `tried`. `action`: whether delivery ends here
   * or another host carries on. Nobody need wait for the disk; who wants to may.
   */
  attempted(
    queue: Queue,
    envelope: Envelope,
    tried: readonly TriedRecipient[],
    attempt: Omit<AttemptFacts, 'retries'>,
    size: number,
    action: Delivered['action'] = 'relayed',
  ): Promise<void> {
    const { scheduler, clock } = this.#deps;
    const at = clock.now();
    const holdUntil = scheduler.holdTime(queue, at);
    const settlements: Settlement[] = [];
    const outcomes: Outcome[] = [];
    const told: Told[] = [];
    for (const { item, result } of tried) {
      if (result.kind === 'broken-off') throw new Error('a recipient without an answer has no outcome');
      const facts = {
        at,
        message: deliveryFacts(envelope, item.index),
        recipient: recipientFacts(envelope, item),
        attempt: { ...attempt, retries: item.attempts },
        result: result.status,
      };
      if (result.kind === 'deferred') {
        settlements.push(waiting(queue, item, holdUntil, result.status, attempt.remoteHost));
        outcomes.push({ kind: 'deferred', ...facts });
        continue;
      }
      settlements.push({ spoolId: item.spoolId, index: item.index, state: 'done' });
      const outcome: Delivered | Bounced =
        result.kind === 'delivered'
          ? { kind: 'delivered', ...facts, action, size }
          : { kind: 'bounced', ...facts, queue: queue.name, retries: item.attempts };
      outcomes.push(outcome);
      told.push({ envelope, index: item.index, outcome });
    }
    return this.#write(settlements, outcomes, this.#caused(queue, told), () => {
      const now = clock.now();
      for (const { item, result } of tried) {
        if (result.kind === 'deferred') scheduler.hold(queue, item, now);
        else scheduler.done(queue, result.kind === 'delivered', now);
      }
      this.#deps.observe?.(queue, outcomes);
    });
  }

  /**
   * Bounces recipients for a reason that no attempt of theirs gave: age, a missing domain, a deletion. With `silent`
   * their senders get no report.
   */
  bounced(
    queue: Queue,
    items: readonly QueuedRecipient[],
    attempt: Omit<AttemptFacts, 'retries'> | null,
    result: StatusFacts,
    { silent = false }: { readonly silent?: boolean } = {},
  ): void {
    this.#end(
      queue,
      items,
      (facts, retries) => ({
        kind: 'bounced',
        ...facts,
        attempt: attempt && { ...attempt, retries },
        queue: queue.name,
        retries,
        result,
      }),
      silent,
    );
  }

  /**
   * Bounces recipients that have outlived their time. Status, category and class are those of the expiry; the reply is
   * the last that the recipient got, '' if no host ever answered for it.
   */
  expired(queue: Queue, items: readonly QueuedRecipient[], result: StatusFacts): void {
    const { spool } = this.#deps;
    this.#end(
      queue,
      items,
      (facts, retries, _stored, index) => {
        const reply = spool.pending(facts.message.spoolId, index)?.lastReply;
        return {
          kind: 'bounced',
          ...facts,
          attempt: null,
          queue: queue.name,
          retries,
          result: { ...result, diagnostic: reply?.diagnostic ?? '' },
        };
      },
      false,
    );
  }

  /** Ends recipients without a word: the administrator deleted them and wants no record (`--no-accounting`). */
  dropped(queue: Queue, items: readonly QueuedRecipient[]): void {
    const { scheduler, clock } = this.#deps;
    const settlements = items.map(({ spoolId, index }): Settlement => ({ spoolId, index, state: 'done' }));
    void this.#write(settlements, [], NOTHING, () => {
      for (const _ of items) scheduler.done(queue, false, clock.now());
    });
  }

  /** Bounces recipients that were taken only for that, each with what was found when it came. */
  refused(queue: Queue, items: readonly QueuedRecipient[]): void {
    const bounce = (
      facts: Pick<Bounced, 'at' | 'message' | 'recipient'>,
      retries: number,
      stored: StoredRecipient,
    ) => {
      const { refusal } = stored;
      if (!refusal) throw new Error(`${facts.message.spoolId}: a recipient in ${queue.name} has no refusal`);
      // The queue that it would have joined.
      const name = `${stored.address.slice(stored.address.lastIndexOf('@') + 1)}/${queue.vmta}`;
      return { kind: 'bounced' as const, ...facts, attempt: null, queue: name, retries, result: refusal };
    };
    this.#end(queue, items, bounce, false);
  }

  /** Ends recipients as delivered by this host itself: discarded on purpose. */
  deliveredHere(
    queue: Queue,
    items: readonly QueuedRecipient[],
    attempt: Omit<AttemptFacts, 'retries'>,
    result: StatusFacts,
  ): void {
    this.#end(
      queue,
      items,
      (facts, retries) => ({
        kind: 'delivered',
        ...facts,
        attempt: { ...attempt, retries },
        result,
        action: 'delivered',
        size: facts.message.size,
      }),
      false,
    );
  }

  #end(
    queue: Queue,
    items: readonly QueuedRecipient[],
    outcomeOf: (
      facts: Pick<Bounced, 'at' | 'message' | 'recipient'>,
      retries: number,
      stored: StoredRecipient,
      index: number,
    ) => Delivered | Bounced,
    silent: boolean,
  ): void {
    const { spool, scheduler, clock, log } = this.#deps;
    const at = clock.now();
    const outcomes: Outcome[] = [];
    const told: Told[] = [];
    for (const item of items) {
      const envelope = spool.envelope(item.spoolId);
      if (!envelope) {
        log.error('a queued recipient has no message; it is dropped', {
          id: item.spoolId,
          index: item.index,
        });
        continue;
      }
      const facts = {
        at,
        message: deliveryFacts(envelope, item.index),
        recipient: recipientFacts(envelope, item),
      };
      const outcome = outcomeOf(facts, item.attempts, envelope.recipients[item.index]!, item.index);
      outcomes.push(outcome);
      told.push({ envelope, index: item.index, outcome });
    }
    const settlements = items.map((item) => ({
      spoolId: item.spoolId,
      index: item.index,
      state: 'done' as const,
    }));
    void this.#write(settlements, outcomes, this.#caused(queue, silent ? [] : told), () => {
      for (const _ of items) scheduler.done(queue, false, clock.now());
      this.#deps.observe?.(queue, outcomes);
    });
  }

  /** Writes down that recipients now wait in another queue (`reroute-to-virtual-mta`, a roll-up). */
  moved(queue: Queue, items: readonly QueuedRecipient[]): void {
    const settlements = items.map((item): Settlement => {
      const { spoolId, index, attempts, holdUntil } = item;
      // What the last attempt was told stays true, and a report may want it.
      const lastReply = this.#deps.spool.pending(spoolId, index)?.lastReply;
      const state = { ...pendingIn(queue, item, attempts, holdUntil), ...(lastReply && { lastReply }) };
      return { spoolId, index, state };
    });
    void this.#write(settlements, [], NOTHING, () => {});
  }

  /** The whole queue failed an attempt. */
  queueDeferred(outcome: QueueDeferred): void {
    void this.#write([], [outcome], NOTHING, () => {});
  }

  /** Resolves when everything recorded so far is on disk. */
  async settled(): Promise<void> {
    while (this.#pending.size > 0) await Promise.all(this.#pending);
  }

  /** Asked at once: the message is in the spool for certain only until its last recipient is settled. */
  #caused(queue: Queue, told: readonly Told[]): Caused {
    const { consequences } = this.#deps;
    return consequences && told.length > 0 ? consequences(queue, told) : NOTHING;
  }

  #write(
    settlements: readonly Settlement[],
    outcomes: readonly Outcome[],
    caused: Caused,
    then: () => void,
  ): Promise<void> {
    const { spool, clock, log, onWritten, enqueue } = this.#deps;
    const told = caused.outcomes.length === 0 ? outcomes : [...outcomes, ...caused.outcomes];
    const write = async () => {
      for (;;) {
        try {
          await spool.settle(settlements, told, caused.messages);
          break;
        } catch (error) {
          // The remote host has the message; forgetting that would send it twice. That holds for faults of ours too.
          const words = error instanceof SpoolWriteError ? error.message : stackOf(error);
          log.error(`outcomes wait for the disk: ${words}`);
          await new Promise<void>((resolve) => clock.after(RETRY_WRITE_MS, resolve));
        }
      }
      try {
        then();
        for (const { recipients } of caused.messages) enqueue?.(recipients);
        onWritten();
      } catch (error) {
        log.error(`an outcome is written, and the queue could not be told: ${stackOf(error)}`);
      }
      this.#pending.delete(pending);
    };
    const pending = write();
    this.#pending.add(pending);
    return pending;
  }
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

function recipientFacts(envelope: Envelope, item: QueuedRecipient): Bounced['recipient'] {
  const { address, originalRecipient, messageId } = envelope.recipients[item.index]!;
  return { address, originalRecipient, messageId };
}

function waiting(
  queue: Queue,
  item: QueuedRecipient,
  holdUntil: number,
  { status, diagnostic }: StatusFacts,
  remoteHost: string,
): Settlement {
  const lastReply = { status, diagnostic: diagnostic.slice(0, LONGEST_KEPT_REPLY), remoteHost };
  const state = { ...pendingIn(queue, item, item.attempts + 1, holdUntil), lastReply };
  return { spoolId: item.spoolId, index: item.index, state };
}

/** A recipient as the spool keeps it while it waits in a queue. */
function pendingIn(
  queue: Queue,
  item: QueuedRecipient,
  attempts: number,
  holdUntil: number,
): PendingRecipient {
  return {
    spoolId: item.spoolId,
    index: item.index,
    domain: queue.domain,
    vmta: queue.vmta,
    receivedAt: item.receivedAt,
    attempts,
    holdUntil,
    priority: item.priority,
    size: item.size,
    ...(item.job === '' ? {} : { job: item.job }),
    ...(item.windows === null ? {} : { windows: item.windows }),
  };
}
