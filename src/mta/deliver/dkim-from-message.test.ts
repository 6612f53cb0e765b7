// What a message says about its own signature: X-DKIM-Options, X-DKIM-Key, and what of them goes out.
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, type TestContext, test } from 'node:test';
import { dkimVerify } from 'mailauth/lib/dkim/verify.js';
import { headersInColumns } from '../accounting/from-config.ts';
import { type Rendered, startRendering } from './rendered.testing.ts';

const dir = mkdtempSync(path.join(tmpdir(), 'posthorn-dkim-'));
after(() => rmSync(dir, { recursive: true, force: true }));
const pem = path.join(dir, 'key.pem');
writeFileSync(
  pem,
  generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey.export({ type: 'pkcs8', format: 'pem' }),
);
const own = generateKeyPairSync('rsa', { modulusLength: 1024 });
/** A private key as it comes in a field: PEM, each line folded. */
const OWN_KEY = (own.privateKey.export({ type: 'pkcs1', format: 'pem' }) as string)
  .trim()
  .replaceAll('\n', '\r\n ');

const CONTENT = 'From: News <news@x.example>\r\nSubject: x\r\n\r\nbody\r\n';

async function start(t: TestContext, source = '', domain = '', more = '') {
  return startRendering(
    t,
    `
    domain-key k1, x.example, ${pem}
    domain-key k2, x.example, ${pem}
    domain-key k3, esp.example, ${pem}
    domain-key any, *, ${pem}
    <domain-key-list ring>
      domain-key r1, x.example, ${pem}
    </domain-key-list ring>
    ${more}
    <source 0/0>
      always-allow-relaying yes
      ${source}
    </source>
    <domain *>
      dkim-sign yes
      ${domain}
    </domain>`,
  );
}

const PROCESSED = 'process-x-dkim-options yes';

/** `selector domain identity` of each signature. */
const who = ({ signatures }: Rendered) =>
  signatures.map((tags) => `${tags.get('s')} ${tags.get('d')} ${tags.get('i') ?? ''}`.trim()).join(', ');

test('X-DKIM-Options: s= takes the key of that selector; a requested key that does not exist: unsigned', async (t) => {
  const mta = await start(t, PROCESSED);
  const asked = (options: string) => mta.pass(`X-DKIM-Options: ${options}\r\n${CONTENT}`).then(who);
  assert.equal(who(await mta.pass(CONTENT)), 'k1 x.example news@x.example');
  assert.equal(await asked('s=k2'), 'k2 x.example news@x.example');
  assert.equal(await asked('s=K2;'), 'k2 x.example news@x.example', 'a trailing ; and any case');
  assert.equal(await asked('s=nobody'), '');
  assert.equal(await asked('s=nobody; d=x.example'), '');
});

test('X-DKIM-Options: d= is the exact domain of a key, or *', async (t) => {
  const mta = await start(t, PROCESSED);
  const asked = (options: string) => mta.pass(`X-DKIM-Options: ${options}\r\n${CONTENT}`).then(who);
  assert.equal(await asked('d=esp.example'), 'k3 esp.example', 'no i=: the sender is not within that domain');
  assert.equal(await asked('d=esp.example; i=@mail.esp.example'), 'k3 esp.example @mail.esp.example');
  assert.equal(await asked('d=X.Example; s=k2'), 'k2 x.example news@x.example');
  assert.equal(await asked('d=*'), 'any x.example news@x.example', 'the * key, for the identity’s domain');
  assert.equal(await asked('d=other.example'), 'any other.example', 'the * key signs for whatever is asked');
});

test('X-DKIM-Options: without d= the key is of the same or a parent domain of i=, or *', async (t) => {
  const mta = await start(t, PROCESSED);
  const asked = (options: string) => mta.pass(`X-DKIM-Options: ${options}\r\n${CONTENT}`).then(who);
  assert.equal(await asked('i=@esp.example'), 'k3 esp.example @esp.example');
  assert.equal(await asked('i=u@sub.esp.example'), 'k3 esp.example u@sub.esp.example');
  assert.equal(await asked('i=u@other.example'), 'any other.example u@other.example');
  assert.equal(await asked('i=u@other.example; s=k1'), '');
});

test('X-DKIM-Options: q= is told in the signature; key-list= searches that list alone', async (t) => {
  const mta = await start(t, PROCESSED, 'dkim-query-method dns/txt');
  const [tags] = (await mta.pass(`X-DKIM-Options: q=dns/other\r\n${CONTENT}`)).signatures;
  assert.equal(tags?.get('q'), 'dns/other');
  const asked = (options: string) => mta.pass(`X-DKIM-Options: ${options}\r\n${CONTENT}`).then(who);
  assert.equal(await asked('key-list=Ring'), 'r1 x.example news@x.example');
  assert.equal(await asked('key-list=ring; i=@esp.example'), '', 'not in the list');
  assert.equal(await asked('key-list=nobody'), '');
  assert.equal(await asked('s=r1'), '', 'keys of a list are found through the list only');
});

test('X-DKIM-Options that cannot be read: unsigned, and the log says why', async (t) => {
  const mta = await start(t, PROCESSED);
  for (const options of [
    's',
    's=a; s=b',
    'd=not a domain',
    'i=nobody at all',
    '=x',
    `s=${'a'.repeat(5000)}`,
  ]) {
    const folded = options.length > 900 ? options.match(/.{1,900}/g)!.join('\r\n ') : options;
    assert.equal(who(await mta.pass(`X-DKIM-Options: ${folded}\r\n${CONTENT}`)), '', options);
  }
  assert.match(mta.logged[0]!, /X-DKIM-Options cannot be used: "s" is not tag=value/);
});

