// Who may sign in, how, and how often; who may connect; whom TLS asks for a certificate.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import type { ConnectionOptions, connect } from 'node:tls';
import { good } from '../../config/testing.ts';
import { makeSelfSignedCertificate } from '../../smtp/self-signed.ts';
import { Peer } from '../../smtp/test-peer.ts';
import { folder, startReception } from '../testing.ts';
import { Listeners } from './listeners.ts';
import { Reception } from './reception.ts';

const LOGIN = `
  <smtp-user bo>
    password right
  </smtp-user>
  <source 0/0>
    allow-unencrypted-plain-auth yes
    smtp-max-auth-failure-rate 2/10min
  </source>`;
const plain = (password: string) => Buffer.from(`\0bo\0${password}`).toString('base64');

test('smtp-max-auth-failure-rate: after so many failures logins are refused until the period of the first is over', async (t) => {
  const mta = await startReception(t, LOGIN);
  const first = await mta.client();
  assert.match(await first.ask(`AUTH PLAIN ${plain('wrong')}`), /^535/);
  mta.clock.advance(300_000);
  const second = await mta.client();
  assert.match(await second.ask(`AUTH PLAIN ${plain('wrong')}`), /^535/);
  const locked = await mta.client();
  assert.match(await locked.ask(`AUTH PLAIN ${plain('right')}`), /^454 4\.7\.0 too many failed logins/);
  // From the first failure on, not from the last.
  mta.clock.advance(300_000);
  const later = await mta.client();
  assert.match(await later.ask(`AUTH PLAIN ${plain('right')}`), /^235/);
});

test('smtp-max-auth-failure-rate: a login begun before the others failed is no further guess', async (t) => {
  const mta = await startReception(t, LOGIN);
  const early = await mta.client();
  assert.match(await early.ask('AUTH PLAIN'), /^334/);
  for (let i = 0; i < 2; i++) {
    const peer = await mta.client();
    assert.match(await peer.ask(`AUTH PLAIN ${plain('wrong')}`), /^535/);
  }
  assert.match(await early.ask(plain('right')), /^535/);
});

test('reserved-smtp-in: connections kept for a group are refused to everybody else', async (t) => {
  const text = (own: string) => `
    total-max-smtp-in 3
    <source-group kept>
      reserved-smtp-in 2
    </source-group>
    <source 0/0>
      ${own}
    </source>`;
  const others = await startReception(t, text(''));
  await others.client();
  const refused = await others.connection();
  assert.match(await refused.text(), /^421 4\.7\.0 too many connections/);
  const members = await startReception(t, text('source-group kept'));
  for (let i = 0; i < 3; i++) await members.client();
  const fourth = await members.connection();
  assert.match(await fourth.text(), /^421/);
});

/** The listeners of a configuration over a reception; answers the port of the first. */
async function listening(t: TestContext, text: (dir: string) => string, files: Record<string, string>) {
  const dir = folder(t);
  const known: Record<string, string> = {};
  for (const [name, pem] of Object.entries(files)) {
    writeFileSync(path.join(dir, name), pem);
    known[path.join(dir, name)] = pem;
  }
  const whole = `smtp-listener 127.0.0.1:0\n${text(dir)}`;
  const mta = await startReception(t, whole, { files: known });
  assert.ok(mta.reception instanceof Reception);
  const listeners = new Listeners(mta.reception, mta.clock, mta.log);
  t.after(() => listeners.close(0));
  await listeners.apply(good(whole, known));
  return { mta, port: Number(listeners.addresses[0]!.split(':').at(-1)) };
}

async function tlsPeer(t: TestContext, port: number, options: ConnectionOptions = {}): Promise<Peer> {
  const peer = await Peer.open(t, port);
  await peer.text();
  await peer.ask('EHLO client.test');
  assert.match(await peer.ask('STARTTLS'), /^220/);
  await peer.secure(options);
  await peer.ask('EHLO client.test');
  return peer;
}

const pem = ({ cert, key }: { cert: string; key: string }) => `${cert}\n${key}`;

test('authentication-method certificate: the certificate of the user signs in, no other and no password does', async (t) => {
  const [server, user, other] = await Promise.all(
    ['mx.test', 'bo.test', 'other.test'].map((name) => makeSelfSignedCertificate({ names: [name], days: 2 })),
  );
  const { port } = await listening(
    t,
    (dir) => `
      smtp-server-tls-certificate ${dir}/server.pem
      <smtp-user bo>
        authentication-method certificate
        password right
        tls-certificate ${dir}/bo.pem
      </smtp-user>
      <source {auth}>
        always-allow-relaying yes
      </source>
      <source 0/0>
        allow-starttls yes
        always-allow-relaying no
        allow-unencrypted-plain-auth yes
      </source>`,
    { 'server.pem': pem(server!), 'bo.pem': user!.cert },
  );
  const relays = async (peer: Peer) => {
    await peer.ask('MAIL FROM:<a@b.test>');
    return peer.ask('RCPT TO:<kim@far.test>');
  };
  assert.match(await relays(await tlsPeer(t, port, { ...user })), /^250/);
  assert.match(await relays(await tlsPeer(t, port, { ...other })), /^550 5\.7\.1 relaying denied/);
  assert.match(await relays(await tlsPeer(t, port)), /^550/);
  const guesser = await tlsPeer(t, port);
  assert.match(await guesser.ask(`AUTH PLAIN ${plain('right')}`), /^535/);
});

test('smtp-server-tls-ciphers, smtp-server-tls-v1.3-ciphersuites and the versions of a listener', async (t) => {
  const server = await makeSelfSignedCertificate({ names: ['mx.test'], days: 2 });
  const start = (settings: string) =>
    listening(
      t,
      (dir) =>
        `smtp-server-tls-certificate ${dir}/server.pem\n${settings}\n<source 0/0>\nallow-starttls yes\n</source>`,
      {
        'server.pem': pem(server),
      },
    );
  const used = async (port: number, options: ConnectionOptions) => {
    const { socket } = await tlsPeer(t, port, options);
    return (socket as ReturnType<typeof connect>).getCipher().name;
  };
  const { port } = await start(
    'smtp-server-tls-ciphers ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:AES128-GCM-SHA256\nsmtp-server-tls-v1.3-ciphersuites TLS_CHACHA20_POLY1305_SHA256',
  );
  assert.match(await used(port, { maxVersion: 'TLSv1.2' }), /AES128-GCM-SHA256$/);
  assert.equal(await used(port, {}), 'TLS_CHACHA20_POLY1305_SHA256');
  await assert.rejects(
    start('smtp-server-tls-ciphers NO-SUCH-CIPHER\nsmtp-server-tls-v1.3-ciphersuites NONE'),
  );
});

test('postmaster: mail for postmaster and abuse of this host goes there, with and without a domain', async (t) => {
  const mta = await startReception(t, 'host-name mta.test\npostmaster ops@far.test\n<source 0/0>\n</source>');
  for (const to of ['postmaster', 'Postmaster@mta.test', 'abuse@mta.test']) {
    assert.match(await mta.send({ to: [to] }), /^250/);
    assert.deepEqual(
      mta.stored().envelope.recipients.map(({ address }) => address),
      ['ops@far.test'],
    );
  }
  assert.match(await mta.send({ to: ['sales@mta.test'] }), /^250/);
  assert.equal(mta.stored().envelope.recipients[0]!.address, 'sales@mta.test');
  assert.match(await mta.send({ to: ['postmaster@far.test'] }), /^550/);
});
