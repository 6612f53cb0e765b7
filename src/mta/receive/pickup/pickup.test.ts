// Files in a real pickup folder, a real spool behind it.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { Spool } from '../../../spool/spool.ts';
import { SpoolWriteError } from '../../../spool/spool-write-error.ts';
import { factsFor, REFUSED_QUEUE } from '../../../spool/stored-message.ts';
import { folder, startReception, until } from '../../testing.ts';
import type { TakeMessage } from '../submission.ts';
import { FileLocks } from './file-locks.ts';
import { Pickup } from './pickup.ts';

const PLAIN = 'x-sender: news@brand.test\nx-receiver: kim@a.test\nSubject: Hello\n\nHello.\n';

interface Given {
  readonly settings?: string;
  /** Stands between the folder and the spool. */
  readonly takeMessage?: (take: TakeMessage) => TakeMessage;
  readonly idle?: boolean;
}

async function start(t: TestContext, { settings = '', takeMessage = (take) => take, idle }: Given = {}) {
  const root = folder(t);
  const incoming = path.join(root, 'in');
  const bad = path.join(root, 'bad');
  mkdirSync(incoming);
  // Before the spool closes, which it does in the order in which these are told.
  const opened: Pickup[] = [];
  t.after(() => Promise.all(opened.map((one) => one.close())));
  const mta = await startReception(t, `pickup ${incoming} ${bad}\n${settings}`);
  const open = () => {
    const pickup = new Pickup({
      takeMessage: takeMessage(mta.takeMessage),
      spool: mta.spool,
      spoolRefusal: () => mta.refusal,
      clock: mta.clock,
      log: mta.log,
    });
    opened.push(pickup);
    return pickup;
  };
  const pickup = open();
  if (!idle) await pickup.apply(mta.config);
  /** A file that has been lying there for a while. */
  const put = (name: string, content: string | Buffer) => {
    const file = path.join(root, name);
    writeFileSync(file, content);
    utimesSync(file, 1_600_000_000, 1_600_000_000);
    renameSync(file, path.join(incoming, name));
  };
  const claims = () => {
    const dir = readdirSync(incoming).find((name) => name.startsWith('.claimed-'))!;
    return path.join(incoming, dir);
  };
  return {
    ...{ mta, pickup, open, incoming, bad, put, claims },
    /** Names of what still lies in the folder. */
    left: () => readdirSync(incoming).filter((name) => !name.startsWith('.')),
    claimed: () => readdirSync(claims()),
    /** Turns the clock until something holds. */
    async until(holds: () => boolean) {
      await until(() => {
        mta.clock.advance(100);
        return holds();
      });
    },
  };
}

test('D18.1 a file is read into the spool and then removed', async (t) => {
  const { mta, put, left, claimed, until } = await start(t);
  put('one', PLAIN);
  await until(() => mta.queued.length === 1);
  const { envelope, content } = mta.stored();
  assert.equal(envelope.facts.source, 'pickup');
  assert.equal(envelope.facts.sender, 'news@brand.test');
  assert.deepEqual(
    envelope.recipients.map(({ address }) => address),
    ['kim@a.test'],
  );
  assert.match(
    content.toString(),
    /^Received: by mta\.test with pickup id\s[\s\S]*\r\nSubject: Hello\r\n\r\nHello\.\r\n$/,
  );
  await until(() => left().length === 0 && claimed().length === 0);
});

test('D18.1 a bad file moves to BAD with a log line, and keeps its name unless that is taken', async (t) => {
  const { mta, put, left, bad, until } = await start(t);
  put('one', 'nonsense');
  await until(() => existsSync(path.join(bad, 'one')));
  put('one', 'more nonsense');
  const said = () => mta.logged.filter((line) => line === 'a pickup file cannot be taken').length;
  await until(() => readdirSync(bad).length === 2 && said() === 2);
  assert.equal(readFileSync(path.join(bad, 'one'), 'utf8'), 'nonsense');
  assert.deepEqual(left(), []);
  assert.equal(mta.queued.length, 0);
});

