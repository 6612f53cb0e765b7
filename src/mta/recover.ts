/** Brings back what waited in the spool when the server last ended. */
import type { Spool } from '../spool/spool.ts';
import type { PendingRecipient } from '../spool/stored-message.ts';
import type { Log } from '../system/log.ts';

/** Longest that reading the spool holds up everything else, nearly. */
const SCAN_TURN_MS = 10;

/**
 * Puts back into their queues what was waiting when the server last ended, a batch per turn of the event loop, so
 * that everything else goes on between two of them. What is not read when the server stops waits for the next start.
 */
export async function recover(
  spool: Spool,
  enqueue: (recipients: readonly PendingRecipient[]) => void,
  stopping: () => boolean,
  log: Log,
  /** `percent` is kept up to date, for whoever waits for the end. */
  progress: { percent: number },
): Promise<void> {
  let count = 0;
  // Mail that comes meanwhile is not among them.
  const messages = spool.messageCount;
  let read = 0;
  let last = '';
  let turnBegan = performance.now();
  try {
    for (const batch of spool.recover()) {
      enqueue(batch);
      count += batch.length;
      for (const { spoolId } of batch) {
        if (spoolId !== last) read++;
        last = spoolId;
      }
      progress.percent = Math.min(99, Math.floor((read / Math.max(1, messages)) * 100));
      if (performance.now() - turnBegan < SCAN_TURN_MS) continue;
      await new Promise((resolve) => setImmediate(resolve));
      if (stopping()) break;
      turnBegan = performance.now();
    }
  } catch (error) {
    // New mail goes on; what was not reached waits on disk.
    log.error(`the spool could not be read to its end: ${(error as Error).stack ?? error}`);
  }
  progress.percent = 100;
  if (count > 0) log.info('recovered from the spool', { recipients: count, messages: spool.messageCount });
}
