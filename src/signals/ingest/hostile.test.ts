/** Batches that nobody should send: each gets the answer that docs/ingest.md tells, and harms nothing after it. */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, afterEach, before, test } from 'node:test';
import { crc32, deflateSync, gunzipSync, gzipSync } from 'node:zlib';
import { fields } from '../../events/fields.ts';
import { type Clock, systemClock } from '../../system/clock.ts';
import { eventId, line, startTestService, TEST_KEY, type TestService } from '../test-service.ts';

let service: TestService;
/** What half a minute takes. */
let patience = 30_000;
before(async () => {
  const after: Clock['after'] = (ms, then) => systemClock.after(ms === 30_000 ? patience : ms, then);
  service = await startTestService({ clock: { now: systemClock.now, after } });
});
after(() => service.stop());

const seconds = () => String(Math.floor(Date.now() / 1000) - 60);
const everywhere = 'from=2020-01-01T00:00Z&to=2100-01-01T00:00Z';
const find = async (query: string) =>
  (await service.get(`/api/v1/events/message?${everywhere}&${query}`)).body.results;

async function outcomeOf(body: Uint8Array): Promise<Record<string, unknown>> {
  const answer = await service.postBytes(body);
  assert.equal(answer.status, 200, answer.text);
  return service.outcome(answer.body.results.id);
}

const counts = (o: Record<string, unknown>) => [
  o.error_type ?? 'success',
  o.number_succeeded,
  o.number_failed ?? 0,
  o.number_duplicates,
];

/** After every test: events go in, searches and reports answer, and nobody has got at the prototypes. */
afterEach(async () => {
  const id = `well-${eventId()}`;
  assert.deepEqual(counts(await service.ingest([line('delivery', { message_id: id })])), [
    'success',
    1,
    0,
    0,
  ]);
  assert.equal((await find(`messages=${id}`)).length, 1);
  const from = new Date(Date.now() - 7_200_000).toISOString().slice(0, 16);
  const report = await service.get(`/api/v1/metrics/deliverability?from=${from}&metrics=count_delivered`);
  assert.ok(report.body.results[0].count_delivered > 0);
  assert.deepEqual(Object.keys(Object.prototype), []);
});

test('what is no whole gzip stores nothing; several members are one batch', async () => {
  const one = () => Buffer.from(`${line('open', { message_id: 'gzip' })}\n`);
  const good = gzipSync(one());
  const broken = (change: (bytes: Buffer) => void) => {
    const bytes = gzipSync(one());
    change(bytes);
    return bytes;
  };
  const header = Buffer.concat([
    Buffer.from([0x1f, 0x8b, 8, 0x18, 0, 0, 0, 0, 0, 3]),
    Buffer.from('name\0comment\0'),
    gzipSync(one()).subarray(10),
  ]);
  const cases: [name: string, body: Buffer, expected: unknown[]][] = [
    ['two members', Buffer.concat([gzipSync(one()), gzipSync(one())]), ['success', 2, 0, 0]],
    [
      'a line over two members',
      Buffer.concat([gzipSync('{"msys":'), gzipSync('5}\n')]),
      ['validation', 0, 1, 0],
    ],
    ['an empty member before', Buffer.concat([gzipSync(''), gzipSync(one())]), ['success', 1, 0, 0]],
    ['name and comment', header, ['success', 1, 0, 0]],
    [
      'zeros behind the end, as tapes have',
      Buffer.concat([gzipSync(one()), Buffer.alloc(100)]),
      ['success', 1, 0, 0],
    ],
    ['other octets behind the end', Buffer.concat([good, Buffer.from('tail')]), ['decompress', 0, 0, 0]],
    [
      'a second member cut off',
      Buffer.concat([good, gzipSync(one()).subarray(0, 30)]),
      ['decompress', 0, 0, 0],
    ],
    ['a wrong checksum', broken((b) => b.writeUInt32LE(1, b.length - 8)), ['decompress', 0, 0, 0]],
    ['a wrong length', broken((b) => b.writeUInt32LE(1, b.length - 4)), ['decompress', 0, 0, 0]],
    ['another method', broken((b) => b.writeUInt8(7, 2)), ['decompress', 0, 0, 0]],
    ['zlib in place of gzip', deflateSync(one()), ['decompress', 0, 0, 0]],
    ['only a trailer', good.subarray(-8), ['decompress', 0, 0, 0]],
  ];
  for (const cut of [1, 9, 10, 11, good.length >> 1, good.length - 8, good.length - 1]) {
    cases.push([`cut after ${cut}`, good.subarray(0, cut), ['decompress', 0, 0, 0]]);
  }
  for (const [name, body, expected] of cases) assert.deepEqual(counts(await outcomeOf(body)), expected, name);
  assert.equal(crc32(''), 0);
});

