import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../system/clock.ts';
import { TestClock } from '../system/testing.ts';
import { resolveMailHosts } from './mail-route.ts';
import { readPrecachedDomains, startPrecache } from './precache.ts';
import { createResolver } from './resolver.ts';
import { createDnsServer } from './server.ts';

test('the first domains of a file are taken, once each', () => {
  const text = '# big ones\nA.test\n\n  b.test  \na.test\nnot a domain\nbücher.test\nd.test\ne.test\n';
  assert.deepEqual(readPrecachedDomains(text, 4), ['a.test', 'b.test', 'xn--bcher-kva.test', 'd.test']);
});

test('section 20: pre-cached domains are resolved at the start and each interval, whatever their TTL', async (t) => {
  const asked: string[] = [];
  let fails = false;
  const server = createDnsServer({
    answer({ name, type }) {
      asked.push(`${type} ${name}`);
      if (fails) return { code: 'SERVFAIL', answers: [] };
      if (name === 'gone.test') return { code: 'NXDOMAIN', answers: [] };
      if (type === 'MX') {
        return {
          code: 'NOERROR',
          answers: [{ type, name, ttl: 5, data: { preference: 1, exchange: 'mx.test' } }],
        };
      }
      const data = '192.0.2.1';
      return { code: 'NOERROR', answers: type === 'A' ? [{ type, name, ttl: 5, data }] : [] };
    },
  });
  const port = await server.listen('127.0.0.1', 0, 'a test');
  const clock = new TestClock();
  // The time of the cache stands still with the test; the time-outs of questions must not.
  const resolver = createResolver({
    servers: [{ address: '127.0.0.1', port }],
    clock: { now: () => clock.now(), after: systemClock.after },
    attempts: 1,
  });
  t.after(async () => {
    await resolver.close();
    await server.close();
  });
  const domains = ['a.test', 'gone.test'];
  const precache = startPrecache({ resolver, domains, intervalMs: 300_000, clock });
  t.after(() => precache.close());
  const listed = () => precache.domains().map(({ domain, at, result }) => [domain, at, result]);
  assert.deepEqual(listed(), [
    ['a.test', 0, ''],
    ['gone.test', 0, ''],
  ]);
  await precache.settled();
  const start = clock.now();
  assert.deepEqual(listed(), [
    ['a.test', start, 'hosts'],
    ['gone.test', start, 'no-such-domain'],
  ]);
  const first = asked.length;
  assert.equal(first, 4, `${asked}`);

  clock.advance(200_000);
  const route = await resolveMailHosts(resolver, 'a.test');
  assert.equal(route.kind, 'hosts');
  assert.equal(asked.length, first, 'the TTL of five seconds does not count');

  clock.advance(100_000);
  await precache.settled();
  assert.equal(asked.length, 2 * first);
  assert.equal(listed()[0]![1], start + 300_000);

  fails = true;
  clock.advance(300_000);
  await precache.settled();
  assert.equal((await resolveMailHosts(resolver, 'a.test')).kind, 'hosts', 'old data rather than none');

  precache.close();
  assert.equal(clock.waiting, 0);
});
