import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { systemClock } from '../system/clock.ts';
import { until } from '../system/testing.ts';
import { type ChildSpec, SUPERVISED, Supervisor } from './supervisor.ts';

/** Says `up`, marks itself ready with a file, and does as its second argument says. */
const PROGRAM = `#!${process.execPath}
const fs = require('fs');
const [name, how] = process.argv.slice(2);
const mark = __dirname + '/' + name;
const say = (line) => fs.appendFileSync(__dirname + '/log', line + '\\n');
if (how === 'dies') { console.error('    at nowhere'); console.error('posthorn x: the port is taken'); process.exitCode = 3; }
else if (how === 'ends') { fs.writeFileSync(mark, ''); console.log('done'); }
else if (how === 'leaves') { require('child_process').spawn('sleep', ['0.5'], { stdio: 'inherit' }).unref(); console.log('done'); }
else {
  console.log('hello', process.env.${SUPERVISED}, process.env.EXTRA ?? '');
  say('start ' + name);
  process.on('SIGTERM', () => { say('stop ' + name); if (how !== 'stubborn') process.exit(0); });
  setInterval(() => {}, 1000);
  // Last: from now on it may be stopped at any moment.
  if (how !== 'never') fs.writeFileSync(mark, '');
}
`;

function set(t: TestContext, more: { readyWithinMs?: number; stopWithinMs?: number } = {}) {
  const dir = mkdtempSync(path.join(tmpdir(), 'posthorn-up-'));
  const program = path.join(dir, 'program.cjs');
  writeFileSync(program, PROGRAM);
  chmodSync(program, 0o755);
  const said: string[] = [];
  let pids: ReadonlyMap<string, number> = new Map();
  const supervisor = new Supervisor({
    command: [program],
    clock: systemClock,
    say: (line) => said.push(line),
    readyWithinMs: more.readyWithinMs ?? 120_000,
    stopWithinMs: more.stopWithinMs ?? 120_000,
    onPids: (now) => {
      pids = now;
    },
  });
  t.after(async () => {
    await supervisor.stop();
    rmSync(dir, { recursive: true, force: true });
  });
  const spec = (name: string, how: string, given: Partial<ChildSpec> = {}): ChildSpec => ({
    name,
    args: [name, how],
    isReady: async () => existsSync(path.join(dir, name)),
    ...given,
  });
  return { dir, program, supervisor, said, spec, pids: () => pids };
}

const log = async (dir: string) =>
  (await import('node:fs')).readFileSync(path.join(dir, 'log'), 'utf8').trim().split('\n');

test('a program is started when it is ready; its lines are passed on with its name', async (t) => {
  const { supervisor, said, spec, pids } = set(t);
  await supervisor.start(spec('mta', 'runs', { env: { EXTRA: 'more' } }));
  assert.equal(typeof pids().get('mta'), 'number');
  await until(() => said.includes('mta: hello 1 more'));
});

test('the last started is stopped first, and each before the next', async (t) => {
  const { dir, supervisor, spec, pids } = set(t);
  for (const name of ['signals', 'sink', 'mta']) await supervisor.start(spec(name, 'runs'));
  await supervisor.stop('sink');
  assert.deepEqual([...pids().keys()], ['signals', 'mta']);
  await supervisor.stop();
  assert.deepEqual((await log(dir)).slice(3), ['stop sink', 'stop mta', 'stop signals']);
  assert.equal(pids().size, 0);
});

test('a program that is killed is started again, once for each time', async (t) => {
  const { supervisor, said, spec, pids } = set(t);
  await supervisor.start(spec('mta', 'runs'));
  for (let i = 1; i <= 2; i++) {
    const pid = pids().get('mta')!;
    process.kill(pid, 'SIGKILL');
    await until(() => pids().has('mta') && pids().get('mta') !== pid);
    assert.equal(supervisor.restarts('mta'), i);
    assert.ok(said.includes(`mta was killed (SIGKILL); starting it again (restart ${i})`), said.join('\n'));
  }
});

test('a program that dies before it is ready is named, with its own last sentence, and not started again', async (t) => {
  const { supervisor, said, spec } = set(t);
  const failed = assert.rejects(
    supervisor.failed,
    /^UserError: mta ended with exit code 3 before it was ready: the port is taken$/,
  );
  await assert.rejects(supervisor.start(spec('mta', 'dies')), /mta did not start: the port is taken/);
  await failed;
  assert.equal(supervisor.restarts('mta'), 0);
  assert.deepEqual(said, []);
});

test('a program that is never ready is named', async (t) => {
  const { supervisor, spec } = set(t, { readyWithinMs: 300 });
  await assert.rejects(supervisor.start(spec('mta', 'never')), /mta was not ready after 0\.3 s/);
});

test('a program that does not stop in time is killed', async (t) => {
  const { supervisor, said, spec, pids } = set(t, { stopWithinMs: 100 });
  await supervisor.start(spec('mta', 'stubborn'));
  await supervisor.stop();
  // What the program still said itself may come after it.
  assert.ok(said.includes('mta did not stop in time and was killed'), said.join('\n'));
  assert.equal(pids().size, 0);
});

test('a program that ends when its work is done is not started again', async (t) => {
  const { supervisor, said, spec } = set(t);
  await supervisor.start(spec('generator', 'ends', { ends: true }));
  await until(() => supervisor.isFinished('generator'));
  assert.equal(supervisor.restarts('generator'), 0);
  assert.deepEqual(said, ['generator: done']);
});

test('a program whose work is done before anybody saw it ready has not failed', async (t) => {
  const { supervisor, said, spec } = set(t);
  // Something else holds its output for a while, so that it is seen to have ended before its last line was read.
  await supervisor.start(spec('generator', 'leaves', { ends: true, isReady: async () => false }));
  assert.ok(supervisor.isFinished('generator'));
  assert.deepEqual(said, ['generator: done']);
});

test('an executable that is gone for a while: tried again, one process at a time', async (t) => {
  const { program, supervisor, said, spec, pids } = set(t);
  await supervisor.start(spec('mta', 'runs'));
  renameSync(program, `${program}.away`);
  process.kill(pids().get('mta')!, 'SIGKILL');
  await until(() => said.some((line) => line.includes('could not be started')));
  renameSync(`${program}.away`, program);
  await until(() => pids().has('mta'));
  const restarts = said.filter((line) => line.includes('starting it again'));
  assert.equal(restarts.length, supervisor.restarts('mta'));
  assert.equal(restarts.length, 2, restarts.join('\n'));
});

test('what is not executable fails at once, with the reason', async (t) => {
  const { program, supervisor, spec } = set(t);
  rmSync(program);
  await assert.rejects(
    supervisor.start(spec('mta', 'runs')),
    /mta did not start: .*could not be started: .*ENOENT/,
  );
});
