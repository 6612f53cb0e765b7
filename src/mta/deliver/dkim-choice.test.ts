import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { good } from '../../config/testing.ts';
import { SignableMessage } from '../../mail/dkim-sign.ts';
import { DkimSigner } from './dkim-choice.ts';

const dir = mkdtempSync(path.join(tmpdir(), 'posthorn-dkim-'));
after(() => rmSync(dir, { recursive: true, force: true }));
const pem = path.join(dir, 'key.pem');
const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 1024 });
writeFileSync(pem, privateKey.export({ type: 'pkcs8', format: 'pem' }));

const NOW = Date.UTC(2026, 10, 21);

/** `keys` as `selector domain`; those after `|` belong to the VMTA. Answers the tags of the signatures. */
async function sign(given: {
  keys: string;
  pool?: string;
  settings?: string;
  from?: string;
  header?: string;
}): Promise<Map<string, string>[]> {
  const [global = '', own = ''] = given.keys.split('|');
  const lines = (text: string) =>
    [...text.matchAll(/(\w+) ([^\s,]+)/g)].map(([, s, d]) => `domain-key ${s}, ${d}, ${pem}`).join('\n');
  const config = good(`
    ${lines(global)}
    <virtual-mta v>
      ${lines(own)}
    </virtual-mta>
    <virtual-mta-pool p>
      virtual-mta v
      ${lines(given.pool ?? '')}
    </virtual-mta-pool>
    <domain *>
      dkim-sign yes
      ${given.settings ?? ''}
    </domain>`);
  const signer = await DkimSigner.load(config);
  const raw = Buffer.from(
    `${given.header ?? ''}From: ${given.from ?? 'News <news@x.example>'}\r\nSubject: x\r\nReceived: y\r\n\r\nbody\r\n`,
  );
  const message = new SignableMessage(raw);
  const signatures = signer
    .choose(message.header, config.queue('a.test', 'v'), 'v')
    .map((settings) => message.sign(settings, NOW)!);
  return signatures.map((field) => {
    assert.match(field, /^DKIM-Signature: .*\r\n$/s);
    const tags = field.slice('DKIM-Signature:'.length).replace(/\s+/g, '').split(';');
    return new Map(tags.map((tag) => [tag.slice(0, tag.indexOf('=')), tag.slice(tag.indexOf('=') + 1)]));
  });
}

/** `selector domain identity` of the one signature; '' when there is none. */
async function signed(given: Parameters<typeof sign>[0]): Promise<string> {
  const signatures = await sign(given);
  assert.ok(signatures.length <= 1);
  return signatures.map((tags) => `${tags.get('s')} ${tags.get('d')} ${tags.get('i') ?? ''}`).join();
}

test('D15.1: keys are tried in file order; a * key ends the search', async () => {
  assert.equal(await signed({ keys: 'a * , b x.example' }), 'a x.example news@x.example');
  assert.equal(await signed({ keys: 'b x.example , a *' }), 'b x.example news@x.example');
});

test('D15.2: a key signs for the domains below its own, and for no other that ends alike', async () => {
  const keys = 'a x.example';
  assert.equal(await signed({ keys, from: 'u@mail.x.example' }), 'a x.example u@mail.x.example');
  assert.equal(await signed({ keys, from: 'u@otherx.example' }), '');
  assert.equal(await signed({ keys, from: 'u@MAIL.X.Example' }).then((s) => s.split(' ')[1]), 'x.example');
});

test('D15.3: keys of the VMTA come before global ones', async () => {
  assert.equal(await signed({ keys: 'global x.example | own x.example' }), 'own x.example news@x.example');
});

test('config 10: keys of a pool come between those of the VMTA and global ones (unverified)', async () => {
  const pool = 'ofpool x.example';
  assert.equal(await signed({ keys: 'global x.example', pool }), 'ofpool x.example news@x.example');
  assert.equal(await signed({ keys: 'g x.example | own x.example', pool }), 'own x.example news@x.example');
});