test('D18.3 other control headers act if <source {pickup}> enables them', async (t) => {
  const file = `${PLAIN.replace('\n\n', '\nX-Job: j7\nX-Virtual-MTA: v1\n\n')}`;
  const on = await start(t, {
    settings:
      '<virtual-mta v1>\n</virtual-mta>\n<source {pickup}>\nprocess-x-job yes\nprocess-x-virtual-mta yes\n</source>',
  });
  on.put('one', file);
  await on.until(() => on.mta.queued.length === 1);
  assert.equal(on.mta.stored().envelope.facts.jobId, 'j7');
  assert.equal(on.mta.queued[0]!.vmta, 'v1');
  const off = await start(t, { settings: '<source 0/0>\nprocess-x-job yes\n</source>' });
  off.put('one', file);
  await off.until(() => off.mta.queued.length === 1);
  assert.equal(off.mta.stored().envelope.facts.jobId, '');
});

test('D18.2 x-job and x-envid of a plain file are its job and envelope ID', async (t) => {
  const { mta, put, until } = await start(t);
  put('one', PLAIN.replace('Subject', 'x-job: Spring Sale!\nx-envid: e1\nSubject'));
  await until(() => mta.queued.length === 1);
  const { facts } = mta.stored().envelope;
  assert.deepEqual([facts.envId, facts.jobId], ['e1', 'Spring_Sale!']);
  assert.doesNotMatch(mta.stored().content.toString(), /x-envid|x-job|x-receiver|x-sender/i);
});

