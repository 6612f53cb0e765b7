import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { isRoot } from './privileges.ts';

/** In a process of its own: there is no way back. */
const script = (user: string) => `
  import net from 'node:net';
  import { lowerTo, dropFor } from ${JSON.stringify(new URL('./privileges.ts', import.meta.url).href)};
  import { listen } from ${JSON.stringify(new URL('./listen.ts', import.meta.url).href)};
  const known = lowerTo(${JSON.stringify(user)});
  const during = process.geteuid();
  let port = 0;
  for (let p = 700; p < 760 && port === 0; p++) {
    const server = net.createServer();
    port = await listen(server, '127.0.0.1', p, 'a test').catch((error) => { if (/in use/.test(error.message)) return 0; throw error; });
    if (port) server.close();
  }
  const after = process.geteuid();
  dropFor(${JSON.stringify(user)});
  let back = 'no';
  if (known) try { process.setuid(0); back = 'yes'; } catch {}
  console.log(JSON.stringify({ known, during, low: port > 0 && port < 1024, after, end: process.getuid(), back }));
`;

test('run-as-root no: files and work belong to the user, ports below 1024 are bound as root, and root is gone then', {
  skip: isRoot() ? false : 'only root can give up root',
}, () => {
  const run = (user: string) =>
    JSON.parse(
      execFileSync(process.execPath, ['--input-type=module', '-e', script(user)], { encoding: 'utf8' }),
    );
  const nobody = Number(execFileSync('id', ['-u', 'nobody'], { encoding: 'utf8' }));
  assert.deepEqual(run('nobody'), {
    known: true,
    during: nobody,
    low: true,
    after: nobody,
    end: nobody,
    back: 'no',
  });
  assert.deepEqual(run('no-such-user-here'), {
    known: false,
    during: 0,
    low: true,
    after: 0,
    end: 0,
    back: 'no',
  });
});
