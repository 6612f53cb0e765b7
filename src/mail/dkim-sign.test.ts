import assert from 'node:assert/strict';
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { dkimVerify } from 'mailauth/lib/dkim/verify.js';
import { UserError } from '../system/user-error.ts';
import { loadSigningKey, readSigningKey, type SigningKey } from './dkim-key.ts';
import { type Canonicalization, type DkimSettings, SignableMessage } from './dkim-sign.ts';
import { Header } from './header.ts';

const rsaPair = generateKeyPairSync('rsa', { modulusLength: 1024 });
const edPair = generateKeyPairSync('ed25519');
const pem = (key: KeyObject) => key.export({ type: 'pkcs8', format: 'pem' }) as string;
const rsa = readSigningKey(pem(rsaPair.privateKey)) as SigningKey;
const ed25519 = readSigningKey(pem(edPair.privateKey)) as SigningKey;

const records = new Map([
  [
    's._domainkey.b.example',
    `v=DKIM1; p=${rsaPair.publicKey.export({ type: 'spki', format: 'der' }).toString('base64')}`,
  ],
  [
    'e._domainkey.b.example',
    `v=DKIM1; k=ed25519; p=${edPair.publicKey.export({ type: 'spki', format: 'der' }).subarray(12).toString('base64')}`,
  ],
]);

const now = 1_800_000_000_000;

/** Results of an independent verifier, `domain/selector` to result. */
async function verify(message: Buffer): Promise<string[]> {
  const { results } = await dkimVerify(message, {
    curTime: new Date(now),
    minBitLength: 1024,
    resolver: async (name: string, type: string) => {
      const record = records.get(name);
      if (type !== 'TXT' || !record) throw Object.assign(new Error('no such name'), { code: 'ENOTFOUND' });
      return [[record]];
    },
  });
  return results.map((r) => `${r.selector} ${r.status.result}`);
}

const mail = Buffer.from(
  'Received: from a by b;\r\n\tFri, 1 Jan 2027 00:00:00 +0000\r\n' +
    'From:  "Kim" <kim@b.example>\r\n' +
    'To: x@c.example\r\nTo: y@c.example\r\n' +
    'Subject : Hello\r\n\t  there  \r\n' +
    'Date: Fri, 1 Jan 2027 00:00:00 +0000\r\n' +
    'X-A: 1\r\nX-B-One: 2\r\n' +
    'Content-Type: text/plain; charset=utf-8\r\n' +
    '\r\n' +
    'Gr\u00fc\u00dfe \t an  alle \r\n\r\n  indented\tline\r\n trailing \t\r\n\r\n\r\n',
);

function signed(raw: Buffer, ...settings: Partial<DkimSettings>[]): Buffer {
  const message = new SignableMessage(raw);
  const fields = settings.map((s) =>
    message.sign({ key: rsa, domain: 'b.example', selector: s.key === ed25519 ? 'e' : 's', ...s }, now),
  );
  return Buffer.concat([...fields.map((f) => Buffer.from(f!)), raw]);
}

function tag(message: Buffer, name: string): string | undefined {
  const value = new Header(message).get('dkim-signature')!.replace(/\s+/g, '');
  return value
    .split(';')
    .find((t) => t.startsWith(`${name}=`))
    ?.slice(name.length + 1);
}

const canons: Canonicalization[] = ['simple', 'relaxed'];

test('an independent verifier accepts every algorithm and canonicalization, and notices tampering', async () => {
  for (const key of [rsa, ed25519]) {
    for (const headerCanonicalization of canons) {
      for (const bodyCanonicalization of canons) {
        const message = signed(mail, { key, headerCanonicalization, bodyCanonicalization });
        const selector = key === rsa ? 's' : 'e';
        assert.deepEqual(await verify(message), [`${selector} pass`]);
        for (const [from, to] of [
          ['alle', 'allE'],
          ['Hello', 'Hullo'],
          ['y@c.example', 'z@c.example'],
        ] as const) {
          const tampered = Buffer.from(message.toString().replace(from, to));
          assert.notDeepEqual(await verify(tampered), [`${selector} pass`], `${from} to ${to}`);
        }
      }
    }
  }
});

test('bodies at the edges of canonicalization verify', async () => {
  const head = 'From: kim@b.example\r\n\r\n';
  for (const body of [
    '',
    '\r\n',
    '\r\n\r\n',
    'x',
    'x\r\n',
    ' \r\n',
    '\t',
    'x \t',
    'a\rb\r\n',
    ' x\r\n \r\n\r\n',
    'a\r\n\t',
  ]) {
    for (const bodyCanonicalization of canons) {
      const message = signed(Buffer.from(head + body), { bodyCanonicalization, addBodyLength: true });
      assert.deepEqual(await verify(message), ['s pass'], JSON.stringify(body) + bodyCanonicalization);
    }
  }
});

test('D15.8: default is rsa-sha256, relaxed/relaxed, no t, x, l, i, q', () => {
  const message = signed(mail, {});
  assert.equal(tag(message, 'a'), 'rsa-sha256');
  assert.equal(tag(message, 'c'), 'relaxed/relaxed');
  for (const name of ['t', 'x', 'l', 'i', 'q']) assert.equal(tag(message, name), undefined, name);
});

test('D15.9, D15.10: the fixed set is signed, Received never is', () => {
  assert.equal(tag(signed(mail, {}), 'h'), 'from:to:to:subject:date:content-type');
  assert.equal(
    tag(signed(mail, { headers: ['received', 'DKIM-Signature', 'Return-Path'] }), 'h'),
    'from:to:to:subject:date:content-type',
  );
});

