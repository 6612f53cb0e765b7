// Views of the spool's real journal that fail when told to, keep what they had flushed, and forget the rest.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { Outcome, OutcomeView } from '../../events/outcome.ts';
import { openSpool, type Spool } from '../../spool/spool.ts';
import { SpoolWriteError } from '../../spool/spool-write-error.ts';
import { TestClock } from '../../system/testing.ts';
import { folder, keptLog, messageFacts, until } from '../testing.ts';
import { type Publisher, startPublisher } from './publisher.ts';

/** What a view has "on disk" outlives the view, as a file would. */
class Kept {
  readonly lines: number[] = [];
}

class TestView implements OutcomeView {
  readonly name: string;
  readonly kept: Kept;
  readonly opens: unknown[] = [];
  refuses = false;
  closed = false;
  /** Lets `flush` wait. */
  gate: Promise<void> = Promise.resolve();
  #told: number[] = [];

  constructor(name: string, kept = new Kept()) {
    this.name = name;
    this.kept = kept;
  }

  async open(checkpoint: unknown): Promise<number> {
    this.opens.push(checkpoint);
    if (this.refuses) throw new Error('no room');
    this.#told = [];
    // As a file is truncated to its checkpoint.
    this.kept.lines.length = (checkpoint as { lines: number } | null)?.lines ?? 0;
    return 0;
  }

  write(seq: number, _outcome: Outcome): void {
    this.#told.push(seq);
  }

