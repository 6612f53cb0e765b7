import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { good } from '../../config/testing.ts';
import { SignableMessage } from '../../mail/dkim-sign.ts';
import { silentLog } from '../../system/log.ts';
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
    <domain *>
      dkim-sign yes
      ${given.settings ?? ''}
    </domain>`);
  const signer = await DkimSigner.load(config, silentLog);
  const raw = Buffer.from(
    `${given.header ?? ''}From: ${given.from ?? 'News <news@x.example>'}\r\nSubject: x\r\nReceived: y\r\n\r\nbody\r\n`,
  );
  const signatures = await signer.signatures(new SignableMessage(raw), config.queue('a.test', 'v'), 'v', NOW);
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

test('a key that cannot be read is a fault with file and line', async () => {
  writeFileSync(path.join(dir, 'bad.pem'), 'nonsense');
  const config = good(`domain-key a, x.example, ${path.join(dir, 'bad.pem')}`);
  await assert.rejects(DkimSigner.load(config, silentLog), /\/etc\/pmta\/config:1.*no PEM block/s);
});