test('D15.4: a fixed identity signs with its domain’s key, whatever From says', async () => {
  assert.equal(
    await signed({ keys: 'a x.example , e esp.example', settings: 'dkim-identity @esp.example' }),
    'e esp.example @esp.example',
  );
});

test('D15.5: an identity below the key’s domain', async () => {
  assert.equal(
    await signed({ keys: 'e esp.example', settings: 'dkim-identity u@sub.esp.example' }),
    'e esp.example u@sub.esp.example',
  );
});

test('D15.6: without a key for From the fallback signs', async () => {
  const settings = 'dkim-identity sender-or-from\ndkim-identity-fallback @esp.example';
  assert.equal(await signed({ keys: 'e esp.example', settings }), 'e esp.example @esp.example');
  assert.equal(await signed({ keys: 'e esp.example , a x.example', settings }), 'a x.example news@x.example');
});

test('D15.7: without a key that fits, and without From, the message goes unsigned', async () => {
  assert.equal(await signed({ keys: 'e esp.example' }), '');
  assert.equal(await signed({ keys: 'e esp.example', from: 'nonsense' }), '');
  assert.equal(await signed({ keys: 'e x.example', settings: 'dkim-sign no' }), '');
});

test('Sender comes before From, unless strict-from; strict-from takes no parent', async () => {
  const keys = 'a x.example , s sender.example';
  const header = 'Sender: boss@sender.example\r\n';
  assert.equal(await signed({ keys, header }), 's sender.example boss@sender.example');
  const settings = 'dkim-identity strict-from';
  assert.equal(await signed({ keys, header, settings }), 'a x.example news@x.example');
  assert.equal(await signed({ keys, settings, from: 'u@mail.x.example' }), '');
});

test('D15.8: rsa-sha256, relaxed/relaxed, no t, x, l unless asked for', async () => {
  const [plain] = await sign({ keys: 'a x.example' });
  assert.equal(plain?.get('a'), 'rsa-sha256');
  assert.equal(plain?.get('c'), 'relaxed/relaxed');
  for (const tag of ['t', 'x', 'l']) assert.ok(!plain?.has(tag), tag);
  const [full] = await sign({
    keys: 'a x.example',
    settings: `dkim-add-timestamp yes
      dkim-expire-after 2d
      dkim-add-body-limit yes
      dkim-headers-canon simple
      dkim-body-canon simple`,
  });
  assert.equal(full?.get('c'), 'simple/simple');
  assert.equal(full?.get('t'), String(NOW / 1000));
  assert.equal(full?.get('x'), String(NOW / 1000 + 2 * 86_400));
  assert.equal(full?.get('l'), '6');
});

test('D15.10, D15.12: Received is never signed; a header that may not be added is named once more', async () => {
  const [tags] = await sign({
    keys: 'a x.example',
    settings: 'dkim-headers received, x-mine\ndkim-disallow-adding-headers from',
    header: 'X-Mine: 1\r\n',
  });
  const names = tags!.get('h')!.toLowerCase().split(':').sort();
  assert.deepEqual(names, ['from', 'from', 'subject', 'x-mine']);
});

test('D15.9, D15.13: the fixed set is signed; List-Unsubscribe-Post and Feedback-ID only where asked for', async () => {
  const header = 'List-Unsubscribe: <x>\r\nList-Unsubscribe-Post: y\r\nFeedback-ID: z\r\nX-Other: 1\r\n';
  const names = async (settings = '') =>
    (await sign({ keys: 'a x.example', header, settings }))[0]!.get('h')!.split(':').sort();
  assert.deepEqual(await names(), ['from', 'list-unsubscribe', 'subject']);
  assert.deepEqual(await names('dkim-headers List-Unsubscribe-Post, Feedback-ID'), [
    'feedback-id',
    'from',
    'list-unsubscribe',
    'list-unsubscribe-post',
    'subject',
  ]);
});

