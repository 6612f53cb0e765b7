import assert from 'node:assert/strict';
import { Resolver } from 'node:dns/promises';
import net from 'node:net';
import { test } from 'node:test';
import { createResolver, resolveMailHosts } from '../dns/index.ts';
import { systemClock } from '../system/clock.ts';
import { startSinkDns } from './sink-dns.ts';
import { readRecords, Zone } from './zone.ts';

const long = `v=DKIM1; p=${'A'.repeat(700)}`;
const other = readRecords(
  [
    '# senders',
    'brand.test A 127.0.0.9',
    'brand.test MX 5 mail.brand.test',
    '',
    `s._domainkey.Brand.Test. TXT "${long}"`,
  ].join('\n'),
);
assert.ok(typeof other !== 'string');
const zone = new Zone('sink.test', '127.0.0.1', other);

/** With the platform's own resolver, over real sockets. */
async function asking(check: (resolver: Resolver, port: number) => Promise<void>): Promise<void> {
  const dns = await startSinkDns(zone, { host: '127.0.0.1', port: 0 });
  try {
    const resolver = new Resolver({ timeout: 60_000, tries: 1 });
    resolver.setServers([`127.0.0.1:${dns.port}`]);
    await check(resolver, dns.port);
  } finally {
    await dns.close();
  }
}

test('every name below the domain takes mail, by hosts that have an address', async () => {
  await asking(async (resolver) => {
    for (const name of ['sink.test', 'bounce.sink.test', 'a.b.c.sink.test', 'GMAIL.sink.test']) {
      const hosts = await resolver.resolveMx(name);
      assert.ok(hosts.length >= 2, name);
      assert.equal(new Set(hosts.map(({ priority }) => priority)).size, hosts.length);
      for (const { exchange } of hosts) assert.deepEqual(await resolver.resolve4(exchange), ['127.0.0.1']);
    }
    const [first] = (await resolver.resolveMx('gmail.sink.test')).sort((a, b) => a.priority - b.priority);
    assert.equal(first?.exchange, 'gmail-smtp-in.l.google.mx.sink.test');
    assert.match((await resolver.resolveTxt('gmail.sink.test'))[0]![0]!, /^v=spf1 /);
  });
});

test('names that do not exist, take no mail, or are broken', async () => {
  await asking(async (resolver) => {
    const fails = (name: string, code: string) => assert.rejects(resolver.resolveMx(name), { code });
    await fails('nx.sink.test', 'ENOTFOUND');
    await fails('x.nx.sink.test', 'ENOTFOUND');
    await fails('x.servfail.sink.test', 'ESERVFAIL');
    await fails('nothere.test', 'ENOTFOUND');
    await fails('example.com', 'ENOTFOUND');
    await fails('xsink.test', 'ENOTFOUND');
    assert.deepEqual(await resolver.resolveMx('x.nullmx.sink.test'), [
      { exchange: '', priority: 0, type: 'MX' },
    ]);
    await assert.rejects(resolver.resolve6('sink.test'), { code: 'ENODATA' });
    await assert.rejects(resolver.resolveTxt('_dmarc.sink.test'), { code: 'ENOTFOUND' });
  });
});

test('other domains have the records given; a long one comes over TCP', async () => {
  await asking(async (resolver) => {
    assert.deepEqual(await resolver.resolve4('brand.test'), ['127.0.0.9']);
    assert.deepEqual(await resolver.resolveMx('Brand.test'), [
      { exchange: 'mail.brand.test', priority: 5, type: 'MX' },
    ]);
    assert.equal((await resolver.resolveTxt('s._domainkey.brand.test'))[0]!.join(''), long);
    await assert.rejects(resolver.resolve4('_domainkey.brand.test'), { code: 'ENODATA' });
  });
});

test('the MTA’s own resolver finds the way to each provider', async () => {
  await asking(async (_, port) => {
    const resolver = createResolver({
      servers: [{ address: '127.0.0.1', port }],
      clock: systemClock,
      attempts: 1,
    });
    const kind = async (domain: string) => (await resolveMailHosts(resolver, domain)).kind;
    const route = await resolveMailHosts(resolver, 'yahoo.sink.test');
    assert.ok(route.kind === 'hosts' && !route.implicit);
    assert.deepEqual(
      route.groups.map(({ preference, hosts }) => [preference, hosts.map(({ addresses }) => addresses)]),
      [
        [10, [['127.0.0.1']]],
        [20, [['127.0.0.1']]],
        [30, [['127.0.0.1']]],
      ],
    );
    assert.equal(await kind('x.nx.sink.test'), 'no-such-domain');
    assert.equal(await kind('x.nullmx.sink.test'), 'null-mx');
    assert.equal(await kind('x.servfail.sink.test'), 'failure');
    await resolver.close();
  });
});

test('what is no query is not answered and harms nobody', async () => {
  await asking(async (resolver, port) => {
    const socket = net.connect(port, '127.0.0.1');
    socket.on('error', () => {});
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.write(Buffer.from([0, 3, 1, 2, 3]));
    await closed;
    assert.deepEqual(await resolver.resolve4('sink.test'), ['127.0.0.1']);
  });
});

test('a line of records that cannot be read is given back', () => {
  assert.equal(readRecords('brand.test A 127.0.0.1\nbrand.test MX mail'), 'brand.test MX mail');
  assert.equal(readRecords('brand.test SRV 1'), 'brand.test SRV 1');
});
