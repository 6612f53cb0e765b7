// The store and its log under random work, killed at random moments, on a disk that keeps and on one that loses what was
// not synced: what was told as stored is there, what was told as settled is not, and each outcome has one number for ever.
// The log's files are so small that they are filled, moved into the store and written anew many times. POSTHORN_KILLS sets
// the number of kills, POSTHORN_SEED repeats what was chosen.
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { existsSync, mkdirSync, openSync, readFileSync, statSync, writeFileSync, writeSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { missing } from '../scripts/system-packages.ts';
import type { Outcome } from '../src/events/outcome.ts';
import { openSpool, type Spool } from '../src/spool/spool.ts';
import { sample } from '../src/spool/testing.ts';
import { faultLayer, randomFrom } from './fault-layer.ts';
import { Program, temporaryFolder, until } from './program.ts';

const kills = Number(process.env.POSTHORN_KILLS ?? 10);
const seed = Number(process.env.POSTHORN_SEED ?? randomInt(1e9));
const WORKERS = 8;
const VIEW = 'told';

/** An outcome in one word. */
function word(outcome: Outcome): string {
  assert.ok('message' in outcome && 'recipient' in outcome);
  return `${outcome.kind} ${outcome.message.spoolId} ${outcome.recipient.address}`;
}

/** Works until it is killed, and says what it was told: `+` and `-` for a recipient, `=` for an outcome and its number. */
async function write(dir: string, said: string, run: string, random: () => number): Promise<never> {
  const spool = openSpool(dir, { logFileSize: 200_000 });
  // A pipe may hold back what this process wrote when it is killed; a file does not.
  const handle = openSync(said, 'a');
  const say = (line: string) => writeSync(handle, `${line}\n`);
  let number = 0;
  const worker = async () => {
    for (;;) {
      const id = `${run}-${number++}`;
      const count = 1 + Math.floor(random() * 3);
      const { envelope, pending, outcomes } = sample(id, count);
      const content = Buffer.alloc(random() < 0.05 ? 60_000 : Math.floor(random() * 6000), id);
      const claim = random() < 0.1 ? id : undefined;
      await spool.store(envelope, content, pending, outcomes, claim);
      say(`+ ${id} ${count}`);
      await wait(random() * 6);
      // Some stay, so that there is always something to be moved.
      if (random() < 0.1) continue;
      const ends = pending.map(async ({ index, ...rest }) => {
        if (random() < 0.3) await wait(random() * 10);
        const state = { ...rest, index, attempts: 1 };
        if (random() < 0.2) await spool.settle([{ spoolId: id, index, state }], []);
        const outcome = {
          ...outcomes[index]!,
          kind: 'delivered',
          attempt: {},
          result: {},
        } as unknown as Outcome;
        await spool.settle([{ spoolId: id, index, state: 'done' }], [outcome]);
        say(`- ${id} ${index}`);
      });
      await Promise.all(ends);
    }
  };
  const view = async () => {
    for (let seq = spool.checkpoint(VIEW)?.seq ?? 0; ; ) {
      const entries = spool.journal(seq, 500);
      for (const entry of entries) say(`= ${entry.seq} ${word(entry.outcome)}`);
      seq = entries.at(-1)?.seq ?? seq;
      await spool.advance(new Map([[VIEW, { seq, state: null }]]), seq);
      await wait(random() * 40);
    }
  };
  await Promise.all([view(), ...Array.from({ length: WORKERS }, worker)]);
  throw new Error('the work has ended');
}

/** What the runs said, and whether the store agrees. */
class Ledger {
  readonly #waiting = new Map<string, 'stored' | 'settled'>();
  readonly #outcomes = new Map<number, string>();
  readonly #numbers = new Map<string, number>();

  hear(lines: readonly string[]): void {
    for (const line of lines) {
      const [sign, first = '', ...rest] = line.split(' ');
      if (sign === '+') {
        for (let index = 0; index < Number(rest[0]); index++)
          this.#waiting.set(`${first} ${index}`, 'stored');
      } else if (sign === '-') this.#waiting.set(`${first} ${rest[0]}`, 'settled');
      else this.told(Number(first), rest.join(' '));
    }
  }

  told(seq: number, outcome: string): void {
    assert.equal(this.#outcomes.get(seq) ?? outcome, outcome, `outcome ${seq} has changed`);
    assert.equal(this.#numbers.get(outcome) ?? seq, seq, `${outcome} has two numbers`);
    this.#outcomes.set(seq, outcome);
    this.#numbers.set(outcome, seq);
  }

  compare(spool: Spool): { waiting: number; stored: number } {
    const found = new Set<string>();
    for (const { spoolId, index } of [...spool.recover()].flat()) {
      const { facts, recipients } = spool.envelope(spoolId)!;
      assert.equal(facts.spoolId, spoolId);
      assert.equal(recipients[index]!.address, `u${index}@a.test`);
      const content = spool.content(spoolId)!;
      assert.ok(content.equals(Buffer.alloc(content.length, spoolId)));
      found.add(`${spoolId} ${index}`);
    }
    for (const { seq, outcome } of spool.journal(spool.checkpoint(VIEW)?.seq ?? 0, 1e6))
      this.told(seq, word(outcome));
    let stored = 0;
    for (const [recipient, state] of this.#waiting) {
      const [id, index] = recipient.split(' ') as [string, string];
      const address = `u${index}@a.test`;
      assert.ok(this.#numbers.has(`received ${id} ${address}`), `the reception of ${recipient} is lost`);
      const delivered = this.#numbers.has(`delivered ${id} ${address}`);
      if (state === 'settled') assert.ok(delivered, `the delivery of ${recipient} is lost`);
      // Settled, and it was not told any more.
      assert.equal(
        found.has(recipient),
        !delivered,
        `${recipient} was ${state}, and ${delivered ? 'is still' : 'no more'} there`,
      );
      if (!delivered) stored++;
    }
    return { waiting: found.size, stored };
  }
}

async function killed(losing: boolean): Promise<void> {
  const folder = temporaryFolder();
  const [dir, control, said] = ['spool', 'control', 'said'].map((name) => path.join(folder, name)) as [
    string,
    string,
    string,
  ];
  mkdirSync(dir);
  const random = randomFrom(seed);
  const ledger = new Ledger();
  let newest = 0;
  for (let kill = 0; kill < kills; kill++) {
    writeFileSync(said, '');
    const layer = losing ? faultLayer(dir, control, { FAULT_UNDO: '1' }) : null;
    const args = ['writer', dir, said, `r${kill}`, `${Math.floor(random() * 1e9)}`];
    const writer = new Program(args, layer?.env ?? {}, import.meta.filename);
    await until(() => statSync(said).size > 0);
    await wait(200 + random() * 500);
    writer.process.kill('SIGKILL');
    const { stderr } = await writer.finished;
    assert.equal(stderr, '');
    layer?.cutPower(random);
    ledger.hear(readFileSync(said, 'utf8').split('\n').slice(0, -1));
    const spool = openSpool(dir, { logFileSize: 200_000 });
    const { stored } = ledger.compare(spool);
    assert.ok(stored > 0);
    assert.ok(spool.newestOutcome > newest);
    newest = spool.newestOutcome;
    await spool.close();
    assert.ok(!existsSync(path.join(dir, 'corrupt')));
  }
}

if (process.argv[2] === 'writer') {
  const [dir, said, run, drawn] = process.argv.slice(3) as [string, string, string, string];
  await write(dir, said, run, randomFrom(Number(drawn)));
} else {
  test(`the store and its log are killed ${kills} times (POSTHORN_SEED=${seed})`, () => killed(false));
  test(`the power goes ${kills} times (POSTHORN_SEED=${seed})`, { skip: missing('gcc') }, () => killed(true));
}
