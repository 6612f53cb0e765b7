import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { makeSelfSignedCertificate } from '../../smtp/self-signed.ts';
import { CONTENT, folder, keptLog, startDelivery, until } from '../testing.ts';
import { httpDeliveryBody } from './http-delivery.ts';
import { readHeaderLines } from './http-headers-file.ts';

interface Taken {
  readonly headers: http.IncomingHttpHeaders;
  readonly json: { msg_from: string; rcpt_to: string; content: Record<string, unknown> };
  readonly method?: string;
  readonly url?: string;
}

/** An endpoint; `answer` decides by the recipient. */
async function endpoint(
  t: TestContext,
  answer: (to: string, response: http.ServerResponse) => void,
  tls?: https.ServerOptions,
) {
  const taken: Taken[] = [];
  let sockets = 0;
  const handle = (request: http.IncomingMessage, response: http.ServerResponse) => {
    const body: Buffer[] = [];
    request.on('data', (chunk) => body.push(chunk));
    request.on('end', () => {
      const json = JSON.parse(Buffer.concat(body).toString());
      taken.push({ headers: request.headers, json, method: request.method, url: request.url });
      answer(json.rcpt_to, response);
    });
  };
  const server = tls ? https.createServer(tls, handle) : http.createServer(handle);
  server.on('connection', () => sockets++);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return { port, taken, sockets: () => sockets, server };
}

const ok = (_: string, response: http.ServerResponse) => void response.writeHead(200).end('{}');

function posting(t: TestContext, url: string, more = '', log = keptLog(), ca?: string) {
  return startDelivery(t, {
    config: `<domain *>\ntype http-delivery\nhttp-delivery-url ${url}\nretry-recipients-after 1m\nmax-smtp-out 1\n${more}\n</domain>`,
    log: log.log,
    ca,
  });
}

test('one POST per message and recipient; 200 is delivered', async (t) => {
  const to = await endpoint(t, ok);
  const mta = await posting(t, `http://127.0.0.1:${to.port}/in/mail`);
  await mta.submit(['kim@a.test', 'lee@a.test']);
  await mta.quiet();
  assert.deepEqual(mta.story(), ['delivered kim@a.test 2.0.0', 'delivered lee@a.test 2.0.0']);
  assert.deepEqual(
    to.taken.map(({ method, url, headers }) => [method, url, headers['content-type']]),
    [
      ['POST', '/in/mail', 'application/json'],
      ['POST', '/in/mail', 'application/json'],
    ],
  );
  assert.deepEqual(to.taken[0]!.json, {
    msg_from: 'news@brand.test',
    rcpt_to: 'kim@a.test',
    content: {
      email_rfc822: CONTENT.toString(),
      headers: [{ From: 'News <news@brand.test>' }, { To: 'kim@a.test' }, { Subject: 'Hello' }],
    },
  });
  assert.equal(to.sockets(), 1, 'one connection per grant');
  const [first] = mta.journal();
  assert.ok(first?.kind === 'delivered');
  assert.deepEqual(
    [first.action, first.attempt.transport, first.attempt.destinationIp, first.result.diagnostic],
    ['relayed', 'http-delivery', '127.0.0.1', 'x-http;200 OK'],
  );
});

for (const code of [201, 204, 302, 400, 401, 404, 410, 500, 550]) {
  test(`every other status is temporary: ${code}; the next recipient is tried`, async (t) => {
    const to = await endpoint(t, (rcpt, response) =>
      rcpt === 'kim@a.test' ? void response.writeHead(code, { location: '/x' }).end() : ok(rcpt, response),
    );
    const mta = await posting(t, `http://127.0.0.1:${to.port}/`);
    await mta.submit(['kim@a.test', 'lee@a.test']);
    await mta.quiet();
    assert.deepEqual(mta.story(), ['deferred kim@a.test 4.0.0', 'delivered lee@a.test 2.0.0']);
  });
}

test('503 is temporary, and the queue rests instead of asking for every recipient', async (t) => {
  const to = await endpoint(t, (_, response) => void response.writeHead(503).end('down for today'));
  const log = keptLog();
  const mta = await posting(t, `http://127.0.0.1:${to.port}/`, '', log);
  await mta.submit(['kim@a.test', 'lee@a.test']);
  await mta.quiet();
  assert.deepEqual(mta.story(), ['deferred kim@a.test 4.0.0']);
  assert.equal(to.taken.length, 1);
  assert.ok(mta.holds('a.test').includes('queue-retry'));
  assert.ok(log.lines.some((line) => line.includes('down for today')));
});

test('nobody answers: the queue waits', async (t) => {
  const to = await endpoint(t, ok);
  to.server.close();
  const mta = await posting(t, `http://127.0.0.1:${to.port}/`);
  await mta.submit(['kim@a.test']);
  await mta.quiet();
  assert.deepEqual(mta.story(), ['queue-deferred a.test/{default} 4.4.1']);
});

