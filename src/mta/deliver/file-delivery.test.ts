import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, linkSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { queuedRecipient } from '../queue/queued-recipient.ts';
import { parsePlainFile } from '../receive/pickup/plain-file.ts';
import { CONTENT, folder, smallDisk, startDelivery, until } from '../testing.ts';
import { destinationPath } from './file-path.ts';
import { macroValues } from './macros.ts';
import { Mboxes } from './mbox.ts';

function filed(t: TestContext, destination: string, format: string, more = '', dir?: string) {
  return startDelivery(t, {
    dir,
    config: `<domain *>\ntype file\nfile-destination ${destination}\nfile-format ${format}\nretry-recipients-after 1m\n${more}\n</domain>`,
  });
}

test('newfile-plain: a new file per message, headers and body, no envelope; only whole files are seen', async (t) => {
  const dir = folder(t);
  const mta = await filed(t, dir, 'newfile-plain');
  const { spoolId } = await mta.submit(['kim@a.test', 'lee@a.test']);
  await mta.submit(['mo@a.test']);
  await mta.quiet();
  const names = readdirSync(dir);
  assert.equal(names.length, 2);
  assert.ok(names.includes(`${spoolId}-0.msg`), names.join());
  for (const name of names) assert.deepEqual(readFileSync(path.join(dir, name)), CONTENT);
  assert.deepEqual(mta.story().sort(), [
    'delivered kim@a.test 2.0.0',
    'delivered lee@a.test 2.0.0',
    'delivered mo@a.test 2.0.0',
  ]);
  const [first] = mta.journal();
  assert.ok(
    first?.kind === 'delivered' && first.action === 'delivered' && first.attempt.transport === 'file',
  );
});

test('newfile-pickup: x-sender and x-receiver lines before the message', async (t) => {
  const dir = folder(t);
  const mta = await filed(t, dir, 'newfile-pickup');
  await mta.submit(['kim@a.test', 'lee@a.test']);
  await mta.quiet();
  const [name] = readdirSync(dir);
  assert.equal(
    readFileSync(path.join(dir, name!), 'latin1'),
    `x-sender: news@brand.test\r\nx-receiver: kim@a.test\r\nx-receiver: lee@a.test\r\n${CONTENT}`,
  );
});

test('newfile-pickup: a message that begins with x-receiver names nobody to the reader of the folder', async (t) => {
  const dir = folder(t);
  const mta = await filed(t, dir, 'newfile-pickup');
  const content = Buffer.from('X-Receiver : victim@far.test\r\nSubject: s\r\n\r\nHello\r\n');
  await mta.submit(['kim@a.test'], { content });
  await mta.quiet();
  const written = readFileSync(path.join(dir, readdirSync(dir)[0]!));
  const rules = { mostBytes: 1e6, mostRecipients: 10, unqualified: false, removeDot: false };
  const read = parsePlainFile(written, rules as Parameters<typeof parsePlainFile>[1]);
  assert.ok(read.kind === 'message');
  assert.deepEqual(
    read.recipients.map(({ address }) => address),
    ['kim@a.test'],
  );
  assert.ok(written.includes(content));
});

test('a message that is delivered again after a kill replaces its file and does not stand there twice', async (t) => {
  const dir = folder(t);
  const state = folder(t);
  const config = `<domain *>\ntype file\nfile-destination ${dir}\n</domain>`;
  const first = await startDelivery(t, { config, dir: state });
  const { settle } = first.spool;
  let write: (() => void) | null = null;
  first.spool.settle = async (...args) => {
    await new Promise<void>((resolve) => {
      write = resolve;
    });
    await settle.apply(first.spool, args);
  };
  await first.submit(['kim@a.test']);
  // The file stands there a moment before its outcome is on its way to the disk.
  await until(() => write !== null);
  assert.ok(readdirSync(dir).some((name) => name.endsWith('.msg')));
  // What a kill would leave: the file is there, and the outcome is not on disk.
  const left = folder(t);
  cpSync(path.join(state, 'data.mdb'), path.join(left, 'data.mdb'));
  write!();

  const second = await startDelivery(t, { config, dir: left });
  for (const item of [...second.spool.recover()].flat()) {
    second.scheduler.add(item.domain, item.vmta, queuedRecipient(item), second.clock.now());
  }
  second.dispatcher.kick();
  await until(() => second.story().length > 0);
  assert.deepEqual(second.story(), ['delivered kim@a.test 2.0.0']);
  assert.equal(readdirSync(dir).length, 1);
});

