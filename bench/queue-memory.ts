/**
 * How much memory the scheduler needs for each queued recipient: a million of them, in a thousand queues and in one.
 * Run with --expose-gc.
 */
import { queuedRecipient } from '../src/mta/queue/queued-recipient.ts';
import { Scheduler } from '../src/mta/queue/scheduler.ts';
import { limitSource, silentOwner } from '../src/mta/queue/testing.ts';
import { Report } from './harness/report.ts';

const RECIPIENTS = 1_000_000;
const NOW = 1_790_000_000_000;

function used(): number {
  globalThis.gc?.();
  return process.memoryUsage().heapUsed;
}

function measure(queues: number, held: boolean): void {
  const before = used();
  const scheduler = new Scheduler(limitSource(), silentOwner);
  const begun = process.hrtime.bigint();
  for (let i = 0; i < RECIPIENTS; i++) {
    const spoolId = (0x018bcfe568000000 + i).toString(16).padStart(16, '0');
    const holdUntil = held ? NOW + 600_000 + i : 0;
    const item = queuedRecipient({ spoolId, index: 0, receivedAt: NOW + i, holdUntil, job: 'campaign-1' });
    scheduler.add(`d${i % queues}.example`, '{default}', item, NOW);
  }
  const micros = Number(process.hrtime.bigint() - begun) / 1000 / RECIPIENTS;
  const bytes = (used() - before) / RECIPIENTS;
  let size = 0;
  for (const queue of scheduler.queues()) size += queue.size;
  if (size !== RECIPIENTS) throw new Error(`${size} recipients are queued`);
  const what = `${held ? 'waiting for their time' : 'ready'}, in ${queues} queues`;
  report.figure(what, 'posthorn', 'bytes each', [bytes]);
  report.figure('  to add one', 'posthorn', 'µs', [micros]);
}

const report = new Report('queue-memory', { recipients: RECIPIENTS });
for (const queues of [1000, 1]) for (const held of [false, true]) measure(queues, held);
report.save('var/bench');