test('an answer that does not come is not waited for; one without end is cut', async (t) => {
  const silent = await endpoint(t, () => {});
  const mta = await posting(t, `http://127.0.0.1:${silent.port}/`, 'smtp-data-termination-timeout 1m');
  await mta.submit(['kim@a.test']);
  await until(() => silent.taken.length === 1);
  const queue = mta.scheduler.find('a.test', '{default}')!;
  // The clock stands still when the connection is given up: else the queue would be tried again before it is written.
  await until(() => {
    if (queue.connections > 0) mta.clock.advance(60_000);
    return mta.story().length > 0;
  });
  assert.deepEqual(mta.story(), ['queue-deferred a.test/{default} 4.4.1']);

  const endless = await endpoint(t, (_, response) => {
    response.writeHead(200);
    const more = () => {
      while (response.write(Buffer.alloc(65_536)));
    };
    response.on('drain', more);
    more();
  });
  const other = await posting(t, `http://127.0.0.1:${endless.port}/`);
  await other.submit(['kim@a.test']);
  await other.quiet();
  assert.deepEqual(other.story(), ['delivered kim@a.test 2.0.0']);
});

test('TLS is verified: a certificate that nobody vouches for gets no mail', async (t) => {
  const made = await makeSelfSignedCertificate({ names: ['localhost'], days: 1 });
  const to = await endpoint(t, ok, { key: made.key, cert: made.cert });
  const log = keptLog();
  const strict = await posting(t, `https://localhost:${to.port}/`, '', log);
  await strict.submit(['kim@a.test']);
  await strict.quiet();
  assert.deepEqual(strict.story(), ['queue-deferred a.test/{default} 4.4.1']);
  assert.equal(to.taken.length, 0);
  assert.ok(
    log.lines.some((line) => /SELF_SIGNED/i.test(line)),
    log.lines.join('\n'),
  );

  const trusting = await posting(t, `https://localhost:${to.port}/`, '', log, made.cert);
  await trusting.submit(['kim@a.test']);
  await trusting.quiet();
  assert.deepEqual(trusting.story(), ['delivered kim@a.test 2.0.0']);
  const [first] = trusting.journal();
  assert.ok(first?.kind === 'delivered' && first.attempt.tlsProtocol.startsWith('TLSv1.'));
});

test('http-delivery-extra-headers: its lines are sent; what is wrong with it is said without its values', async (t) => {
  const to = await endpoint(t, ok);
  const file = path.join(folder(t), 'headers.pem');
  writeFileSync(file, '# a key\nAuthorization: Bearer s3cret\nX-Tenant: 7\n\n');
  const mta = await posting(t, `http://127.0.0.1:${to.port}/`, `http-delivery-extra-headers ${file}`);
  await mta.submit(['kim@a.test']);
  await mta.quiet();
  const { headers } = to.taken[0]!;
  assert.deepEqual([headers.authorization, headers['x-tenant']], ['Bearer s3cret', '7']);

  assert.deepEqual(readHeaderLines('A: b\n'), [['A', 'b']]);
  assert.equal(readHeaderLines('Content-Length: 3'), 'line 1: Content-Length cannot be set');
  assert.equal(readHeaderLines('A: b\ns3cret'), 'line 2 is not "Name: value"');
  writeFileSync(file, 's3cret');
  const log = keptLog();
  const wrong = await posting(t, `http://127.0.0.1:${to.port}/`, `http-delivery-extra-headers ${file}`, log);
  await wrong.submit(['kim@a.test']);
  await wrong.quiet();
  assert.deepEqual(wrong.story(), ['queue-deferred a.test/{default} 4.3.5']);
  assert.ok(
    log.lines.some((line) => line.includes(file)) && !log.lines.some((line) => line.includes('s3cret')),
  );
});

test('email_rfc822_is_base64 where a byte is beyond ASCII; headers in order, unfolded, repeats kept', () => {
  const message = Buffer.from(
    'X-A: one\r\n two\r\n__proto__: p\r\nX-A: three\r\nSubject: b\xfcro\r\n\r\n\xff\x00',
    'latin1',
  );
  const body = httpDeliveryBody('', 'kim@a.test', message).toString();
  const json = JSON.parse(body, (_, value) => value);
  assert.equal(json.content.email_rfc822_is_base64, true);
  assert.deepEqual(Buffer.from(json.content.email_rfc822, 'base64'), message);
  assert.match(
    body,
    /"headers":\[\{"X-A":"one two"\},\{"__proto__":"p"\},\{"X-A":"three"\},\{"Subject":"büro"\}\]/,
  );
  const plain = JSON.parse(httpDeliveryBody('a@b', 'c@d', CONTENT).toString());
  assert.deepEqual(Object.keys(plain.content), ['email_rfc822', 'headers']);
});
