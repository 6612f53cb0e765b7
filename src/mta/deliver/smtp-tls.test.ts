// Whether a connection is encrypted, and when it is refused: the directives, DANE, MTA-STS.
import assert from 'node:assert/strict';
import { createHash, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { createSmtpSecureContext } from '../../smtp/index.ts';
import { startServer } from '../../smtp/test-peer.ts';
import { daneFault, usableRecords } from './dane.ts';
import { deliveryTo, remoteHost } from './remote-host.testing.ts';

const file = (name: string) => path.join(import.meta.dirname, 'testdata', name);
const HOST = {
  cert: readFileSync(file('host.pem'), 'utf8'),
  key: readFileSync(file('host.key.pem'), 'utf8'),
};
const CA = readFileSync(file('ca.pem'), 'utf8');
const chain = [HOST.cert, CA].map((pem) => new X509Certificate(pem));
const [leaf, ca] = chain as [X509Certificate, X509Certificate];
const spki = (one: X509Certificate) => one.publicKey.export({ type: 'spki', format: 'der' }) as Buffer;
const sha = (bytes: Buffer, size = 256) => createHash(`sha${size}`).update(bytes).digest();

const record = (usage: number, selector: number, matchingType: number, certificate: Buffer) => ({
  ...{ usage, selector, matchingType },
  certificate,
});

const DER = chain.map(({ raw }) => raw);
const NOW = Date.UTC(2030, 0);

test('DANE: what matches', () => {
  for (const [what, one, shown] of [
    ['3 1 1', record(3, 1, 1, sha(spki(leaf))), DER],
    ['3 0 1', record(3, 0, 1, sha(leaf.raw)), DER],
    ['3 0 0', record(3, 0, 0, leaf.raw), DER],
    ['3 1 2', record(3, 1, 2, sha(spki(leaf), 512)), DER.slice(0, 1)],
    ['2 1 1', record(2, 1, 1, sha(spki(ca))), DER],
    ['2 0 1', record(2, 0, 1, sha(ca.raw)), DER],
    ['2 0 0 with an anchor that is not sent', record(2, 0, 0, ca.raw), DER.slice(0, 1)],
    ['2 1 0 with a bare key', record(2, 1, 0, spki(ca)), DER.slice(0, 1)],
  ] as const) {
    assert.equal(daneFault(usableRecords([one]), shown, ['mx.test'], NOW), null, what);
  }
});

test('DANE: what does not match', () => {
  for (const [what, one, shown, names, fault] of [
    ['another key', record(3, 1, 1, sha(spki(ca))), DER, ['mx.test'], /matches none/],
    [
      'the host’s own certificate as anchor',
      record(2, 0, 1, sha(leaf.raw)),
      DER,
      ['mx.test'],
      /matches none/,
    ],
    [
      'an anchor whose certificate is not sent',
      record(2, 0, 1, sha(ca.raw)),
      DER.slice(0, 1),
      ['mx.test'],
      /matches none/,
    ],
    ['an anchor, the wrong name', record(2, 0, 1, sha(ca.raw)), DER, ['other.test'], /not for other\.test/],
    ['no certificate', record(3, 1, 1, sha(spki(leaf))), [], ['mx.test'], /no certificate/],
    ['garbage', record(3, 1, 1, sha(spki(leaf))), [Buffer.from('x')], ['mx.test'], /no certificate/],
    [
      'a chain in which nobody signs',
      record(2, 0, 1, sha(ca.raw)),
      [leaf.raw, leaf.raw, ca.raw],
      ['mx.test'],
      /no chain/,
    ],
  ] as const) {
    assert.match(daneFault([one], shown, names, NOW) ?? 'null', fault, what);
  }
  const late = daneFault([record(2, 0, 1, sha(ca.raw))], DER, ['mx.test'], Date.UTC(2990, 0));
  assert.match(late ?? '', /out of date/);
  assert.equal(
    daneFault([record(3, 1, 1, sha(spki(leaf)))], DER, ['other.test'], Date.UTC(2990, 0)),
    null,
    'DANE-EE needs neither name nor date',
  );
});

test('DANE: records that cannot be used', () => {
  const digest = sha(spki(leaf));
  const bad = [
    record(0, 1, 1, digest),
    record(1, 1, 1, digest),
    record(3, 2, 1, digest),
    record(3, 1, 3, digest),
    record(3, 1, 1, digest.subarray(1)),
    record(3, 1, 0, Buffer.alloc(0)),
  ];
  assert.deepEqual(usableRecords(bad), []);
});

/** A host with TLS and the test authority's certificate. */
async function tlsHost(t: TestContext) {
  const secureContext = createSmtpSecureContext({ cert: HOST.cert + CA, key: HOST.key });
  return await startServer(t, { tls: { secureContext }, extensions: new Set(['STARTTLS', 'PIPELINING']) });
}

for (const [settings, host, result] of [
  ['use-starttls no\nrequire-starttls yes', 'tls', 'clear'],
  ['use-starttls yes', 'none', 'clear'],
  ['use-starttls yes', 'tls', 'TLS'],
  ['use-starttls yes', 'refusing', 'clear'],
  ['use-starttls yes', 'broken', 'clear'],
  ['use-starttls yes\nrequire-starttls yes', 'tls', 'TLS'],
  ['use-starttls yes\nrequire-starttls yes', 'none', 'waits'],
  ['use-starttls yes\nrequire-starttls yes', 'refusing', 'waits'],
  ['use-starttls yes\nrequire-starttls yes', 'broken', 'waits'],
  [`use-starttls yes\nsmtp-tls-ca-file ${file('ca.pem')}`, 'tls', 'TLS'],
  [`use-starttls yes\nsmtp-tls-ca-file ${file('host.pem')}`, 'tls', 'clear'],
  [`use-starttls yes\nrequire-starttls yes\nsmtp-tls-ca-file ${file('host.pem')}`, 'tls', 'waits'],
] as const) {
  const said = settings.replaceAll('\n', ', ').replace(/\/\S*\//, '');
  test(`section 13, TLS: ${said}; host ${host} ⇒ ${result}`, async (t) => {
    const remote =
      host === 'tls'
        ? await tlsHost(t)
        : await remoteHost(t, {
            keywords: host === 'none' ? [] : ['STARTTLS'],
            answer: (verb) =>
              verb !== 'STARTTLS' ? null : host === 'broken' ? '220 go\r\n250 junk' : '454 4.7.0 no',
          });
    const mta = await deliveryTo(t, [remote], { settings });
    await mta.submit(['kim@a.test']);
    await mta.quiet();
    const [outcome] = mta.journal();
    const tls = outcome?.kind === 'delivered' ? (outcome.attempt.tlsProtocol ? 'TLS' : 'clear') : 'waits';
    assert.equal(tls, result, mta.story().join());
    assert.equal(mta.spool.messageCount, result === 'waits' ? 1 : 0);
  });
}

test('a TLS file that cannot be read keeps the mail, and says which', async (t) => {
  const mta = await deliveryTo(t, [await tlsHost(t)], {
    settings: 'use-starttls yes\nsmtp-client-certificate /nowhere/client.pem',
  });
  await mta.submit(['kim@a.test']);
  await mta.quiet();
  const { lastError } = mta.scheduler.find('a.test', '{default}')!;
  assert.match(lastError, /smtp-client-certificate \/nowhere\/client\.pem cannot be read/);
});

/** Zone of a.test with one host, and TLSA records for it. */
const zone = (plus: string, port: number, tlsa: string) => `
  ${plus}a.test MX 10 mx.test
  ${plus}mx.test A 127.0.0.1
  ${plus}_${port}._tcp.mx.test ${tlsa}`;

const GOOD = `TLSA 3 1 1 ${sha(spki(leaf)).toString('hex')}`;
const ANCHOR = `TLSA 2 0 1 ${sha(ca.raw).toString('hex')}`;
const WRONG = `TLSA 3 1 1 ${sha(spki(ca)).toString('hex')}`;

for (const [what, plus, tlsa, settings, host, result] of [
  ['a record that matches', '+', GOOD, '', 'tls', 'TLS'],
  ['an anchor and the right name', '+', ANCHOR, '', 'tls', 'TLS'],
  ['no record matches: never clear text', '+', WRONG, '', 'tls', 'waits'],
  ['the host offers no TLS: never clear text', '+', GOOD, '', 'none', 'waits'],
  ['only records that cannot be used: encrypted, not checked', '+', 'TLSA 1 1 1 00', '', 'tls', 'TLS'],
  ['only records that cannot be used, no TLS', '+', 'TLSA 1 1 1 00', '', 'none', 'waits'],
  ['TLSA cannot be found out', '+', 'fails', '', 'tls', 'waits'],
  ['nothing is validated: as if DANE were off', '', WRONG, '', 'none', 'clear'],
  ['use-dane no', '+', WRONG, 'use-dane no', 'none', 'clear'],
  ['no records', '+', 'TXT', '', 'none', 'clear'],
] as const) {
  test(`use-dane: ${what} ⇒ ${result}`, async (t) => {
    const remote = host === 'tls' ? await tlsHost(t) : await remoteHost(t);
    const mta = await deliveryTo(t, [], {
      settings: `use-starttls yes\ndefault-smtp-port ${remote.port}\n${settings}`,
      zone: zone(plus, remote.port, tlsa),
    });
    // The certificates of the test are from the day that its clock begins on.
    mta.clock.advance(86_400_000);
    await mta.submit(['kim@a.test']);
    await mta.quiet();
    const [outcome] = mta.journal();
    const tls = outcome?.kind === 'delivered' ? (outcome.attempt.tlsProtocol ? 'TLS' : 'clear') : 'waits';
    assert.equal(tls, result, mta.scheduler.find('a.test', '{default}')?.lastError);
  });
}

/** A server that has the MTA-STS policy of every domain. */
async function policyServer(t: TestContext, policy: string): Promise<number> {
  const { key, cert } = await import('../../smtp/index.ts').then(({ makeSelfSignedCertificate }) =>
    makeSelfSignedCertificate({ names: ['mta-sts.a.test'], days: 2 }),
  );
  stsCa = cert;
  const server = createServer({ key, cert }, (_, answer) => {
    answer.writeHead(200, { 'content-type': 'text/plain' }).end(policy);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}
let stsCa = '';

for (const [what, mode, mx, settings, result] of [
  ['enforce, a certificate that nobody knows', 'enforce', 'mx.test', 'use-mta-sts yes', 'waits'],
  ['enforce, a host that is not in the policy', 'enforce', 'other.test', 'use-mta-sts yes', 'waits'],
  ['testing', 'testing', 'other.test', 'use-mta-sts yes', 'TLS'],
  ['enforce, not asked for', 'enforce', 'other.test', '', 'TLS'],
] as const) {
  test(`use-mta-sts: ${what} ⇒ ${result}`, async (t) => {
    const remote = await tlsHost(t);
    const port = await policyServer(t, `version: STSv1\nmode: ${mode}\nmx: ${mx}\nmax_age: 86400\n`);
    const mta = await deliveryTo(t, [], {
      settings: `use-starttls yes\ndefault-smtp-port ${remote.port}\n${settings}`,
      zone: `${zone('', remote.port, 'TXT')}
        _mta-sts.a.test TXT v=STSv1; id=1
        mta-sts.a.test A 127.0.0.1`,
      sts: { port, ca: stsCa },
    });
    await mta.submit(['kim@a.test']);
    await mta.quiet();
    const [outcome] = mta.journal();
    const tls = outcome?.kind === 'delivered' ? (outcome.attempt.tlsProtocol ? 'TLS' : 'clear') : 'waits';
    assert.equal(tls, result, mta.scheduler.find('a.test', '{default}')?.lastError);
  });
}
