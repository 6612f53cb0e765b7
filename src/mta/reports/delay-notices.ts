/**
 * Tells senders who asked for it (NOTIFY=DELAY) that their mail still waits, every `notify-of-delay-every`. What is
 * due when is kept in the spool in the order of time, so that a restart repeats nothing and looking for what is due
 * costs the same however much mail waits.
 */
import type { Config } from '../../config/index.ts';
import type { DelayNotice, Spool } from '../../spool/spool.ts';
import type { Envelope, PendingRecipient } from '../../spool/stored-message.ts';
import type { Clock } from '../../system/clock.ts';
import type { Log } from '../../system/log.ts';
import { together } from './own-mail.ts';
import type { SenderReports } from './sender-reports.ts';

export interface DelayNoticesDeps {
  readonly spool: Spool;
  readonly reports: SenderReports;
  readonly config: () => Config;
  /** Reports are stored: they may be delivered. */
  readonly enqueue: (recipients: readonly PendingRecipient[]) => void;
  readonly clock: Clock;
  readonly log: Log;
}

/** When a recipient's sender is first to hear of delay; undefined when it did not ask, or nobody is told. */
export function firstDelayNotice(
  config: Config,
  recipient: { readonly notify: readonly string[] },
  queue: { readonly domain: string; readonly vmta: string },
  receivedAt: number,
): number | undefined {
  if (!recipient.notify.includes('delay')) return undefined;
  const every = config.queue(queue.domain, queue.vmta).get('notify-of-delay-every');
  return Number.isFinite(every) ? receivedAt + every : undefined;
}

/** Recipients looked at in one transaction. */
const BATCH = 200;
/** It may be that mail comes in whose notice is due before the one we sleep for. */
const LONGEST_SLEEP_MS = 60_000;

export class DelayNotices {
  readonly #deps: DelayNoticesDeps;
  #cancel = () => {};
  #stopped = false;
  #working: Promise<void> = Promise.resolve();

  constructor(deps: DelayNoticesDeps) {
    this.#deps = deps;
  }

  start(): void {
    this.#sleep();
  }

  /** Resolves when no write of ours is under way any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel();
    await this.#working;
  }

  /** Resolves when all that is due now has been told. */
  async work(): Promise<void> {
    const { spool, clock } = this.#deps;
    for (;;) {
      const due = spool.delayNotices(clock.now(), BATCH);
      if (due.length === 0 || this.#stopped) return;
      await this.#tell(due);
    }
  }

  #sleep(): void {
    if (this.#stopped) return;
    const { clock, log } = this.#deps;
    this.#cancel = clock.after(LONGEST_SLEEP_MS, () => {
      this.#working = this.work()
        .catch((error: Error) => log.error(`delay notices wait: ${error.message}`))
        .then(() => this.#sleep());
    });
  }

  async #tell(due: readonly DelayNotice[]): Promise<void> {
    const { spool, reports, config, clock } = this.#deps;
    const told: { notice: DelayNotice; next: number | null }[] = [];
    const queues = new Map<string, { envelope: Envelope; item: PendingRecipient }[]>();
    for (const notice of due) {
      if (spool.isLeaving(notice.spoolId, notice.index)) {
        // It has its outcome. Looked at once more: the disk may refuse that, and a kill may forget it.
        told.push({ notice, next: clock.now() + LONGEST_SLEEP_MS });
        continue;
      }
      const item = spool.pending(notice.spoolId, notice.index);
      const envelope = item && spool.envelope(notice.spoolId);
      const every = item ? config().queue(item.domain, item.vmta).get('notify-of-delay-every') : Infinity;
      if (!item || !envelope || !Number.isFinite(every)) {
        told.push({ notice, next: null });
        continue;
      }
      told.push({ notice, next: clock.now() + Math.max(every, LONGEST_SLEEP_MS) });
      const key = `${item.domain}/${item.vmta}`;
      const waiting = queues.get(key);
      if (waiting) waiting.push({ envelope, item });
      else queues.set(key, [{ envelope, item }]);
    }
    const made = [...queues.values()].flatMap((waiting) => reports.delays(waiting[0]!.item, waiting));
    const { messages, outcomes } = together(made);
    await spool.settle([], outcomes, messages, told);
    for (const { recipients } of messages) this.#deps.enqueue(recipients);
  }
}