test('D15.11: names and patterns are signed beside the fixed set', async () => {
  const message = signed(mail, { headers: ['x-a', /^x-b/i, 'x-absent'] });
  assert.equal(tag(message, 'h'), 'from:to:to:subject:date:x-a:x-b-one:content-type');
  assert.deepEqual(await verify(message), ['s pass']);
});

test('D15.12: a name listed once more forbids adding it', async () => {
  const message = signed(mail, { disallowAdding: ['From', 'Reply-To', 'received'] });
  assert.equal(tag(message, 'h'), 'from:from:to:to:subject:date:content-type:reply-to');
  assert.deepEqual(await verify(message), ['s pass']);
  const added = Buffer.concat([Buffer.from('Reply-To: evil@c.example\r\n'), message]);
  assert.notDeepEqual(await verify(added), ['s pass']);
});

test('a message without From lists it all the same', async () => {
  const message = signed(Buffer.from('To: x@c.example\r\n\r\nx\r\n'), {});
  assert.equal(tag(message, 'h'), 'to:from');
});

test('i=, t=, x=, q=, l= as set', async () => {
  const message = signed(mail, {
    identity: 'kim;=\u00e9x@News.b.example',
    addTimestamp: true,
    expireAfter: 3600,
    queryMethod: 'dns/txt',
    addBodyLength: true,
    bodyCanonicalization: 'simple',
  });
  assert.equal(tag(message, 'i'), 'kim=3B=3D=C3=A9x@news.b.example');
  assert.equal(tag(message, 't'), '1800000000');
  assert.equal(tag(message, 'x'), '1800003600');
  assert.equal(tag(message, 'q'), 'dns/txt');
  assert.deepEqual(await verify(message), ['s pass']);
  const length = mail.length - new Header(mail).bodyStart - 4;
  assert.equal(tag(message, 'l'), String(length));
  assert.deepEqual(await verify(Buffer.concat([message, Buffer.from('appended by a list\r\n')])), ['s pass']);
  assert.equal(
    tag(signed(mail, { identity: 'kim@other.example' }), 'i'),
    undefined,
    'outside d= it would not verify',
  );
  assert.equal(tag(signed(mail, { identity: '@b.example' }), 'i'), '@b.example');
});

test('rsa-sha1 on request', async () => {
  const message = signed(mail, { digest: 'sha1' });
  assert.equal(tag(message, 'a'), 'rsa-sha1');
  assert.deepEqual(await verify(message), ['s pass']);
});

test('two signatures in one message, and the asynchronous path signs the same', async () => {
  assert.deepEqual(await verify(signed(mail, {}, { key: ed25519 })), ['s pass', 'e pass']);
  const message = new SignableMessage(mail);
  for (const settings of [
    { key: rsa, domain: 'b.example', selector: 's' },
    { key: ed25519, domain: 'b.example', selector: 'e' },
  ]) {
    assert.equal(await message.signAsync(settings, now), message.sign(settings, now));
  }
});

test('lines of the field stay within 78 columns and 8-bit and folded fields verify', async () => {
  const raw = Buffer.concat([
    Buffer.from('From: kim@b.example\r\nSubject: caf\u00e9\r\n\tx\r\n', 'latin1'),
    Buffer.from(`${Array.from({ length: 40 }, (_, i) => `X-Long-Name-${i}: v\r\n`).join('')}\r\nbody\r\n`),
  ]);
  const message = signed(raw, { headers: [/^x-/i] });
  const field = new Header(message).fields[0]!;
  for (const line of message.toString('latin1', field.start, field.end).split('\r\n'))
    assert.ok(line.length <= 78, line);
  assert.deepEqual(await verify(message), ['s pass']);
});

test('absurd numbers of fields are not signed', () => {
  const many = new SignableMessage(
    Buffer.from(`From: a@b.example\r\n${'To: x@c.example\r\n'.repeat(600)}\r\n`),
  );
  assert.equal(many.sign({ key: rsa, domain: 'b.example', selector: 's' }, now), null);
});

test('keys: forms accepted, faults named without the key', async () => {
  const pkcs1 = rsaPair.privateKey.export({ type: 'pkcs1', format: 'pem' }) as string;
  assert.equal((readSigningKey(pkcs1) as SigningKey).type, 'rsa');
  assert.equal((readSigningKey(pem(edPair.privateKey)) as SigningKey).type, 'ed25519');
  assert.equal((readSigningKey(pkcs1.replace(/\n/g, ' ')) as SigningKey).type, 'rsa', 'as in a folded field');
  const short = generateKeyPairSync('rsa', { modulusLength: 512 }).privateKey;
  assert.match(readSigningKey(pem(short)) as string, /512 bits/);
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  assert.match(readSigningKey(pem(ec)) as string, /ec keys cannot sign/);
  const locked = edPair.privateKey.export({
    type: 'pkcs8',
    format: 'pem',
    cipher: 'aes-256-cbc',
    passphrase: 'x',
  });
  assert.match(readSigningKey(locked as string) as string, /encrypted/);
  assert.match(
    readSigningKey('-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----') as string,
    /decoded/,
  );
  assert.match(readSigningKey('') as string, /no PEM block/);

  const dir = await mkdtemp(path.join(tmpdir(), 'dkim-'));
  try {
    const file = path.join(dir, 'k.pem');
    await writeFile(file, pkcs1);
    assert.equal((await loadSigningKey(file, 'pmta.conf line 3')).type, 'rsa');
    await writeFile(file, 'nothing');
    await assert.rejects(loadSigningKey(file, 'pmta.conf line 3'), (error: Error) => {
      return error instanceof UserError && error.message.startsWith('pmta.conf line 3: the DKIM key');
    });
    await assert.rejects(loadSigningKey(path.join(dir, 'absent'), 'x'), UserError);
  } finally {
    await rm(dir, { recursive: true });
  }
});
