// Garbage at the management port and at the Transmissions API of the whole program, while mail goes on.
import assert from 'node:assert/strict';
import { request } from 'node:https';
import { connect } from 'node:net';
import { after, before, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { type Stage, shout, startStage } from './hostile.ts';

const KEY = 'k'.repeat(40);
let stage: Stage;
let apiPort: number;

before(async () => {
  stage = await startStage({
    config: ({ free }, dir) => {
      apiPort = free;
      return `
<transmissions-api-listener 127.0.0.1:${free}>
    tls-certificate ${dir}/tls.pem
</transmissions-api-listener>
<transmissions-api>
    api-key ${KEY}
    log-requests yes
</transmissions-api>
<source {transmissions-api}>
    max-message-size 4M
    process-x-msys-api yes
</source>
`;
    },
  });
});
after(() => stage.stop());

/** The first line of what an HTTP server says to these bytes. */
async function statusOf(text: string, t: Parameters<Stage['session']>[0]): Promise<string> {
  // The beginning of a TLS handshake may go on.
  const forMs = text.startsWith('\x16') ? 500 : undefined;
  return (await shout(t, stage.managementPort, text, forMs)).split('\r\n', 1)[0]!;
}

test('garbage at the management port: a status or a closed connection, no stack, nothing changed', async (t) => {
  const close = 'Host: localhost\r\nConnection: close\r\n';
  const cases: [string, RegExp][] = [
    ['\x16\x03\x01\x02\0\x01\0', /^HTTP\/1\.1 400 |^$/],
    ['GET\r\n\r\n', /^HTTP\/1\.1 400 /],
    ['\0'.repeat(100_000), /^HTTP\/1\.1 400 |^$/],
    [`GET /${'a'.repeat(100_000)} HTTP/1.1\r\n${close}\r\n`, /^HTTP\/1\.1 (?:400|414|431) |^$/],
    [`GET / HTTP/1.1\r\nX: ${'a'.repeat(1_000_000)}\r\n${close}\r\n`, /^HTTP\/1\.1 431 |^$/],
    [`GET / HTTP/1.1\r\n${'X: y\r\n'.repeat(100_000)}${close}\r\n`, /^HTTP\/1\.1 431 |^$/],
    [`GET /../../../etc/passwd HTTP/1.1\r\n${close}\r\n`, /^HTTP\/1\.1 404 /],
    [`GET /%2e%2e/%00%0d%0aX-Injected:%20yes HTTP/1.1\r\n${close}\r\n`, /^HTTP\/1\.1 404 /],
    [`GET /queues?maxitems=1e99&format=__proto__ HTTP/1.1\r\n${close}\r\n`, /^HTTP\/1\.1 (?:200|409) /],
    [`GET /explain?queue=__proto__/constructor HTTP/1.1\r\n${close}\r\n`, /^HTTP\/1\.1 (?:404|409) /],
    [`GET /settings?queue=%00%0d%0a%1b[2J/x HTTP/1.1\r\n${close}\r\n`, /^HTTP\/1\.1 (?:200|404|409) /],
    [`GET // HTTP/1.1\r\n${close}\r\n`, /^HTTP\/1\.1 (?:200|400|404) /],
    [`TRACE / HTTP/1.1\r\n${close}\r\n`, /^HTTP\/1\.1 405 /],
    [`POST /command?command=reload HTTP/1.1\r\n${close}Content-Length: 0\r\n\r\n`, /^HTTP\/1\.1 403 /],
    [`POST /configFile HTTP/1.1\r\n${close}Content-Length: 1000000000000\r\n\r\nx`, /^HTTP\/1\.1 403 /],
    [
      `POST / HTTP/1.1\r\n${close}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n\r\n`,
      /^HTTP\/1\.1 400 /,
    ],
    [`GET / HTTP/1.1\r\nHost: y\r\n${close}\r\n`, /^HTTP\/1\.1 (?:200|400|403) /],
  ];
  for (const [bytes, expected] of cases) assert.match(await statusOf(bytes, t), expected, bytes.slice(0, 80));
  const idle = Array.from({ length: 500 }, () => connect({ port: stage.managementPort, host: '127.0.0.1' }));
  for (const socket of idle) socket.on('error', () => {}).write('GET / HTTP/1.1\r\nX: ');
  await stage.ordinary(t);
  for (const socket of idle) socket.destroy();
  assert.match(await statusOf(`GET /status HTTP/1.1\r\n${close}\r\n`, t), /^HTTP\/1\.1 200 /);
  await stage.unharmed(t);
});

interface Answer {
  readonly status: number;
  readonly text: string;
}

/** One request to the Transmissions API; status 0 when the server cut it. */
function post(body: string | Buffer, headers: Record<string, string> = {}): Promise<Answer> {
  return new Promise((resolve) => {
    const sent = request(
      {
        ...{ host: '127.0.0.1', port: apiPort, path: '/api/v1/transmissions', method: 'POST', agent: false },
        rejectUnauthorized: false,
        headers: { Authorization: KEY, 'Content-Type': 'application/json', ...headers },
      },
      async (response) => {
        let text = '';
        try {
          for await (const piece of response) text += piece;
        } catch {
          // The answer stands in the status.
        }
        resolve({ status: response.statusCode!, text });
      },
    );
    sent.on('error', () => resolve({ status: 0, text: '' }));
    sent.end(body);
  });
}

const message = (change: Record<string, unknown> = {}) => ({
  return_path: 'a@client.test',
  recipients: [{ address: 'api@next.test' }],
  content: { email_rfc822: 'Subject: by the API\r\n\r\nHello\r\n' },
  ...change,
});

test('garbage at the Transmissions API: 4xx in JSON, and what is not a message is none', async (t) => {
  const deep = 9_000;
  const metadata = `{"metadata":${'{"a":'.repeat(deep)}1${'}'.repeat(deep)}}`;
  const cases: [name: string, body: string | Buffer, headers: Record<string, string>, expected: number[]][] =
    [
      ['no key', JSON.stringify(message()), { Authorization: '' }, [403]],
      ['a key of the prototype', JSON.stringify(message()), { Authorization: '__proto__' }, [403]],
      ['40 MB without a key', Buffer.alloc(40_000_000, 'x'), { Authorization: 'x' }, [403, 0]],
      ['40 MB with a key', Buffer.alloc(40_000_000, '['), {}, [413, 400, 0]],
      ['not JSON', '{', {}, [400]],
      ['not UTF-8', Buffer.from([0x7b, 0xff, 0x7d]), {}, [400]],
      ['10 million brackets', '['.repeat(10_000_000), {}, [400]],
      ['__proto__', `{"__proto__":${JSON.stringify(message())}}`, {}, [400]],
      ['a bare CR', JSON.stringify(message({ content: { email_rfc822: 'A: b\r\r\n.\r\n' } })), {}, [400]],
      [
        'a line end in an address',
        JSON.stringify(message({ return_path: 'a@b.test>\r\nRCPT TO:<c@d' })),
        {},
        [400],
      ],
      ['a line end in a campaign', JSON.stringify(message({ campaign_id: 'a\r\nb' })), {}, [400]],
      ['compressed', JSON.stringify(message()), { 'Content-Encoding': 'gzip' }, [200, 400, 415]],
      [
        'metadata 9,000 deep',
        JSON.stringify(message({ content: { email_rfc822: `X-MSYS-API: ${metadata}\r\n\r\nHello\r\n` } })),
        {},
        [400],
      ],
    ];
  for (const [name, body, headers, expected] of cases) {
    const { status, text } = await post(body, headers);
    assert.ok(expected.includes(status), `${name}: ${status} ${text.slice(0, 300)}`);
    if (status >= 400) assert.ok(Array.isArray(JSON.parse(text).errors), text);
  }
  // What is no TLS, and what is no HTTP inside.
  await shout(t, apiPort, 'GET / HTTP/1.1\r\n\r\n');
  const inside = connectTls({ port: apiPort, host: '127.0.0.1', rejectUnauthorized: false });
  const closed = new Promise((resolve) => inside.once('close', resolve));
  inside.on('error', () => {});
  inside.write('\0'.repeat(100_000));
  inside.resume();
  await closed;
  assert.equal((await post(JSON.stringify(message()))).status, 200);
  await stage.unharmed(t);
});
