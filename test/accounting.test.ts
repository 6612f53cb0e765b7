// Every outcome stands once in the accounting files and once in the event files, whatever happens to the server:
// killed, files rotated by command and by size, taken away by a script, the disk full, and configured in another way at
// each start: renamed, other columns, types, times, sizes. POSTHORN_ACCT_ROUNDS sets how many times (4), POSTHORN_SEED
// repeats a run.
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { parseCsv } from '../src/mta/accounting/rfc4180.testing.ts';
import { connectSmtp, createSmtpServer, reply, smtpServerOptions } from '../src/smtp/index.ts';
import { systemClock } from '../src/system/clock.ts';
import { silentLog } from '../src/system/log.ts';
import { randomFrom } from './fault-layer.ts';
import { freePorts, Program, root, temporaryFolder, until } from './program.ts';

const rounds = Number(process.env.POSTHORN_ACCT_ROUNDS ?? 4);
const seed = Number(process.env.POSTHORN_SEED ?? randomInt(1e9));
const CLIENTS = 3;

/** What the receiving host saw and what clients were told; recipients are unique. */
interface Seen {
  readonly submitted: Set<string>;
  readonly acknowledged: Set<string>;
  readonly taken: Set<string>;
  readonly refusedFor: Map<string, number>;
}

/** The host that mail goes to: takes, refuses for good, or refuses once. */
async function receivingHost(t: TestContext, seen: Seen): Promise<number> {
  const server = createSmtpServer(
    () => ({
      options: smtpServerOptions({ hostName: 'host.test' }),
      handlers: {
        onRcpt: ({ address }) => {
          const gone = address.startsWith('gone');
          const slow = address.startsWith('slow') && !seen.refusedFor.has(address);
          if (!gone && !slow) return null;
          seen.refusedFor.set(address, (seen.refusedFor.get(address) ?? 0) + 1);
          return gone ? reply(550, '5.1.1', 'no such user') : reply(450, '4.2.1', 'try again later');
        },
        onMessage: async ({ envelope }) => {
          for (const { address } of envelope.recipients) seen.taken.add(address);
          return null;
        },
      },
    }),
    { clock: systemClock, log: silentLog },
  );
  t.after(() => server.close(0));
  return await server.listen('127.0.0.1', 0, 'the host of the test');
}

async function send(port: number, seen: Seen, sending: () => boolean, name: string): Promise<void> {
  for (let n = 0; sending(); ) {
    const connected = await connectSmtp({ host: '127.0.0.1', port, heloName: 'client.test' });
    if (!connected.ok) {
      await sleep(20);
      continue;
    }
    const { client } = connected;
    while (sending() && client.usable) {
      n++;
      const kind = n % 7 === 3 ? 'gone' : n % 5 === 2 ? 'slow' : 'user';
      const recipients = Array.from(
        { length: 1 + (n % 3) },
        (_, i) => `${kind}-${name}-${n}-${i}@d${n % 5}.test`,
      );
      for (const recipient of recipients) seen.submitted.add(recipient);
      const result = await client.send({
        // The null sender: nobody is to be told of bounces, which would be mail of its own.
        from: '',
        recipients: recipients.map((address) => ({ address })),
        // Long and awkward to quote, so that files grow and a torn one would not parse.
        content: Buffer.from(
          `Subject: ${n}\r\nX-Pad: a "quoted", ${'\r\n folded'.repeat(700)}\r\n\r\nbody\r\n`,
        ),
      });
      const done = result.data?.code === 250;
      if (done) for (const recipient of recipients) seen.acknowledged.add(recipient);
      await sleep(done ? 2 : 30);
    }
    await client.quit().catch(() => {});
  }
}

function oneOf<T>(random: () => number, values: readonly T[]): T {
  return values[Math.floor(random() * values.length)]!;
}

/** An accounting file as an operator might have changed it since the last start; the types that are counted stay. */
function acctFile(random: () => number, disk: string): string {
  return `<acct-file ${disk}/acct/${oneOf(random, ['acct.csv', 'acct.csv', 'renamed.csv'])}>
      records ${oneOf(random, ['d, b, t, r', 'r, t, b, d', 'd, b, t, r, tq, rb'])}
      ${oneOf(random, ['record-fields d *, header_x-pad', 'record-fields d rcpt, header_x-pad', 'record-fields t rcpt'])}
      record-fields r *, ${oneOf(random, ['header_x-pad', '!srcType'])}
      iso-times ${oneOf(random, ['yes', 'no'])}
      max-size ${oneOf(random, ['1M', '2M'])}
      ${oneOf(random, ['', `move-to ${disk}/done`])}
    </acct-file>`;
}

interface Bench {
  readonly seen: Seen;
  /** Folder of accounting and event files. */
  readonly disk: string;
  up(): Promise<Program>;
  /** An operator's script takes accounting files away, sometimes, and the newest too, whatever the server is at. */
  take(): void;
  /** `pmta rotate acct`. */
  rotate(): Promise<void>;
  /** `pmta reload` with the files configured in another way. */
  reload(): Promise<void>;
  /** Ends the load, lets everything come to its end, stops the server, and compares. */
  finish(program: Program): Promise<Record<string, number>>;
}

