/**
 * How much memory the scheduler needs for each queued recipient: a million of them, in a thousand queues and in one.
 * Each repetition is a process of its own.
 *
 *   npm run bench -- queue-memory [--recipients 1000000] [--repeat 3]
 */
import { queuedRecipient } from '../src/mta/queue/queued-recipient.ts';
import { Scheduler } from '../src/mta/queue/scheduler.ts';
import { limitSource, silentOwner } from '../src/mta/queue/testing.ts';
import { given, number } from './harness/given.ts';
import { answer, askedFor, repeated } from './harness/repeated.ts';
import { Report } from './harness/report.ts';

const NOW = 1_790_000_000_000;

interface Measured {
  readonly bytes: number;
  readonly micros: number;
}

interface Shape {
  readonly queues: number;
  readonly held: boolean;
  readonly recipients: number;
}

const asked = askedFor<Shape>();
if (asked) await answer(measure(asked));
else await main();

function used(): number {
  globalThis.gc?.();
  return process.memoryUsage().heapUsed;
}

function measure({ queues, held, recipients }: Shape): Measured {
  const before = used();
  const scheduler = new Scheduler(limitSource(), silentOwner);
  const begun = process.hrtime.bigint();
  for (let i = 0; i < recipients; i++) {
    const spoolId = (0x018bcfe568000000 + i).toString(16).padStart(16, '0');
    const holdUntil = held ? NOW + 600_000 + i : 0;
    const item = queuedRecipient({ spoolId, index: 0, receivedAt: NOW + i, holdUntil, job: 'campaign-1' });
    scheduler.add(`d${i % queues}.example`, '{default}', item, NOW);
  }
  const micros = Number(process.hrtime.bigint() - begun) / 1000 / recipients;
  const bytes = (used() - before) / recipients;
  let size = 0;
  for (const queue of scheduler.queues()) size += queue.size;
  if (size !== recipients) throw new Error(`${size} recipients are queued`);
  return { bytes, micros };
}

async function main(): Promise<void> {
  const { recipients, repeat } = given({ recipients: number(1_000_000), repeat: number(3) });
  const report = new Report('queue-memory', { recipients, repetitions: repeat });
  for (const queues of [1000, 1]) {
    for (const held of [false, true]) {
      const shape: Shape = { queues, held, recipients };
      const runs = await repeated<Measured>(import.meta.filename, shape, repeat);
      const what = `${held ? 'waiting for their time' : 'ready'}, in ${queues} queues`;
      report.figure(
        what,
        'posthorn',
        'bytes each',
        runs.map((run) => run.bytes),
      );
      report.figure(
        '  to add one',
        'posthorn',
        'µs',
        runs.map((run) => run.micros),
      );
    }
  }
  report.save();
}
