import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Departures } from './departures.ts';

/** A store of one message `m` with these recipients; a write is ended by hand. */
function store(recipients: number) {
  const waiting = new Set(Array.from({ length: recipients }, (_, index) => index));
  const counts: number[] = [];
  const departures = new Departures(
    () => {
      counts.push(waiting.size);
      return waiting.size;
    },
    (_, index) => waiting.has(index),
  );
  return {
    departures,
    waiting,
    counts,
    /** Begins to remove recipients; `end` says whether the disk took it. */
    remove(...indexes: number[]) {
      const { emptied, end } = departures.begin(of(...indexes));
      return {
        emptied,
        async end(taken: boolean) {
          if (taken) for (const index of indexes) waiting.delete(index);
          end(taken);
          await new Promise((turn) => setImmediate(turn));
        },
      };
    },
  };
}

const of = (...indexes: number[]) => indexes.map((index) => ({ spoolId: 'm', index }));

test('a message is emptied by its last recipient, whether they leave together or one by one', async () => {
  assert.deepEqual(store(3).remove(0, 1, 2).emptied, ['m']);
  const one = store(3);
  for (const index of [2, 0]) {
    const removal = one.remove(index);
    assert.deepEqual(removal.emptied, []);
    await removal.end(true);
  }
  assert.deepEqual(one.remove(1).emptied, ['m']);
});

test('the last recipient waits while the removal of another is on its way, for that can still fail', async () => {
  const { departures, remove } = store(2);
  const first = remove(0);
  const busy = departures.busy(of(1));
  assert.ok(busy, 'recipient 1 would empty the message');
  await first.end(false);
  await busy;
  assert.equal(departures.busy(of(1)), null);
  const second = remove(1);
  assert.deepEqual(second.emptied, [], 'recipient 0 is still there');
  await second.end(true);
  assert.deepEqual(remove(0).emptied, ['m']);
});

test('told twice or not there, a recipient does not count twice', async () => {
  const { remove } = store(2);
  const first = remove(0);
  assert.deepEqual(remove(0).emptied, []);
  await first.end(true);
  assert.deepEqual(remove(0).emptied, []);
  assert.deepEqual(remove(1).emptied, ['m']);
});

test('a message to very many is counted once, not for each of them', async () => {
  const { remove, counts } = store(500);
  for (let index = 0; index < 400; index++) await remove(index).end(true);
  assert.deepEqual(counts, [500]);
});
