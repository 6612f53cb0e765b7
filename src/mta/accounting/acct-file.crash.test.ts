import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { checkIngestLine } from '../../events/check.ts';
import type { Outcome } from '../../events/outcome.ts';
import { generatedOutcomes } from '../../events/testing.ts';
import { systemClock } from '../../system/clock.ts';
import { writeFileDurably } from '../../system/durable-file.ts';
import { silentLog } from '../../system/log.ts';
import { createAcctFile } from './acct-file.ts';
import { recordTypes } from './columns.ts';
import { recordsOf } from './rfc4180.testing.ts';
import { createSignalsView } from './signals-view.ts';

const TOTAL = 3000;

/** Every outcome names itself, so that a missing or doubled one can be told. */
function outcomes(): Outcome[] {
  return generatedOutcomes(TOTAL * 2, 3)
    .filter((o) => 'message' in o)
    .slice(0, TOTAL)
    .map((o, i) => ({ ...o, message: { ...o.message, jobId: `job${i}` } }) as Outcome);
}

/** What the operator changed before the start, by its number; all types stay, for the test counts every outcome. */
function changed(start: number) {
  const fields = [['*'], ['jobId', 'rcpt'], ['*', '!rcpt'], ['rcpt', 'jobId', 'header_x-a']][start % 4]!;
  return {
    records: start % 3 === 1 ? [...recordTypes].reverse() : recordTypes,
    recordFields: new Map(
      recordTypes.map((type) => [type, fields.includes('jobId') ? fields : [...fields, 'jobId']]),
    ),
    isoTimes: start % 5 !== 2,
    maxSize: start % 2 === 0 ? 9_000 : 3_000,
  };
}

/** The killed program: tells all outcomes to both views, behind a journal that is one file of checkpoints. */
async function child(dir: string): Promise<void> {
  const journal = path.join(dir, 'journal.json');
  let state = existsSync(journal)
    ? JSON.parse(readFileSync(journal, 'utf8'))
    : { start: 0, next: 0, acctThrough: 0, acct: null, signals: null };
  const store = async (change: object) => {
    state = { ...state, ...change };
    await writeFileDurably(journal, JSON.stringify(state));
  };
  await store({ start: state.start + 1 });
  const setting = { clock: systemClock, log: silentLog, owner: 'journal' };
  const acct = createAcctFile(
    {
      path: path.join(dir, 'acct', 'acct.csv'),
      ...changed(state.start),
      moveTo: path.join(dir, 'done'),
    },
    setting,
  );
  const signals = createSignalsView(
    {
      dir: path.join(dir, 'events'),
      nodeName: 'mta1',
      privacy: 'retain',
      decide: () => ({ send: true, subaccount: 0 }),
      maxAgeMs: 20,
      maxBytes: 20_000,
    },
    setting,
  );
  const found = await acct.open(state.acct);
  if (found > 0) await store({ acctThrough: found, acct: await acct.flush() });
  await signals.open(state.signals);
  if (found > 0 && state.next > 0) appendFileSync(path.join(dir, 'found.log'), `${found}\n`);
  // Before 'ready': making them takes longer than a killed program lives.
  const all = outcomes();
  process.send?.('ready');
  for (let next: number = state.next; next < all.length; ) {
    const end = Math.min(all.length, next + 1 + Math.floor(Math.random() * 50));
    for (; next < end; next++) {
      if (next + 1 > state.acctThrough) acct.write(next + 1, all[next]!);
      signals.write(next, all[next]!);
    }
    const intent = acct.intend!();
    if (intent) await store({ acct: intent });
    const [accts, signal] = [await acct.flush(), await signals.flush()];
    process.send?.('written');
    await sleep(Math.random() * 12);
    // What an interrupted batch has put into the file may reach further than this one.
    await store({ next, acctThrough: Math.max(next, state.acctThrough), acct: accts, signals: signal });
    acct.stored!();
  }
  await acct.close();
  await signals.close();
  appendFileSync(path.join(dir, 'done.flag'), 'x');
  process.disconnect?.();
}

if (process.argv[2] === 'child') {
  await child(process.argv[3]!);
} else {
  test('killed at any moment, accounting files and event files hold every outcome once and in order', async (t) => {
    const dir = await mkdtemp(path.join(tmpdir(), 'acct-crash-'));
    t.after(() => rm(dir, { recursive: true, force: true }));
    let kills = 0;
    /** A start found records that the journal did not know of yet: what this is about. */
    const met = () => existsSync(path.join(dir, 'found.log'));
    while (!existsSync(path.join(dir, 'done.flag'))) {
      const writer = fork(import.meta.filename, ['child', dir], { execArgv: [] });
      const exit = once(writer, 'exit');
      if (kills < 10 || !met()) {
        // By what it has done: at its start, or some batches later, before or while one becomes known to the journal.
        let still = Math.floor(Math.random() * 4);
        const reached = new Promise<void>((resolve) => {
          writer.on('message', () => still-- === 0 && resolve());
        });
        await Promise.race([reached, exit]);
        await sleep(Math.random() * 16);
        if (writer.kill('SIGKILL')) kills++;
      }
      await exit;
    }
    assert.ok(kills > 3, `only ${kills} kills`);
    assert.ok(met(), 'no kill came between a write and its checkpoint');
    const expected = outcomes().map((o) => (o as Extract<Outcome, { kind: 'received' }>).message.jobId);

    const acct = [path.join(dir, 'done'), path.join(dir, 'acct')]
      .flatMap((of) => readdirSync(of).map((name) => path.join(of, name)))
      .filter((file) => file.endsWith('.csv'))
      .sort((a, b) => (path.basename(a) < path.basename(b) ? -1 : 1));
    assert.ok(acct.length > 10, `only ${acct.length} files`);
    assert.deepEqual(
      acct.flatMap((file) => recordsOf(readFileSync(file, 'utf8'))).map((r) => r.get('jobId')),
      expected,
    );

    const events = readdirSync(path.join(dir, 'events')).filter((n) => n.endsWith('.json'));
    const lines = events
      .sort()
      .flatMap((n) =>
        readFileSync(path.join(dir, 'events', n), 'utf8')
          .trimEnd()
          .split('\n'),
      )
      .map((line) => JSON.parse(line));
    assert.deepEqual(
      lines.map((line) => line.msys.message_event.campaign_id),
      expected,
    );
    assert.equal(new Set(lines.map((line) => line.msys.message_event.event_id)).size, TOTAL);
    for (const line of lines) {
      const at = Number(line.msys.message_event.timestamp) * 1000;
      assert.ok(checkIngestLine(line, { now: at, maxAgeMs: 1000 }).ok);
    }
  });
}
