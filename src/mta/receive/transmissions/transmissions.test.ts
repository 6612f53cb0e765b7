// Clients of the Transmissions API over real HTTPS; a real spool behind it.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { request } from 'node:https';
import path from 'node:path';
import { Writable } from 'node:stream';
import { before, type TestContext, test } from 'node:test';
import { connect } from 'node:tls';
import { freePorts } from '../../../../test/program.ts';
import { good } from '../../../config/testing.ts';
import { makeSelfSignedCertificate } from '../../../smtp/index.ts';
import { SpoolWriteError } from '../../../spool/spool-write-error.ts';
import { createLog, type Log } from '../../../system/log.ts';
import { UserError } from '../../../system/user-error.ts';
import { folder, startReception, until } from '../../testing.ts';
import type { TakeMessage } from '../submission.ts';
import { TransmissionsApi } from './transmissions-api.ts';
import { TransmissionsListeners } from './transmissions-listeners.ts';
import { TransmissionsLog } from './transmissions-log.ts';

const KEY = 'K'.repeat(40);
const OTHER = 'k'.repeat(40);
let pem: { cert: string; key: string };

before(async () => {
  pem = await makeSelfSignedCertificate({ names: ['localhost'], days: 2 });
});

interface Reply {
  readonly status: number;
  readonly body: { results?: Record<string, number>; errors?: { message: string; description: string }[] };
}

interface Given {
  readonly settings?: string;
  /** Lines of `<transmissions-api>`. */
  readonly api?: string;
  readonly log?: Log;
  readonly takeMessage?: (take: TakeMessage) => TakeMessage;
}

/** The configuration with a listener on a port that is free. */
async function start(t: TestContext, given: Given = {}) {
  const { settings = '', takeMessage = (take) => take } = given;
  const dir = folder(t);
  const certificate = path.join(dir, 'certificate.pem');
  writeFileSync(certificate, `${pem.cert}\n${pem.key}`);
  const port = await freePorts(1);
  const listener = (at: number, file = certificate) =>
    `<transmissions-api-listener 127.0.0.1:${at}>\ntls-certificate ${file}\n</transmissions-api-listener>`;
  const api = `<transmissions-api>\napi-key ${KEY}\napi-key ${'0'.repeat(32)}\n${given.api ?? 'log-requests yes'}\n</transmissions-api>`;
  const text = `domain-suffix local.test\n${api}\n${listener(port)}\n${settings}`;
  const mta = await startReception(t, text, given.log ? { log: given.log } : {});
  const log = new TransmissionsLog(() => mta.config, mta.log);
  const transmissions = new TransmissionsApi({
    config: () => mta.config,
    takeMessage: takeMessage(mta.takeMessage),
    spoolRefusal: () => mta.refusal,
    log,
  });
  const listeners = new TransmissionsListeners((a, b) => transmissions.handle(a, b), log);
  await listeners.apply(mta.config);
  t.after(() => listeners.close(0));

  const send = (
    body: unknown,
    given: { path?: string; method?: string; headers?: Record<string, string>; port?: number } = {},
  ) =>
    new Promise<Reply>((resolve, reject) => {
      const text =
        typeof body === 'string' || Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body));
      const asked = request(
        {
          ...{ host: '127.0.0.1', port: given.port ?? port, ca: pem.cert, servername: 'localhost' },
          ...{ path: given.path ?? '/api/v1/transmissions', method: given.method ?? 'POST', agent: false },
          headers: { Authorization: KEY, 'Content-Type': 'application/json', ...given.headers },
        },
        async (response) => {
          const pieces: Buffer[] = [];
          for await (const piece of response) pieces.push(piece as Buffer);
          const said = Buffer.concat(pieces).toString();
          resolve({ status: response.statusCode!, body: said ? JSON.parse(said) : {} });
        },
      );
      asked.on('error', reject);
      asked.end(text);
    });
  return { mta, listeners, port, send, api, listener, dir };
}

const MESSAGE =
  'From: News <news@brand.test>\nTo: kim@a.test\nX-Job: j1\nSubject: Hello\n\nHello [name].\n.\n..\n';
const whole = (change: Record<string, unknown> = {}) => ({
  return_path: 'bounce@brand.test',
  recipients: [{ address: 'kim@a.test' }, { address: { email: 'lou@b.test' } }],
  content: { email_rfc822: MESSAGE },
  ...change,
});

