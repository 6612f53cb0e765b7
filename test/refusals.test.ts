// What cannot work is said in one clear sentence with file, line or path, and the exit code is not 0.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { test } from 'node:test';
import { type Finished, freePorts, run, temporaryFolder } from './program.ts';

/** One sentence for people: no stack, no more than a few lines, and it names what the person must look at. */
function oneSentence({ code, stderr }: Finished, ...names: (string | RegExp)[]): void {
  assert.notEqual(code, 0);
  assert.ok(!/\n\s+at /.test(stderr), `a stack:\n${stderr}`);
  assert.ok(stderr.trim().split('\n').length <= 4, `too many words:\n${stderr}`);
  for (const name of names) {
    if (typeof name === 'string') assert.ok(stderr.includes(name), `"${name}" is not in:\n${stderr}`);
    else assert.match(stderr, name);
  }
}

function configuration(lines: string[]): string {
  const dir = temporaryFolder();
  const file = path.join(dir, 'config');
  writeFileSync(
    file,
    [
      'host-name mx.test',
      `log-file ${dir}/pmta.log`,
      `state-dir ${dir}/state`,
      'http-mgmt-port 0',
      ...lines,
    ].join('\n'),
  );
  return file;
}

const spool = () => `<spool ${temporaryFolder()}>\n</spool>`;

test('an unknown directive: file, line and the nearest name', async () => {
  const file = configuration([spool(), 'relay-domian a.test']);
  oneSentence(await run(['mta', '--config', file]), file, 'line 7', 'relay-domain');
});

test('--check tells every error and starts nothing', async () => {
  const file = configuration([
    spool(),
    'max-smtp-out 5',
    '<source 0/0>',
    '  smtp-service maybe',
    '</source>',
  ]);
  const { code, stderr } = await run(['mta', '--config', file, '--check']);
  assert.equal(code, 1);
  assert.match(stderr, /line 7 /);
  assert.match(stderr, /line 9 /);
});

test('a configuration that is not there', async () => {
  oneSentence(await run(['mta', '--config', '/nonexistent/pmta.conf']), '/nonexistent/pmta.conf');
});

test('a busy port: address and line', async () => {
  const server = createServer();
  const port = await new Promise<number>((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port));
  });
  try {
    const file = configuration([spool(), `smtp-listener 127.0.0.1:${port}`]);
    oneSentence(await run(['mta', '--config', file]), `127.0.0.1:${port}`, `${file}:7`, 'in use');
    oneSentence(
      await run(['signals', '--data', temporaryFolder(), '--listen', `127.0.0.1:${port}`]),
      `127.0.0.1:${port}`,
      'in use',
    );
    const base = await freePorts(8);
    const inTheWay = createServer();
    await new Promise<void>((resolve) => inTheWay.listen(base + 5, '127.0.0.1', resolve));
    try {
      oneSentence(
        await run(['up', '--data', temporaryFolder(), '--port-base', String(base)]),
        `127.0.0.1:${base + 5}`,
        'sink',
      );
    } finally {
      inTheWay.close();
    }
  } finally {
    server.close();
  }
});

test('a missing key: the file and the line that names it', async () => {
  const file = configuration([spool(), 'domain-key s1, a.test, /nonexistent/key.pem']);
  oneSentence(await run(['mta', '--config', file]), '/nonexistent/key.pem', file, /7/);
});

test('a data folder that cannot be written', async () => {
  const dir = temporaryFolder();
  const file = path.join(dir, 'a-file');
  writeFileSync(file, '');
  oneSentence(await run(['up', '--data', path.join(file, 'below')]), path.join(file, 'below'));
  oneSentence(
    await run(['signals', '--data', path.join(file, 'below'), '--listen', '127.0.0.1:0']),
    path.join(file, 'below'),
  );
  const spoolInFile = configuration([`<spool ${file}/spool>\n</spool>`]);
  oneSentence(await run(['mta', '--config', spoolInFile]), `${file}/spool`);
});

test('a full disk', async (t) => {
  const dir = temporaryFolder();
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=16k', 'tmpfs', dir]).status !== 0) {
    t.skip('SKIPPED: mounting a small file system needs root');
    return;
  }
  try {
    spawnSync('sh', ['-c', `head -c 100000 /dev/zero > ${dir}/filler`]);
    oneSentence(await run(['up', '--data', dir]), dir, 'full');
    const file = configuration([`<spool ${dir}/spool>\n</spool>`]);
    oneSentence(await run(['mta', '--config', file]), dir, 'full');
  } finally {
    spawnSync('umount', ['-l', dir]);
  }
});

test('wrong usage has exit code 2 and says where help is', async () => {
  for (const args of [
    ['nonsense'],
    ['up', '--messages', 'many'],
    ['up', '--exit'],
    ['mta', '--no-such-option'],
  ]) {
    const { code, stderr } = await run(args);
    assert.equal(code, 2, `${args.join(' ')}: ${stderr}`);
    assert.ok(stderr.length > 0);
  }
});
