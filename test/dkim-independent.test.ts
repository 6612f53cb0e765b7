// Signatures of many shapes of mail, checked by verifiers that are not ours: OpenDKIM (the milter, in its test mode)
// and mailauth. A verifier that passes everything would prove nothing, so each also has to notice a changed letter.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { dkimVerify } from 'mailauth/lib/dkim/verify.js';
import { missing } from '../scripts/system-packages.ts';
import { readSigningKey, type SigningKey } from '../src/mail/dkim-key.ts';
import { type DkimSettings, SignableMessage } from '../src/mail/dkim-sign.ts';
import { startRendering } from '../src/mta/deliver/rendered.testing.ts';

const dir = mkdtempSync(path.join(tmpdir(), 'posthorn-dkim-'));
after(() => rmSync(dir, { recursive: true, force: true }));

const KEYS = {
  rsa2048: { ...generateKeyPairSync('rsa', { modulusLength: 2048 }), k: 'rsa' },
  rsa1024: { ...generateKeyPairSync('rsa', { modulusLength: 1024 }), k: 'rsa' },
  ed25519: { ...generateKeyPairSync('ed25519'), k: 'ed25519' },
};
type KeyName = keyof typeof KEYS;
const NAMES = Object.keys(KEYS) as KeyName[];

function signingKey(key: KeyObject): SigningKey {
  const read = readSigningKey(key.export({ type: 'pkcs8', format: 'pem' }) as string);
  assert.ok(typeof read !== 'string', String(read));
  return read;
}

/** The TXT record of each key by its name in DNS. */
const RECORDS = new Map(
  NAMES.map((name) => {
    const { publicKey, k } = KEYS[name];
    const der = publicKey.export({ type: 'spki', format: 'der' });
    const raw = k === 'ed25519' ? der.subarray(12) : der;
    return [`${name}._domainkey.b.example`, `v=DKIM1; k=${k}; p=${raw.toString('base64')}`];
  }),
);

const HEAD =
  'From: "Kim" <kim@b.example>\r\nTo: x@c.example\r\nSubject: Hello\r\nDate: Fri, 1 Jan 2027 00:00:00 +0000\r\n' +
  'Message-ID: <1@b.example>\r\n';
const utf8 = (text: string) => Buffer.from(text);

const SHAPES: Record<string, Buffer> = {
  plain: utf8(`${HEAD}\r\nHello.\r\n`),
  'folded headers': utf8(
    'From: "Kim\r\n of the long name" <kim@b.example>\r\nTo: x@c.example,\r\n\ty@c.example,\r\n   z@c.example\r\n' +
      'Subject: one\r\n two\r\n\t three  \r\nDate: Fri, 1 Jan 2027 00:00:00 +0000\r\n\r\nHello.\r\n',
  ),
  'empty body': utf8(`${HEAD}\r\n`),
  'body of blank lines': utf8(`${HEAD}\r\n\r\n\r\n\r\n`),
  'body of blanks': utf8(`${HEAD}\r\n \t \r\n\t\r\n`),
  'no CRLF at the end': utf8(`${HEAD}\r\nHello.\r\nthe end`),
  'blank lines at the end': utf8(`${HEAD}\r\nHello.\r\n\r\n\r\n`),
  'blanks in lines': utf8(`${HEAD}\r\n  two   blanks\tand tabs \t \r\n\r\n trailing \t\r\n`),
  'a dot at the start of lines': utf8(`${HEAD}\r\n.\r\n..x\r\n.y\r\n`),
  '8-bit body and headers': utf8(
    `${HEAD}Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGr\u00fc\u00dfe \u2713 \u{1f4ef}\r\n`,
  ),
  'octets that are no UTF-8': Buffer.concat([
    utf8(`${HEAD}\r\n`),
    Buffer.from([0xff, 0xfe, 0x80, 0x20, 0x20, 0xe9, 0x0d, 0x0a]),
  ]),
  'duplicate headers': utf8(
    `To: first@c.example\r\n${HEAD}Cc: a@c.example\r\nCc: b@c.example\r\nCc: c@c.example\r\n\r\nHello.\r\n`,
  ),
  'a header of 20 kB': utf8(
    `${HEAD}References: <0@b.example>${Array.from({ length: 400 }, (_, i) => `\r\n <${i}.${'x'.repeat(40)}@b.example>`).join('')}\r\n\r\nHello.\r\n`,
  ),
  'a fold after the name': utf8(`${HEAD}References:\r\n <0@b.example>\r\n\r\nHello.\r\n`),
  '300 headers': utf8(
    `${HEAD}${Array.from({ length: 300 }, (_, i) => `X-N${i}: ${i}\r\n`).join('')}\r\nHello.\r\n`,
  ),
  'a line of 990 characters': utf8(`${HEAD}\r\n${'y'.repeat(990)}\r\nz\r\n`),
  'a body of 300 kB': utf8(`${HEAD}\r\n${`${'Lorem ipsum  dolor\tsit '.repeat(3)}\r\n`.repeat(4200)}`),
  multipart: utf8(
    `${HEAD}MIME-Version: 1.0\r\nContent-Type: multipart/alternative;\r\n boundary="b 1"\r\n\r\n` +
      '--b 1\r\nContent-Type: text/plain\r\n\r\nHello\r\n--b 1\r\nContent-Type: text/html\r\n\r\n<p>Hello\r\n--b 1--\r\n',
  ),
};

