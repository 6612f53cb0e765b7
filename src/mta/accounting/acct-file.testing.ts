/** Accounting files in a folder of their own, and the journal's part towards them. */
import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Outcome } from '../../events/outcome.ts';
import { sampleOutcome } from '../../events/testing.ts';
import type { Log } from '../../system/log.ts';
import { TestClock } from '../../system/testing.ts';
import { type AcctFileOptions, type AcctFileView, createAcctFile } from './acct-file.ts';
import { recordsOf } from './rfc4180.testing.ts';

process.env.TZ = 'Europe/Berlin';

export const noon = new Date(2031, 3, 8, 12).getTime();
export const DAY = 86_400_000;

export interface Bench {
  readonly dir: string;
  readonly clock: TestClock;
  readonly lines: string[];
  view(more?: Partial<AcctFileOptions>): AcctFileView;
  /** Dated files, in order. */
  files(dir?: string): string[];
  /** Jobs of all records of all files, in order: each record of a test has its own. */
  jobs(dir?: string): string[];
}

export async function bench(t: { after(f: () => Promise<void>): void }): Promise<Bench> {
  const dir = await mkdtemp(path.join(tmpdir(), 'acct-'));
  const clock = new TestClock(noon);
  const lines: string[] = [];
  const note = (message: string) => void lines.push(message);
  const log: Log = { info: note, warn: note, error: note, named: () => log };
  const views: AcctFileView[] = [];
  t.after(async () => {
    for (const view of views) await view.close().catch(() => {});
    await rm(dir, { recursive: true, force: true });
  });
  const files = (of = dir) =>
    readdirSync(of)
      .filter((n) => n.startsWith('acct-'))
      .sort();
  return {
    dir,
    clock,
    lines,
    view(more = {}) {
      const options = {
        path: path.join(dir, 'acct.csv'),
        records: ['d', 'b'] as const,
        recordFields: new Map([['d' as const, ['rcpt', 'jobId']]]),
        // The files are of today, the clock is not.
        deleteAfterMs: null,
        ...more,
      };
      const view = createAcctFile(options, { clock, log });
      views.push(view);
      return view;
    },
    files,
    jobs: (of = dir) =>
      files(of).flatMap((n) => recordsOf(readFileSync(path.join(of, n), 'utf8')).map((r) => r.get('jobId')!)),
  };
}

/** Number of the last outcome that `put` told. */
export let seq = 0;

/** Writes one delivery per job name. */
export function put(view: AcctFileView, ...jobs: string[]): void {
  for (const jobId of jobs) {
    const outcome = sampleOutcome('delivered') as Extract<Outcome, { kind: 'delivered' }>;
    view.write(++seq, { ...outcome, message: { ...outcome.message, jobId } });
  }
}

/** As the publisher does it; answers what the spool has of the view then. */
export async function flush(view: AcctFileView): Promise<unknown> {
  const state = await view.flush();
  view.stored!();
  return state;
}

/** A flush after which the program is killed; answers what the spool has then. */
export async function flushAndDie(view: AcctFileView): Promise<unknown> {
  const intent = structuredClone(view.intend!());
  await view.flush();
  await view.close();
  return intent;
}