test('append-mbox: mboxrd quoting, LF, an empty line after each; messages follow each other', async (t) => {
  const dir = folder(t);
  const mta = await filed(t, `${dir}/$user`, 'append-mbox');
  const content = Buffer.from('Subject: x\r\n\r\nFrom here on\r\n>From there\r\nx From\r\n');
  await mta.submit(['kim@a.test'], { content });
  await mta.quiet();
  await mta.submit(['kim@a.test'], { facts: { sender: '' } });
  await mta.quiet();
  const text = readFileSync(path.join(dir, 'kim'), 'latin1');
  const stamp = 'Sat Nov 21 00:00:00 2026';
  assert.equal(
    text,
    `From news@brand.test ${stamp}\nSubject: x\n\n>From here on\n>>From there\nx From\n\n` +
      `From MAILER-DAEMON ${stamp}\n${CONTENT.toString().replaceAll('\r\n', '\n')}\n`,
  );
  await until(() => readdirSync(path.join(mta.spool.dir, 'mbox-notes')).length === 0);
});

test('append-mbox waits for the flock of another program', async (t) => {
  const dir = folder(t);
  const box = path.join(dir, 'kim');
  writeFileSync(box, '');
  const holder = spawn('flock', ['--exclusive', box, 'sh', '-c', 'echo held; read go'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  await new Promise((resolve) => holder.stdout.once('data', resolve));
  const mta = await filed(t, `${dir}/$user`, 'append-mbox');
  await mta.submit(['kim@a.test']);
  // Long enough for it to have opened the file and asked for the lock; it cannot have written by then or ever.
  await until(() => mta.scheduler.find('a.test', '{default}')?.inDelivery === 1);
  assert.equal(readFileSync(box, 'latin1'), '');
  holder.stdin.end('go\n');
  await mta.quiet();
  assert.deepEqual(mta.story(), ['delivered kim@a.test 2.0.0']);
  assert.match(readFileSync(box, 'latin1'), /^From news@brand\.test /);
});

const MAIL = { key: 'k1', sender: 'a@b.test', at: 0, content: Buffer.from('Subject: x\r\n\r\nhello\r\n') };

test('append-mbox recovers from a torn append: half a mail is cut off, a whole one is not appended again', async (t) => {
  const dir = folder(t);
  const box = path.join(dir, 'kim');
  const notes = path.join(dir, 'notes');
  writeFileSync(box, 'From old@b.test x\nSubject: old\n\nold\n\n');
  const before = readFileSync(box, 'latin1');
  await new Mboxes(notes).append(box, MAIL);
  const whole = readFileSync(box, 'latin1');
  // Killed after the append and before its record: the same message comes again.
  (await new Mboxes(notes).append(box, MAIL))();
  assert.equal(readFileSync(box, 'latin1'), whole);

  for (const cut of [1, 10, 30]) {
    writeFileSync(box, before);
    await new Mboxes(notes).append(box, { ...MAIL, key: 'torn' });
    writeFileSync(box, whole.slice(0, -cut));
    await new Mboxes(notes).append(box, MAIL);
    assert.equal(readFileSync(box, 'latin1'), whole, `cut ${cut}`);
  }
});

test('append-mbox: what another program wrote after a torn append stays', async (t) => {
  const dir = folder(t);
  const box = path.join(dir, 'kim');
  const notes = path.join(dir, 'notes');
  await new Mboxes(notes).append(box, { ...MAIL, content: Buffer.alloc(4000, 'x\n') });
  const torn = readFileSync(box, 'latin1').slice(0, 500);
  const other = '\nFrom other@b.test x\nSubject: other\n\nother\n\n';
  writeFileSync(box, torn + other);
  await new Mboxes(notes).append(box, { ...MAIL, key: 'k2' });
  const text = readFileSync(box, 'latin1');
  assert.ok(text.startsWith(torn + other) && text.endsWith('hello\n\n'), text);
});

test('append-mbox follows no link: an mbox of another name would be written with our rights', async (t) => {
  const dir = folder(t);
  const secret = path.join(dir, 'secret');
  writeFileSync(secret, '');
  symlinkSync(secret, path.join(dir, 'kim'));
  linkSync(secret, path.join(dir, 'lee'));
  const mta = await filed(t, `${dir}/$user`, 'append-mbox');
  await mta.submit(['kim@a.test', 'lee@a.test']);
  await mta.quiet();
  assert.equal(readFileSync(secret, 'latin1'), '');
  assert.deepEqual(mta.story(), ['deferred kim@a.test 4.3.0', 'deferred lee@a.test 4.3.0']);
});

test('path macros cannot leave the folder', () => {
  const at = (to: string, template: string) =>
    destinationPath(
      template,
      macroValues({ from: '', to, envId: '', eightBit: false, now: 0, preserveCase: false }),
    );
  for (const [to, template, expected] of [
    ['kim+x@A.test', '/m/$domain/$user', '/m/a.test/kim'],
    ['..@a.test', '/m/$user', '/m/%2E.'],
    ['.@a.test', '/m/$user', '/m/%2E'],
    ['.@a.test', '/m/.$user/x', '/m/%2E./x'],
    ['../../etc/passwd@a.test', '/m/$user', '/m/..%2F..%2Fetc%2Fpasswd'],
    ['a/b@a.test', '/m/$to', '/m/a%2Fb@a.test'],
    ['a%2fb@a.test', '/m/$user', '/m/a%252fb'],
    ['+x@a.test', '/m/$user', null],
    ['x\u0000y@a.test', '/m/$user', '/m/x?y'],
  ] as const) {
    assert.equal(at(to, template), expected);
    if (expected) assert.ok(path.resolve(expected).startsWith('/m/'));
  }
});

test('a folder that is not there: with macros one recipient waits, without them the queue', async (t) => {
  const dir = folder(t);
  mkdirSync(path.join(dir, 'kim'));
  const mta = await filed(t, `${dir}/$user`, 'newfile-plain');
  await mta.submit(['kim@a.test', 'lee@a.test', '+x@a.test', `${'l'.repeat(300)}@a.test`]);
  await mta.quiet();
  assert.deepEqual(
    mta
      .story()
      .map((line) => line.replace(/l{300}/, 'long'))
      .sort(),
    [
      'bounced +x@a.test 5.1.1',
      'bounced long@a.test 5.1.1',
      'deferred lee@a.test 4.3.0',
      'delivered kim@a.test 2.0.0',
    ],
  );
  const other = await filed(t, `${dir}/nowhere`, 'newfile-plain');
  await other.submit(['kim@a.test', 'lee@a.test']);
  await other.quiet();
  assert.deepEqual(other.story(), ['queue-deferred a.test/{default} 4.3.0']);
});

test('a full disk leaves no part of a mail, in a folder or in an mbox', async (t) => {
  const dir = smallDisk(t, '100k');
  if (dir === null) return;
  const content = Buffer.alloc(200_000, 'x\r\n');
  const mta = await filed(t, dir, 'newfile-plain');
  await mta.submit(['kim@a.test'], { content });
  await mta.quiet();
  assert.deepEqual(mta.story(), ['queue-deferred a.test/{default} 4.3.0']);
  assert.deepEqual(readdirSync(dir), []);
  const box = path.join(dir, 'box');
  writeFileSync(box, 'From a x\n\nx\n\n');
  await assert.rejects(new Mboxes(folder(t)).append(box, { ...MAIL, content }), /ENOSPC/);
  assert.equal(
    createHash('sha256').update(readFileSync(box)).digest('hex'),
    createHash('sha256').update('From a x\n\nx\n\n').digest('hex'),
  );
});
