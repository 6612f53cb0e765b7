import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';

const bin = path.resolve(import.meta.dirname, '../../bin');
const dir = mkdtempSync(path.join(tmpdir(), 'acct-cli-'));
after(() => rmSync(dir, { recursive: true, force: true }));

const file = path.join(dir, 'acct.csv');
writeFileSync(
  file,
  'type,timeLogged,rcpt,dlvSize\r\nd,2031-04-07 09:12:44+0200,ana@x.example,9\r\nb,2031-04-07 09:12:45+0200,bo@x.example,\r\nd,cut',
);

function run(program: string, ...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [path.join(bin, program), ...args], {
    encoding: 'utf8',
  });
  return { status, stdout, stderr };
}

test('management 1, 7: pmtaacctfind and "posthorn acct find" are one program', () => {
  const args = ['--to', 'bo', '--output', 'csv[rcpt]', file];
  const found = run('pmtaacctfind.js', ...args);
  assert.equal(found.stdout, 'rcpt\r\nbo@x.example\r\n');
  assert.equal(found.status, 0);
  assert.equal(
    found.stderr,
    `${file}:4: 2 values, but the title names 4; the line is left out\n1 wrong lines were left out\n`,
  );
  assert.deepEqual(run('posthorn.js', 'acct', 'find', ...args), found);
  const gone = run('pmtaacctfind.js', path.join(dir, 'gone.csv'), ...args);
  assert.equal(gone.status, 1);
  assert.equal(gone.stdout, found.stdout);
});

test('management 1, 6: pmtastats and "posthorn acct stats" are one program', () => {
  const found = run('pmtastats.js', '--quiet', 'message-counts', file);
  assert.match(found.stdout, /total +2 +100\.0%/);
  assert.deepEqual(run('posthorn.js', 'acct', 'stats', '--quiet', 'message-counts', file), found);
});

test('management 6, 7: help, version, and wrong usage with exit code 2', () => {
  for (const program of ['pmtaacctfind', 'pmtastats']) {
    const help = run(`${program}.js`, '--help');
    assert.equal(help.status, 0);
    assert.ok(help.stdout.includes(program));
    assert.match(run(`${program}.js`, '--version').stdout, new RegExp(`^${program} \\d`));
    assert.equal(run(`${program}.js`).status, 2);
    const wrong = run(`${program}.js`, '--no-such', file);
    assert.equal(wrong.status, 2);
    assert.match(wrong.stderr, /^pmta\w+: there is no option --no-such/);
  }
  assert.equal(run('posthorn.js', 'acct', 'count').status, 2);
});

/** Feeds `lines` records to a program and waits for its end. */
async function feed(child: ChildProcess, lines: number): Promise<void> {
  const input = child.stdin!;
  input.on('error', () => {});
  input.write('type,timeLogged,timeQueued,rcpt,dsnDiag,dlvSize\n');
  for (let i = 0; i < lines && !input.destroyed; i += 1000) {
    const block = Array.from(
      { length: 1000 },
      (_, k) =>
        `d,2031-04-07 09:12:44+0200,2031-04-07 09:12:41+0200,user${i + k}@x.example,"smtp;250 ok, ${'x'.repeat(200)}",9\n`,
    ).join('');
    if (!input.write(block)) {
      // A program that has ended takes no more.
      await Promise.race([once(input, 'drain'), once(child, 'exit')]).catch(() => {});
    }
  }
  input.end();
}

test('management 6, 7: what is larger than memory is read through', async () => {
  for (const args of [
    [path.join(bin, 'pmtaacctfind.js'), '--to', 'user149999@', '--output', 'csv[rcpt]', '-'],
    [path.join(bin, 'pmtastats.js'), 'message-counts', 'delivery-times', 'top-domains', 'top-rates', '-'],
  ]) {
    const child = spawn(process.execPath, ['--max-old-space-size=32', ...args], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    let out = '';
    child.stdout!.on('data', (chunk) => {
      out += chunk;
    });
    const closed = once(child, 'close');
    await feed(child, 150_000);
    assert.deepEqual(await closed, [0, null]);
    assert.match(out, /user149999@x\.example\r\n$|total +150,000/);
  }
});

test('management 7: a reader that has enough ends the program without a word', async () => {
  const child = spawn(process.execPath, [path.join(bin, 'pmtaacctfind.js'), '--output', 'csv', '-'], {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let said = '';
  child.stderr!.on('data', (chunk) => {
    said += chunk;
  });
  const closed = once(child, 'close');
  child.stdout!.once('data', () => child.stdout!.destroy());
  await feed(child, 50_000);
  assert.deepEqual(await closed, [0, null]);
  assert.equal(said, '');
});