async function bench(t: TestContext, disk: string, random: () => number): Promise<Bench> {
  const seen: Seen = {
    submitted: new Set(),
    acknowledged: new Set(),
    taken: new Set(),
    refusedFor: new Map(),
  };
  const dir = temporaryFolder();
  for (const folder of [`${dir}/spool`, `${disk}/acct`, `${disk}/taken`, `${disk}/state`])
    mkdirSync(folder, { recursive: true });
  const host = await receivingHost(t, seen);
  const port = await freePorts(3);
  const config = path.join(dir, 'config');
  const configure = () =>
    writeFileSync(
      config,
      `host-name ${oneOf(random, ['mx.test', 'mx2.test'])}
    log-file ${dir}/log
    state-dir ${disk}/state
    http-mgmt-port ${port + 1}
    http-redirect-to-https no
    http-access 127.0.0.1 monitor
    smtp-listener 127.0.0.1:${port}
    enable-signals true
    <signals>
      min-free-space 0
      api-key 00112233445566778899aabbccddeeff00112233
      # Nobody is there: event files stay where they are.
      upload-url http://127.0.0.1:${port + 2}/api/v1/ingest/events
    </signals>
    <spool ${dir}/spool>
    </spool>
    <source 127.0.0.1>
      always-allow-relaying yes
      smtp-service yes
    </source>
    <domain *>
      smtp-hosts [127.0.0.1]:${host}
      use-starttls no
      max-smtp-out 4
      retry-after 1s
      retry-recipients-after 1s
    </domain>
    ${acctFile(random, disk)}`,
    );
  const pmta = async (...words: string[]) => {
    const args = [path.join(root, 'bin', 'pmta.js'), '--config', config, ...words];
    return (await promisify(execFile)(process.execPath, args)).stdout;
  };
  let taken = 0;
  let sending = true;
  const clients = Array.from({ length: CLIENTS }, (_, i) => send(port, seen, () => sending, `${i}`));
  t.after(() => {
    sending = false;
  });
  return {
    seen,
    disk,
    async up() {
      configure();
      const program = new Program(['mta', '--config', config]);
      t.after(() => program.process.kill('SIGKILL'));
      await program.says('listens on');
      return program;
    },
    take() {
      for (const name of readdirSync(`${disk}/acct`).filter((n) => !n.startsWith('.'))) {
        if (random() < 0.3) renameSync(`${disk}/acct/${name}`, `${disk}/taken/${taken++}-${name}`);
      }
    },
    async rotate() {
      assert.match(await pmta('rotate', 'acct'), /Accounting file rotated\./);
    },
    async reload() {
      configure();
      assert.match(await pmta('reload'), /Configuration reloaded\./);
    },
    async finish(program) {
      sending = false;
      await Promise.all(clients);
      let state = 'no answer';
      await until(async () => {
        const answer = await fetch(`http://127.0.0.1:${port + 1}/counters`).catch(() => null);
        if (!answer?.ok) return false;
        state = await answer.text();
        const { data } = JSON.parse(state) as { data: { queued: number; backlog: { outcomes: number } } };
        return data.queued === 0 && data.backlog.outcomes === 0;
      }).catch((error) => {
        throw new Error(`${state}\n${readFileSync(path.join(dir, 'log'), 'utf8').slice(-2000)}`, {
          cause: error,
        });
      });
      const { code, stderr } = await program.stop();
      assert.equal(code, 0, stderr);
      return compare(seen, disk);
    },
  };
}

type Counts = Map<string, number>;