test('accepted ⇒ 200 with the number of recipients, and the message is on disk by then', async (t) => {
  const { mta, send } = await start(t);
  const { status, body } = await send(whole());
  assert.equal(status, 200);
  assert.deepEqual(body, { results: { total_accepted_recipients: 2, total_rejected_recipients: 0 } });
  const { envelope, content } = mta.stored();
  assert.equal(envelope.facts.source, 'http');
  assert.equal(envelope.facts.sender, 'bounce@brand.test');
  assert.equal(envelope.facts.clientIp, '127.0.0.1');
  assert.deepEqual(
    envelope.recipients.map(({ address }) => address),
    ['kim@a.test', 'lou@b.test'],
  );
  assert.match(content.toString(), /^Received: from unknown \(\[127\.0\.0\.1\]\) by mta\.test with HTTP id/);
  assert.ok(mta.logged.includes('POST /api/v1/transmissions'));
});

test('line ends `\\n` in email_rfc822 ⇒ stored with CRLF, everything else as it was', async (t) => {
  const { mta, send } = await start(t, {
    settings: '<source {transmissions-api}>\nadd-received-header no\n</source>',
  });
  assert.equal((await send(whole())).status, 200);
  assert.equal(mta.stored().content.toString(), MESSAGE.replaceAll('\n', '\r\n'));
  assert.equal((await send(whole({ content: { email_rfc822: 'A: b\rC: d\n\n' } }))).status, 400);
});

test('no return_path, two recipients each with one ⇒ 200', async (t) => {
  const { mta, send } = await start(t);
  const { status, body } = await send({
    recipients: [
      { address: 'kim@a.test', return_path: 'one@brand.test' },
      { address: 'lou@b.test', return_path: 'two@brand.test' },
    ],
    content: { email_rfc822: MESSAGE },
  });
  assert.equal(status, 200);
  assert.equal(body.results?.total_accepted_recipients, 2);
  assert.deepEqual(
    mta.queued.map(({ spoolId }) => mta.spool.envelope(spoolId)!.facts.sender),
    ['one@brand.test', 'two@brand.test'],
  );
});

test('recipients[].return_path overrides the message-level one', async (t) => {
  const { mta, send } = await start(t);
  await send(whole({ recipients: [{ address: 'kim@a.test', return_path: 'own@brand.test' }] }));
  assert.equal(mta.stored().envelope.facts.sender, 'own@brand.test');
});

test('what is wrong with a request ⇒ 400 that says what', async (t) => {
  const { mta, send } = await start(t);
  const wrong: [Record<string, unknown> | unknown, RegExp][] = [
    // no return_path, one of two recipients lacks it ⇒ 400
    [
      {
        recipients: [{ address: 'a@b.test', return_path: 'x@b.test' }, { address: 'c@d.test' }],
        content: { email_rfc822: 'x' },
      },
      /return_path is missing for recipients\[1\]/,
    ],
    // "options":{"start_time":"…"} ⇒ 400
    [
      whole({ options: { start_time: '2026-01-01T00:00:00Z' } }),
      /options has the unsupported field "start_time"/,
    ],
    // "address":{"name":"x"} ⇒ 400
    [whole({ recipients: [{ address: { name: 'x' } }] }), /unsupported field "name"/],
    [whole({ recipients: [{ address: {} }] }), /email is missing/],
    [whole({ recipients: [{}] }), /recipients\[0\]\.address is missing/],
    [whole({ recipients: [{ address: 7 }] }), /address must be an object/],
    [whole({ recipients: [{ address: null }] }), /must be an object/],
    [whole({ recipients: [{ address: { email: 7 } }] }), /email must be a string/],
    [whole({ recipients: ['kim@a.test'] }), /recipients\[0\] must be an object/],
    [whole({ recipients: [{ address: 'a@b.test', metadata: {} }] }), /unsupported field "metadata"/],
    [whole({ recipients: {} }), /recipients must be an array/],
    [whole({ recipients: [] }), /at least one/],
    [whole({ recipients: undefined }), /recipients must be an array/],
    [whole({ recipients: [{ address: 'nobody' }] }), /no recipient has a valid address/],
    [whole({ return_path: 7 }), /return_path must be a string/],
    [whole({ return_path: '' }), /must be an e-mail address/],
    [whole({ return_path: 'a b' }), /must be an e-mail address/],
    [whole({ Return_path: 'a@b.test' }), /unsupported field "Return_path"/],
    [whole({ campaign_id: 7 }), /campaign_id must be a string/],
    [whole({ campaign_id: 'two words' }), /campaign_id must be/],
    [whole({ campaign_id: '' }), /campaign_id must be/],
    [whole({ options: [] }), /options must be an object/],
    [whole({ options: { smtputf8: 'yes' } }), /smtputf8 must be true or false/],
    [whole({ content: undefined }), /content is missing/],
    [whole({ content: {} }), /email_rfc822 is missing/],
    [whole({ content: { email_rfc822: '' } }), /email_rfc822 is missing/],
    [whole({ content: { email_rfc822: 7 } }), /must be a string/],
    [whole({ content: { email_rfc822: 'x', html: 'y' } }), /unsupported field "html"/],
    [whole({ metadata: {} }), /unsupported field "metadata"/],
    [[], /the body must be an object/],
    ['null', /the body must be an object/],
    ['"text"', /the body must be an object/],
    ['', /not valid JSON/],
    ['{', /not valid JSON/],
    ['{"__proto__": {"return_path": "a@b.test"}}', /unsupported field "__proto__"/],
    ['{"constructor": 1}', /unsupported field "constructor"/],
    [Buffer.from([0x7b, 0xff, 0x7d]), /not UTF-8/],
    [whole({ content: { email_rfc822: 'half \ud800 pair' } }), /surrogate/],
    [`${'['.repeat(1_000_000)}${']'.repeat(1_000_000)}`, /deeper than 16/],
    [`{"a":${'{"a":'.repeat(100_000)}`, /deeper than 16/],
  ];
  for (const [body, why] of wrong) {
    const answer = await send(body);
    assert.equal(answer.status, 400, `${why}`);
    assert.deepEqual(Object.keys(answer.body), ['errors']);
    const [error] = answer.body.errors!;
    assert.deepEqual(Object.keys(error!), ['message', 'description']);
    assert.equal(error!.message, 'bad request');
    assert.match(error!.description, why);
  }
  assert.equal(mta.queued.length, 0);
  assert.equal(({} as Record<string, unknown>).return_path, undefined);
});

