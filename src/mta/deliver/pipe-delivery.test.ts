import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { CONTENT, type DeliveryUnderTest, folder, keptLog, startDelivery, until } from '../testing.ts';
import { expandArguments, splitCommand } from './command-line.ts';
import { expandMacros, macroValues } from './macros.ts';

/** A program of the test's, in sh; a file, since there is no shell to read a line of it. */
function script(t: TestContext, text: string): { file: string; dir: string } {
  const dir = folder(t);
  const file = path.join(dir, 'program');
  writeFileSync(file, `#!/bin/sh\n${text.replaceAll('DIR', dir)}\n`, { mode: 0o755 });
  return { file, dir };
}

function piped(t: TestContext, command: string, more = '', log = keptLog()): Promise<DeliveryUnderTest> {
  return startDelivery(t, {
    config: `<domain *>\ntype pipe\ncommand "${command.replaceAll('"', '\\"')}"\nretry-recipients-after 1m\n${more}\n</domain>`,
    log: log.log,
  });
}

const ROWS: [code: number, kind: string, status: string][] = [
  [0, 'delivered', '2.0.0 (success)'],
  [64, 'bounced', '5.5.4 (invalid command arguments)'],
  [65, 'bounced', '5.5.2 (syntax error)'],
  [66, 'bounced', '5.3.0 (mail system-related failure)'],
  [67, 'bounced', '5.1.1 (bad destination mailbox address)'],
  [68, 'bounced', '5.1.2 (bad destination system address)'],
  [69, 'bounced', '5.3.0 (mail system-related failure)'],
  [70, 'bounced', '5.3.0 (mail system-related failure)'],
  [71, 'deferred', '4.3.0 (mail system-related failure)'],
  [72, 'bounced', '5.3.0 (mail system-related failure)'],
  [73, 'bounced', '5.2.0 (mailbox-related failure)'],
  [74, 'deferred', '4.3.0 (mail system-related failure)'],
  [75, 'deferred', '4.0.0 (transient failure)'],
  [76, 'bounced', '5.5.0 (protocol-related failure)'],
  [77, 'bounced', '5.7.1 (delivery not authorized)'],
  [78, 'bounced', '5.3.5 (system incorrectly configured)'],
  [1, 'deferred', '4.3.0 (mail system-related failure)'],
  [79, 'deferred', '4.3.0 (mail system-related failure)'],
];

test('one process per recipient, the message on its standard input', async (t) => {
  const { file, dir } = script(t, 'cat >"DIR/got-$1"; echo x >>DIR/started');
  const mta = await piped(t, `${file} $user`, 'max-smtp-out 2');
  await mta.submit(['kim@a.test', 'lee@a.test', 'mo@a.test']);
  await mta.quiet();
  assert.deepEqual(mta.story().sort(), [
    'delivered kim@a.test 2.0.0',
    'delivered lee@a.test 2.0.0',
    'delivered mo@a.test 2.0.0',
  ]);
  assert.equal(readFileSync(path.join(dir, 'started'), 'utf8'), 'x\nx\nx\n');
  for (const user of ['kim', 'lee', 'mo'])
    assert.deepEqual(readFileSync(path.join(dir, `got-${user}`)), CONTENT);
  const [first] = mta.journal();
  assert.ok(first?.kind === 'delivered');
  assert.deepEqual(
    [first.action, first.attempt.transport, first.size],
    ['delivered', 'pipe', CONTENT.length],
  );
});

for (const [code, kind, status] of ROWS) {
  test(`pipe: exit code ${code} is ${kind}, ${status}`, async (t) => {
    const { file } = script(t, `exit ${code}`);
    const mta = await piped(t, file);
    await mta.submit(['kim@a.test']);
    await mta.quiet();
    const [outcome] = mta.journal();
    assert.ok(outcome && 'result' in outcome);
    assert.equal(outcome.kind, kind);
    assert.equal(`${outcome.result.status} (${outcome.result.statusText})`, status);
  });
}

test('pipe: killed is tried again, 4.3.0', async (t) => {
  const { file } = script(t, 'kill -9 $$');
  const mta = await piped(t, file);
  await mta.submit(['kim@a.test']);
  await mta.quiet();
  assert.deepEqual(mta.story(), ['deferred kim@a.test 4.3.0']);
});

test('a program that does not end is killed with all that it started, and its recipient is tried again', async (t) => {
  const { file, dir } = script(
    t,
    'cat >/dev/null\nsleep 100 &\necho $! >DIR/child\nmv DIR/child DIR/ready\nwait',
  );
  const mta = await piped(t, file, 'smtp-data-termination-timeout 5m');
  await mta.submit(['kim@a.test']);
  await until(() => existsSync(path.join(dir, 'ready')));
  const child = Number(readFileSync(path.join(dir, 'ready'), 'utf8'));
  process.kill(child, 0);
  await until(() => {
    mta.clock.advance(60_000);
    return mta.story().length > 0;
  });
  assert.deepEqual(mta.story(), ['deferred kim@a.test 4.3.0']);
  await until(() => gone(child));
});

test('the server stops: programs that still run are killed, their recipients stay in the spool', async (t) => {
  const { file, dir } = script(t, 'sleep 100 &\necho $! >DIR/child\nmv DIR/child DIR/ready\nwait');
  const mta = await piped(t, file);
  await mta.submit(['kim@a.test']);
  await until(() => existsSync(path.join(dir, 'ready')));
  await mta.stop();
  await until(() => gone(Number(readFileSync(path.join(dir, 'ready'), 'utf8'))));
});