test('D15.11: dkim-headers adds names and /regex/ items; "" restores the fixed set', async () => {
  const header = 'X-A: 1\r\nX-Bcd: 2\r\nY-X-B: 3\r\n';
  const names = async (settings: string) =>
    (await sign({ keys: 'a x.example', header, settings }))[0]!.get('h')!.split(':').sort();
  assert.deepEqual(await names('dkim-headers x-a, /^x-b/'), ['from', 'subject', 'x-a', 'x-bcd']);
  assert.deepEqual(
    await names('dkim-headers x-a, /^x-b/\n</domain>\n<domain a.test>\ndkim-headers ""'),
    ['from', 'subject'],
    'a nearer block takes the additions away',
  );
});

test('keys k1 esp.example, k2 cust.example; both signatures; From cust.example and other.example', async () => {
  const given = {
    keys: 'k1 esp.example , k2 cust.example',
    settings: 'second-dkim-sign yes\nsecond-dkim-identity @esp.example',
  };
  const domains = async (from: string) =>
    (await sign({ ...given, from })).map((tags) => tags.get('d')).sort();
  assert.deepEqual(await domains('u@cust.example'), ['cust.example', 'esp.example']);
  assert.deepEqual(await domains('u@other.example'), ['esp.example']);
});

test('second signature: its twelve directives are independent of the first', async () => {
  const [first, second] = await sign({
    keys: 'a x.example , e esp.example',
    header: 'X-Mine: 1\r\n',
    settings: `second-dkim-sign yes
      second-dkim-algorithm rsa-sha1
      second-dkim-headers-canon simple
      second-dkim-body-canon simple
      second-dkim-add-timestamp yes
      second-dkim-expire-after 2d
      second-dkim-add-body-limit yes
      second-dkim-query-method dns/txt
      second-dkim-headers x-mine
      second-dkim-disallow-adding-headers from
      second-dkim-identity @nobody.example
      second-dkim-identity-fallback @esp.example`,
  });
  const of = (tags: Map<string, string> | undefined, names: string) =>
    names.split(' ').map((name) => tags?.get(name) ?? '');
  assert.deepEqual(of(first, 'a c s d i t x l q h'), [
    'rsa-sha256',
    'relaxed/relaxed',
    'a',
    'x.example',
    'news@x.example',
    ...['', '', '', ''],
    'from:subject',
  ]);
  assert.deepEqual(of(second, 'a c s d i t x l q h'), [
    'rsa-sha1',
    'simple/simple',
    'e',
    'esp.example',
    '@esp.example',
    String(NOW / 1000),
    String(NOW / 1000 + 2 * 86_400),
    '6',
    'dns/txt',
    'x-mine:from:from:subject',
  ]);
});

test('the second signature alone; and if-x-dkim-options-present asks for none', async () => {
  const only = await sign({ keys: 'a x.example', settings: 'dkim-sign no\nsecond-dkim-sign yes' });
  assert.deepEqual(
    only.map((tags) => tags.get('s')),
    ['a'],
  );
  const settings = 'dkim-sign no\nsecond-dkim-sign if-x-dkim-options-present';
  assert.deepEqual(await sign({ keys: 'a x.example', settings, header: 'X-DKIM-Options: s=a\r\n' }), []);
});

test('an Ed25519 key signs with ed25519-sha256, whatever dkim-algorithm says', async () => {
  const file = path.join(dir, 'ed.pem');
  writeFileSync(file, generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }));
  const config = good(`domain-key e, x.example, ${file}\n<domain *>\ndkim-sign yes\n</domain>`);
  const signer = await DkimSigner.load(config);
  const message = new SignableMessage(Buffer.from('From: u@x.example\r\n\r\nbody\r\n'));
  const [settings] = signer.choose(message.header, config.queue('a.test', '{default}'), '{default}');
  const field = message.sign(settings!, NOW);
  assert.match(field!, /a=ed25519-sha256/);
});

test('a key that cannot be read is a fault with file and line', async () => {
  writeFileSync(path.join(dir, 'bad.pem'), 'nonsense');
  const config = good(`domain-key a, x.example, ${path.join(dir, 'bad.pem')}`);
  await assert.rejects(DkimSigner.load(config), /\/etc\/pmta\/config:1.*no PEM block/s);
});