test('bombs: of lines, of one line, of members; a long line is refused alone', async () => {
  const zeros = gzipSync(Buffer.alloc(64 * 2 ** 20));
  const many = Buffer.concat(Array.from({ length: 70 }, () => zeros));
  assert.ok(many.length < 5 * 2 ** 20 && many.length > 4 * 2 ** 20);
  assert.deepEqual(counts(await outcomeOf(many)), ['decompress', 0, 0, 0]);
  // 100 MB, which is allowed in all, in one line, which is not.
  const long = Buffer.concat([
    Buffer.from(`${line('open', { message_id: 'bomb' })}\n{"msys":"`),
    Buffer.alloc(100 * 2 ** 20, 'x'),
    Buffer.from(`"}\n${line('click', { message_id: 'bomb' })}`),
  ]);
  const outcome = await outcomeOf(gzipSync(long, { level: 1 }));
  assert.deepEqual(counts(outcome), ['validation', 2, 1, 0]);
  const failures = await fetch(String(outcome.href), { headers: { authorization: TEST_KEY } });
  const text = gunzipSync(Buffer.from(await failures.arrayBuffer())).toString();
  assert.match(text, /^\{"error":"The line is longer than 1048576 bytes","event":"\{\\"msys\\":\\"x+"\}\n$/);
  assert.ok(text.length < 5000);
  const blank = Buffer.alloc(2_000_000, '\n');
  assert.deepEqual(
    counts(await outcomeOf(gzipSync(blank))),
    ['decompress', 0, 0, 0],
    'more than a million lines',
  );
});

test('a million lines', async () => {
  const outcome = await outcomeOf(gzipSync(Buffer.from('{}\n'.repeat(1_000_000))));
  assert.deepEqual(counts(outcome), ['validation', 0, 1_000_000, 0]);
});

test('nesting 100,000 deep is refused as a line and left out as a value', async () => {
  const deep = (open: string, close: string) => open.repeat(100_000) + close.repeat(100_000);
  const event = line('open', { message_id: 'deep', rcpt_meta: 'HERE', geo_ip: 'HERE', unknown: 'HERE' });
  const outcome = await service.ingest([
    deep('[', ']'),
    `{"msys":${deep('{"a":', '}').replace('}', '1}')}}`,
    event.replaceAll('"HERE"', deep('[', ']')),
    line('click', { message_id: 'deep', rcpt_meta: 'HERE' }).replace(
      '"HERE"',
      deep('{"a":', '}').replace('}', '1}'),
    ),
  ]);
  assert.deepEqual(counts(outcome), ['validation', 2, 2, 0]);
  for (const found of await find('messages=deep')) assert.equal('rcpt_meta' in found, false);
});

test('time: 1970, 2100, before the epoch, absurd numbers', async () => {
  const times = [
    '0',
    0,
    '1',
    '4102444800',
    4_102_444_800,
    '-1',
    -1e15,
    '9'.repeat(400),
    1e308,
    '1e9',
    '0x5f5e100',
  ];
  const lines = times.map((timestamp) => line('open', { timestamp }));
  lines.push(line('open').replace(/"timestamp":"\d+"/, '"timestamp":1e999'));
  lines.push(line('open', { timestamp: `${seconds()}.123456789`, message_id: 'fraction' }));
  const outcome = await service.ingest(lines);
  assert.deepEqual(counts(outcome), ['validation', 1, lines.length - 1, 0]);
  assert.match((await find('messages=fraction'))[0].timestamp, /\.123Z$/);
});

test('octets that are no UTF-8, lone surrogates, NUL, a byte order mark, odd line ends', async () => {
  const texts = [
    'a\ud800b',
    '\udfff',
    '\u0000',
    '\ufeff',
    '\u2028',
    '\\',
    "'",
    '\u202e',
    '😀'.repeat(5000),
    '%',
    '\t',
  ];
  const names = [
    'campaign_id',
    'subject',
    'rcpt_to',
    'friendly_from',
    'ip_pool',
    'sending_ip',
    'reason',
    'template_id',
  ];
  const lines = texts.map((text) =>
    line('inband', {
      ...Object.fromEntries(names.map((name) => [name, `${text}@${text}`])),
      message_id: `odd-${text.slice(0, 9)}`,
      event_id: `odd-${text.slice(0, 9)}`,
      rcpt_meta: { [text.slice(0, 9)]: text },
      rcpt_tags: [text],
    }),
  );
  const raw = Buffer.from(
    line('open', { message_id: 'latin', user_agent: 'X' }).replace('"X"', '"\xe9\xff"'),
    'latin1',
  );
  const marked = Buffer.from(`\ufeff${line('open', { message_id: 'marked' })}\r\n\r\n \n\n`);
  const body = Buffer.concat([marked, Buffer.from(lines.join('\r\n')), Buffer.from('\n'), raw]);
  assert.deepEqual(counts(await outcomeOf(gzipSync(body))), ['success', texts.length + 2, 0, 0]);
  assert.equal((await find('messages=latin'))[0].user_agent, '\ufffd\ufffd');
  assert.equal((await find('messages=marked')).length, 1);
  const [lone] = await find(`messages=${encodeURIComponent('odd-a\ufffdb')}`);
  assert.equal(lone.campaign_id, 'a\ufffdb@a\ufffdb');
  assert.deepEqual(lone.rcpt_tags, ['a\ufffdb']);
  assert.deepEqual(lone.rcpt_meta, { 'a\ufffdb': 'a\ufffdb' });
  const quoted = line('delivery', {
    message_id: 'quoted',
    rcpt_meta: { a: '\\ud800 \\\\ud800 \u0001\udc00"' },
  });
  assert.deepEqual(counts(await outcomeOf(gzipSync(quoted))), ['success', 1, 0, 0]);
  assert.equal((await find('messages=quoted'))[0].rcpt_meta.a, '\\ud800 \\\\ud800 \u0001\ufffd"');
  // The same again is the same events, surrogates or not.
  assert.deepEqual(counts(await outcomeOf(gzipSync(body))), ['duplicate_batch', 0, 0, texts.length + 2]);
});

test('keys that name what objects inherit are data at every level', async () => {
  const keys = [
    '__proto__',
    'constructor',
    'prototype',
    'toString',
    'hasOwnProperty',
    'valueOf',
    '__defineGetter__',
  ];
  const lines: string[] = [];
  for (const key of keys) {
    const quoted = JSON.stringify(key);
    const evil = `{"type":"open","polluted":1,"rcpt_to":"x"}`;
    lines.push(`{${quoted}:{"msys":${evil}}}`, `{"msys":{${quoted}:${evil}}}`);
    lines.push(`{"msys":{"track_event":{${quoted}:${evil}}}}`);
    lines.push(line('open', { type: key }));
    const good = line('open', {
      message_id: `key-${key}`,
      campaign_id: key,
      event_id: key,
      rcpt_meta: 'META',
    });
    const nested = `{${quoted}:{${quoted}:${evil}},"plain":"kept"}`;
    lines.push(
      good.replace('"META"', `${nested},${quoted}:${evil},"geo_ip":${nested},"user_agent_parsed":${nested}`),
    );
  }
  assert.deepEqual(counts(await service.ingest(lines)), ['validation', keys.length, keys.length * 4, 0]);
  for (const key of keys) {
    const [event] = await find(`messages=key-${key}`);
    assert.equal(event.rcpt_meta.plain, 'kept', key);
    assert.equal(event.campaign_id, key);
    assert.equal(event.polluted, undefined);
  }
  const grouped = await service.get(
    `/api/v1/metrics/deliverability/campaign?from=${new Date(Date.now() - 7_200_000).toISOString().slice(0, 16)}&metrics=count_rendered&campaigns=${keys.join(',')}`,
  );
  assert.deepEqual(
    grouped.body.results.map((row: { campaign_id: string }) => row.campaign_id).sort(),
    keys.toSorted(),
  );
});

test('a key that stands twice: the last one counts', async () => {
  const twice = line('open', { message_id: 'twice' }).replace('"open"', '"click","type":"open"');
  const outcome = await service.ingest([twice.replace('"message_id"', '"message_id":"first","message_id"')]);
  assert.deepEqual(counts(outcome), ['success', 1, 0, 0]);
  assert.equal((await find('messages=twice'))[0].type, 'open');
  assert.equal((await find('messages=first')).length, 0);
});

test('every field with values of every type: taken or refused, never a fault of ours', async () => {
  const values = [
    null,
    true,
    false,
    0,
    -1,
    5.5,
    1e308,
    2 ** 53,
    '',
    'x',
    '-7',
    [],
    {},
    [[]],
    [null],
    { a: { b: [] } },
  ];
  const lines: string[] = [];
  for (const { name } of fields.values()) {
    for (const [i, value] of values.entries()) {
      const type = i % 2 === 0 ? 'reception' : 'click';
      lines.push(line(type, { message_id: `typed-${name}-${i}`, rcpt_to: 'a@b.example', [name]: value }));
    }
    lines.push(line('inband', { message_id: `typed-${name}-x`, [name]: 'N' }).replace('"N"', '1e999'));
  }
  const outcome = await service.ingest(lines);
  assert.equal(outcome.error_type, 'validation');
  assert.equal(
    Number(outcome.number_succeeded) + Number(outcome.number_failed) + Number(outcome.number_duplicates),
    lines.length,
  );
  assert.ok(Number(outcome.number_succeeded) > lines.length * 0.8);
});

test('a hundred thousand names and domains, some of them very long, are stored, reported and searched', async () => {
  const many = 100_000;
  const lines = function* () {
    for (let i = 0; i < many; i++) {
      yield line('reception', {
        event_id: `many-${i}`,
        message_id: `many-${i}`,
        campaign_id: `campaign ${i}${i % 1000 === 0 ? 'x'.repeat(100_000) : ''}`,
        binding_group: `pool ${i}`,
        rcpt_to: `a@d${i}.example`,
        friendly_from: `b@s${i}.example`,
        template_id: `t${i}`,
      });
    }
  };
  const outcome = await outcomeOf(gzipSync([...lines()].join('\n'), { level: 1 }));
  assert.deepEqual(counts(outcome), ['success', many, 0, 0]);
  const from = new Date(Date.now() - 7_200_000).toISOString().slice(0, 16);
  for (const group of ['campaign', 'domain', 'ip-pool', 'sending-domain', 'template']) {
    const report = await service.get(
      `/api/v1/metrics/deliverability/${group}?from=${from}&metrics=count_injected&limit=10000`,
    );
    assert.equal(report.status, 200, group);
    assert.equal(report.body.results.length, 10_000, group);
  }
  const list = await service.get(`/api/v1/metrics/campaigns?from=${from}&match=campaign%2099000x`);
  assert.deepEqual(
    list.body.results.campaigns.map((name: string) => name.length),
    [512],
  );
  assert.equal((await find('campaigns=campaign%2077777'))[0].message_id, 'many-77777');
});

/** Sends octets as they are and gives all that comes back until the connection is closed. */
function converse(...parts: readonly (string | Buffer)[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(service.signals.url);
    const socket = connect(Number(port), hostname);
    let heard = '';
    socket.setEncoding('latin1');
    socket.on('data', (text) => {
      heard += text;
    });
    socket.on('close', () => resolve(heard));
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNRESET' || error.code === 'EPIPE') resolve(heard);
      else reject(error);
    });
    socket.on('connect', () => {
      for (const part of parts) socket.write(part);
      socket.end();
    });
  });
}

