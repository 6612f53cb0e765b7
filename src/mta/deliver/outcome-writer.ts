/**
 * Writes what a delivery attempt did: outcome and new state of each recipient in one transaction of the spool, then
 * the scheduler is told. A recipient stays "in delivery" until its outcome is on disk, so nothing is sent twice
 * because a write was slow; when the disk refuses, the write is tried again for as long as it takes.
 */
import type { AttemptFacts, Bounced, Outcome, QueueDeferred, StatusFacts } from '../../events/outcome.ts';
import { type Settlement, type Spool, SpoolWriteError } from '../../spool/spool.ts';
import { type Envelope, factsFor } from '../../spool/stored-message.ts';
import type { Clock } from '../../system/clock.ts';
import type { Log } from '../../system/log.ts';
import type { Queue, QueuedRecipient } from '../queue/queue.ts';
import type { Scheduler } from '../queue/scheduler.ts';
import type { TriedRecipient } from './transaction.ts';

const RETRY_WRITE_MS = 2000;

export interface OutcomeWriterDeps {
  readonly spool: Spool;
  readonly scheduler: Scheduler;
  readonly clock: Clock;
  readonly log: Log;
  /** Called after each write: the publisher and the dispatcher have something to do. */
  readonly onWritten: () => void;
}

export class OutcomeWriter {
  readonly #deps: OutcomeWriterDeps;
  readonly #pending = new Set<Promise<void>>();

  constructor(deps: OutcomeWriterDeps) {
    this.#deps = deps;
  }

  /** Records one transaction. Recipients without an answer are not among `tried`. Does not wait for the disk. */
  attempted(
    queue: Queue,
    envelope: Envelope,
    tried: readonly TriedRecipient[],
    attempt: Omit<AttemptFacts, 'retries'>,
    size: number,
  ): void {
    const { scheduler, clock } = this.#deps;
    const at = clock.now();
    const holdUntil = scheduler.holdTime(queue, at);
    const settlements: Settlement[] = [];
    const outcomes: Outcome[] = [];
    for (const { item, result } of tried) {
      if (result.kind === 'broken-off') throw new Error('a recipient without an answer has no outcome');
      const facts = {
        at,
        message: factsFor(envelope, item.index),
        recipient: recipientFacts(envelope, item),
        attempt: { ...attempt, retries: item.attempts },
        result: result.status,
      };
      if (result.kind === 'deferred') {
        settlements.push(waiting(queue, item, holdUntil));
        outcomes.push({ kind: 'deferred', ...facts });
        continue;
      }
      settlements.push({ spoolId: item.spoolId, index: item.index, state: 'done' });
      outcomes.push(
        result.kind === 'delivered'
          ? { kind: 'delivered', ...facts, action: 'relayed', size }
          : { kind: 'bounced', ...facts, queue: queue.name, retries: item.attempts },
      );
    }
    this.#write(settlements, outcomes, () => {
      const now = clock.now();
      for (const { item, result } of tried) {
        if (result.kind === 'deferred') scheduler.hold(queue, item, now);
        else scheduler.done(queue, result.kind === 'delivered');
      }
    });
  }

  /** Bounces recipients for a reason that no attempt of theirs gave: age, a missing domain, a deletion. */
  bounced(
    queue: Queue,
    items: readonly QueuedRecipient[],
    attempt: Omit<AttemptFacts, 'retries'> | null,
    result: StatusFacts,
  ): void {
    this.#end(queue, items, (facts, retries) => ({
      kind: 'bounced',
      ...facts,
      attempt: attempt && { ...attempt, retries },
      queue: queue.name,
      retries,
      result,
    }));
  }

  /** Ends recipients as delivered by this host itself: discarded on purpose. */
  deliveredHere(
    queue: Queue,
    items: readonly QueuedRecipient[],
    attempt: Omit<AttemptFacts, 'retries'>,
    result: StatusFacts,
  ): void {
    this.#end(queue, items, (facts, retries) => ({
      kind: 'delivered',
      ...facts,
      attempt: { ...attempt, retries },
      result,
      action: 'delivered',
      size: facts.message.size,
    }));
  }

  #end(
    queue: Queue,
    items: readonly QueuedRecipient[],
    outcomeOf: (facts: Pick<Bounced, 'at' | 'message' | 'recipient'>, retries: number) => Outcome,
  ): void {
    const { spool, scheduler, clock, log } = this.#deps;
    const at = clock.now();
    const outcomes: Outcome[] = [];
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
        message: factsFor(envelope, item.index),
        recipient: recipientFacts(envelope, item),
      };
      outcomes.push(outcomeOf(facts, item.attempts));
    }
    const settlements = items.map((item) => ({
      spoolId: item.spoolId,
      index: item.index,
      state: 'done' as const,
    }));
    this.#write(settlements, outcomes, () => {
      for (const _ of items) scheduler.done(queue, false);
    });
  }

  /** The whole queue failed an attempt. */
  queueDeferred(outcome: QueueDeferred): void {
    this.#write([], [outcome], () => {});
  }

  /** Resolves when everything recorded so far is on disk. */
  async settled(): Promise<void> {
    while (this.#pending.size > 0) await Promise.all(this.#pending);
  }

  #write(settlements: readonly Settlement[], outcomes: readonly Outcome[], then: () => void): void {
    const { spool, clock, log, onWritten } = this.#deps;
    const write = async () => {
      for (;;) {
        try {
          await spool.settle(settlements, outcomes);
          break;
        } catch (error) {
          // The remote host has the message; forgetting that would send it twice. That holds for faults of ours too.
          const words = error instanceof SpoolWriteError ? error.message : stackOf(error);
          log.error(`outcomes wait for the disk: ${words}`);
          await new Promise<void>((resolve) => clock.after(RETRY_WRITE_MS, resolve));
        }
      }
      then();
      onWritten();
    };
    const pending: Promise<void> = write()
      .catch((error) =>
        log.error(`an outcome is written, and the queue could not be told: ${stackOf(error)}`),
      )
      .finally(() => this.#pending.delete(pending));
    this.#pending.add(pending);
  }
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

function recipientFacts(envelope: Envelope, item: QueuedRecipient): Bounced['recipient'] {
  const { address, originalRecipient, messageId } = envelope.recipients[item.index]!;
  return { address, originalRecipient, messageId };
}

function waiting(queue: Queue, item: QueuedRecipient, holdUntil: number): Settlement {
  return {
    spoolId: item.spoolId,
    index: item.index,
    state: {
      spoolId: item.spoolId,
      index: item.index,
      domain: queue.domain,
      vmta: queue.vmta,
      receivedAt: item.receivedAt,
      attempts: item.attempts + 1,
      holdUntil,
      priority: item.priority,
    },
  };
}
