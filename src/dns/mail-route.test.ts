import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { Answer } from 'dns-packet';
import { systemClock } from '../system/clock.ts';
import { nearerThanOurselves, resolveHost, resolveMailHosts } from './mail-route.ts';
import { createResolver, type Resolver } from './resolver.ts';
import { createDnsServer } from './server.ts';

/** `name TYPE data`, one record a line; a name that stands alone fails; every other name does not exist. */
async function zone(t: TestContext, text: string): Promise<Resolver> {
  const records: Answer[] = [];
  const failing = new Set<string>();
  const names = new Set<string>();
  for (const line of text.trim().split('\n')) {
    const [name = '', type, first = '', second = ''] = line.trim().split(/ +/);
    names.add(name);
    if (type === 'MX') {
      const data = { preference: Number(first), exchange: second };
      records.push({ type, name, ttl: 60, data });
    } else if (type === 'A' || type === 'AAAA' || type === 'CNAME') {
      records.push({ type, name, ttl: 60, data: first });
    } else if (type === 'fails') failing.add(name);
  }
  const server = createDnsServer({
    answer({ name, type }) {
      if (failing.has(name)) return { code: 'SERVFAIL', answers: [] };
      if (!names.has(name)) return { code: 'NXDOMAIN', answers: [] };
      const matches = (one: Answer) => one.name === name && (one.type === type || one.type === 'CNAME');
      return { code: 'NOERROR', answers: records.filter(matches) };
    },
  });
  const port = await server.listen('127.0.0.1', 0, 'a test');
  const resolver = createResolver({
    servers: [{ address: '127.0.0.1', port }],
    clock: systemClock,
    attempts: 1,
  });
  t.after(async () => {
    await resolver.close();
    await server.close();
  });
  return resolver;
}

const ZONE = `
  plain.test MX 20 b.mx.test
  plain.test MX 10 a.mx.test
  plain.test MX 20 c.mx.test
  a.mx.test A 192.0.2.1
  a.mx.test AAAA 2001:db8::1
  b.mx.test A 192.0.2.2
  b.mx.test A 192.0.2.3
  c.mx.test CNAME b.mx.test
  twice.test MX 10 a.mx.test
  twice.test MX 20 A.MX.test
  own.test A 192.0.2.9
  empty.test TXT
  null.test MX 0 .
  half-null.test MX 0 .
  half-null.test MX 10 a.mx.test
  dead.test MX 10 gone.mx.test
  dead.test MX 20 empty.test
  part.test MX 10 gone.mx.test
  part.test MX 10 fail.mx.test
  part.test MX 20 a.mx.test
  failed.test MX 10 gone.mx.test
  failed.test MX 20 fail.mx.test
  odd.test MX 10 bad_(name).test
  odd.test A 192.0.2.10
  six.test AAAA 2001:db8::6
  fail.mx.test fails
  fail.test fails
  xn--bcher-kva.test MX 5 a.mx.test
  alias.test CNAME plain.test
`;

const a = { name: 'a.mx.test', addresses: ['192.0.2.1', '2001:db8::1'], authenticated: false };

