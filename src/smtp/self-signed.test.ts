import assert from 'node:assert/strict';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { connect, createServer } from 'node:tls';
import { makeSelfSignedCertificate } from './self-signed.ts';

test('the certificate is for its names, signed by its own key, and valid for so long', async () => {
  const { key, cert } = await makeSelfSignedCertificate({
    names: ['mx.a.test', 'b.test', '127.0.0.1', '::1'],
    days: 30,
  });
  const read = new X509Certificate(cert);
  assert.equal(read.checkHost('mx.a.test'), 'mx.a.test');
  assert.equal(read.checkHost('b.test'), 'b.test');
  assert.equal(read.checkHost('c.test'), undefined);
  assert.equal(read.checkIP('127.0.0.1'), '127.0.0.1');
  assert.ok(read.checkIP('::1'));
  assert.ok(read.verify(read.publicKey));
  assert.ok(read.checkPrivateKey(createPrivateKey(key)));
  const days = (read.validToDate.getTime() - Date.now()) / 86_400_000;
  assert.ok(days > 29 && days < 31);
});

test('a date after 2049 is read back', async () => {
  const { cert } = await makeSelfSignedCertificate({
    names: ['a.test'],
    days: 10,
    now: Date.UTC(2055, 0, 1),
  });
  assert.equal(new X509Certificate(cert).validToDate.toISOString().slice(0, 10), '2055-01-11');
});

test('a client that trusts it shakes hands', async () => {
  const { key, cert } = await makeSelfSignedCertificate({ names: ['localhost'], days: 2 });
  const server = createServer({ key, cert }, (socket) => socket.end('hello'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  const said = await new Promise<string>((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, ca: cert, servername: 'localhost' });
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk;
    });
    socket.on('end', () => resolve(text));
    socket.on('error', reject);
  });
  server.close();
  assert.equal(said, 'hello');
});