const CANONS = ['simple', 'relaxed'] as const;

interface Signed {
  readonly what: string;
  readonly content: Buffer;
  readonly signatures: number;
}

function sign(raw: Buffer, ...settings: (Partial<DkimSettings> & { by: KeyName })[]): Buffer {
  const message = new SignableMessage(raw);
  const fields = settings.map(({ by, ...more }) => {
    const key = signingKey(KEYS[by].privateKey);
    const made = message.sign({ key, domain: 'b.example', selector: by, ...more }, Date.now());
    assert.ok(made !== null);
    return made;
  });
  return Buffer.concat([utf8(fields.join('')), raw]);
}

function everything(): Signed[] {
  const all: Signed[] = [];
  for (const [shape, raw] of Object.entries(SHAPES)) {
    for (const by of NAMES) {
      for (const headerCanonicalization of CANONS) {
        for (const bodyCanonicalization of CANONS) {
          all.push({
            what: `${shape}, ${by}, ${headerCanonicalization}/${bodyCanonicalization}`,
            content: sign(raw, { by, headerCanonicalization, bodyCanonicalization }),
            signatures: 1,
          });
        }
      }
    }
    all.push({
      what: `${shape}, two signatures with i=, t=, x=, q=, l= and names signed once more`,
      content: sign(
        raw,
        {
          by: 'rsa2048',
          identity: 'u=1;x@sub.b.example',
          addTimestamp: true,
          expireAfter: 3600,
          addBodyLength: true,
          queryMethod: 'dns/txt',
          disallowAdding: ['from', 'subject', 'reply-to'],
          headers: [/^x-n1/, 'x-absent'],
        },
        { by: 'ed25519', bodyCanonicalization: 'simple', addBodyLength: true },
      ),
      signatures: 2,
    });
  }
  return all;
}

/** The message with one letter of its body changed; null when it has none. */
function tampered({ content }: Signed): Buffer | null {
  const at = content.indexOf('Hello.', content.indexOf('\r\n\r\n'));
  if (at < 0) return null;
  const changed = Buffer.from(content);
  changed[at] = 0x4a;
  return changed;
}

async function byMailauth(message: Buffer): Promise<string[]> {
  const { results } = await dkimVerify(message, {
    minBitLength: 1024,
    resolver: (async (name: string) => [[RECORDS.get(name) ?? '']]) as never,
  });
  return results.map(({ status }) => status.result);
}

/** What OpenDKIM's own Authentication-Results say, message by message. */
function byOpenDkim(messages: readonly Buffer[]): string[][] {
  const keys = path.join(dir, 'keys');
  writeFileSync(keys, [...RECORDS].map(([name, record]) => `${name} ${record}\n`).join(''));
  const conf = path.join(dir, 'opendkim.conf');
  writeFileSync(conf, `Mode v\nTestPublicKeys ${keys}\nSyslog no\nMinimumKeyBits 1024\n`);
  const files = messages.map((content, i) => {
    const file = path.join(dir, `m${i}`);
    writeFileSync(file, content);
    return file;
  });
  const done = spawnSync('opendkim', ['-x', conf, '-t', files.join(','), '-v', '-v'], {
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  });
  assert.equal(done.status, 0, done.stderr);
  const reports = done.stdout.split("hname='Authentication-Results'").slice(1);
  assert.equal(reports.length, messages.length, 'a report for each message');
  return reports.map((report) => [...report.matchAll(/\bdkim=(\w+)/g)].map((match) => match[1]!));
}

