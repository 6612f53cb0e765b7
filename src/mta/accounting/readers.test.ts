// Programs that people already have, by the rules that public scripts read accounting files with.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, fstatSync, openSync, readdirSync, readSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Outcome } from '../../events/outcome.ts';
import { generatedOutcomes, outcomeKinds, sampleOutcome } from '../../events/testing.ts';
import { silentLog } from '../../system/log.ts';
import { TestClock } from '../../system/testing.ts';
import { type AcctFileOptions, createAcctFile } from './acct-file.ts';
import { recordTypes } from './columns.ts';
import { rowsOf } from './rows.ts';

process.env.TZ = 'Europe/Berlin';

async function folder(t: TestContext): Promise<string> {
  const dir = await mkdtemp(path.join(tmpdir(), 'acct-readers-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

function named(kind: (typeof outcomeKinds)[number], jobId: string): Outcome {
  const outcome = sampleOutcome(kind);
  return 'message' in outcome ? { ...outcome, message: { ...outcome.message, jobId } } : outcome;
}

/**
 * Follows dated files as log shippers do: looks for new names, keeps a place in each file that it has open (also when
 * it was moved away), hands on whole lines, and takes the first line of each file for its title.
 */
class TailReader {
  readonly #dir: string;
  readonly #open = new Map<number, { handle: number; at: number; rest: string; title: string[] | null }>();
  readonly #names = new Set<string>();
  readonly records: Map<string, string>[] = [];

  constructor(dir: string) {
    this.#dir = dir;
  }

  poll(): void {
    for (const name of readdirSync(this.#dir).sort()) {
      if (!/^acct-(\d{4}-\d{2}-\d{2})/.test(name) || this.#names.has(name)) continue;
      this.#names.add(name);
      const handle = openSync(path.join(this.#dir, name), 'r');
      this.#open.set(fstatSync(handle).ino, { handle, at: 0, rest: '', title: null });
    }
    for (const file of this.#open.values()) {
      const chunk = Buffer.alloc(1024 * 1024);
      const read = readSync(file.handle, chunk, 0, chunk.length, file.at);
      file.at += read;
      const lines = (file.rest + chunk.toString('utf8', 0, read)).split('\n');
      file.rest = lines.pop()!;
      for (const line of lines) {
        // Bare commas: this one does not know quotes, which is why fields without need have none.
        const values = line.replace(/\r$/, '').split(',');
        if (!file.title) file.title = values;
        else this.records.push(new Map(file.title.map((column, i) => [column, values[i] ?? ''])));
      }
    }
  }

  close(): void {
    for (const { handle } of this.#open.values()) closeSync(handle);
  }
}

for (const moved of [false, true]) {
  test(`accounting 7.1: a tail reader follows dated files over midnight, rotation, size and restart${moved ? ', and files that are moved away' : ''}`, async (t) => {
    const dir = await folder(t);
    const done = await folder(t);
    const clock = new TestClock(new Date(2031, 3, 8, 23, 59).getTime());
    const options: AcctFileOptions = {
      path: path.join(dir, 'acct.csv'),
      records: ['d', 'b'],
      recordFields: new Map([
        ['d', ['timeLogged', 'rcpt', 'jobId']],
        ['b', ['timeLogged', 'rcpt', 'jobId', 'bounceCat']],
      ]),
      maxSize: 2000,
      deleteAfterMs: null,
      ...(moved ? { moveTo: done } : {}),
    };
    const view = () => createAcctFile(options, { clock, log: silentLog });
    const reader = new TailReader(dir);
    t.after(() => reader.close());
    let acct = view();
    t.after(() => acct.close());
    await acct.open(null);
    let checkpoint: unknown = null;
    const wanted: string[] = [];
    for (let i = 0; i < 200; i++) {
      wanted.push(`job${i}`);
      acct.write(i + 1, named(i % 3 === 0 ? 'bounced' : 'delivered', `job${i}`));
      if (i % 4 === 3) {
        checkpoint = await acct.flush();
        acct.stored!();
        reader.poll();
      }
      if (i === 60) await acct.rotate();
      if (i === 90) clock.advance(120_000);
      if (i === 119) {
        await acct.close();
        acct = view();
        await acct.open(checkpoint);
      }
    }
    await acct.flush();
    reader.poll();
    assert.deepEqual(
      reader.records.map((r) => r.get('jobId')),
      wanted,
    );
    assert.ok(
      reader.records.every((r) => (r.get('type') === 'b') === (r.get('bounceCat') === 'bad-mailbox')),
    );
  });
}

/** Sorts bounces as bounce handlers do: columns by name, permanent by the prefix of dsnStatus, soft by category. */
function bounceHandler(lines: readonly string[]): Map<string, string> {
  let title: string[] = [];
  const verdicts = new Map<string, string>();
  for (const line of lines) {
    // What PHP's str_getcsv and Python's csv do with one line.
    const values = [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)].map(
      ([, quoted, plain]) => quoted?.replaceAll('""', '"') ?? plain ?? '',
    );
    if (values[0] === 'type') {
      title = values;
      continue;
    }
    const of = (column: string) => values[title.indexOf(column)] ?? '';
    if (of('type') === 'd' && of('dsnStatus').startsWith('2.')) verdicts.set(of('jobId'), 'delivered');
    else if (of('type') === 'b' && of('dsnStatus').startsWith('5.')) {
      const hard = ['bad-mailbox', 'bad-domain', 'inactive-mailbox'].includes(of('bounceCat'));
      verdicts.set(of('jobId'), hard ? `remove ${of('rcpt').toLowerCase()}` : 'keep');
    } else if (of('type') === 'rb') verdicts.set('report', `remove ${of('rcpt')}`);
    else if (of('type') === 'f' && of('feedbackType') === 'abuse')
      verdicts.set('complaint', of('header_X-job'));
  }
  return verdicts;
}

test('accounting 1, 3.3: a bounce handler finds columns by name, also when titles of several files and pipes mix', () => {
  const one = rowsOf({ records: ['d', 'b', 'rb', 'f'], recordFields: new Map() });
  const other = rowsOf({
    records: ['b', 'd'],
    recordFields: new Map([['b', ['bounceCat', 'header_From', 'dsnDiag', 'dsnStatus', 'jobId', 'rcpt']]]),
  });
  const bounced = named('bounced', 'job2') as Extract<Outcome, { kind: 'bounced' }>;
  const awkward = {
    ...bounced,
    result: { ...bounced.result, diagnostic: 'smtp;550 5.1.1 "no", says, the host' },
  };
  const spam = named('bounced', 'job3') as Extract<Outcome, { kind: 'bounced' }>;
  const lines = [
    one.title,
    one.row(named('delivered', 'job1'))!,
    one.row(sampleOutcome('remote-bounce'))!,
    one.row(sampleOutcome('complaint'))!,
    other.title,
    other.row(awkward)!,
    one.title,
    one.row({ ...spam, result: { ...spam.result, category: 'spam-related' } })!,
  ];
  assert.deepEqual(
    [...bounceHandler(lines)],
    [
      ['job1', 'delivered'],
      ['report', 'remove di@far.example'],
      ['complaint', 'spring31'],
      ['job2', 'remove ana@mail.example.net'],
      ['job3', 'keep'],
    ],
  );
});

test('accounting 6, 9.1: a strict importer of RFC 4180 that is not ours reads every value as it was', async (t) => {
  const script = `
import csv, json, sys
rows = list(csv.reader(sys.stdin, strict=True))
assert all(len(row) == len(rows[0]) for row in rows), 'widths differ'
json.dump(rows, sys.stdout)
`;
  const rows = rowsOf({ records: recordTypes, recordFields: new Map() });
  // NUL cannot be in a field of that importer, and half a surrogate pair cannot be in UTF-8 at all.
  const lines = [...outcomeKinds.map((kind) => sampleOutcome(kind)), ...generatedOutcomes(400, 11)]
    .map((outcome) => rows.row(outcome)!)
    .filter((row) => row.isWellFormed() && !row.includes('\0'));
  const text = `${[rows.title, ...lines].join('\r\n')}\r\n`;
  const env = { ...process.env, PYTHONIOENCODING: 'utf-8' };
  const args = ['-c', script.replace('sys.stdin,', "open(0, newline='', encoding='utf-8'),")];
  const done = spawnSync('python3', args, {
    input: text,
    env,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  });
  if (done.error) {
    t.skip('SKIPPED: there is no python3 to import with');
    return;
  }
  assert.equal(done.status, 0, done.stderr);
  const imported = JSON.parse(done.stdout) as string[][];
  assert.equal(imported.length, lines.length + 1);
  const quoted = (value: string) => (/[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
  assert.deepEqual(
    imported.slice(1).map((row) => row.map(quoted).join(',')),
    lines,
  );
});