test('X-DKIM-Options unprocessed: steers nothing and stays; processed: goes unless retained', async (t) => {
  const content = `X-DKIM-Options: s=k2\r\n${CONTENT}`;
  const unprocessed = await (await start(t)).pass(content);
  assert.equal(who(unprocessed), 'k1 x.example news@x.example');
  assert.equal(unprocessed.header.get('x-dkim-options'), 's=k2');
  const processed = await (await start(t, PROCESSED)).pass(content);
  assert.equal(processed.header.get('x-dkim-options'), null);
  const retained = await (await start(t, `${PROCESSED}\nretain-x-dkim-options yes`)).pass(content);
  assert.equal(who(retained), 'k2 x.example news@x.example');
  assert.equal(retained.header.get('x-dkim-options'), 's=k2');
});

test('dkim-sign if-x-dkim-options-present: signed only with the header', async (t) => {
  const mta = await start(t, PROCESSED, 'dkim-sign if-x-dkim-options-present');
  assert.equal(who(await mta.pass(CONTENT)), '');
  assert.equal(who(await mta.pass(`X-DKIM-Options: s=k2\r\n${CONTENT}`)), 'k2 x.example news@x.example');
  assert.equal(who(await mta.pass(`X-DKIM-Options:\r\n${CONTENT}`)), 'k1 x.example news@x.example');
});

test('X-DKIM-Options does not affect the second signature', async (t) => {
  const mta = await start(t, PROCESSED, 'second-dkim-sign yes\nsecond-dkim-identity @esp.example');
  const asked = (options: string) => mta.pass(`X-DKIM-Options: ${options}\r\n${CONTENT}`).then(who);
  assert.equal(await asked('s=k2; q=dns/other'), 'k2 x.example news@x.example, k3 esp.example @esp.example');
  assert.equal(await asked('s=nobody'), 'k3 esp.example @esp.example');
});

test('X-DKIM-Key: its key signs, and the signature verifies', async (t) => {
  const mta = await start(t, `${PROCESSED}\nprocess-x-dkim-key yes`);
  const key = `X-DKIM-Key: ${OWN_KEY}\r\n`;
  const signed = await mta.pass(`${key}X-DKIM-Options: s=mine\r\n${CONTENT}`);
  assert.equal(who(signed), 'mine x.example news@x.example', 'd= is the identity’s domain');
  const p = own.publicKey.export({ type: 'spki', format: 'der' }).toString('base64');
  const { results } = await dkimVerify(signed.content, {
    minBitLength: 1024,
    resolver: (async () => [[`v=DKIM1; p=${p}`]]) as never,
  });
  assert.deepEqual(
    results.map(({ status }) => status.result),
    ['pass'],
  );
  const elsewhere = await mta.pass(`${key}X-DKIM-Options: s=mine; d=other.example\r\n${CONTENT}`);
  assert.equal(who(elsewhere), 'mine other.example');
  assert.deepEqual(mta.logged, []);
});

test('X-DKIM-Key without a selector, or that is no key: unsigned, and nothing of it in the log', async (t) => {
  const mta = await start(t, `${PROCESSED}\nprocess-x-dkim-key yes`);
  const key = `X-DKIM-Key: ${OWN_KEY}\r\n`;
  assert.equal(who(await mta.pass(`${key}${CONTENT}`)), '');
  assert.equal(who(await mta.pass(`${key}X-DKIM-Options: d=x.example\r\n${CONTENT}`)), '');
  const broken = key.replace('MII', 'AAA');
  assert.equal(who(await mta.pass(`${broken}X-DKIM-Options: s=mine\r\n${CONTENT}`)), '');
  assert.equal(mta.logged.length, 3);
  assert.match(mta.logged[0]!, /needs a selector/);
  assert.match(mta.logged[2]!, /cannot be decoded/);
  const secret = /[A-Za-z0-9+/]{30}/.exec(OWN_KEY)![0];
  assert.ok(!mta.logged.join().includes(secret));

  const unprocessed = await start(t, 'process-x-dkim-key yes');
  assert.equal(
    who(await unprocessed.pass(`${key}X-DKIM-Options: s=mine\r\n${CONTENT}`)),
    '',
    'options that are not processed give no selector',
  );
});

for (const [process, retain, leaks] of [
  ['yes', 'no', false],
  ['no', 'no', false],
  ['yes', 'yes', true],
  ['no', 'yes', true],
] as const) {
  test(`X-DKIM-Key: process ${process}, retain ${retain}: the key is ${leaks ? '' : 'not '}in what goes out`, async (t) => {
    const mta = await start(t, `${PROCESSED}\nprocess-x-dkim-key ${process}\nretain-x-dkim-key ${retain}`);
    const out = await mta.pass(`X-DKIM-Key: ${OWN_KEY}\r\nX-DKIM-Options: s=k2\r\n${CONTENT}`);
    assert.equal(out.header.get('x-dkim-key') !== null, leaks);
    assert.equal(out.content.includes('PRIVATE KEY'), leaks);
    assert.equal(out.signatures.length, 1);
  });
}

test('X-DKIM-Key is in no accounting column either', async (t) => {
  const columns =
    '<acct-file /acct.csv>\nrecords r\nrecord-fields r header_X-DKIM-Key, header_Subject\n</acct-file>';
  const mta = await start(t, PROCESSED, '', columns);
  assert.deepEqual([...headersInColumns(mta.mta.config)], ['subject']);
});