function count(counts: Counts, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

/** Rows by type and recipient; every file must be strict CSV with one title and whole records. */
function accounting(dirs: readonly string[]): { rows: Counts; files: number } {
  const rows: Counts = new Map();
  const files = dirs
    .filter((dir) => existsSync(dir))
    .flatMap((dir) => readdirSync(dir).map((name) => path.join(dir, name)))
    .filter((file) => /\/(?:\d+-)?(acct|renamed)-\d{4}-\d\d-\d\d-\d{4}\.csv$/.test(file));
  for (const file of files) {
    const [title, ...records] = parseCsv(readFileSync(file, 'utf8'));
    for (const record of records) count(rows, `${record[0]} ${record[title!.indexOf('rcpt')]}`);
  }
  return { rows, files: files.length };
}

const typeOfEvent: ReadonlyMap<string, string> = new Map([
  ['reception', 'r'],
  ['delivery', 'd'],
  ['inband', 'b'],
  ['tempfail', 't'],
]);

/** Events under the type that the same outcome has in accounting. */
function events(dir: string): Counts {
  const found: Counts = new Map();
  const ids = new Set<string>();
  for (const name of readdirSync(dir).filter((n) => /^sp1-.*\.json(\.part)?$/.test(n))) {
    for (const line of readFileSync(path.join(dir, name), 'utf8').split('\n')) {
      if (line === '') continue;
      const event = JSON.parse(line).msys.message_event as Record<string, string>;
      assert.ok(!ids.has(event.event_id!), `event ${event.event_id} is there twice`);
      ids.add(event.event_id!);
      count(found, `${typeOfEvent.get(event.type!) ?? event.type} ${event.rcpt_to}`);
    }
  }
  return found;
}

function compare(seen: Seen, disk: string): Record<string, number> {
  const { rows, files } = accounting(['acct', 'done', 'taken'].map((name) => path.join(disk, name)));
  const told = events(path.join(disk, 'state', 'sparkpost'));
  assert.deepEqual([...told].sort(), [...rows].sort(), 'events and accounting must say the same');
  const of = (type: string, recipient: string) => rows.get(`${type} ${recipient}`) ?? 0;
  for (const recipient of seen.submitted) {
    const [r, d, b, t] = ['r', 'd', 'b', 't'].map((type) => of(type, recipient)) as [
      number,
      number,
      number,
      number,
    ];
    const where = `${recipient}: r ${r}, d ${d}, b ${b}, t ${t}`;
    if (seen.acknowledged.has(recipient)) assert.equal(r, 1, where);
    assert.ok(r <= 1 && d + b === r, where);
    assert.equal(d === 1, seen.taken.has(recipient), where);
    assert.equal(b === 1, r === 1 && recipient.startsWith('gone'), where);
    // A kill between the host's refusal and our record of it forgets the refusal.
    const refusals = recipient.startsWith('slow') ? (seen.refusedFor.get(recipient) ?? 0) : 0;
    assert.ok(t <= refusals, `${where}; the host refused ${refusals} times`);
  }
  for (const key of rows.keys())
    assert.ok(seen.submitted.has(key.split(' ')[1]!), `${key} was never submitted`);
  const sum = (type: string) => [...rows].filter(([key]) => key.startsWith(`${type} `)).length;
  return {
    acknowledged: seen.acknowledged.size,
    received: sum('r'),
    delivered: sum('d'),
    bounced: sum('b'),
    deferred: sum('t'),
    files,
  };
}

/** From now on mail of every kind is taken: on a slow machine there may have been little between the kills. */
async function everyKind({ acknowledged }: Seen): Promise<void> {
  const before = new Set(acknowledged);
  const since = (kind: string) => [...acknowledged].some((one) => !before.has(one) && one.startsWith(kind));
  await until(() => ['user', 'gone', 'slow'].every(since));
}

test(`accounting 1, 9: each outcome once in accounting and once in events, killed and rotated ${rounds} times (POSTHORN_SEED=${seed})`, async (t) => {
  const random = randomFrom(seed);
  const server = await bench(t, temporaryFolder(), random);
  for (let round = 0; round < rounds; round++) {
    const program = await server.up();
    await sleep(random() * 500);
    if (random() < 0.5) await server.rotate();
    if (random() < 0.3) await server.reload();
    await sleep(random() * 100);
    if (random() < 0.2) server.take();
    program.process.kill('SIGKILL');
    await program.finished;
    if (random() < 0.5) server.take();
  }
  const last = await server.up();
  await server.rotate();
  await everyKind(server.seen);
  await until(() => server.seen.acknowledged.size > 5 * rounds);
  const verdict = await server.finish(last);
  t.diagnostic(JSON.stringify(verdict));
  assert.ok(verdict.bounced! > 0 && verdict.deferred! > 0);
  assert.ok(verdict.files! > 1, `only ${verdict.files} files`);
});

/** Takes all the space that is left; answers how to give it back. */
function fill(dir: string): () => void {
  const file = path.join(dir, 'filler');
  const handle = openSync(file, 'w');
  for (let size = 1024 * 1024; size >= 1; ) {
    try {
      writeSync(handle, Buffer.alloc(size));
    } catch {
      size = Math.floor(size / 4);
    }
  }
  closeSync(handle);
  return () => rmSync(file);
}

test(`accounting 1, 9: the same on a disk that is full now and then (POSTHORN_SEED=${seed})`, async (t) => {
  const disk = path.join(temporaryFolder(), 'small');
  mkdirSync(disk);
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64m', 'tmpfs', disk]).status !== 0) {
    t.skip('SKIPPED: mounting a small file system needs root');
    return;
  }
  t.after(() => {
    spawnSync('umount', ['-l', disk]);
  });
  const random = randomFrom(seed);
  const server = await bench(t, disk, random);
  let program = await server.up();
  for (let round = 0; round < Math.ceil(rounds / 2); round++) {
    await sleep(100 + random() * 300);
    const free = fill(disk);
    const before = server.seen.acknowledged.size;
    // Mail is taken and delivered all the while: the journal keeps what the files cannot.
    await until(() => server.seen.acknowledged.size > before + 20);
    await sleep(random() * 300);
    if (random() < 0.5) {
      program.process.kill('SIGKILL');
      await program.finished;
      if (random() < 0.3) server.take();
      free();
      program = await server.up();
    } else free();
  }
  await everyKind(server.seen);
  const verdict = await server.finish(program);
  t.diagnostic(JSON.stringify(verdict));
  assert.ok(verdict.bounced! > 0 && verdict.deferred! > 0);
});