// What stands on both of them comes in no order.
for (const [output, to] of [
  ['standard output', ''],
  ['standard error', '>&2'],
] as const) {
  test(`${output} without end is read, cut and logged; a program need not read its input`, async (t) => {
    const { file } = script(
      t,
      `{ echo "no such user here"; head -c 3000000 /dev/zero | tr "\\\\0" y; } ${to}\nexit 67`,
    );
    const log = keptLog();
    const mta = await piped(t, file, '', log);
    await mta.submit(['kim@a.test'], { content: Buffer.alloc(2_000_000, 'x\r\n') });
    await mta.quiet();
    assert.deepEqual(mta.story(), ['bounced kim@a.test 5.1.1']);
    const line = log.lines.find((one) => one.includes('exit code 67'));
    assert.ok(line?.includes('no such user here') && line.length < 3000, line);
  });
}

test('a program that cannot be started makes the queue wait, and says which line of the configuration names it', async (t) => {
  const log = keptLog();
  const mta = await piped(t, '/nowhere/program', '', log);
  await mta.submit(['kim@a.test']);
  await mta.quiet();
  assert.deepEqual(mta.story(), ['queue-deferred a.test/{default} 4.3.5']);
  assert.ok(
    log.lines.some((line) => /\/nowhere\/program.*config:3.*ENOENT/.test(line)),
    log.lines.join('\n'),
  );
  assert.deepEqual(mta.holds('a.test'), ['queue-retry']);
});

test('nothing in an address becomes another argument, a command or an option', async (t) => {
  const { file, dir } = script(t, 'for one in "$@"; do echo "<$one>"; done >"DIR/args"');
  const mta = await piped(t, `${file} --to "$to" $from`);
  const to = '"a; touch b $(id) `id` "@a.test';
  await mta.submit([to], { facts: { sender: '$to|x@brand.test' } });
  await mta.quiet();
  assert.equal(readFileSync(path.join(dir, 'args'), 'utf8'), `<--to>\n<${to}>\n<$to|x@brand.test>\n`);
  assert.deepEqual(readdirSync(dir).sort(), ['args', 'program']);

  await mta.submit(['kim@a.test'], { facts: { sender: '-oQ/tmp@brand.test' } });
  await mta.quiet();
  assert.equal(mta.story().at(-1), 'bounced kim@a.test 5.5.4');
});

test('<domain local> serves every local host name', async (t) => {
  const { file, dir } = script(t, 'cat >"DIR/$1"');
  const mta = await startDelivery(t, {
    config: `host-name one.test\nhost-name two.test\n<domain local>\ntype pipe\ncommand "${file} $domain"\n</domain>`,
  });
  await mta.submit(['kim@one.test', 'kim@two.test']);
  await mta.quiet();
  assert.deepEqual(readdirSync(dir).sort(), ['one.test', 'program', 'two.test']);
});

test('macros: each one, lower case unless macro-variables-preserve-case', () => {
  const facts = {
    from: 'News@Brand.test',
    to: 'Kim+Lists+x@A.test',
    envId: 'E1',
    eightBit: true,
    now: new Date(2026, 10, 1, 4, 5, 6).getTime(),
  };
  const values = macroValues({ ...facts, preserveCase: false });
  assert.deepEqual(
    { ...values, rfctime: '' },
    {
      bodytype: '8BITMIME',
      ctime: 'Sun Nov  1 04:05:06 2026',
      domain: 'a.test',
      envid: 'E1',
      from: 'news@brand.test',
      isodate: '2026-11-01',
      rfctime: '',
      timet: String(facts.now / 1000),
      to: 'kim+lists+x@a.test',
      user: 'kim',
    },
  );
  assert.match(values.rfctime, /^Sun, 1 Nov 2026 \d\d:05:06 [+-]\d{4}$/);
  const kept = macroValues({ ...facts, eightBit: false, preserveCase: true });
  assert.deepEqual(
    [kept.from, kept.to, kept.user, kept.domain, kept.bodytype],
    ['News@Brand.test', 'Kim+Lists+x@A.test', 'kim', 'a.test', '7BIT'],
  );
  assert.equal(expandMacros('$user@$domain $HOME $users $', values), 'kim@a.test $HOME $users $');
});

test('a command line is split before macros are put in; a backslash is a character (C2.23)', () => {
  assert.deepEqual(splitCommand('e:\\rx\\go.exe --to "$to" \'a b\'c'), [
    'e:\\rx\\go.exe',
    '--to',
    '$to',
    'a bc',
  ]);
  assert.equal(splitCommand('x "unended'), null);
  assert.equal(splitCommand(' '), null);
  const values = macroValues({
    ...{ from: '', to: 'a b@c.test', envId: '-x', eightBit: false, now: 0, preserveCase: false },
  });
  assert.deepEqual(expandArguments(['p', '$to', '$from'], values), ['p', 'a b@c.test', '']);
  assert.deepEqual(expandArguments(['p', '-e$envid'], values), ['p', '-e-x']);
  assert.equal(expandArguments(['p', '$envid'], values), null);
});

function gone(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return true;
  }
  // A process whose parent is gone may stay as a zombie where nothing reaps it.
  return /^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
}
