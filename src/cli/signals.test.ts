import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import type { UserError } from '../system/user-error.ts';
import { run } from './signals.ts';

const failure = (args: string[]): Promise<UserError> =>
  run(args).then(
    () => assert.fail('it started'),
    (error) => error,
  );

test('wrong usage is exit 2 with a sentence', async () => {
  for (const [args, words] of [
    [[], /--data DIR is needed/],
    [['--data', '/tmp/x', '--listen', 'nonsense'], /--listen .* is not HOST:PORT/],
    [['--data', '/tmp/x', '--listen', 'h:70000'], /--listen .* is not HOST:PORT/],
    [['--data', '/tmp/x', '--accounts', 'postgres://x'], /--accounts is not supported yet/],
    [['--data', '/tmp/x', '--event-age=-1'], /--event-age/],
    [['--data', '/tmp/x', '--tls-cert', 'x'], /belong together/],
    [['--data', '/tmp/x', '--trusted-proxies', '10.0.0.0/8,proxy'], /"proxy" is neither/],
    [['--data', '/tmp/x', '--log-format', 'xml'], /--log-format must be one of text, json/],
    [['--data', '/tmp/x', '--rate-limit', 'fast'], /--rate-limit/],
    [['user', 'add', 'ada'], /--data DIR is needed/],
    [['user', 'add', '--data', '/tmp/x'], /one name is needed/],
    [['user', 'add', '../x', '--data', '/tmp/x'], /a name begins with/],
    [['user', 'add', 'ada', '--role', 'king', '--data', '/tmp/x'], /--role must be one of/],
    [['--data', '/tmp/x', '--keep-events', '0'], /--keep-events 0 is not a whole number from 1/],
    [['--data', '/tmp/x', '--cluster', 'c'], /--cluster needs --clickhouse/],
    [['ddl', '--cluster', "c'"], /is no name of a cluster/],
    [['erase', '--data', '/tmp/x'], /addresses to erase/],
    [['erase', '--data', '/tmp/x', 'nobody'], /"nobody" is no e-mail address/],
    [['erase', 'a@b.example'], /--data DIR is needed/],
  ] as [string[], RegExp][]) {
    const error = await failure(args);
    assert.equal(error.name, 'UserError', args.join(' '));
    assert.equal(error.exitCode, 2);
    assert.match(error.message, words);
  }
});

test('a busy port and a folder that is a file are exit 1 with a sentence; the first key is kept for its owner', async () => {
  const dir = await mkdtemp(path.join(tmpdir(), 'posthorn-cli-'));
  const other = createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  const { port } = other.address() as AddressInfo;
  try {
    const busy = await failure(['--data', dir, '--listen', `127.0.0.1:${port}`]);
    assert.equal(busy.exitCode, 1);
    assert.match(busy.message, new RegExp(`^127\\.0\\.0\\.1:${port} .*is in use by another program`));
    const keyFile = path.join(dir, 'admin.key');
    assert.match(await readFile(keyFile, 'utf8'), /^[0-9a-f]{40}\n$/);
    assert.equal((await stat(keyFile)).mode & 0o777, 0o600);
    const file = await failure(['--data', keyFile, '--listen', '127.0.0.1:0']);
    assert.equal(file.exitCode, 1);
    assert.match(file.message, /cannot be written/);
  } finally {
    other.close();
    await rm(dir, { recursive: true, force: true });
  }
});