  async flush(): Promise<unknown> {
    await this.gate;
    if (this.refuses) {
      // Half of it had reached the disk.
      this.kept.lines.push(...this.#told.splice(0, Math.ceil(this.#told.length / 2)));
      throw new Error('no room');
    }
    this.kept.lines.push(...this.#told.splice(0));
    return { lines: this.kept.lines.length };
  }

  async close(): Promise<void> {
    this.closed = true;
  }
}

const outcome = (n: number): Outcome => ({
  kind: 'received',
  at: n,
  message: messageFacts(),
  recipient: { address: `u${n}@a.test`, originalRecipient: '', messageId: '' },
});

async function journal(spool: Spool, count: number): Promise<void> {
  await spool.settle(
    [],
    Array.from({ length: count }, (_, i) => outcome(i)),
  );
}

const upTo = (n: number) => Array.from({ length: n }, (_, i) => i + 1);

function ended(t: TestContext, spool: Spool, publisher: () => Publisher): void {
  t.after(async () => {
    await publisher().close();
    await spool.close();
  });
}

test('every view is told every outcome, in order, and the journal forgets what all have', async (t) => {
  const spool = openSpool(folder(t));
  const [a, b] = [new TestView('a'), new TestView('b')];
  const publisher = await startPublisher(spool, [a, b], new TestClock(), keptLog().log);
  ended(t, spool, () => publisher);
  // More than a batch, and from several commits.
  for (let i = 0; i < 3; i++) {
    await journal(spool, 400);
    publisher.notify();
  }
  await publisher.drain(60_000);
  assert.deepEqual(a.kept.lines, upTo(1200));
  assert.deepEqual(b.kept.lines, upTo(1200));
  assert.equal(publisher.backlog, 0);
  assert.deepEqual(spool.journal(0, 10), []);
  assert.deepEqual(spool.checkpoint('a'), { seq: 1200, state: { lines: 1200 } });
});

test('a view that fails holds nobody; its outcomes wait, and it is opened at its checkpoint and told them again', async (t) => {
  const spool = openSpool(folder(t));
  const clock = new TestClock();
  const { log, lines } = keptLog();
  const [good, bad] = [new TestView('good'), new TestView('bad')];
  const publisher = await startPublisher(spool, [good, bad], clock, log);
  ended(t, spool, () => publisher);
  await journal(spool, 4);
  publisher.notify();
  await publisher.drain(60_000);
  bad.refuses = true;
  await journal(spool, 6);
  publisher.notify();
  await until(() => lines.some((line) => line.includes('bad cannot take records: no room')));
  await until(() => good.kept.lines.length === 10);
  assert.equal(publisher.backlog, 6);
  assert.equal(spool.journal(0, 100).length, 6);
  assert.equal(bad.kept.lines.length, 7, 'a torn write');

  clock.advance(1000);
  await until(() => bad.opens.length === 2);
  await until(() => lines.filter((line) => line.includes('bad cannot')).length === 2);
  bad.refuses = false;
  clock.advance(1999);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(bad.opens.length, 2, 'each failure waits longer than the last');
  clock.advance(1);
  await until(() => publisher.backlog === 0);
  assert.deepEqual(bad.opens.at(-1), { lines: 4 });
  assert.deepEqual(bad.kept.lines, upTo(10), 'nothing twice, nothing missing');
  assert.deepEqual(good.kept.lines, upTo(10));
  assert.deepEqual(spool.journal(0, 10), []);
  await until(() => lines.includes('bad takes records again'));
  await journal(spool, 1);
  publisher.notify();
  await until(() => bad.kept.lines.length === 11);
});

test('the wait between two tries grows to a minute and no more', async (t) => {
  const spool = openSpool(folder(t));
  const clock = new TestClock();
  const { log, lines } = keptLog();
  const view = new TestView('v');
  const publisher = await startPublisher(spool, [view], clock, log);
  ended(t, spool, () => publisher);
  view.refuses = true;
  await journal(spool, 1);
  publisher.notify();
  for (let i = 1; i <= 9; i++) {
    await until(() => lines.length === i);
    clock.advance(60_000);
  }
  assert.deepEqual(
    lines.slice(0, 9).map((line) => Number(/next try in (\d+) s/.exec(line)?.[1])),
    [1, 2, 4, 8, 16, 32, 60, 60, 60],
  );
});

test('a process that ends between flush and checkpoint: the view takes the lines back and is told them again', async (t) => {
  const dir = folder(t);
  const kept = new Kept();
  let spool = openSpool(dir);
  const first = new TestView('v', kept);
  let publisher = await startPublisher(spool, [first], new TestClock(), keptLog().log);
  await journal(spool, 3);
  publisher.notify();
  await publisher.drain(60_000);
  // As a kill would leave it: flushed, and the checkpoint not stored.
  const { advance } = spool;
  let flushed = false;
  spool.advance = () => {
    flushed = true;
    return new Promise(() => {});
  };
  await journal(spool, 2);
  publisher.notify();
  await until(() => flushed);
  assert.deepEqual(kept.lines, upTo(5));
  spool.advance = advance;
  await spool.close();

  spool = openSpool(dir);
  const second = new TestView('v', kept);
  publisher = await startPublisher(spool, [second], new TestClock(), keptLog().log);
  ended(t, spool, () => publisher);
  assert.deepEqual(second.opens, [{ lines: 3 }]);
  await publisher.drain(60_000);
  assert.deepEqual(kept.lines, upTo(5));
});

test('the disk refuses one checkpoint: that view goes on when there is room, and nothing is told twice', async (t) => {
  const spool = openSpool(folder(t));
  const clock = new TestClock();
  const { log, lines } = keptLog();
  const [a, b] = [new TestView('a'), new TestView('b')];
  const publisher = await startPublisher(spool, [a, b], clock, log);
  ended(t, spool, () => publisher);
  // Not by a disk that is full: lmdb may end the process there.
  const advance = spool.advance.bind(spool);
  let full = true;
  spool.advance = async (checkpoints, dropThrough) => {
    if (full && checkpoints.has('a')) throw new SpoolWriteError('refused a write');
    await advance(checkpoints, dropThrough);
  };
  await journal(spool, 600);
  publisher.notify();
  await until(() => lines.some((line) => line.startsWith('a cannot take records: refused a write')));
  await until(() => spool.checkpoint('b')?.seq === 600);
  assert.equal(spool.checkpoint('a'), null);
  assert.equal(a.kept.lines.length, 500, 'it has on disk what its checkpoint does not know');
  assert.equal(publisher.backlog, 600);
  full = false;
  for (let i = 0; i < 20 && publisher.backlog > 0; i++) {
    clock.advance(60_000);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await until(() => publisher.backlog === 0);
  for (const view of [a, b]) assert.deepEqual(view.kept.lines, upTo(600));
  // The one that was refused begins again at its checkpoint, and the other is left alone.
  assert.deepEqual([a.opens.length, b.opens.length], [2, 1]);
  assert.deepEqual(
    lines.filter((line) => line.includes('takes records again')),
    ['a takes records again'],
  );
});

test('drain waits for every view, and says which one did not come to its end', async (t) => {
  const spool = openSpool(folder(t));
  const clock = new TestClock();
  const view = new TestView('slow');
  let release = () => {};
  view.gate = new Promise((resolve) => {
    release = resolve;
  });
  const publisher = await startPublisher(spool, [view], clock, keptLog().log);
  ended(t, spool, () => publisher);
  await journal(spool, 3);
  let drained = false;
  const draining = publisher.drain(1000).then(() => {
    drained = true;
  });
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(drained, false);
  release();
  await draining;
  assert.deepEqual(view.kept.lines, [1, 2, 3]);

  view.refuses = true;
  await journal(spool, 1);
  const late = assert.rejects(publisher.drain(1000), /slow did not take all outcomes in 1000 ms/);
  for (let i = 0; i < 100; i++) {
    clock.advance(20);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await late;
});

test('a view that is new gets what the journal still holds, and does not count as behind for the rest', async (t) => {
  const dir = folder(t);
  const spool = openSpool(dir);
  const old = new TestView('old');
  let publisher = await startPublisher(spool, [old], new TestClock(), keptLog().log);
  await journal(spool, 5);
  publisher.notify();
  await publisher.drain(60_000);
  await publisher.close();
  assert.ok(old.closed);

  const [again, added] = [new TestView('old', old.kept), new TestView('added')];
  publisher = await startPublisher(spool, [again, added], new TestClock(), keptLog().log);
  ended(t, spool, () => publisher);
  assert.equal(publisher.backlog, 0, 'nothing waits: there is nothing in the journal');
  await publisher.drain(60_000);
  await journal(spool, 2);
  publisher.notify();
  await publisher.drain(60_000);
  assert.deepEqual(added.kept.lines, [6, 7]);
  assert.deepEqual(again.kept.lines, upTo(7));
  assert.deepEqual(spool.journal(0, 10), []);
});

test('close lets a write in hand end, closes every view, and starts nothing more', async (t) => {
  const spool = openSpool(folder(t));
  const clock = new TestClock();
  const view = new TestView('v');
  let release = () => {};
  view.gate = new Promise((resolve) => {
    release = resolve;
  });
  const publisher = await startPublisher(spool, [view], clock, keptLog().log);
  await journal(spool, 2);
  publisher.notify();
  let closed = false;
  const closing = publisher.close().then(() => {
    closed = true;
  });
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(closed, false);
  release();
  await closing;
  assert.ok(view.closed);
  assert.deepEqual(spool.checkpoint('v'), { seq: 2, state: { lines: 2 } });
  publisher.notify();
  assert.equal(clock.waiting, 0);
  await spool.close();
});

test('where a view stands can be stored without news: its state changes, its place does not', async (t) => {
  const spool = openSpool(folder(t));
  const view = new TestView('a');
  const publisher = await startPublisher(spool, [view], new TestClock(), keptLog().log);
  ended(t, spool, () => publisher);
  await journal(spool, 3);
  publisher.notify();
  await until(() => spool.checkpoint('a')?.seq === 3);
  view.kept.lines.push(99);
  publisher.save(view);
  await until(() => (spool.checkpoint('a')!.state as { lines: number }).lines === 4);
  assert.equal(spool.checkpoint('a')?.seq, 3);
});
