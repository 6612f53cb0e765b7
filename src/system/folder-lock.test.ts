import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { lockFolder } from './folder-lock.ts';
import { UserError } from './user-error.ts';

test('a folder has one holder; the next may come when it lets go or is killed', async (t) => {
  const dir = mkdtempSync(path.join(tmpdir(), 'posthorn-lock-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const refused = (error: unknown) =>
    error instanceof UserError && error.message.startsWith(`${dir} (spool) is in use by another posthorn`);

  const release = lockFolder(dir, 'spool');
  assert.throws(() => lockFolder(dir, 'spool'), refused);
  release();

  const module = new URL('./folder-lock.ts', import.meta.url).href;
  // It keeps no hold of the release: collected memory must not be a lock let go.
  const script = `import(${JSON.stringify(module)}).then(async ({ lockFolder }) => {
    lockFolder(process.argv[1], 'spool');
    for (let n = 0; n < 5; n++) {
      gc();
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    console.log('held');
    setInterval(() => {}, 1000);
  })`;
  const holder = spawn(process.execPath, ['--expose-gc', '--eval', script, dir], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => holder.kill('SIGKILL'));
  await once(holder.stdout, 'data');
  assert.throws(() => lockFolder(dir, 'spool'), refused);
  holder.kill('SIGKILL');
  await once(holder, 'close');
  lockFolder(dir, 'spool')();
});