test('requests that lie about their length, or are no chunks, store nothing', async () => {
  const head = (more: string) =>
    `POST /api/v1/ingest/events HTTP/1.1\r\nHost: x\r\nAuthorization: ${TEST_KEY}\r\nConnection: close\r\n` +
    `Content-Type: application/x-ndjson\r\nContent-Encoding: gzip\r\n${more}\r\n`;
  const received = async () => (await service.get('/api/v1/ingest/status')).body.results.batches_received;
  const before = await received();
  const good = gzipSync(line('open', { message_id: 'lie' }));
  const bad: [name: string, heard: string][] = [
    ['more promised than sent', await converse(head(`Content-Length: ${good.length + 50}\r\n`), good)],
    ['no chunk size', await converse(head('Transfer-Encoding: chunked\r\n'), good)],
    ['a chunk cut off', await converse(head('Transfer-Encoding: chunked\r\n'), 'ffff\r\n', good)],
    [
      'chunks without an end',
      await converse(head('Transfer-Encoding: chunked\r\n'), `${good.length.toString(16)}\r\n`, good, '\r\n'),
    ],
    [
      'a huge chunk size',
      await converse(head('Transfer-Encoding: chunked\r\n'), `${'f'.repeat(40)}\r\n`, good),
    ],
    [
      'length and chunks',
      await converse(head(`Content-Length: ${good.length}\r\nTransfer-Encoding: chunked\r\n`), good),
    ],
    ['two lengths', await converse(head(`Content-Length: 5\r\nContent-Length: ${good.length}\r\n`), good)],
    ['a negative length', await converse(head('Content-Length: -5\r\n'), good)],
    ['too much promised', await converse(head('Content-Length: 99999999999\r\n'))],
    [
      'gzip twice',
      await converse(head(`Content-Length: ${good.length}\r\n`).replace('gzip', 'gzip, gzip'), good),
    ],
  ];
  for (const [name, heard] of bad) assert.doesNotMatch(heard, /^HTTP\/1.1 2/, name);
  assert.match(bad.at(-1)![1], /^HTTP\/1.1 415/);
  assert.match(bad.at(-2)![1], /^HTTP\/1.1 413/);
  assert.equal(await received(), before);
  assert.equal((await service.postBytes(good, { 'content-encoding': 'GZIP' })).status, 200);
  assert.equal(await received(), before + 1);
});

