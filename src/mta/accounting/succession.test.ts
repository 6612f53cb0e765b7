// Accounting files that take the place of others in the configuration, over the spool's real journal.
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Outcome, OutcomeView } from '../../events/outcome.ts';
import { sampleOutcome } from '../../events/testing.ts';
import { openSpool, type Spool } from '../../spool/spool.ts';
import { systemClock } from '../../system/clock.ts';
import { CountersView } from '../monitor/counters.ts';
import { folder, keptLog } from '../testing.ts';
import { createAcctFile } from './acct-file.ts';
import { startPublisher } from './publisher.ts';
import { recordsOf } from './rfc4180.testing.ts';
import { succeedAcctFiles } from './succession.ts';

class Server {
  readonly dir: string;
  readonly log = keptLog();
  #spool: Spool | null = null;
  #jobs = 0;

  constructor(t: TestContext) {
    this.dir = folder(t);
    mkdirSync(path.join(this.dir, 'acct'));
  }

  /** One life of a server with these files; `killed`: its last checkpoint was not stored. */
  async run(names: readonly string[], outcomes: number, killed: boolean, lagging = false): Promise<void> {
    const spool = openSpool(path.join(this.dir, 'spool'));
    this.#spool = spool;
    const { log } = this.log;
    const setting = { clock: systemClock, log };
    const views: OutcomeView[] = names.map((name) =>
      createAcctFile(
        {
          path: path.join(this.dir, 'acct', name),
          records: ['d'],
          recordFields: new Map(),
          deleteAfterMs: null,
        },
        setting,
      ),
    );
    views.push(new CountersView());
    if (lagging) views.push(refusing);
    await succeedAcctFiles(spool, views, log);
    const publisher = await startPublisher(spool, views, systemClock, log);
    const { advance } = spool;
    let stuck = () => {};
    const reached = new Promise<void>((resolve) => {
      stuck = resolve;
    });
    if (killed) {
      // What it is about to write is stored, that it is written is not.
      spool.advance = (checkpoints, through) => {
        const [{ state }] = [...checkpoints.values()] as unknown as [{ state: { writing?: unknown } }];
        if (state.writing) return advance.call(spool, checkpoints, through);
        stuck();
        return new Promise(() => {});
      };
    }
    if (outcomes > 0)
      await spool.settle(
        [],
        Array.from({ length: outcomes }, () => {
          const outcome = sampleOutcome('delivered') as Extract<Outcome, { kind: 'delivered' }>;
          return { ...outcome, message: { ...outcome.message, jobId: `j${++this.#jobs}` } };
        }),
      );
    publisher.notify();
    if (killed) {
      await reached;
      for (const view of views) await view.close();
    } else {
      while (names.some((name) => this.#behind(name))) await new Promise((done) => setTimeout(done, 5));
      await publisher.close();
    }
    spool.advance = advance;
    await spool.close();
  }

  #behind(name: string): boolean {
    const seq = this.#spool!.checkpoint(`acct-file ${path.join(this.dir, 'acct', name)}`)?.seq ?? 0;
    return seq < this.#spool!.newestOutcome;
  }

  /** Of all files, or of those whose names begin so, in any folder. */
  jobs(begin = ''): string[] {
    const dir = path.join(this.dir, 'acct');
    return (readdirSync(dir, { recursive: true }) as string[])
      .filter((name) => /^[^.].*\.csv$/.test(path.basename(name)) && path.basename(name).startsWith(begin))
      .flatMap((name) => recordsOf(readFileSync(path.join(dir, name), 'utf8')).map((r) => r.get('jobId')!))
      .sort((a, b) => Number(a.slice(1)) - Number(b.slice(1)));
  }

  get expected(): string[] {
    return Array.from({ length: this.#jobs }, (_, i) => `j${i + 1}`);
  }
}

/** Keeps every outcome in the journal. */
const refusing: OutcomeView = {
  name: 'refusing',
  open: async () => 0,
  write: () => {},
  flush: async () => {
    throw new Error('no room');
  },
  close: async () => {},
};

test('a file that was renamed in the configuration goes on where it ended, after a kill too', async (t) => {
  const server = new Server(t);
  await server.run(['a.csv'], 3, false);
  await server.run(['a.csv'], 3, true);
  await server.run(['b.csv'], 3, false);
  assert.deepEqual(server.jobs(), server.expected);
  await server.run(['b.csv'], 2, true);
  await server.run(['a.csv'], 2, true);
  await server.run(['c.csv'], 1, false);
  assert.deepEqual(server.jobs(), server.expected);
  const names = readdirSync(path.join(server.dir, 'acct'));
  assert.ok(
    !names.some((name) => /^\.[ab]-/.test(name)),
    `${names}: second names of files that are no longer written`,
  );
  assert.ok(server.log.lines.some((line) => /b\.csv goes on where .*a\.csv ended/.test(line)));
});

test('the same while another view keeps everything in the journal', async (t) => {
  const server = new Server(t);
  await server.run(['a.csv'], 3, false, true);
  await server.run(['a.csv'], 700, false, true);
  await server.run(['b.csv'], 3, false, true);
  await server.run([], 0, false, true);
  await server.run(['c.csv'], 3, false, true);
  assert.deepEqual(server.jobs(), server.expected);
});

test('a file that is added beside another has what happens from then on, and takes nothing from it', async (t) => {
  const server = new Server(t);
  await server.run(['a.csv'], 3, true);
  await server.run(['a.csv', 'b.csv'], 3, false);
  assert.deepEqual(server.jobs(), ['j1', 'j2', 'j3', 'j4', 'j4', 'j5', 'j5', 'j6', 'j6']);
});

test('two files that move to another folder each go on where they ended', async (t) => {
  const server = new Server(t);
  await server.run(['old/a.csv', 'old/b.csv'], 3, false);
  await server.run(['old/a.csv', 'old/b.csv'], 3, true);
  await server.run(['new/b.csv', 'new/a.csv'], 2, false);
  for (const name of ['a', 'b']) assert.deepEqual(server.jobs(name), server.expected, name);
});

test('the first start of a spool whose outcomes no view has seen tells them all', async (t) => {
  const server = new Server(t);
  const spool = openSpool(path.join(server.dir, 'spool'));
  await spool.settle([], [sampleOutcome('delivered')]);
  await succeedAcctFiles(spool, [{ name: 'acct-file /a.csv' }], server.log.log);
  assert.equal(spool.checkpoint('acct-file /a.csv')!.seq, 0);
  await spool.close();
});
