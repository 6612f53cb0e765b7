import assert from 'node:assert/strict';
import { createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { connect, createServer } from 'node:tls';
import { makeSelfSignedCertificate } from './self-signed.ts';

const NOW = Date.UTC(2026, 10, 21);

test('the certificate says whom it is for, how long, and is signed by its own key', async () => {
  const names = ['mx.demo.test', '*.demo.test', '127.0.0.1', '2001:db8::25', '::ffff:192.0.2.1'];
  const { cert, key } = await makeSelfSignedCertificate({ names, days: 30, now: NOW });
  const read = new X509Certificate(cert);
  assert.equal(read.subject, 'CN=mx.demo.test');
  assert.equal(read.issuer, read.subject);
  assert.equal(
    read.subjectAltName,
    'DNS:mx.demo.test, DNS:*.demo.test, IP Address:127.0.0.1, IP Address:2001:DB8:0:0:0:0:0:25, ' +
      'IP Address:0:0:0:0:0:FFFF:C000:201',
  );
  assert.equal(read.validFromDate.getTime(), NOW - 300_000);
  assert.equal(read.validToDate.getTime(), NOW - 300_000 + 30 * 86_400_000);
  assert.ok(read.verify(read.publicKey));
  assert.ok(read.checkPrivateKey(createPrivateKey(key)));
  assert.equal(read.checkHost('mx.demo.test'), 'mx.demo.test');
  assert.equal(read.checkHost('other.test'), undefined);
  assert.equal(read.checkIP('127.0.0.1'), '127.0.0.1');
});

test('two certificates never share a serial number; dates beyond 2049 are written in the long form', async () => {
  const made = await Promise.all(
    [1, 36_500].map((days) => makeSelfSignedCertificate({ names: ['a.test'], days, now: NOW })),
  );
  const [first, second] = made.map(({ cert }) => new X509Certificate(cert));
  assert.notEqual(first!.serialNumber, second!.serialNumber);
  assert.equal(second!.validToDate.getUTCFullYear(), 2126);
});

for (const kind of ['ec', 'rsa'] as const) {
  test(`a client that trusts it makes a handshake with it (${kind})`, async () => {
    const key =
      kind === 'rsa'
        ? generateKeyPairSync('rsa', { modulusLength: 2048 })
            .privateKey.export({ type: 'pkcs8', format: 'pem' })
            .toString()
        : undefined;
    const made = await makeSelfSignedCertificate({ names: ['mx.demo.test'], days: 2, key });
    const server = createServer(made, (socket) => socket.end('hello'));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const client = connect({
      host: '127.0.0.1',
      port: (server.address() as AddressInfo).port,
      servername: 'mx.demo.test',
      ca: made.cert,
    });
    await once(client, 'secureConnect');
    assert.equal(client.authorized, true);
    client.destroy();
    server.close();
    await once(server, 'close');
  });
}

test('no name and a key that can not sign are refused', async () => {
  await assert.rejects(makeSelfSignedCertificate({ names: [], days: 1 }), /at least one name/);
  const x25519 = generateKeyPairSync('x25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  await assert.rejects(makeSelfSignedCertificate({ names: ['a.test'], days: 1, key: x25519 }), /x25519/);
});