const signed = everything();

test('mailauth verifies every signature and notices a changed letter', async () => {
  for (const one of signed) {
    assert.deepEqual(await byMailauth(one.content), Array(one.signatures).fill('pass'), one.what);
    const changed = tampered(one);
    if (changed) assert.ok(!(await byMailauth(changed)).includes('pass'), `${one.what}, changed`);
  }
});

/**
 * What OpenDKIM 2.11 cannot be asked: the milter protocol takes a fold right after a field's name away, which simple
 * canonicalization does not forgive; and a body in relaxed form that lacks its last CRLF it calls not signed, where RFC
 * 6376 section 3.4.4 says that the CRLF is to be added (with DATA no such body arrives, only with BDAT).
 */
function isBeyondOpenDkim(what: string): boolean {
  if (what.startsWith('a fold after the name')) return what.includes('simple/');
  return what.startsWith('no CRLF at the end') && !what.includes('/simple');
}

test('OpenDKIM verifies every signature, Ed25519 too, and notices a changed letter', {
  skip: missing('opendkim'),
}, () => {
  const asked = signed.filter(({ what }) => !isBeyondOpenDkim(what));
  assert.ok(asked.length > signed.length - 20, 'the exceptions are few');
  for (const [i, result] of byOpenDkim(asked.map(({ content }) => content)).entries()) {
    assert.deepEqual(result, Array(asked[i]!.signatures).fill('pass'), asked[i]!.what);
  }
  const changed = asked.map(tampered).filter((content) => content !== null);
  assert.ok(changed.length > 10);
  for (const result of byOpenDkim(changed)) {
    assert.ok(result.length > 0 && result.every((word) => word === 'fail'), result.join());
  }
});

test('what the MTA makes of tracked HTML mail, RSA and Ed25519 from PEM files: both verifiers accept both', {
  skip: missing('opendkim'),
}, async (t) => {
  const files = (['rsa2048', 'ed25519'] as const).map((name) => {
    const file = path.join(dir, `${name}.pem`);
    writeFileSync(file, KEYS[name].privateKey.export({ type: 'pkcs8', format: 'pem' }));
    return `domain-key ${name}, b.example, ${file}`;
  });
  const mta = await startRendering(
    t,
    `${files.join('\n')}
    <signals>
      api-key ${'0'.repeat(40)}
      engagement-tracking sparkpost
      tracking-domain click.b.example
      customer-id 1
    </signals>
    <source 0/0>
      always-allow-relaying yes
      add-date-header yes
      date-header-time delivery
      process-x-dkim-options yes
      remove-header X-Internal
    </source>
    <domain *>
      dkim-sign yes
      dkim-disallow-adding-headers from
      second-dkim-sign yes
      second-dkim-headers-canon simple
      add-x-msys-api-header yes
    </domain>`,
  );
  const { content, signatures } = await mta.pass(
    'X-Internal: secret\r\nX-DKIM-Options: s=ed25519\r\nFrom: "Kim" <kim@b.example>\r\nSubject: Gr\u00fc\u00dfe\r\n' +
      'MIME-Version: 1.0\r\nContent-Type: text/html; charset=utf-8\r\n\r\n' +
      '<body><a href="https://shop.example/one">one</a> \u2713</body>\r\n',
  );
  assert.deepEqual(
    signatures.map((tags) => tags.get('s')),
    ['ed25519', 'rsa2048'],
  );
  const text = content.toString().replaceAll('=\r\n', '');
  assert.ok(text.includes('click.b.example/f/') && !text.includes('X-Internal'));
  assert.deepEqual(await byMailauth(content), ['pass', 'pass']);
  assert.deepEqual(byOpenDkim([content]), [['pass', 'pass']]);
});
