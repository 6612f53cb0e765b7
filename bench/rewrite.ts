/**
 * Putting links and pixels into a message, as the MTA does it at delivery: reading it once (`plan`) and making one
 * recipient's copy (`copy`), on one thread. A newsletter of 20 kB with 25 links, and a large one. Seconds are those of the
 * processor, so that what else runs on the machine does not count.
 *
 *   npm run bench -- rewrite [--repeat 5]
 */
import path from 'node:path';
import { openKeyRing } from '../src/tracking/key-ring.ts';
import { applyTracking } from '../src/tracking/rewrite-message.ts';
import { planTracking } from '../src/tracking/tracking-plan.ts';
import { temporaryFolder } from '../test/program.ts';
import { given, number } from './harness/given.ts';
import { newsletter } from './harness/messages.ts';
import { Report } from './harness/report.ts';

const { repeat } = given({ repeat: number(5) });
const SECONDS = 1.5;

const ring = await openKeyRing(path.join(temporaryFolder(), 'keys.json'), { create: true });
const settings = {
  opens: true,
  initialOpens: true,
  clicks: true,
  scheme: 'https',
  host: 'click.brand.test',
} as const;
const copy = {
  ring,
  messageId: '0000a17c3e65f0d1b2c4',
  recipient: 'reader@far.test',
  subaccount: 7,
  campaign: 'week-1',
  expiry: 4_000_000_000,
};

/** The newsletter with its items so many times. */
function longer(times: number): Buffer {
  const text = newsletter().toString('latin1');
  const begin = text.indexOf('<tr>');
  const end = text.indexOf('</table>');
  return Buffer.from(text.slice(0, begin) + text.slice(begin, end).repeat(times) + text.slice(end), 'latin1');
}

/** Calls in a second of processor time, garbage collection on other threads included, over a while that evens it out. */
function rate(work: () => void): number {
  const end = performance.now() + SECONDS * 1000;
  const before = process.cpuUsage();
  let calls = 0;
  while (performance.now() < end) {
    work();
    calls++;
  }
  const { user, system } = process.cpuUsage(before);
  return calls / ((user + system) / 1e6);
}

const report = new Report('rewrite', { threads: 1, repetitions: repeat });
for (const [name, message] of [
  ['newsletter', newsletter()],
  ['1 MB', longer(50)],
] as const) {
  const plan = planTracking(message, settings);
  const made = applyTracking(plan, copy);
  if (!made.changed) throw new Error(`the message was left alone: ${made.skipped}`);
  const what = `${name}, ${message.length} bytes, ${made.links.length} links`;
  const megabytes = (calls: number) => (calls * message.length) / 1e6;
  rate(() => applyTracking(planTracking(message, settings), copy));
  const both = Array.from({ length: repeat }, () =>
    rate(() => applyTracking(planTracking(message, settings), copy)),
  );
  const copies = Array.from({ length: repeat }, () => rate(() => applyTracking(plan, copy)));
  report.figure(what, 'posthorn', 'messages/s', both);
  const speed = report.figure('  read and copied', 'posthorn', 'MB/s', both.map(megabytes));
  report.figure('  a further recipient’s copy', 'posthorn', 'copies/s', copies);
  report.ratio('  to 50 MB/s', speed / 50, 'at least 1');
}
report.save();