/** Writes all of it and only then reads, as simple senders do; what is answered. */
function writeAllThenRead(port: number, head: string, piece: Buffer, pieces: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    socket.setEncoding('latin1').on('error', reject);
    socket.on('connect', async () => {
      socket.write(head);
      for (let i = 0; i < pieces; i++) await new Promise<void>((next) => socket.write(piece, () => next()));
      let heard = '';
      socket.on('close', () => resolve(heard));
      socket.on('data', (text) => {
        heard += text;
        // Who asked for it is hung up on.
        if (heard.endsWith('}') && !/Connection: close|HTTP\/1.0/.test(head)) socket.destroy();
      });
    });
  });
}

const uploadHead = (more: string) =>
  `POST /api/v1/ingest/events HTTP/1.1\r\nHost: x\r\nAuthorization: ${TEST_KEY}\r\n` +
  `Content-Type: application/x-ndjson\r\n${more}\r\n`;

test('a sender that writes its whole batch before it reads is told why the batch was refused', async () => {
  const port = Number(new URL(service.signals.url).port);
  const piece = Buffer.alloc(2 ** 20);
  const chunk = Buffer.concat([Buffer.from('100000\r\n'), piece, Buffer.from('\r\n')]);
  const gzip = 'Content-Encoding: gzip\r\n';
  const length = (mebibytes: number) => `Content-Length: ${mebibytes * 2 ** 20}\r\n`;
  const heard = [
    await writeAllThenRead(port, uploadHead(length(4)), piece, 4),
    await writeAllThenRead(port, uploadHead(gzip + length(20)), piece, 20),
    await writeAllThenRead(port, uploadHead(`${gzip}Transfer-Encoding: chunked\r\n`), chunk, 20),
    await writeAllThenRead(port, uploadHead(`Connection: close\r\n${gzip}${length(20)}`), piece, 20),
    await writeAllThenRead(port, uploadHead(length(20)).replace('HTTP/1.1', 'HTTP/1.0'), piece, 20),
    await writeAllThenRead(
      port,
      uploadHead(`Connection: close\r\n${length(20)}`).replace(TEST_KEY, 'x'),
      piece,
      20,
    ),
    await writeAllThenRead(
      port,
      uploadHead(length(20)).replace('x-ndjson', 'json').replace('ingest/events', 'sign-in'),
      piece,
      20,
    ),
  ];
  assert.deepEqual(
    heard.map((text) => [text.slice(9, 12), JSON.parse(text.split('\r\n\r\n')[1]!).errors[0].message]),
    [
      ['415', 'Unsupported Content-Encoding header'],
      ['413', 'The batch is larger than 5242880 bytes'],
      ['413', 'The batch is larger than 5242880 bytes'],
      ['413', 'The batch is larger than 5242880 bytes'],
      ['415', 'Unsupported Content-Encoding header'],
      ['401', 'Unauthorized.'],
      ['413', 'Request body is too large'],
    ],
  );
});

test('a refused batch that does not end is not listened to for ever', async () => {
  patience = 100;
  try {
    const socket = connect(Number(new URL(service.signals.url).port), '127.0.0.1');
    socket.write(uploadHead('Content-Length: 1000000\r\n'));
    let heard = '';
    for await (const text of socket.setEncoding('latin1')) heard += text;
    assert.match(heard, /^HTTP\/1.1 415 /);
  } finally {
    patience = 30_000;
  }
});

test('bodies that never end hold nobody else up', async () => {
  const { hostname, port } = new URL(service.signals.url);
  const slow = Array.from({ length: 60 }, () => {
    const socket = connect(Number(port), hostname);
    socket.on('error', () => {});
    socket.write(
      `POST /api/v1/ingest/events HTTP/1.1\r\nHost: x\r\nAuthorization: ${TEST_KEY}\r\n` +
        'Content-Type: application/x-ndjson\r\nContent-Encoding: gzip\r\nContent-Length: 1000\r\n\r\nx',
    );
    return socket;
  });
  try {
    for (let i = 0; i < 5; i++) {
      assert.deepEqual(counts(await service.ingest([line('open')])), ['success', 1, 0, 0]);
    }
  } finally {
    for (const socket of slow) socket.destroy();
  }
});