test('D18.8 a file being written is retried while it is locked', async (t) => {
  if (spawnSync('flock', ['--version']).error) return t.skip('SKIPPED: needs the flock command');
  if (!existsSync('/proc/locks')) return t.skip('SKIPPED: needs /proc/locks');
  const { mta, put, incoming, left, pickup, until } = await start(t, { idle: true });
  put('one', PLAIN);
  put('two', PLAIN);
  const holder = spawn('flock', ['-x', path.join(incoming, 'one'), 'sh', '-c', 'echo held; read line'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  // Its child has the pipes too, and while those are open this process does not end.
  t.after(() => {
    holder.stdin.destroy();
    holder.stdout.destroy();
    holder.kill();
  });
  await once(holder.stdout, 'data');
  await pickup.apply(mta.config);
  await until(() => mta.queued.length === 1 && left().length === 1);
  for (let i = 0; i < 50; i++) {
    mta.clock.advance(1_000);
    await wait(2);
  }
  assert.deepEqual(left(), ['one'], 'looked at many times, and left alone');
  holder.stdin.end('\n');
  await once(holder, 'close');
  await until(() => mta.queued.length === 2);
});

test('D18.8 a file that changes is left alone until it has been still for a second', async (t) => {
  const { mta, incoming, until: turning } = await start(t);
  // A look that has begun waits for nothing but itself: the next one is only planned when it has ended.
  const looked = () => until(() => mta.clock.waiting === planned);
  const planned = mta.clock.waiting;
  const file = path.join(incoming, 'slow');
  // Younger than the test's clock can tell: only two looks at it can.
  const ahead = mta.clock.now() / 1000 + 1_000_000;
  let written = 'x-sender: news@brand.test\n';
  for (let i = 0; i < 5; i++) {
    written += `x-receiver: u${i}@a.test\n`;
    writeFileSync(file, written);
    utimesSync(file, ahead + i, ahead + i);
    mta.clock.advance(900);
    await looked();
  }
  assert.equal(mta.queued.length, 0);
  writeFileSync(file, `${written}Subject: x\n\n`);
  utimesSync(file, ahead + 9, ahead + 9);
  await turning(() => mta.queued.length === 5);
});

test('D18.1 locks are read as the kernel lists them', () => {
  const locks = new FileLocks(
    [
      '1: FLOCK  ADVISORY  WRITE 708 fe:01:2245996 0 EOF',
      '2: POSIX  ADVISORY  READ 31866 08:02:7 1073741826 1073742335',
      '3: -> FLOCK  ADVISORY  WRITE 709 fe:01:99 0 EOF',
      '4: FLOCK  ADVISORY  WRITE 708 00:2f:55 0 EOF',
      '5: OFDLCK ADVISORY  WRITE -1 08:02:8 0 EOF',
      'garbage \0 line',
    ].join('\n'),
  );
  const device = (major: number, minor: number) => BigInt((major << 8) | minor);
  assert.ok(locks.holds({ dev: device(0xfe, 1), ino: 2245996n }));
  assert.ok(!locks.holds({ dev: device(8, 1), ino: 2245996n }), 'the same number on another disk');
  assert.ok(locks.holds({ dev: device(8, 2), ino: 7n }));
  assert.ok(locks.holds({ dev: device(8, 2), ino: 8n }));
  assert.ok(!locks.holds({ dev: device(0xfe, 1), ino: 99n }), 'waiting for a lock is not holding it');
  assert.ok(locks.holds({ dev: device(0, 0x31), ino: 55n }), 'devices without a number are not told apart');
});

test('BSMTP, XACK ON, one malformed RCPT ⇒ file in BAD, nothing queued', async (t) => {
  const { mta, put, bad, until } = await start(t);
  put('one', 'XACK ON\nMAIL FROM:<a@b.test>\nRCPT TO:<k@@x>\nRCPT TO:<lou@a.test>\nDATA\nS: x\n\n.\n');
  await until(() => existsSync(path.join(bad, 'one')));
  assert.equal(mta.queued.length, 0);
});

test('BSMTP, XACK OFF, same ⇒ others queued, a bounce to MAIL FROM (D18.5)', async (t) => {
  const { mta, put, left, until } = await start(t);
  put('one', 'XACK OFF\nMAIL FROM:<a@b.test>\nRCPT TO:<k@@x.test>\nRCPT TO:<lou@a.test>\nDATA\nS: x\n\n.\n');
  await until(() => mta.queued.length === 2 && left().length === 0);
  const { envelope } = mta.stored();
  assert.equal(envelope.facts.sender, 'a@b.test');
  assert.deepEqual(
    mta.queued.map(({ domain, index }) => [envelope.recipients[index]!.address, domain]),
    [
      ['k@@x.test', REFUSED_QUEUE],
      ['lou@a.test', 'a.test'],
    ],
  );
  assert.equal(envelope.recipients[0]!.refusal?.status, '5.1.2');
});

test('BSMTP mail merge: each recipient has what XDFN said of it', async (t) => {
  const { mta, put, until } = await start(t);
  put(
    'one',
    'XMRG FROM:<a@b.test>\nXDFN *jobid=j1 n=Kim\nRCPT TO:<kim@a.test>\nXDFN *jobid=j2 n=Lou\nRCPT TO:<lou@a.test>\n' +
      'XPRT 1 LAST\nSubject: Hi [n]\n\nx\n.\n',
  );
  await until(() => mta.queued.length === 2);
  const { envelope } = mta.stored();
  assert.deepEqual(
    envelope.recipients.map((_, i) => factsFor(envelope, i).jobId),
    ['j1', 'j2'],
  );
  assert.ok(envelope.template);
});

test('plain file, one malformed x-receiver ⇒ file in BAD', async (t) => {
  const { mta, put, bad, until } = await start(t);
  put('one', PLAIN.replace('Subject', 'x-receiver: k@@x\nSubject'));
  await until(() => existsSync(path.join(bad, 'one')));
  assert.equal(mta.queued.length, 0);
});

test('D18.1 killed between storing and removing: the file is not taken again', async (t) => {
  const { mta, put, open, claimed, pickup, until } = await start(t, {
    takeMessage: (take) => async (submission) => {
      const verdict = await take(submission);
      // The disk has the message; what follows in this process does not happen any more.
      if (mta.queued.length === 1) throw new SpoolWriteError('killed');
      return verdict;
    },
  });
  put('one', PLAIN);
  await until(() => mta.queued.length === 1);
  await pickup.close();
  assert.equal(claimed().length, 1, 'the file is still there');
  const next = open();
  await next.apply(mta.config);
  await until(() => claimed().length === 0);
  assert.equal(mta.queued.length, 1, 'and its message is there once');
});

test('D18.1 killed between claiming and storing: the file is taken after the restart', async (t) => {
  let dead = true;
  const { mta, put, open, claimed, pickup, until } = await start(t, {
    takeMessage: (take) => async (submission) => {
      if (dead) throw new SpoolWriteError('the disk is full');
      return take(submission);
    },
  });
  put('one', PLAIN);
  await until(() => mta.logged.includes('a pickup file is tried again later'));
  await pickup.close();
  assert.equal(claimed().length, 1);
  dead = false;
  const next = open();
  await next.apply(mta.config);
  await until(() => claimed().length === 0);
  assert.equal(mta.queued.length, 1);
});

test('D18.1 a message that is refused for now is tried again; one refused for good is bad', async (t) => {
  const answers = [
    { accepted: false as const, reply: { code: 452, text: 'later' } },
    { accepted: false as const, reply: { code: 554, text: 'never' } },
  ];
  const { mta, put, bad, until } = await start(t, { takeMessage: () => async () => answers.shift()! });
  put('one', PLAIN);
  await until(() => mta.logged.includes('a pickup file is tried again later'));
  assert.equal(existsSync(path.join(bad, 'one')), false);
  await until(() => existsSync(path.join(bad, 'one')));
});

test('nothing is taken while the spool has no room', async (t) => {
  const { mta, put, left, until } = await start(t);
  mta.refusal = 'the disk is full';
  put('one', PLAIN);
  await until(() => mta.logged.some((line) => line.includes('the disk is full')));
  assert.deepEqual(left(), ['one']);
  mta.refusal = null;
  await until(() => mta.queued.length === 1);
});

test('links, pipes and folders in the pickup folder are never read', async (t) => {
  const { mta, incoming, bad, put, left, pickup, until } = await start(t, { idle: true });
  writeFileSync(path.join(incoming, '..', 'secret'), PLAIN);
  symlinkSync(path.join(incoming, '..', 'secret'), path.join(incoming, 'link'));
  symlinkSync('/dev/zero', path.join(incoming, 'device'));
  spawnSync('mkfifo', [path.join(incoming, 'pipe')]);
  mkdirSync(path.join(incoming, 'folder'));
  put('.hidden', PLAIN);
  await pickup.apply(mta.config);
  put('good', PLAIN);
  await until(() => mta.queued.length === 1 && left().length === 1);
  assert.deepEqual(left(), ['folder']);
  assert.deepEqual(readdirSync(bad).sort(), ['device', 'link', 'pipe']);
  assert.ok(existsSync(path.join(incoming, '.hidden')));
});

test('a file above the size that a message may have is bad unread', async (t) => {
  const { mta, put, bad, until } = await start(t, {
    settings: '<source {pickup}>\nmax-message-size 1K\n</source>',
  });
  put('large', Buffer.alloc(40 * 1024 * 1024, 'x'));
  put('medium', `${PLAIN}${'x'.repeat(2000)}\n`);
  put('small', PLAIN);
  await until(() => readdirSync(bad).length === 2 && mta.queued.length === 1);
});

test('many files are all taken, each once', async (t) => {
  const { mta, put, left, claimed, until } = await start(t);
  for (let i = 0; i < 600; i++) put(`file-${i}`, PLAIN.replace('kim', `u${i}`));
  await until(() => mta.queued.length >= 600 && claimed().length === 0);
  assert.equal(mta.queued.length, 600);
  assert.equal(
    new Set(mta.queued.map(({ spoolId }) => mta.spool.envelope(spoolId)!.recipients[0]!.address)).size,
    600,
  );
  assert.deepEqual(left(), []);
  assert.ok(mta.spool instanceof Spool);
});

test('D18.1 a file whose name is no UTF-8 is taken, or moves to BAD under a name that can be read', async (t) => {
  const { mta, incoming, bad, left, until } = await start(t);
  for (const [name, content] of [
    ['gr\xfc\xdfe', PLAIN],
    ['schl\xe9cht', 'nonsense'],
  ] as const) {
    const file = Buffer.concat([Buffer.from(`${incoming}/.`), Buffer.from(name, 'latin1')]);
    writeFileSync(file, content);
    utimesSync(file, 1_600_000_000, 1_600_000_000);
    renameSync(file, Buffer.concat([Buffer.from(`${incoming}/`), Buffer.from(name, 'latin1')]));
  }
  await until(() => mta.queued.length === 1 && readdirSync(bad).length === 1 && left().length === 0);
  assert.deepEqual(readdirSync(bad), ['schl\ufffdcht']);
});

test('D18.1 signs of change that never cease do not put off the look at the folder', async (t) => {
  const { mta, incoming, put } = await start(t);
  put('one', PLAIN);
  // Closer together than the pause in which signs are gathered.
  let changes = 0;
  await until(
    () => {
      writeFileSync(path.join(incoming, 'busy'), String(changes++));
      mta.clock.advance(20);
      return mta.queued.length === 1;
    },
    undefined,
    2,
  );
});

test('jobid-prefix goes before x-job of a pickup file', async (t) => {
  const { mta, put, until } = await start(t, {
    settings: '<source {pickup}>\njobid-prefix shop-\n</source>',
  });
  put('one', PLAIN.replace('x-receiver', 'x-job: j1\nx-receiver'));
  await until(() => mta.queued.length === 1);
  assert.equal(mta.stored().envelope.facts.jobId, 'shop-j1');
});