test('options.smtputf8 must be true for a local part beyond ASCII, else 400; a domain beyond ASCII needs nothing', async (t) => {
  const { mta, send } = await start(t);
  const utf8 = { recipients: [{ address: 'kïm@a.test' }] };
  assert.match((await send(whole(utf8))).body.errors![0]!.description, /smtputf8/);
  assert.equal((await send(whole({ ...utf8, options: { smtputf8: false } }))).status, 400);
  assert.equal((await send(whole({ return_path: 'bøunce@brand.test' }))).status, 400);
  assert.equal((await send(whole({ ...utf8, options: { smtputf8: true } }))).status, 200);
  assert.equal(mta.stored().envelope.smtpUtf8, true);
  assert.equal((await send(whole({ recipients: [{ address: 'kim@bücher.test' }] }))).status, 200);
  assert.equal(mta.stored().envelope.smtpUtf8, false);
});

test('recipients whose address is none are counted as rejected, the others get the message', async (t) => {
  const { mta, send } = await start(t);
  const { body } = await send(whole({ recipients: [{ address: 'kim@a.test' }, { address: 'kim@@a' }] }));
  assert.deepEqual(body, { results: { total_accepted_recipients: 1, total_rejected_recipients: 1 } });
  assert.equal(mta.queued.length, 1);
});

test('key missing or wrong ⇒ 403; keys are case-sensitive and bare', async (t) => {
  const { mta, send } = await start(t);
  for (const Authorization of ['', OTHER, KEY.slice(1), `${KEY}K`, `Bearer ${KEY}`, 'x'.repeat(8_000)]) {
    const answer = await send(whole(), { headers: { Authorization } });
    assert.equal(answer.status, 403, Authorization);
    assert.equal(answer.body.errors![0]!.message, 'forbidden');
  }
  assert.equal(
    (await send(whole(), { headers: { Authorization: '0'.repeat(32) } })).status,
    200,
    'any of the keys',
  );
  assert.ok(mta.logged.every((line) => !line.includes(KEY) && !line.includes(OTHER)));
});

test('unknown URI ⇒ 404; not POST ⇒ 405; another Content-Type ⇒ 400', async (t) => {
  const { send } = await start(t);
  for (const path of [
    '/',
    '/api/v1/transmissions/',
    '/api/v1/transmissions/1',
    '/api/v1/Transmissions',
    '//x',
  ]) {
    assert.equal((await send(whole(), { path })).status, 404, path);
  }
  for (const method of ['GET', 'PUT', 'DELETE', 'PATCH', 'OPTIONS']) {
    assert.equal((await send('', { method })).status, 405, method);
  }
  for (const type of ['text/plain', 'application/x-www-form-urlencoded', '']) {
    assert.equal((await send(whole(), { headers: { 'Content-Type': type } })).status, 400, type);
  }
  const utf8 = { 'Content-Type': 'Application/JSON; charset=utf-8' };
  assert.equal((await send(whole(), { headers: utf8 })).status, 200);
});

