import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import net, { type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { UserError } from '../system/user-error.ts';
import { run } from './sink.ts';

const main = fileURLToPath(new URL('../../bin/posthorn.js', import.meta.url));

async function inFolder(check: (dir: string) => Promise<void>): Promise<void> {
  const dir = await mkdtemp(path.join(tmpdir(), 'sink-command-'));
  try {
    await check(dir);
  } finally {
    await rm(dir, { recursive: true });
  }
}

const at = (dir: string, smtp = '127.0.0.1:0') => [
  ...['--smtp', smtp, '--dns', '127.0.0.1:0', '--control', '127.0.0.1:0', '--data', dir],
];

test('starts, says where it listens, and ends in order at SIGTERM', async () => {
  await inFolder(async (dir) => {
    const child = spawn(process.execPath, [main, 'sink', ...at(dir), '--json'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [line] = (await once(child.stdout, 'data')) as [Buffer];
    const { ready, ports } = JSON.parse(line.toString());
    assert.equal(ready, true);
    assert.deepEqual(await (await fetch(`http://127.0.0.1:${ports.control}/health`)).json(), { ok: true });
    child.kill('SIGTERM');
    const [code] = await once(child, 'exit');
    assert.equal(code, 0);
  });
});

test('what a person can mend is said in one sentence that names it', async () => {
  await inFolder(async (dir) => {
    const busy = net.createServer();
    await new Promise<void>((resolve) => busy.listen(0, '127.0.0.1', resolve));
    const taken = `127.0.0.1:${(busy.address() as AddressInfo).port}`;
    const records = path.join(dir, 'records');
    await writeFile(records, 'brand.test CNAME other.test\n');
    await writeFile(path.join(dir, 'file'), '');
    const wrong: [string[], number, RegExp][] = [
      [[], 2, /--smtp is missing/],
      [[...at(dir), '--time-scale=-1'], 2, /--time-scale -1/],
      [[...at(dir), '--rates', 'none'], 2, /no rates "none"/],
      [[...at(dir), '--domain', 'a b'], 2, /--domain a b/],
      [[...at(dir), '--deliver-via', 'host'], 2, /--deliver-via host is not HOST:PORT/],
      [[...at(dir), '--records', records], 1, /records: "brand\.test CNAME other\.test" is not/],
      [[...at(dir), '--records', path.join(dir, 'none')], 1, /none cannot be read: no such file/],
      [at(path.join(dir, 'file')), 1, /file .*cannot be written/],
      [at(dir, taken), 1, new RegExp(`${taken} .*is in use`)],
    ];
    try {
      for (const [args, exitCode, words] of wrong) {
        await assert.rejects(
          run(args),
          (error) => error instanceof UserError && error.exitCode === exitCode && words.test(error.message),
          args.join(' '),
        );
      }
    } finally {
      busy.close();
    }
  });
});
