/**
 * What happened lately in each queue, for `show queues`: outcomes of recipients (`track-recipient-events`) and changes
 * of mode. In memory only; those of recipients go with the last recipient of the queue (management guide, 4.4).
 */
import type { Outcome } from '../../events/outcome.ts';
import type { Mode, Queue } from '../queue/queue.ts';

export interface RecipientEvent {
  readonly event: 'delivered' | 'deferred' | 'bounced';
  readonly at: number;
  readonly sourceIp: string;
  readonly recipient: string;
  readonly job: string;
  /** `mx1.a.test (198.51.100.25)`; '' when no host was reached. */
  readonly mta: string;
  readonly diagnosis: string;
}

export interface ModeEvent {
  readonly at: number;
  readonly mode: Mode;
  readonly reason: string;
}

const MOST_RECIPIENT_EVENTS = 50;
const MOST_MODE_EVENTS = 10;
/** Replies of remote hosts are long now and then, and there are fifty of them for each queue. */
const LONGEST_DIAGNOSIS = 500;

interface Kept {
  /** The newest first. */
  recipients: RecipientEvent[];
  readonly modes: ModeEvent[];
}

export class QueueEvents {
  /** A queue that the scheduler forgets takes its events along. */
  readonly #queues = new WeakMap<Queue, Kept>();
  readonly #tracked: (queue: Queue) => boolean;

  /** `tracked`: whether events of single recipients are wanted for a queue. */
  constructor(tracked: (queue: Queue) => boolean) {
    this.#tracked = tracked;
  }

  /** Outcomes that are on disk; the scheduler has been told. */
  outcomes(queue: Queue, outcomes: readonly Outcome[]): void {
    if (!this.#tracked(queue)) return;
    const kept = this.#of(queue);
    if (queue.size === 0) {
      kept.recipients = [];
      return;
    }
    for (const outcome of outcomes) {
      const event = recipientEvent(outcome);
      if (event) kept.recipients.unshift(event);
    }
    kept.recipients.length = Math.min(kept.recipients.length, MOST_RECIPIENT_EVENTS);
  }

  mode(queue: Queue, mode: Mode, reason: string, at: number): void {
    const { modes } = this.#of(queue);
    modes.unshift({ at, mode, reason });
    modes.length = Math.min(modes.length, MOST_MODE_EVENTS);
  }

  /** Null when they are not wanted for this queue. */
  recipients(queue: Queue): readonly RecipientEvent[] | null {
    if (!this.#tracked(queue)) return null;
    return queue.size === 0 ? [] : (this.#queues.get(queue)?.recipients ?? []);
  }

  modes(queue: Queue): readonly ModeEvent[] {
    return this.#queues.get(queue)?.modes ?? [];
  }

  #of(queue: Queue): Kept {
    let kept = this.#queues.get(queue);
    if (!kept) {
      kept = { recipients: [], modes: [] };
      this.#queues.set(queue, kept);
    }
    return kept;
  }
}

function recipientEvent(outcome: Outcome): RecipientEvent | null {
  const { kind } = outcome;
  if (kind !== 'delivered' && kind !== 'deferred' && kind !== 'bounced') return null;
  const { at, attempt, recipient, message, result } = outcome;
  const remote = attempt?.remoteHost ?? '';
  return {
    event: kind,
    at,
    sourceIp: attempt?.sourceIp ?? '',
    recipient: recipient.address,
    job: message.jobId,
    mta: remote === '' ? '' : `${remote} (${attempt!.destinationIp})`,
    diagnosis: diagnosisOf(kind, result).slice(0, LONGEST_DIAGNOSIS),
  };
}

/** What was refused names its status before the reply: `smtp;550 5.1.1 (bad destination mailbox address);smtp;550 …`. */
function diagnosisOf(
  kind: RecipientEvent['event'],
  { status, statusText, diagnostic }: { status: string; statusText: string; diagnostic: string },
): string {
  if (kind === 'delivered') return diagnostic;
  const code = /^smtp;(\d{3})/.exec(diagnostic)?.[1];
  const named = `${code ? `smtp;${code} ` : ''}${status}${statusText ? ` (${statusText})` : ''}`;
  return diagnostic === '' ? named : `${named};${diagnostic}`;
}