test('internal trouble ⇒ 500, and nothing is accepted', async (t) => {
  let fail: Error | null = new Error('a fault');
  const { mta, send } = await start(t, {
    takeMessage: (take) => async (submission) => {
      if (fail) throw fail;
      return take(submission);
    },
  });
  assert.equal((await send(whole())).status, 500);
  fail = new SpoolWriteError('the disk is full');
  const { status, body } = await send(whole());
  assert.equal(status, 500);
  assert.equal(body.errors![0]!.message, 'internal error');
  fail = null;
  mta.refusal = 'the disk is nearly full';
  assert.equal((await send(whole())).status, 500);
  mta.refusal = null;
  assert.equal((await send(whole())).status, 200);
});

test('a message that the settings refuse ⇒ 400 with the reason', async (t) => {
  const { mta, send } = await start(t, {
    settings:
      '<source {transmissions-api}>\nmax-message-hops 1\nmax-message-size 2K\nmax-rcpt-per-message 3\n</source>',
  });
  const hops = 'Received: a\nReceived: b\n\nx';
  assert.match(
    (await send(whole({ content: { email_rfc822: hops } }))).body.errors![0]!.description,
    /routing loop/,
  );
  const large = { email_rfc822: `A: b\n\n${'x'.repeat(3_000)}` };
  assert.match((await send(whole({ content: large }))).body.errors![0]!.description, /more than 2048 bytes/);
  const many = Array.from({ length: 4 }, (_, i) => ({ address: `u${i}@a.test` }));
  assert.match(
    (await send(whole({ recipients: many }))).body.errors![0]!.description,
    /more than 3 recipients/,
  );
  assert.equal(mta.queued.length, 0);
});

test('hostile: bodies beyond every bound and requests that stop halfway', async (t) => {
  const { mta, port, send } = await start(t, {
    settings: '<source {transmissions-api}>\nmax-message-size 1K\n</source>',
  });
  const announced = await send('', { headers: { 'Content-Length': '99999999999' } }).catch(() => null);
  assert.ok(announced === null || announced.status === 413 || announced.status === 400);
  const flood = await send(Buffer.alloc(20 * 1024 * 1024, ' ')).catch(() => null);
  assert.ok(flood === null || flood.status === 413);
  const socket = connect({ port, host: '127.0.0.1', ca: pem.cert, servername: 'localhost' });
  socket.write(
    `POST /api/v1/transmissions HTTP/1.1\r\nHost: x\r\nAuthorization: ${KEY}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{`,
    () => socket.destroy(),
  );
  assert.equal((await send(whole())).status, 200);
  assert.equal(mta.queued.length, 2);
});

test('campaign_id is the job ID', async (t) => {
  const { mta, send } = await start(t);
  await send(whole({ campaign_id: 'c1' }));
  assert.equal(mta.stored().envelope.facts.jobId, 'c1');
});

test('campaign_id c1 and X-Job j1 with process-x-job yes ⇒ job ID c1', async (t) => {
  const { mta, send } = await start(t, {
    settings: '<source {transmissions-api}>\nprocess-x-job yes\n</source>',
  });
  await send(whole({ campaign_id: 'c1' }));
  assert.equal(mta.stored().envelope.facts.jobId, 'c1');
  await send(whole());
  assert.equal(mta.stored().envelope.facts.jobId, 'j1');
});

test('a reload opens and closes addresses, changes the certificate, and changes nothing when it fails', async (t) => {
  const { listeners, port, send, api, listener, dir } = await start(t);
  const second = await freePorts(1);
  await listeners.apply(good(`${api}\n${listener(port)}\n${listener(second)}`));
  assert.deepEqual(listeners.addresses, [`https://127.0.0.1:${port}`, `https://127.0.0.1:${second}`]);
  assert.equal((await send(whole(), { port: second })).status, 200);
  const broken = path.join(dir, 'broken.pem');
  writeFileSync(broken, 'no certificate');
  await assert.rejects(listeners.apply(good(`${api}\n${listener(port, broken)}`)), (error: Error) => {
    return (
      error instanceof UserError &&
      /config:\d+: the certificate .*broken\.pem cannot be used/.test(error.message)
    );
  });
  await assert.rejects(
    listeners.apply(good(`${api}\n${listener(port, path.join(dir, 'none.pem'))}`)),
    /cannot be read/,
  );
  assert.equal((await send(whole(), { port: second })).status, 200);
  await listeners.apply(good(`${api}\n${listener(port)}`));
  await assert.rejects(send(whole(), { port: second }));
  await listeners.apply(good(listener(port)));
  assert.deepEqual(listeners.addresses, [], 'without a key nothing listens');
});

