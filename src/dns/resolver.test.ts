import assert from 'node:assert/strict';
import { createSocket, type RemoteInfo, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import dnsPacket, { type Answer, type DecodedPacket, type Packet } from 'dns-packet';
import { systemClock } from '../system/clock.ts';
import { createResolver, type ResolverOptions } from './resolver.ts';
import { createDnsServer, type DnsQuestion, type DnsReply } from './server.ts';

const HOST = '127.0.0.1';

async function startDns(t: TestContext, answer: (question: DnsQuestion) => DnsReply | 'silent') {
  const asked: string[] = [];
  const server = createDnsServer({
    answer(question) {
      asked.push(`${question.type} ${question.name}`);
      return answer(question);
    },
  });
  const port = await server.listen(HOST, 0, 'a test');
  t.after(() => server.close());
  return { port, asked };
}

function resolverFor(
  t: TestContext,
  port: number | readonly number[],
  options: Partial<ResolverOptions> = {},
) {
  const servers = [port].flat().map((one) => ({ address: HOST, port: one }));
  const resolver = createResolver({ servers, clock: systemClock, attempts: 2, ...options });
  t.after(() => resolver.close());
  return resolver;
}

const ok = (...answers: Answer[]): DnsReply => ({ code: 'NOERROR', answers });
const no = (code: DnsReply['code']): DnsReply => ({ code, answers: [] });
const a = (name: string, data: string, ttl = 300): Answer => ({ type: 'A', name, data, ttl });
const cname = (name: string, data: string, ttl = 300): Answer => ({ type: 'CNAME', name, data, ttl });

test('records of each type come back in order', async (t) => {
  const certificate = Buffer.from('ab'.repeat(32), 'hex');
  const { port } = await startDns(t, ({ name, type }) => {
    switch (type) {
      case 'A':
        return ok(a(name, '192.0.2.2'), a(name, '192.0.2.1', 60));
      case 'AAAA':
        return ok({ type, name, ttl: 9, data: '2001:db8::1' });
      case 'MX':
        return ok({ type, name, ttl: 9, data: { preference: 10, exchange: 'MX.Example.' } });
      case 'TXT':
        return ok({ type, name, ttl: 9, data: ['v=DKIM1; ', 'p=abc'] });
      case 'TLSA':
        return ok({ type, name, ttl: 9, data: { usage: 3, selector: 1, matchingType: 1, certificate } });
      default:
        return ok({ type: 'PTR', name, ttl: 9, data: 'Host.Example' });
    }
  });
  const resolver = resolverFor(t, port);
  assert.deepEqual(await resolver.query('Example.COM.', 'A'), {
    kind: 'answer',
    name: 'example.com',
    records: ['192.0.2.2', '192.0.2.1'],
    ttl: 60,
    authenticated: false,
  });
  const data = async (name: string, type: Parameters<typeof resolver.query>[1]) => {
    const found = await resolver.query(name, type);
    return found.kind === 'answer' ? found.records : found;
  };
  assert.deepEqual(await data('x.test', 'AAAA'), ['2001:db8::1']);
  assert.deepEqual(await data('x.test', 'MX'), [{ preference: 10, exchange: 'mx.example' }]);
  assert.deepEqual(await data('s._domainkey.x.test', 'TXT'), ['v=DKIM1; p=abc']);
  assert.deepEqual(await data('1.2.0.192.in-addr.arpa', 'PTR'), ['host.example']);
  assert.deepEqual(await data('_25._tcp.mx.test', 'TLSA'), [
    { usage: 3, selector: 1, matchingType: 1, certificate },
  ]);
});

test('nothing there, no such name, refusal and failure are told apart', async (t) => {
  const { port, asked } = await startDns(t, ({ name }) => {
    if (name === 'nodata.test') return ok();
    if (name === 'nx.test') return { ...no('NXDOMAIN'), authenticated: true };
    if (name === 'throws.test') throw new Error('disk on fire');
    if (name === 'unwritable.test') {
      const certificate = 'no buffer' as unknown as Buffer;
      return ok({ type: 'TLSA', name, data: { usage: 3, selector: 1, matchingType: 1, certificate } });
    }
    return no(name === 'refused.test' ? 'REFUSED' : 'SERVFAIL');
  });
  const resolver = resolverFor(t, port);
  assert.deepEqual(await resolver.query('nodata.test', 'A'), { kind: 'nodata', authenticated: false });
  assert.deepEqual(await resolver.query('nx.test', 'A'), { kind: 'nxdomain', authenticated: true });
  for (const [name, code] of [
    ['refused.test', 'REFUSED'],
    ['servfail.test', 'SERVFAIL'],
    ['throws.test', 'SERVFAIL'],
    ['unwritable.test', 'SERVFAIL'],
  ]) {
    const found = await resolver.query(name!, 'A');
    assert.ok(found.kind === 'failure');
    assert.equal(found.reason, `${HOST} answered ${code} for ${name} A`);
  }
  assert.equal(asked.filter((one) => one === 'A servfail.test').length, 2);
});

test('what is no domain name is not asked for', async (t) => {
  const { port, asked } = await startDns(t, () => ok());
  const resolver = resolverFor(t, port);
  for (const name of [
    '',
    '.',
    'a..b',
    `${'x'.repeat(64)}.test`,
    'x.'.repeat(127).concat('test'),
    'a b',
    '[192.0.2.1]',
    'a\u0000b',
  ]) {
    assert.equal((await resolver.query(name, 'A')).kind, 'failure', name);
  }
  assert.deepEqual(asked, []);
  await resolver.query('Bücher.test', 'A');
  assert.deepEqual(asked, ['A xn--bcher-kva.test']);
});

test('aliases are followed within an answer and from answer to answer, and their time counts', async (t) => {
  const { port, asked } = await startDns(t, ({ name }) => {
    if (name === 'one.test') return ok(cname(name, 'two.test', 50), cname('two.test', 'three.test', 40));
    if (name === 'three.test') return ok(a(name, '192.0.2.3', 70));
    if (name === 'whole.test')
      return ok(cname(name, 'b.test'), a('b.test', '192.0.2.4'), a('c.test', '192.0.2.5'));
    if (name === 'dangling.test') return { ...no('NXDOMAIN'), answers: [cname(name, 'gone.test')] };
    if (name === 'empty.test') return ok(cname(name, 'b.test'));
    return ok();
  });
  const resolver = resolverFor(t, port);
  const found = await resolver.query('one.test', 'A');
  assert.deepEqual(found, {
    kind: 'answer',
    name: 'three.test',
    records: ['192.0.2.3'],
    ttl: 40,
    authenticated: false,
  });
  assert.deepEqual(asked, ['A one.test', 'A three.test']);
  const whole = await resolver.query('whole.test', 'A');
  assert.ok(whole.kind === 'answer');
  assert.deepEqual(whole.records, ['192.0.2.4']);
  assert.equal((await resolver.query('dangling.test', 'A')).kind, 'nxdomain');
  assert.equal((await resolver.query('empty.test', 'A')).kind, 'nodata');
});

test('aliases in a circle, or too many, are a failure', async (t) => {
  const { port, asked } = await startDns(t, ({ name }) => {
    if (name === 'self.test') return ok(cname(name, name));
    if (name === 'ping.test') return ok(cname(name, 'pong.test'));
    if (name === 'pong.test') return ok(cname(name, 'ping.test'));
    const n = Number(name.slice(1, -5));
    return ok(cname(name, `n${n + 1}.test`));
  });
  const resolver = resolverFor(t, port);
  for (const name of ['self.test', 'ping.test']) {
    const found = await resolver.query(name, 'A');
    assert.ok(found.kind === 'failure');
    assert.match(found.reason, /loop/);
  }
  const long = await resolver.query('n0.test', 'A');
  assert.ok(long.kind === 'failure');
  assert.match(long.reason, /more than 8 aliases/);
  assert.ok(asked.length < 15, `${asked.length} questions`);
});

test('an answer too long for UDP is fetched over TCP', async (t) => {
  const addresses = Array.from({ length: 150 }, (_, i) => `192.0.2.${i}`);
  const { port, asked } = await startDns(t, ({ name }) => ok(...addresses.map((data) => a(name, data))));
  const found = await resolverFor(t, port).query('large.test', 'A');
  assert.ok(found.kind === 'answer');
  assert.deepEqual(found.records, addresses);
  assert.deepEqual(asked, ['A large.test', 'A large.test']);
});

test('an answer is kept for its time, and asked for again after it', async (t) => {
  let now = 1_000_000;
  const clock = { now: () => now, after: systemClock.after };
  const soa: Answer = {
    type: 'SOA',
    name: 'test',
    ttl: 30,
    data: { mname: 'ns.test', rname: 'root.test', serial: 1, refresh: 1, retry: 1, expire: 1, minimum: 20 },
  };
  const { port, asked } = await startDns(t, ({ name }) => {
    if (name === 'nx.test') return { ...no('NXDOMAIN'), authorities: [soa] };
    if (name === 'plain-nx.test') return no('NXDOMAIN');
    if (name === 'fails.test') return no('SERVFAIL');
    return ok(a(name, '192.0.2.1', name === 'zero.test' ? 0 : name === 'ages.test' ? 2 ** 31 - 1 : 10));
  });
  const resolver = resolverFor(t, port, { clock, attempts: 1 });
  const lives = {
    'ten.test': 10,
    'zero.test': 1,
    'ages.test': 86_400,
    'nx.test': 20,
    'plain-nx.test': 60,
    'fails.test': 5,
  };
  for (const [name, seconds] of Object.entries(lives)) {
    asked.length = 0;
    await resolver.query(name, 'A');
    now += seconds * 1000 - 1;
    await resolver.query(name, 'A');
    assert.equal(asked.length, 1, `${name} before its time`);
    now += 1;
    await resolver.query(name, 'A');
    assert.equal(asked.length, 2, `${name} after its time`);
  }
});

test('the cache has a size, and can be cleared by name or wholly', async (t) => {
  const { port, asked } = await startDns(t, ({ name }) => ok(a(name, '192.0.2.1')));
  const resolver = resolverFor(t, port, { maxCached: 2 });
  await resolver.query('one.test', 'A');
  await resolver.query('two.test', 'A');
  await resolver.query('one.test', 'A');
  await resolver.query('three.test', 'A');
  assert.equal(resolver.cached, 2);
  await resolver.query('one.test', 'A');
  assert.equal(asked.length, 3, 'the one used last was kept');
  resolver.clear('One.test');
  await resolver.query('one.test', 'A');
  assert.equal(asked.length, 4);
  resolver.clear();
  assert.equal(resolver.cached, 0);
});

test('one question is asked once however many want to know', async (t) => {
  const { port, asked } = await startDns(t, ({ name }) => ok(a(name, '192.0.2.1')));
  const resolver = resolverFor(t, port);
  const all = await Promise.all(Array.from({ length: 50 }, () => resolver.query('x.test', 'A')));
  assert.equal(asked.length, 1);
  assert.ok(all.every(({ kind }) => kind === 'answer'));
});

test('only so many questions are on their way at a time', async (t) => {
  const { port } = await startDns(t, () => 'silent');
  const counts: number[] = [];
  const live = new Set<() => void>();
  const clock = {
    now: Date.now,
    after(ms: number, then: () => void) {
      const cancel = systemClock.after(ms, () => {
        live.delete(cancel);
        then();
      });
      live.add(cancel);
      counts.push(live.size);
      return () => {
        live.delete(cancel);
        cancel();
      };
    },
  };
  const resolver = resolverFor(t, port, { clock, timeoutMs: 5, attempts: 1, maxConcurrent: 3 });
  await Promise.all(Array.from({ length: 20 }, (_, i) => resolver.query(`x${i}.test`, 'A')));
  assert.equal(counts.length, 20);
  assert.equal(Math.max(...counts), 3);
});

test('a silent or absent server is passed over for the next, and the load is shared', async (t) => {
  const times = new Set<() => void>();
  const silent = await startDns(t, () => {
    // Nobody waits for a server that answers: the time of a question is up only here.
    for (const over of times) over();
    return 'silent';
  });
  const good = await startDns(t, ({ name }) => ok(a(name, '192.0.2.1')));
  const closed = createSocket('udp4').bind(0, HOST);
  await once(closed, 'listening');
  const { port: nobody } = closed.address();
  closed.close();
  let now = 1_000_000;
  const clock = {
    now: () => now,
    after(_: number, over: () => void) {
      times.add(over);
      return () => times.delete(over);
    },
  };
  const servers = [silent.port, good.port, nobody];
  const resolver = resolverFor(t, servers, { attempts: 3, clock });
  for (let i = 0; i < 6; i++) assert.equal((await resolver.query(`x${i}.test`, 'A')).kind, 'answer');
  assert.equal(silent.asked.length, 1, 'a dead server is not waited for again at once');
  assert.equal(good.asked.length, 6);
  now += 30_000;
  for (let i = 6; i < 9; i++) assert.equal((await resolver.query(`x${i}.test`, 'A')).kind, 'answer');
  assert.equal(silent.asked.length, 2, 'it is tried again after a while');
  const second = await startDns(t, ({ name }) => ok(a(name, '192.0.2.1')));
  const shared = resolverFor(t, [second.port, good.port]);
  for (let i = 0; i < 6; i++) await shared.query(`y${i}.test`, 'A');
  assert.equal(second.asked.length, 3);
  const alone = resolverFor(t, nobody, { attempts: 1 });
  const refused = await alone.query('x.test', 'A');
  assert.ok(refused.kind === 'failure');
  assert.match(refused.reason, /ECONNREFUSED/);
  const unanswered = await resolverFor(t, silent.port, { timeoutMs: 20 }).query('x.test', 'A');
  assert.ok(unanswered.kind === 'failure');
  assert.match(unanswered.reason, /no answer/);
});

test('closing ends what is being asked', async (t) => {
  const { port, asked } = await startDns(t, () => 'silent');
  const resolver = resolverFor(t, port, { timeoutMs: 60_000 });
  const asking = resolver.query('x.test', 'A');
  while (asked.length === 0) await turn();
  await resolver.close();
  assert.deepEqual(await asking, { kind: 'failure', reason: 'the resolver was closed' });
});

// Servers that do not play by the rules

async function startForger(
  t: TestContext,
  serve: (query: DecodedPacket, from: RemoteInfo, socket: UdpSocket) => void,
): Promise<number> {
  const socket = createSocket('udp4');
  socket.on('message', (bytes, from) => serve(dnsPacket.decode(bytes), from, socket));
  socket.bind(0, HOST);
  await once(socket, 'listening');
  t.after(() => socket.close());
  return socket.address().port;
}

const answerTo = (query: DecodedPacket, change: Partial<Packet> = {}): Buffer =>
  dnsPacket.encode({
    type: 'response',
    id: query.id ?? 0,
    flags: 0,
    questions: query.questions,
    answers: [a(query.questions![0]!.name, '192.0.2.66')],
    ...change,
  });

test('an answer with another id, another question, or no answer at all is not taken; the right one still is', async (t) => {
  const ids: number[] = [];
  const ports: number[] = [];
  const port = await startForger(t, (query, from, socket) => {
    ids.push(query.id!);
    ports.push(from.port);
    const send = (bytes: Buffer) => socket.send(bytes, from.port, from.address);
    send(answerTo(query, { id: (query.id! + 1) % 65_536 }));
    send(answerTo(query, { questions: [{ name: 'other.test', type: 'A' }] }));
    send(answerTo(query, { questions: [{ name: query.questions![0]!.name, type: 'AAAA' }] }));
    send(answerTo(query, { questions: [] }));
    send(answerTo(query, { type: 'query' }));
    send(Buffer.from('garbage'));
    send(Buffer.alloc(0));
    const cut = answerTo(query);
    send(cut.subarray(0, cut.length - 2));
    send(answerTo(query, { answers: [a(query.questions![0]!.name, '192.0.2.1')] }));
  });
  const resolver = resolverFor(t, port);
  for (let i = 0; i < 8; i++) {
    const found = await resolver.query(`x${i}.test`, 'A');
    assert.deepEqual(found.kind === 'answer' && found.records, ['192.0.2.1']);
  }
  assert.ok(new Set(ids).size > 5, `ids ${ids}`);
  assert.ok(new Set(ports).size > 5, `ports ${ports}`);
});

test('records of other names in an answer are not taken', async (t) => {
  const port = await startForger(t, (query, from, socket) => {
    socket.send(answerTo(query, { answers: [a('victim.test', '192.0.2.66')] }), from.port, from.address);
  });
  assert.equal((await resolverFor(t, port).query('x.test', 'A')).kind, 'nodata');
});

test('a server that does not know EDNS is asked without it', async (t) => {
  const port = await startForger(t, (query, from, socket) => {
    const edns = (query.additionals ?? []).length > 0;
    socket.send(answerTo(query, edns ? { flags: 1, answers: [] } : {}), from.port, from.address);
  });
  assert.equal((await resolverFor(t, port, { attempts: 1 }).query('x.test', 'A')).kind, 'answer');
});

test('a truncated answer whose TCP half fails is a failure', async (t) => {
  for (const serve of [
    (socket: import('node:net').Socket) => socket.end(),
    (socket: import('node:net').Socket) => socket.write(Buffer.from([0, 5, 1, 2, 3, 4, 5])),
    (socket: import('node:net').Socket) => socket.write(Buffer.alloc(70_000, 0xff)),
    () => {},
  ]) {
    const tcp = createServer((socket) => {
      t.after(() => socket.destroy());
      socket.on('error', () => {});
      socket.once('data', () => serve(socket));
    }).listen(0, HOST);
    await once(tcp, 'listening');
    t.after(() => tcp.close());
    const { port } = tcp.address() as import('node:net').AddressInfo;
    const udp = createSocket('udp4');
    udp.on('message', (bytes, from) => {
      const query = dnsPacket.decode(bytes);
      udp.send(answerTo(query, { flags: dnsPacket.TRUNCATED_RESPONSE }), from.port, from.address);
    });
    udp.bind(port, HOST);
    await once(udp, 'listening');
    t.after(() => udp.close());
    const found = await resolverFor(t, port, { attempts: 1, timeoutMs: 100 }).query('x.test', 'A');
    assert.equal(found.kind, 'failure');
  }
});

test('only a question repeated letter for letter counts where letters are mixed, and they do not matter elsewhere', async (t) => {
  const seen: string[] = [];
  const port = await startForger(t, (query, from, socket) => {
    const [asked] = query.questions!;
    seen.push(asked!.name);
    const flat = [{ name: asked!.name.toLowerCase(), type: 'A' as const, class: 'IN' as const }];
    const send = (bytes: Buffer) => socket.send(bytes, from.port, from.address);
    send(answerTo(query, { questions: flat, answers: [a(asked!.name, '192.0.2.66')] }));
    send(answerTo(query, { answers: [a(asked!.name.toUpperCase(), '192.0.2.1')] }));
  });
  const name = 'abcdefghijklmnopqrstuvwxyz.test';
  const found = await resolverFor(t, port, { mixCase: true }).query(name, 'A');
  assert.notEqual(seen[0], name);
  assert.equal(seen[0]!.toLowerCase(), name);
  assert.deepEqual(found.kind === 'answer' && found.records, ['192.0.2.1']);
  const plain = await resolverFor(t, port).query(name, 'A');
  assert.deepEqual(plain.kind === 'answer' && plain.records, ['192.0.2.66']);
});

test('of ten thousand MX records those of lowest preference are kept, a bounded number', async (t) => {
  // 2,000 fit into the longest message; 10,000 do not, and an answer that was cut short is a failure.
  const many = (name: string, count: number): Answer[] =>
    Array.from({ length: count }, (_, i) => ({
      type: 'MX',
      name,
      ttl: 60,
      data: { preference: 10_000 - i, exchange: `h${i}.test` },
    }));
  const { port } = await startDns(t, ({ name }) => ok(...many(name, name === 'x.test' ? 2000 : 10_000)));
  const resolver = resolverFor(t, port, { attempts: 1 });
  const found = await resolver.query('x.test', 'MX');
  assert.ok(found.kind === 'answer');
  assert.equal(found.records.length, 200);
  assert.deepEqual(found.records[0], { preference: 8001, exchange: 'h1999.test' });
  const over = await resolver.query('y.test', 'MX');
  assert.equal(over.kind, 'failure');
});

test('names that point at themselves or in a circle, and counts that lie, end as no answer', async (t) => {
  const port = await startForger(t, (query, from, socket) => {
    const header = Buffer.alloc(12);
    header.writeUInt16BE(query.id!, 0);
    header.writeUInt16BE(0x8180, 2);
    header.writeUInt16BE(1, 4);
    header.writeUInt16BE(0xffff, 6);
    const send = (...parts: Buffer[]) => socket.send(Buffer.concat(parts), from.port, from.address);
    const record = Buffer.from('0001000100000e100004c0000242', 'hex');
    const question = dnsPacket.encode(query).subarray(12, 12 + query.questions![0]!.name.length + 6);
    send(header, Buffer.from([0xc0, 12, 0, 1, 0, 1]));
    send(header, question, Buffer.from([0xc0, 12 + question.length]), record);
    send(header, question, Buffer.from([0xc0, 14 + question.length, 0xc0, 12 + question.length]), record);
    send(header, question, Buffer.from([0xff, 0xff]), record);
    send(header, question, Buffer.from([0xc0, 12]), record);
    send(header, question, Buffer.alloc(9000, 0xc0));
    send(header, question, Buffer.alloc(9000, 1));
  });
  const found = await resolverFor(t, port, { timeoutMs: 100, attempts: 1 }).query('x.test', 'A');
  assert.deepEqual(found, { kind: 'failure', reason: 'no answer from 127.0.0.1 in 0.1 s' });
});

test('answers changed at random end as an answer that makes sense, or as none', async (t) => {
  let seed = 7;
  const random = (below: number) => {
    seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
    return seed % below;
  };
  const port = await startForger(t, (query, from, socket) => {
    const { name } = query.questions![0]!;
    const answers: Answer[] = [
      cname(name, `to.${name}`),
      { type: 'MX', name: `to.${name}`, ttl: 60, data: { preference: 1, exchange: 'mx.example.test' } },
      { type: 'TXT', name: `to.${name}`, ttl: 60, data: ['some text'] },
      a(`to.${name}`, '192.0.2.1'),
    ];
    const bytes = answerTo(query, { answers });
    for (let i = 0; i < 1 + random(6); i++) bytes[2 + random(bytes.length - 2)] = random(256);
    const cut = random(4) === 0 ? bytes.subarray(0, random(bytes.length)) : bytes;
    socket.send(cut, from.port, from.address);
  });
  const resolver = resolverFor(t, port, { attempts: 1, timeoutMs: 1000 });
  const types = ['A', 'MX', 'TXT', 'AAAA'] as const;
  const found = await Promise.all(
    Array.from({ length: 400 }, (_, i) => resolver.query(`n${i}.test`, types[i % types.length]!)),
  );
  const kinds = new Set(found.map(({ kind }) => kind));
  assert.ok(kinds.has('answer') && kinds.has('failure'), [...kinds].join());
  for (const [i, one] of found.entries()) {
    if (one.kind !== 'answer') continue;
    assert.ok(one.records.length > 0 && one.name.length > 0, `n${i}`);
  }
});

test('a version or extended error code of EDNS is no empty answer', async (t) => {
  const port = await startForger(t, (query, from, socket) => {
    const version = query.questions![0]!.name === 'version.test';
    const edns = (query.additionals ?? []).length > 0;
    const opt = {
      type: 'OPT' as const,
      name: '.',
      udpPayloadSize: 1232,
      extendedRcode: version ? 1 : 2,
      ednsVersion: 0,
      flags: 0,
      flag_do: false,
      options: [],
    };
    const change = edns ? { answers: [], additionals: [opt] } : { flags: dnsPacket.AUTHENTIC_DATA };
    socket.send(answerTo(query, change), from.port, from.address);
  });
  const resolver = resolverFor(t, port, { attempts: 1 });
  const found = await resolver.query('version.test', 'A');
  assert.ok(found.kind === 'answer');
  assert.equal(found.authenticated, false, 'a server without EDNS knows nothing of DNSSEC');
  assert.equal((await resolver.query('other.test', 'A')).kind, 'failure');
});

test('long answers count as several, so that the cache is bounded in bytes too', async (t) => {
  const { port } = await startDns(t, ({ name, type }) =>
    type === 'TXT'
      ? ok({ type, name, ttl: 60, data: Array(30).fill('x'.repeat(250)) })
      : ok(a(name, '192.0.2.1')),
  );
  const resolver = resolverFor(t, port, { maxCached: 20 });
  for (let i = 0; i < 10; i++) await resolver.query(`t${i}.test`, 'TXT');
  assert.equal(resolver.cached, 2);
  for (let i = 0; i < 30; i++) await resolver.query(`a${i}.test`, 'A');
  assert.equal(resolver.cached, 20);
});

test('a refreshed answer is kept as long as one says, and an old one rather than none', async (t) => {
  let now = 1_000_000;
  let fails = false;
  const clock = { now: () => now, after: systemClock.after };
  const { port, asked } = await startDns(t, ({ name }) =>
    fails ? no('SERVFAIL') : ok(a(name, `192.0.2.${asked.length}`, 1)),
  );
  const resolver = resolverFor(t, port, { clock, attempts: 1 });
  const address = (found: Awaited<ReturnType<typeof resolver.query>>) =>
    found.kind === 'answer' ? found.records[0] : found.kind;
  assert.equal(address(await resolver.refresh('x.test', 'A', 60_000)), '192.0.2.1');
  now += 30_000;
  assert.equal(address(await resolver.query('x.test', 'A')), '192.0.2.1');
  assert.equal(address(await resolver.refresh('x.test', 'A', 60_000)), '192.0.2.2');
  fails = true;
  assert.equal(address(await resolver.refresh('x.test', 'A', 60_000)), '192.0.2.2');
  now += 59_999;
  assert.equal(address(await resolver.query('x.test', 'A')), '192.0.2.2');
  now += 1;
  assert.equal(address(await resolver.query('x.test', 'A')), 'failure');
});

test('clearing a domain forgets its mail hosts too', async (t) => {
  const { port, asked } = await startDns(t, ({ name, type }) =>
    type === 'MX'
      ? ok({ type, name, ttl: 60, data: { preference: 1, exchange: 'mx.test' } })
      : ok(a(name, '192.0.2.1')),
  );
  const resolver = resolverFor(t, port);
  await resolver.query('x.test', 'MX');
  await resolver.query('mx.test', 'A');
  await resolver.query('other.test', 'A');
  assert.equal(resolver.clear('X.test.'), 2);
  assert.equal(resolver.clear('x.test'), 0);
  await resolver.query('mx.test', 'A');
  await resolver.query('other.test', 'A');
  assert.deepEqual(asked, ['MX x.test', 'A mx.test', 'A other.test', 'A mx.test']);
});

// The server itself

test('the server answers several questions on one TCP connection, and drops what is no DNS', async (t) => {
  const { port } = await startDns(t, ({ name }) => ok(a(name, '192.0.2.1')));
  const query = (id: number) =>
    dnsPacket.streamEncode({ id, questions: [{ type: 'A', name: `q${id}.test` }] });
  const socket = connect(port, HOST);
  t.after(() => socket.destroy());
  const both = Buffer.concat([query(1), query(2)]);
  socket.write(both.subarray(0, 5));
  await new Promise((resolve) => setTimeout(resolve, 10));
  socket.write(both.subarray(5));
  let received = Buffer.alloc(0);
  const ids: (number | undefined)[] = [];
  while (ids.length < 2) {
    const [piece] = (await once(socket, 'data')) as [Buffer];
    received = Buffer.concat([received, piece]);
    while (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
      const end = 2 + received.readUInt16BE(0);
      ids.push(dnsPacket.streamDecode(received.subarray(0, end)).id);
      received = received.subarray(end);
    }
  }
  assert.deepEqual(ids, [1, 2]);
  socket.write(Buffer.from([0xff, 0xff, 0]));
  await once(socket, 'close');
  const udp = createSocket('udp4');
  t.after(() => udp.close());
  udp.send(Buffer.from('garbage'), port, HOST);
  const question = dnsPacket.encode({ id: 7, questions: [{ type: 'A', name: 'after.test' }] });
  udp.send(question, port, HOST);
  const [reply] = (await once(udp, 'message')) as [Buffer];
  assert.equal(dnsPacket.decode(reply).id, 7);
});

test('a port that is taken is named in the error; closing one server leaves another alone', async (t) => {
  const first = createDnsServer({ answer: () => ok() });
  const port = await first.listen(HOST, 0, 'first');
  const second = createDnsServer({ answer: ({ name }) => ok(a(name, '192.0.2.1')) });
  await assert.rejects(second.listen(HOST, port, 'sink DNS'), /\(sink DNS\) is in use/);
  const other = await second.listen(HOST, 0, 'sink DNS');
  t.after(() => second.close());
  const socket = connect(other, HOST);
  t.after(() => socket.destroy());
  await once(socket, 'connect');
  await first.close();
  socket.write(dnsPacket.streamEncode({ id: 3, questions: [{ type: 'A', name: 'x.test' }] }));
  const [reply] = (await once(socket, 'data')) as [Buffer];
  assert.equal(dnsPacket.streamDecode(reply).id, 3);
});

test('localhost is this machine, and no server is asked (RFC 6761)', async (t) => {
  const { port, asked } = await startDns(t, () => ok(a('localhost', '192.0.2.1')));
  const resolver = resolverFor(t, port);
  const records = async (type: 'A' | 'AAAA') => {
    const found = await resolver.query('LocalHost.', type);
    return found.kind === 'answer' ? found.records : found.kind;
  };
  assert.deepEqual([await records('A'), await records('AAAA')], [['127.0.0.1'], ['::1']]);
  assert.equal((await resolver.query('localhost', 'MX')).kind, 'nodata');
  assert.deepEqual(asked, []);
});
