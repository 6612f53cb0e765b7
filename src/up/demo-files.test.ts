import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { configurationPlaces, madeOnce, prepareSecrets, writeConfiguration } from './demo-files.ts';
import { portsFrom } from './ports.ts';

const dir = mkdtempSync(path.join(tmpdir(), 'posthorn-demo-'));
after(() => rmSync(dir, { recursive: true, force: true }));
const mode = (file: string) => statSync(file).mode & 0o777;

test('secrets are made once, kept, and for nobody else to read', async () => {
  const first = await prepareSecrets(dir);
  assert.deepEqual(await prepareSecrets(dir), first);
  assert.ok(first.password.length >= 20);
  for (const name of ['tls.pem', 'dkim.pem', 'password'])
    assert.equal(mode(path.join(dir, 'mta', name)), 0o600);
  const certificate = new X509Certificate(readFileSync(path.join(dir, 'mta/tls.pem')));
  assert.equal(certificate.checkHost('mta.demo.test'), 'mta.demo.test');
  const der = Buffer.from(first.dkimPublicKey, 'base64');
  assert.ok(der.length > 250, 'a public key of 2048 bits');
});

test('a secret that is made twice at once is made once', async () => {
  const file = path.join(dir, 'once');
  let calls = 0;
  await madeOnce(file, async () => `secret ${++calls}`);
  assert.equal(await madeOnce(file, async () => `secret ${++calls}`), 'secret 1');
});

test('the example’s places are filled, and nothing else is touched', async () => {
  const places = configurationPlaces(
    dir,
    portsFrom(7700),
    { password: 'p$&w', dkimPublicKey: '' },
    'the-key',
  );
  const example = path.join(dir, 'example.conf');
  const target = path.join(dir, 'pmta.conf');
  writeFileSync(example, '# marked @…@\nx user@host @PASSWORD@ @DATA@/y\nport @SUBMISSION_PORT@ @API_KEY@\n');
  await writeConfiguration(example, target, places);
  assert.equal(readFileSync(target, 'utf8'), `# marked @…@\nx user@host p$&w ${dir}/y\nport 7702 the-key\n`);
  assert.equal(mode(target), 0o600);
});

test('a place that nothing fills, and an example that is not there, are faults with names', async () => {
  const example = path.join(dir, 'odd.conf');
  writeFileSync(example, 'x @TYPO@\n');
  await assert.rejects(
    writeConfiguration(example, path.join(dir, 'out'), {}),
    /odd\.conf has a place @TYPO@/,
  );
  await assert.rejects(
    writeConfiguration(path.join(dir, 'none.conf'), path.join(dir, 'out'), {}),
    /UserError: the example configuration .*none\.conf cannot be read/,
  );
  // A place named like something that every object has.
  writeFileSync(example, 'x @__PROTO__@\n');
  await assert.rejects(writeConfiguration(example, path.join(dir, 'out'), {}), /@__PROTO__@/);
});