test('suppression over the HTTP API: recipients in a list are counted as rejected and stored nowhere; all of them ⇒ 400', async (t) => {
  const { mta, send } = await start(t, {
    settings:
      '<address-list gone>\naddress kim@a.test\ndomain closed.test\n</address-list>\n<source {transmissions-api}>\nsuppression-lists gone\n</source>',
  });
  const to = (...addresses: string[]) => whole({ recipients: addresses.map((address) => ({ address })) });
  const mixed = await send(to('KIM@a.test', 'x@closed.test', 'lou@a.test'));
  assert.equal(mixed.status, 200);
  assert.deepEqual(mixed.body, { results: { total_accepted_recipients: 1, total_rejected_recipients: 2 } });
  assert.deepEqual(
    mta.stored().envelope.recipients.map(({ address }) => address),
    ['lou@a.test'],
  );
  assert.equal((await send(to('kim@a.test', 'x@closed.test'))).status, 400);
  assert.equal(mta.queued.length, 1);
});

/** What is logged of two requests, one of them good, with these settings. */
async function loggedWith(t: TestContext, given: Given): Promise<string> {
  let text = '';
  const out = new Writable({
    write(chunk, _, done) {
      text += chunk;
      done();
    },
  });
  const { send } = await start(t, { ...given, log: createLog(out, 'api', () => 0) });
  const message = `X-DKIM-Key: -----BEGIN SECRET\n${MESSAGE}`;
  assert.equal((await send(whole({ content: { email_rfc822: message } }))).status, 200);
  assert.equal((await send('{"return_path": 7}')).status, 400);
  await until(() => !given.settings?.includes('connections') || text.split('connection closed').length > 2);
  assert.ok(!text.includes(KEY) && !text.includes('BEGIN SECRET'), text);
  return text;
}

test('log-tls and log-data of <transmissions-api> log what their names say, and no keys', async (t) => {
  const silent = await loggedWith(t, { api: '' });
  assert.doesNotMatch(silent, /TLS on|client sends|we answer|POST/);
  const tls = await loggedWith(t, { api: 'log-tls yes' });
  assert.match(tls, /TLS on client=127\.0\.0\.1 port=\d+ protocol=TLSv1\.3 cipher=TLS_/);
  assert.doesNotMatch(tls, /client sends|POST/);
  const data = await loggedWith(t, { api: 'log-data yes' });
  assert.match(
    data,
    /client sends client=127\.0\.0\.1 bytes=\d+ body="\{\\"return_path\\":\\"bounce@brand\.test/,
  );
  assert.match(data, /client sends client=127\.0\.0\.1 bytes=18 body="\{\\"return_path\\": 7\}"/);
  assert.match(data, /we answer client=127\.0\.0\.1 status=200 body=.*total_accepted_recipients/);
  assert.match(data, /we answer client=127\.0\.0\.1 status=400 body=.*bad request/);
});

test('the log- directives of <source {transmissions-api}> log the same', async (t) => {
  const settings = (lines: string) => `<source {transmissions-api}>\n${lines}\n</source>`;
  const all = 'log-connections yes\nlog-commands yes\nlog-tls yes\nlog-data yes';
  const text = await loggedWith(t, { api: '', settings: settings(all) });
  for (const line of [/connection opened client=/, /connection closed client=/, /TLS on/, /client sends/]) {
    assert.match(text, line);
  }
  assert.match(text, /POST \/api\/v1\/transmissions client=127\.0\.0\.1 status=400/);
});

test('tls-ca-file in <transmissions-api> holds for each address that names none of its own', async (t) => {
  const { dir } = await start(t);
  const ca = path.join(dir, 'ca.pem');
  const listener = (at: number, more = '') =>
    `<transmissions-api-listener 127.0.0.1:${at}>\ntls-certificate ${dir}/certificate.pem\n${more}\n</transmissions-api-listener>`;
  const config = good(
    `<transmissions-api>\napi-key ${KEY}\ntls-ca-file ${ca}\n</transmissions-api>\n${listener(1)}\n${listener(2, 'tls-ca-file /own.pem')}`,
    { [ca]: pem.cert, '/own.pem': pem.cert },
  );
  assert.deepEqual(
    config.apiListeners.map(({ settings }) => settings.get('tls-ca-file')),
    [ca, '/own.pem'],
  );
});
