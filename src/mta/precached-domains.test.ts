import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { good } from '../config/testing.ts';
import { TestClock } from '../system/testing.ts';
import { UserError } from '../system/user-error.ts';
import { PrecachedDomains, readPrecacheSettings } from './precached-domains.ts';
import { folder, startZone } from './testing.ts';

test('section 20: the first precached-max-domains of the file are kept warm, and listed', async (t) => {
  const file = path.join(folder(t), 'domains.pem');
  writeFileSync(file, 'a.test\nb.test\nc.test\n');
  const config = good(`<dns>\nprecached-domains-file ${file}\nprecached-max-domains 2\n</dns>`);
  const settings = await readPrecacheSettings(config);
  assert.deepEqual(settings, { domains: ['a.test', 'b.test'], intervalMs: 300_000 });
  const { resolver } = await startZone(t, 'a.test MX 10 mx.test\nmx.test A 192.0.2.1');
  const clock = new TestClock();
  const precached = new PrecachedDomains(clock);
  precached.apply(resolver, settings);
  t.after(() => precached.close());
  await precached.settled();
  assert.deepEqual(
    precached.list().map(({ domain, result }) => `${domain} ${result}`),
    ['a.test hosts', 'b.test no-such-domain'],
  );
  assert.ok(resolver.peek('a.test', 'MX'));
  assert.equal(resolver.clear('a.test'), 3, 'its MX and both kinds of addresses of the host');
  precached.apply(resolver, { domains: [], intervalMs: 0 });
  assert.deepEqual(precached.list(), []);
  assert.equal(clock.waiting, 0);
});

test('a file that cannot be read is an error that names the line; none configured is none', async (t) => {
  const file = path.join(folder(t), 'gone.pem');
  const config = good(`<dns>\nprecached-domains-file ${file}\n</dns>`);
  await assert.rejects(readPrecacheSettings(config), (error) => {
    return (
      error instanceof UserError && /config:2: precached-domains-file .* no such file/.test(error.message)
    );
  });
  assert.deepEqual((await readPrecacheSettings(good(''))).domains, []);
});
