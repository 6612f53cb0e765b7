// One sync fails while messages come in, and the next does not: each message is answered, those that were taken are in
// the spool with their outcomes, and those that were refused are not. The disk is that of test/fault-layer.c; the writer is a process of its
// own, because the layer comes with its start.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { setImmediate as turn, setTimeout as wait } from 'node:timers/promises';
import { missing } from '../scripts/system-packages.ts';
import { openSpool, type Spool } from '../src/spool/spool.ts';
import { sample } from '../src/spool/testing.ts';
import { faultLayer } from './fault-layer.ts';
import { Program, temporaryFolder, until } from './program.ts';

const ROUNDS = 20;
const MESSAGES = 14;

interface Fate {
  readonly taken: string[];
  readonly refused: string[];
  /** Of which the journal told before the end. */
  told: string[];
}

/** Stores in many transactions one close behind the other, one of which fails in each round. */
async function write(spoolDir: string, control: string): Promise<Fate> {
  const layer = faultLayer(spoolDir, control);
  const spool = openSpool(spoolDir);
  const fate: Fate = { taken: [], refused: [], told: [] };
  for (let round = 0; round < ROUNDS; round++) {
    let open = MESSAGES;
    for (let n = 0; n < MESSAGES; n++) {
      if (n === 3 + (round % 6)) layer.switch('eio-sync-once', true);
      const id = `${round}-${n}`;
      const { envelope, pending, outcomes } = sample(id, 1);
      void spool
        .store(envelope, Buffer.alloc(3000, 'x'), pending, outcomes)
        .then(
          () => fate.taken.push(id),
          () => fate.refused.push(id),
        )
        .finally(() => open--);
      // Another transaction for the next.
      await turn();
      if (n % 3 === 1) await wait(2);
    }
    await until(() => open === 0);
  }
  fate.told = journaled(spool);
  await spool.close();
  return fate;
}

function journaled(spool: Spool): string[] {
  return spool
    .journal(0, 1e6)
    .map(({ outcome }) => (outcome.kind === 'received' ? outcome.message.spoolId : ''));
}

if (process.argv[2] === 'writer') {
  process.stdout.write(`${JSON.stringify(await write(process.argv[3]!, process.argv[4]!))}\n`);
} else {
  test('a sync that fails once: what was in that transaction is refused, and nothing waits for ever', {
    skip: missing('gcc'),
  }, async () => {
    const folder = temporaryFolder();
    const [dir, control] = [path.join(folder, 'spool'), path.join(folder, 'control')];
    mkdirSync(dir);
    const writer = new Program(['writer', dir, control], faultLayer(dir, control).env, import.meta.filename);
    const { code, stdout, stderr } = await writer.finished;
    assert.equal(code, 0, stderr);
    const { taken, refused, told } = JSON.parse(stdout) as Fate;
    assert.equal(taken.length + refused.length, ROUNDS * MESSAGES);
    assert.ok(taken.length > 0 && refused.length > 0, `${taken.length} taken, ${refused.length} refused`);
    const spool = openSpool(dir);
    const stored = [...spool.recover()].flat().map(({ spoolId }) => spoolId);
    const outcomes = journaled(spool);
    await spool.close();
    assert.deepEqual(stored.sort(), taken.sort());
    assert.deepEqual(outcomes, told);
    assert.deepEqual(outcomes.toSorted(), stored);
  });
}