const ROUTES: [domain: string, expected: object][] = [
  [
    'plain.test',
    {
      kind: 'hosts',
      implicit: false,
      authenticated: false,
      groups: [
        { preference: 10, hosts: [a] },
        {
          preference: 20,
          hosts: [
            { name: 'b.mx.test', addresses: ['192.0.2.2', '192.0.2.3'], authenticated: false },
            { name: 'c.mx.test', addresses: ['192.0.2.2', '192.0.2.3'], authenticated: false },
          ],
        },
      ],
    },
  ],
  [
    'twice.test',
    { kind: 'hosts', implicit: false, authenticated: false, groups: [{ preference: 10, hosts: [a] }] },
  ],
  [
    'own.test',
    {
      kind: 'hosts',
      implicit: true,
      authenticated: false,
      groups: [
        { preference: 0, hosts: [{ name: 'own.test', addresses: ['192.0.2.9'], authenticated: false }] },
      ],
    },
  ],
  ['empty.test', { kind: 'no-hosts' }],
  ['none.test', { kind: 'no-such-domain' }],
  ['null.test', { kind: 'null-mx' }],
  [
    'half-null.test',
    { kind: 'hosts', implicit: false, authenticated: false, groups: [{ preference: 10, hosts: [a] }] },
  ],
  ['dead.test', { kind: 'no-hosts' }],
  [
    'part.test',
    { kind: 'hosts', implicit: false, authenticated: false, groups: [{ preference: 20, hosts: [a] }] },
  ],
  ['failed.test', { kind: 'failure', reason: '127.0.0.1 answered SERVFAIL for fail.mx.test A' }],
  // There is an MX, so the domain's own address is not to be used (RFC 5321 section 5.1).
  ['odd.test', { kind: 'no-hosts' }],
  ['fail.test', { kind: 'failure', reason: '127.0.0.1 answered SERVFAIL for fail.test MX' }],
  [
    'bücher.test',
    { kind: 'hosts', implicit: false, authenticated: false, groups: [{ preference: 5, hosts: [a] }] },
  ],
];

for (const [domain, expected] of ROUTES) {
  test(`mail for ${domain}`, async (t) => {
    assert.deepEqual(await resolveMailHosts(await zone(t, ZONE), domain), expected);
  });
}

test('a domain that is an alias has the mail hosts of what it stands for', async (t) => {
  const route = await resolveMailHosts(await zone(t, ZONE), 'alias.test');
  assert.ok(route.kind === 'hosts');
  assert.deepEqual(
    route.groups.map(({ preference }) => preference),
    [10, 20],
  );
});

test('only the families that are wanted', async (t) => {
  const resolver = await zone(t, ZONE);
  const four = await resolveMailHosts(resolver, 'plain.test', ['ipv4']);
  assert.ok(four.kind === 'hosts');
  assert.deepEqual(four.groups[0]?.hosts[0]?.addresses, ['192.0.2.1']);
  assert.deepEqual(await resolveMailHosts(resolver, 'six.test', ['ipv4']), { kind: 'no-hosts' });
  assert.deepEqual(await resolveHost(resolver, 'a.mx.test', ['ipv6']), {
    kind: 'addresses',
    addresses: ['2001:db8::1'],
    authenticated: false,
  });
  assert.equal((await resolveHost(resolver, 'nobody.test')).kind, 'none');
  assert.equal((await resolveHost(resolver, 'no host')).kind, 'none');
});

test('no more hosts and addresses than can be used', async (t) => {
  const lines: string[] = [];
  for (let i = 0; i < 60; i++) lines.push(`many.test MX ${i} h${i}.test`, `h${i}.test A 192.0.2.${i}`);
  for (let i = 0; i < 60; i++) lines.push(`wide.test A 198.51.100.${i}`);
  const resolver = await zone(t, lines.join('\n'));
  const route = await resolveMailHosts(resolver, 'many.test');
  assert.ok(route.kind === 'hosts');
  assert.equal(route.groups.length, 20);
  assert.equal(route.groups[0]?.hosts[0]?.name, 'h0.test');
  const host = await resolveHost(resolver, 'wide.test');
  assert.equal(host.kind === 'addresses' && host.addresses.length, 20);
});

test('a host in the MX list that is ourselves: only nearer hosts are used, and as the best it is a loop', () => {
  const host = (name: string) => ({ name, addresses: ['192.0.2.1'], authenticated: false });
  const groups = [
    { preference: 10, hosts: [host('a'), host('b')] },
    { preference: 20, hosts: [host('c'), host('d')] },
    { preference: 30, hosts: [host('e')] },
  ];
  const result = (ours: string) => {
    const found = nearerThanOurselves(groups, ({ name }) => name === ours);
    if (found.kind === 'loop') return `loop at ${found.ourselves.name}`;
    return found.groups.flatMap((group) => group.hosts.map(({ name }) => name)).join('');
  };
  assert.equal(result('x'), 'abcde');
  assert.equal(result('e'), 'abcd');
  assert.equal(result('d'), 'ab');
  assert.equal(result('b'), 'loop at b');
});
