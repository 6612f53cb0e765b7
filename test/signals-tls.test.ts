// Signals speaks HTTPS by itself, as clients of the field demand it, and takes a renewed certificate without a stop.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { connect } from 'node:tls';
import { gzipSync } from 'node:zlib';
import { makeSelfSignedCertificate } from '../src/smtp/self-signed.ts';
import { freePorts, Program, temporaryFolder, until } from './program.ts';

const key = 'c0ffee00'.repeat(5);
const dir = temporaryFolder();
const cert = path.join(dir, 'cert.pem');
const keyFile = path.join(dir, 'key.pem');
let port: number;
let program: Program;
let first: string;

/** Puts a new certificate in place; its PEM. */
async function renew(): Promise<string> {
  const made = await makeSelfSignedCertificate({ names: ['localhost'], days: 2 });
  await writeFile(cert, made.cert);
  await writeFile(keyFile, made.key, { mode: 0o600 });
  return made.cert;
}

before(async () => {
  first = await renew();
  port = await freePorts(1);
  program = new Program(
    [
      ...['signals', '--data', path.join(dir, 'data'), '--listen', `127.0.0.1:${port}`],
      ...['--tls-cert', cert, '--tls-key', keyFile, '--log-format', 'json'],
    ],
    { POSTHORN_ADMIN_KEY: key },
  );
  await until(() => program.stderr.includes('"message":"ready"') || program.process.exitCode !== null);
  assert.match(program.stderr, /"url":"https:\/\/127\.0\.0\.1:/);
});
after(() => program.stop());

/** A request that trusts this certificate and no other. */
function ask(ca: string, options: { method?: string; url: string; body?: Buffer; headers?: object }) {
  return new Promise<{ status: number; text: string }>((resolve, reject) => {
    const sent = request(
      {
        ...{ host: '127.0.0.1', port, servername: 'localhost', ca, agent: false },
        ...{ path: options.url, method: options.method ?? 'GET' },
        headers: { authorization: key, ...options.headers },
      },
      async (response) => {
        let text = '';
        for await (const part of response.setEncoding('utf8')) text += part;
        resolve({ status: response.statusCode!, text });
      },
    );
    sent.on('error', reject);
    sent.end(options.body);
  });
}

test('a client that checks certificates sends a batch and reads its outcome', async () => {
  const event = { type: 'reception', event_id: '1', message_id: 'm', rcpt_to: 'a@b.example' };
  const now = String(Math.floor(Date.now() / 1000) - 5);
  const line = JSON.stringify({ msys: { message_event: { ...event, timestamp: now } } });
  const posted = await ask(first, {
    method: 'POST',
    url: '/api/v1/ingest/events',
    body: gzipSync(`${line}\n`),
    headers: { 'content-type': 'application/x-ndjson', 'content-encoding': 'gzip' },
  });
  assert.equal(posted.status, 200, posted.text);
  const { id } = JSON.parse(posted.text).results;
  await until(async () =>
    (await ask(first, { url: `/api/v1/events/ingest?batch_ids=${id}` })).text.includes('"success"'),
  );
});

test('clear text at the TLS port, old TLS and garbage end, and others go on', async () => {
  await assert.rejects(fetch(`http://127.0.0.1:${port}/health`));
  const old = connect({
    port,
    host: '127.0.0.1',
    rejectUnauthorized: false,
    maxVersion: 'TLSv1.1',
    minVersion: 'TLSv1',
  });
  await new Promise((resolve) => old.once('error', resolve));
  assert.equal((await ask(first, { url: '/health' })).status, 200);
});

test('a renewed certificate is served after SIGHUP, and by itself; a wrong one changes nothing', async () => {
  const second = await renew();
  program.process.kill('SIGHUP');
  await until(() => program.stderr.includes('the certificate is read again'));
  assert.equal((await ask(second, { url: '/health' })).status, 200);
  await assert.rejects(ask(first, { url: '/health' }), /self-signed|unable to verify|signature/i);
  const before = program.stderr.length;
  await writeFile(keyFile, 'nonsense');
  await until(() => program.stderr.slice(before).includes('the certificate cannot be used'));
  assert.equal((await ask(second, { url: '/health' })).status, 200);
});
