// Accounting files that take the place of others in the configuration, over the spool's real journal.
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Outcome, OutcomeView } from '../../events/outcome.ts';
import { sampleOutcome } from '../../events/testing.ts';
import { openSpool, type Spool } from '../../spool/spool.ts';
import { systemClock } from '../../system/clock.ts';
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
    const setting = { clock: systemClock, log, owner: spool.id };
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
    if (lagging) views.push(refusing);
    await succeedAcctFiles(spool, views, log);
    const publisher = await startPublisher(spool, views, systemClock, log);
    const { advance } = spool;
    let stuck = () => {};
    const reached = new Promise<void>((resolve) => {
      stuck = resolve;
    });
    if (killed) {
      spool.advance = () => {
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

  jobs(): string[] {
    const dir = path.join(this.dir, 'acct');
    return readdirSync(dir)
      .filter((name) => !name.startsWith('.'))
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
  open: async () => {},
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

test('a file that is added beside another takes nothing from it', async (t) => {
  const server = new Server(t);
  await server.run(['a.csv'], 3, true);
  await server.run(['a.csv', 'b.csv'], 3, false);
  assert.deepEqual(
    server.jobs(),
    [...server.expected, ...server.expected].sort((a, b) => Number(a.slice(1)) - Number(b.slice(1))),
  );
});
