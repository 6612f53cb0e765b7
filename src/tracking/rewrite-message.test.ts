import assert from 'node:assert/strict';
import { createHash, generateKeyPairSync } from 'node:crypto';
import { after, before, test } from 'node:test';
import { dkimVerify } from 'mailauth/lib/dkim/verify.js';
import { readSigningKey, type SigningKey } from '../mail/dkim-key.ts';
import { SignableMessage } from '../mail/dkim-sign.ts';
import { Header } from '../mail/header.ts';
import { encodeBase64, encodeQuotedPrintable } from '../mail/transfer-encoding.ts';
import { type KeyRing, openKeyRing, revokeKey } from './key-ring.ts';
import { applyTracking, trackMessage } from './rewrite-message.ts';
import { crlf, decodedParts, HOST, openUrls, readable, temporaryRing, track } from './rewrite-testing.ts';
import { planTracking, type TrackingSettings } from './tracking-plan.ts';

let ring: KeyRing;
let remove: () => Promise<void>;
before(async () => {
  ({ ring, remove } = await temporaryRing());
});
after(() => remove());

const U = 'https://shop.example/a';
const LINKS = { opens: false, initialOpens: false } as const;
const HTML = `<html><body class="x">\r\n<a href="${U}?a=1&amp;b=2" title="Grüße">Grüße</a>\r\n</body></html>\r\n`;
const TRACKED = `<html><body class="x">[{initial_open}]\r\n<a href="{click ${U}?a=1&b=2}" title="Grüße">Grüße</a>\r\n{open}</body></html>\r\n`;

function single(encoding: string, body: Buffer, type = 'text/html; charset=utf-8'): Buffer {
  const cte = encoding === '' ? '' : `Content-Transfer-Encoding: ${encoding}\r\n`;
  return Buffer.concat([Buffer.from(`From: a@b.example\r\nContent-Type: ${type}\r\n${cte}\r\n`), body]);
}

/** The one part of a message, decoded, its URLs readable. */
function decoded(raw: Buffer, charset = 'utf-8'): string {
  return readable(ring, new TextDecoder(charset, { ignoreBOM: true }).decode(decodedParts(raw)[0]!.bytes));
}

function encodingOf(raw: Buffer): string | null {
  return new Header(raw).get('content-transfer-encoding');
}

function longestLine(raw: Buffer): number {
  return Math.max(
    ...raw
      .toString('latin1')
      .split('\r\n')
      .map((line) => line.length),
  );
}

test('every transfer encoding, single-part, in any spelling', () => {
  const bytes = Buffer.from(HTML);
  for (const [name, body] of [
    ['8bit', bytes],
    ['quoted-printable', encodeQuotedPrintable(bytes)],
    [' Quoted-Printable ', encodeQuotedPrintable(bytes)],
    ['base64', encodeBase64(bytes)],
    ['BASE64', encodeBase64(bytes)],
    ['Base64 (as ever)', encodeBase64(bytes)],
  ] as const) {
    const { content, changed } = track(ring, single(name, body));
    assert.equal(changed, true);
    assert.equal(decoded(content), TRACKED, name);
    assert.equal(encodingOf(content), name.trim(), 'the field stays as it was');
    if (name !== '8bit') assert.ok(longestLine(content) <= 78);
    assert.equal(content.subarray(-2).toString(), '\r\n');
  }
});

test('7bit stays 7bit while it can, else becomes quoted-printable', () => {
  const ascii = Buffer.from(`<p><a href="${U}">x</a>\r\n`);
  for (const name of ['7bit', '']) {
    const { content } = track(ring, single(name, ascii), LINKS);
    assert.equal(encodingOf(content), name || null);
    assert.equal(decoded(content), `<p><a href="{click ${U}}">x</a>\r\n`);
  }
  for (const [name, body] of [
    ['7bit', Buffer.from(HTML)],
    ['', Buffer.from(HTML)],
    ['binary', Buffer.from(HTML)],
    ['8bit', Buffer.from(`${HTML}${'x'.repeat(999)}\r\n`)],
    ['7bit', Buffer.from(`<p>${`<a href="${U}">x</a>`.repeat(25)}\r\n`)],
    [
      '8bit',
      Buffer.from(`<p ${`data-msys-linkname=x\r\n`.repeat(3)}>${`<a href="${U}">é</a>`.repeat(25)}\r\n`),
    ],
  ] as const) {
    const { content, links } = track(ring, single(name, body));
    assert.equal(encodingOf(content), 'quoted-printable', name);
    assert.equal(new Header(content).all('content-transfer-encoding').length, 1);
    assert.ok(longestLine(content) <= 78);
    assert.equal(openUrls(ring, decodedParts(content)[0]!.bytes.toString()).length, links.length + 2);
  }
});

test('quoted-printable text that does not change keeps its octets, line by line', () => {
  const encoded = Buffer.from(
    '<html>=0D=0A<body>caf=c3=a9 =\r\n<p>soft=20=\r\n\t<a title=3D"=E2=82=\r\n=AC" href=\r\n=3D"https://shop.example/=\r\na" data-msys-linkname=3D"=\r\nx">\r\n</body>=ZZ\r\n',
  );
  const { content } = track(ring, single('quoted-printable', encoded));
  const text = content.toString('latin1');
  for (const kept of [
    '<html>=0D=0A<body>=\r\n',
    'caf=c3=a9 =\r\n<p>soft=20=\r\n\t<a title=3D"=E2=82=\r\n=AC" href=\r\n=3D=\r\n"https',
    '</body>=ZZ\r\n',
  ]) {
    assert.ok(text.includes(kept), `${kept} in\n${text}`);
  }
  assert.equal(
    decoded(content),
    '<html>\r\n<body>[{initial_open}]café <p>soft \t<a title="€" href="{click https://shop.example/a "x"}">\r\n{open}</body>=ZZ\r\n',
  );
});

test('quoted-printable with overlong lines is encoded anew', () => {
  const { content } = track(
    ring,
    single('quoted-printable', Buffer.from(`${'x'.repeat(300)}<a href=3D"${U}">y</a>`)),
    LINKS,
  );
  assert.equal(decoded(content), `${'x'.repeat(300)}<a href="{click ${U}}">y</a>`);
  assert.ok(longestLine(content) <= 76);
});

test('quoted-printable: links at every place of a line', () => {
  for (let column = 0; column < 150; column++) {
    const text = `<p>${'é x'.repeat(5)}${'y'.repeat(column)}<a data-msys-linkname="z"href="${U}">z</a>${'w'.repeat(100)}</body>`;
    const { content } = track(ring, single('quoted-printable', encodeQuotedPrintable(Buffer.from(text))));
    const wanted = text
      .replace(/ data.*?"href="[^"]*"/, ` href="{click ${U} "z"}"`)
      .replace('</body>', '{open}</body>');
    assert.equal(decoded(content), `[{initial_open}]${wanted}`);
    assert.ok(longestLine(content) <= 76, String(column));
  }
});

test('base64 is decoded leniently and flushed to its last octet', () => {
  const body = Buffer.from(
    `${Buffer.from(HTML)
      .toString('base64')
      .replace(/(.{50})/g, '$1 \t\r\n!')
      .replace(/=+$/, '')}`,
  );
  const { content } = track(ring, single('base64', body));
  assert.equal(decoded(content), TRACKED);
  for (let extra = 0; extra < 4; extra++) {
    const text = `<a href="${U}">${'x'.repeat(extra)}`;
    const tracked = track(ring, single('base64', encodeBase64(Buffer.from(text))), LINKS);
    assert.ok(decoded(tracked.content).endsWith(`">${'x'.repeat(extra)}`));
  }
});

test('unknown transfer encodings and charsets we cannot see through pass', () => {
  const uu = track(ring, single('x-uuencode', Buffer.from(HTML)));
  assert.equal(uu.changed, false);
  for (const charset of ['utf-7', 'UTF-32', 'hz-gb-2312', 'ebcdic-us']) {
    const raw = single('8bit', Buffer.from(HTML), `text/html; charset=${charset}`);
    assert.equal(track(ring, raw).content, raw, charset);
  }
  const plan = planTracking(single('x-uuencode', Buffer.from(HTML)), settings());
  assert.equal(plan.left.get('transfer encoding'), 1);
});

function settings(more: Partial<TrackingSettings> = {}): TrackingSettings {
  return { opens: true, initialOpens: true, clicks: true, scheme: 'https', host: HOST, ...more };
}

test('charsets: UTF-16 with and without mark, ISO-2022-JP, Shift_JIS, Latin-1', () => {
  const text = `<body><a href="${U}?q=日本&amp;b">日本<b class="z">语</b></a></body>`;
  const tracked = `<body>[{initial_open}]<a href="{click ${U}?q=日本&b}">日本<b class="z">语</b></a>{open}</body>`;
  const le = Buffer.from(text, 'utf16le');
  const be = Buffer.from(le).swap16();
  for (const [charset, bytes, mark] of [
    ['utf-16le', le, ''],
    ['utf-16be', be, ''],
    ['utf-16', Buffer.concat([Buffer.from('fffe', 'hex'), le]), '\ufeff'],
    ['UTF-16', Buffer.concat([Buffer.from('feff', 'hex'), be]), '\ufeff'],
  ] as const) {
    for (const encoding of ['base64', 'quoted-printable']) {
      const body = encoding === 'base64' ? encodeBase64(bytes) : encodeQuotedPrintable(bytes);
      const { content } = track(ring, single(encoding, body, `text/html; charset=${charset}`));
      assert.equal(
        decoded(content, bytes[0] === 0xfe || bytes[0] === 0 ? 'utf-16be' : 'utf-16le'),
        mark + tracked,
        charset,
      );
    }
  }

  // 日本 between escape sequences holds the octets of `F|K\`, and 語 those of `8l`; < and " as second octets must not count.
  const jis = Buffer.from(
    '<p>\x1b$BF|K\\8l\x1b(B<a title="\x1b$B!<!"\x1b(B" href="https://shop.example/a">\x1b$B$<\x1b(J</a>',
    'latin1',
  );
  const jp = track(ring, single('7bit', jis, 'text/html; charset="ISO-2022-JP"'), LINKS);
  const out = jp.content.toString('latin1');
  assert.ok(readable(ring, out).endsWith(jis.toString('latin1').replace(U, `{click ${U}}`)));
  assert.equal(encodingOf(jp.content), '7bit');

  const sjis = Buffer.from([
    ...Buffer.from('<p>'),
    0x95,
    0x5c,
    0x83,
    0x7c,
    ...Buffer.from(`<a href="${U}?`),
    0x95,
    0x5c,
    ...Buffer.from('">'),
  ]);
  const shift = track(ring, single('8bit', sjis, 'text/html; charset=shift_jis'), LINKS);
  assert.equal(openUrls(ring, shift.content.toString('latin1'))[0]!.token.target, `${U}?表`);
  assert.ok(shift.content.includes(sjis.subarray(0, 7)));

  const latin = track(
    ring,
    single('8bit', Buffer.from(`<a href="${U}?\xe9">\xe9`, 'latin1'), 'text/html; charset=iso-8859-1'),
    LINKS,
  );
  assert.equal(openUrls(ring, latin.content.toString('latin1'))[0]!.token.target, `${U}?é`);
  assert.ok(latin.content.toString('latin1').endsWith('>\xe9'));
});

test('a real campaign: only intended octets differ, attachments are equal', () => {
  const pdf = encodeBase64(Buffer.from(Array.from({ length: 900 }, (_, i) => i & 255)));
  const raw = Buffer.concat([
    crlf(`Received: from x by y;
\tFri, 1 Jan 2027 00:00:00 +0000
X-Dup: 1
from:  "A"  <a@b.example>
X-dup: 2
To: someone.else@c.example
Cc: d@e.example
Content-Type: multipart/mixed;
\tboundary="mix=1"
Content-Length: 99
MIME-Version: 1.0

preamble <a href="${U}">
--mix=1 \t
Content-Type: multipart/related; boundary=rel

--rel
Content-Type: multipart/alternative; boundary=alt

--alt
Content-Type: text/plain; charset=utf-8; format=flowed
Content-Transfer-Encoding: 8bit

Grüße ${U}
--alt
Content-Type: text/html; charset=utf-8
Content-Transfer-Encoding: 8bit
Content-MD5: Q2hlY2sgSW50ZWdyaXR5IQ==
Lines: 4

${HTML}
--alt
Content-Type: text/calendar; method=REQUEST

BEGIN:VCALENDAR
URL:${U}
--alt--
--rel
Content-Type: image/png
Content-Transfer-Encoding: base64

AAAA
--rel--
rel epilogue
--mix=1
Content-Type: text/html; name="report.html"

<a href="${U}">
--mix=1
Content-Type: text/html
Content-Disposition: attachment

<a href="${U}">
--mix=1
Content-Type: message/rfc822

Content-Type: text/html

<a href="${U}">
--mix=1
Content-Type: multipart/signed; boundary=sig

--sig
Content-Type: text/html

<a href="${U}">
--sig--
--mix=1
Content-Type: multipart/mixed; boundary=never

--never
Content-Type: text/html

<a href="${U}">
--mix=1
Content-Type: text/html

<p><a href="${U}">second</a></p>
--mix=1
Content-Type: application/pdf
Content-Transfer-Encoding: base64

`),
    pdf,
    crlf('--mix=1--\nepilogue\n'),
  ]);
  const { content, links } = track(ring, raw);
  const wanted = raw
    .toString()
    .replace(/Content-Length: 99\r\n|Content-MD5: .*?\r\n|Lines: 4\r\n/g, '')
    .replace(HTML, TRACKED)
    .replace(`<p><a href="${U}">second`, `<p><a href="{click ${U}}">second`);
  assert.equal(readable(ring, content.toString()), wanted);
  assert.deepEqual(links, [
    { index: 1, url: `${U}?a=1&b=2`, name: '' },
    { index: 2, url: U, name: '' },
  ]);
  const sum = (message: Buffer) =>
    createHash('sha256').update(decodedParts(message).at(-1)!.bytes).digest('hex');
  assert.equal(sum(content), sum(raw));
});

test('a part that does not change keeps its octets, and so does a message without any', () => {
  for (const raw of [
    crlf('From: a@b.example\nContent-Length: 3\n\nhi\n'),
    crlf('From: a@b.example\nContent-Type: text/plain\nLines: 1\n\nhttps://shop.example/\n'),
    crlf(
      'Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: text/html\n\n<a href="https://a.example/">\n',
    ),
    crlf('Content-Type: text/html'),
    crlf('Content-Type: text/html\n'),
    Buffer.alloc(0),
  ]) {
    const tracked = track(ring, raw);
    assert.equal(tracked.content, raw);
    assert.equal(tracked.changed, false);
  }
  const base64 = single('base64', Buffer.from('PGE+\r\n\r\n  '));
  assert.equal(track(ring, base64, LINKS).content, base64, 'no noise from encoding again');
});

test('section 3: messages that are never rewritten', () => {
  const html = `Content-Type: text/html\n\n<a href="${U}">`;
  const deep = Array.from(
    { length: 25 },
    (_, i) => `Content-Type: multipart/mixed; boundary=b${i}q\n\n--b${i}q\n`,
  ).join('');
  const closing = Array.from({ length: 25 }, (_, i) => `\n--b${24 - i}q--`).join('');
  for (const [text, options, reason] of [
    [`A: b\n${html}`, { sender: '' }, 'report'],
    [`Content-Type: multipart/report; boundary=a\n\n--a\n${html}\n--a--`, {}, 'report'],
    [`Content-Type: multipart/signed; boundary=a\n\n--a\n${html}\n--a--`, {}, 'signed or encrypted'],
    [`Content-Type: multipart/encrypted; boundary=a\n\n--a\n${html}\n--a--`, {}, 'signed or encrypted'],
    ['Content-Type: application/pkcs7-mime\n\nx', {}, 'signed or encrypted'],
    [`DKIM-Signature: v=1\n${html}`, {}, 'already signed'],
    [`ARC-Seal: i=1\n${html}`, {}, 'already signed'],
    [html, { maxSize: 20 }, 'size'],
    [`${deep}${html}${closing}`, {}, 'nesting'],
    [html, { host: '' }, 'no tracking domain'],
    [html, { host: 'a b' }, 'no tracking domain'],
    [html, { opens: false, initialOpens: false, clicks: false }, 'nothing to do'],
  ] as const) {
    const raw = crlf(text);
    const tracked = track(ring, raw, options);
    assert.equal(tracked.skipped, reason);
    assert.equal(tracked.content, raw);
  }
  const pgp = crlf(`Content-Type: text/html\n\n<pre>-----BEGIN PGP MESSAGE-----\n</pre><a href="${U}">`);
  assert.equal(track(ring, pgp).content, pgp);
});

test('signed mail may be rewritten on request, and loses the signatures that would fail', () => {
  const raw = crlf(
    `DKIM-Signature: v=1; d=b.example;\n\tb=x\nFrom: a@b.example\nContent-Type: text/html\n\n<a href="${U}">`,
  );
  const { content } = track(ring, raw, { ...LINKS, signedMessages: 'rewrite' });
  assert.equal(
    readable(ring, content.toString()),
    raw
      .toString()
      .replace(/^DKIM.*?x\r\n/s, '')
      .replace(U, `{click ${U}}`),
  );
  const untouched = crlf('DKIM-Signature: v=1\nContent-Type: text/html\n\nx');
  assert.equal(
    track(ring, untouched, { ...LINKS, signedMessages: 'rewrite' }).content,
    untouched,
    'unchanged mail keeps its signature',
  );
});

test('no active key: the message goes out as it is', async () => {
  const { ring: dead, remove: removeDead } = await temporaryRing();
  try {
    await revokeKey(dead.file, 1);
    const reader = await openKeyRing(dead.file);
    const raw = single('8bit', Buffer.from(HTML));
    assert.deepEqual(track(reader, raw), { content: raw, changed: false, links: [], skipped: 'no key' });
  } finally {
    await removeDead();
  }
});

test('recipients of one message: one plan, different tokens, the envelope decides', () => {
  const raw = crlf(`To: list@c.example\nContent-Type: text/html\n\n<body><a href="${U}"></body>`);
  const plan = planTracking(raw, settings());
  const copies = ['ada@example.net', 'bob@example.net'].map((recipient, i) => ({
    recipient,
    made: applyTracking(plan, {
      ring,
      messageId: `0000a17c3e65f0d1b2c${i}`,
      recipient,
      subaccount: i,
      campaign: '',
      expiry: 2e9,
    }),
  }));
  for (const [i, { recipient, made }] of copies.entries()) {
    const urls = openUrls(ring, made.content.toString());
    assert.deepEqual(
      urls.map((u) => [
        u.token.action,
        u.token.recipient,
        u.token.messageId,
        u.token.subaccount,
        u.token.linkIndex,
      ]),
      [
        ['initial_open', recipient, `0000a17c3e65f0d1b2c${i}`, i, 0],
        ['click', recipient, `0000a17c3e65f0d1b2c${i}`, i, 1],
        ['open', recipient, `0000a17c3e65f0d1b2c${i}`, i, 0],
      ],
    );
  }
  assert.notEqual(copies[0]!.made.content.toString(), copies[1]!.made.content.toString());
  const again = applyTracking(plan, {
    ring,
    messageId: '0000a17c3e65f0d1b2c0',
    recipient: 'ada@example.net',
    subaccount: 0,
    campaign: '',
    expiry: 2e9,
  });
  assert.ok(again.content.equals(copies[0]!.made.content), 'another attempt sends the same octets');
});

test('tokens tell what was tracked, and which recipient even when anonymised', () => {
  const raw = single('8bit', Buffer.from(HTML));
  const { content } = trackMessage(raw, {
    ...settings({ initialOpens: false }),
    ring,
    messageId: 'custom-1',
    recipient: `${'ab'.repeat(20)}@example.net`,
    anonymised: true,
    subaccount: 0,
    campaign: 'january',
    expiry: 1_900_000_000,
  });
  const [click, open] = openUrls(ring, content.toString());
  assert.deepEqual(open!.token, {
    action: 'open',
    amp: false,
    expiry: 1_900_000_000,
    subaccount: 0,
    messageId: 'custom-1',
    recipient: `${'ab'.repeat(20)}@example.net`,
    anonymised: true,
    linkIndex: 0,
    linkName: '',
    campaign: 'january',
    target: '',
    unsubscribe: false,
    openTracking: true,
    initialPixel: false,
    clickTracking: true,
  });
  assert.equal(click!.token.campaign, 'january');
});

test('AMP parts: only on request, with https, inside multipart/alternative', () => {
  const message = (outer: string) =>
    crlf(`Content-Type: multipart/${outer}; boundary=a

--a
Content-Type: text/x-amp-html

<!doctype html><html amp4email><body><a data-msys-linkname="x" href="${U}">x</a></body></html>
--a
Content-Type: text/html

<p>x</p>
--a--
`);
  const text = (raw: Buffer, options: Partial<TrackingSettings>) =>
    readable(ring, decodedParts(track(ring, raw, options).content)[0]!.bytes.toString());
  const amp = text(message('alternative'), { amp: true });
  const img = (what: string) =>
    `<amp-img src="{${what}}" width="1" height="1" layout="fixed" alt=""></amp-img>`;
  assert.equal(
    amp,
    `<!doctype html><html amp4email><body>${img('amp_initial_open')}<a href="{amp_click ${U} "x"}">x</a>${img('amp_open')}</body></html>`,
  );
  for (const [outer, options] of [
    ['alternative', { amp: true, scheme: 'http' }],
    ['mixed', { amp: true }],
    ['alternative', {}],
  ] as const) {
    assert.ok(text(message(outer), options).includes(`href="${U}"`));
  }
});

test('plain text: links on request, notation always out', () => {
  const text = (given: string, options: Partial<TrackingSettings> = {}) =>
    decoded(track(ring, crlf(`Content-Type: text/plain; format=flowed\n\n${given}`), options).content);
  for (const [given, wanted] of [
    [`see ${U}. Or (${U}), <${U}>!`, `see {click ${U}}. Or ({click ${U}}), <{click ${U}}>!`],
    [`${U}_(x)`, `{click ${U}_(x)}`],
    [`"${U}"`, `"{click ${U}}"`],
    [`> ${U}\r\n-- \r\n${U}`, `> ${U}\r\n-- \r\n{click ${U}}`],
    [`HTTP://A.example/`, '{click HTTP://A.example/}'],
    [
      `xhttp://a.example/ ftp://a.example/ http:// https://`,
      `xhttp://a.example/ ftp://a.example/ http:// https://`,
    ],
    [`${U}[[data-msys-clicktrack="0"]] x`, `${U} x`],
    [`${U}[[data-msys-unsubscribe="1"]][[data-msys-sublink="app"]]`, `{click ${U} unsubscribe /app}`],
    [`${U}[[data-msys-linkname="x"]]`, `{click ${U}}[[data-msys-linkname="x"]]`],
    [`${U}[[data-msys-clicktrack="`, `{click ${U}}[[data-msys-clicktrack="`],
    [`${U}日本`, `{click ${U}}日本`],
    [`https://shop.example/{{x}}`, '{click https://shop.example/{{x}}}'],
  ] as const) {
    assert.equal(text(given, { textLinks: true }), wanted, given);
  }
  assert.equal(text(`${U}[[data-msys-unsubscribe="1"]] x`), `${U} x`, 'readers would see it');
  assert.equal(text(`${U} x`), `${U} x`);
});

test('List-Unsubscribe is added where there is none, one-click with https only', () => {
  const raw = crlf('From: a@b.example\nContent-Type: text/plain\n\nhi\n');
  const https = new Header(track(ring, raw, { listUnsubscribe: true }).content);
  const [use] = openUrls(ring, https.get('list-unsubscribe')!);
  assert.equal(https.get('list-unsubscribe'), `<${use!.url}>`);
  assert.equal(use!.token.action, 'unsubscribe');
  assert.equal(https.get('list-unsubscribe-post'), 'List-Unsubscribe=One-Click');
  assert.equal(https.fields.at(-1)!.key, 'list-unsubscribe-post');
  const http = new Header(track(ring, raw, { listUnsubscribe: true, scheme: 'http' }).content);
  assert.ok(http.get('list-unsubscribe')!.startsWith('<http://'));
  assert.equal(http.get('list-unsubscribe-post'), null);
  for (const own of ['List-Unsubscribe: <mailto:x@b.example>', 'List-Unsubscribe-Post: x']) {
    const sent = crlf(`${own}\nContent-Type: text/plain\n\nhi\n`);
    assert.equal(track(ring, sent, { listUnsubscribe: true }).content, sent);
  }
});

test('DKIM made after rewriting verifies, and the rewritten message is the one signed', async () => {
  const pair = generateKeyPairSync('rsa', { modulusLength: 1024 });
  const key = readSigningKey(
    pair.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
  ) as SigningKey;
  const record = `v=DKIM1; p=${pair.publicKey.export({ type: 'spki', format: 'der' }).toString('base64')}`;
  const verdict = async (message: Buffer) => {
    const { results } = await dkimVerify(message, { resolver: async () => [[record]], minBitLength: 1024 });
    return results[0]!.status.result;
  };
  for (const [encoding, body] of [
    ['8bit', Buffer.from(HTML)],
    ['quoted-printable', encodeQuotedPrintable(Buffer.from(HTML))],
    ['base64', encodeBase64(Buffer.from(HTML))],
    ['7bit', Buffer.from(HTML)],
  ] as const) {
    const { content } = track(ring, single(encoding, body), { listUnsubscribe: true });
    const field = new SignableMessage(content).sign({ key, domain: 'b.example', selector: 's' }, Date.now())!;
    const message = Buffer.concat([Buffer.from(field), content]);
    assert.equal(await verdict(message), 'pass', encoding);
    assert.notEqual(
      await verdict(Buffer.from(message.toString().replace('track.test', 'evil.test'))),
      'pass',
    );
  }
});

test('one shared plan keeps concurrent recipients apart', async () => {
  const plan = planTracking(single('base64', encodeBase64(Buffer.from(HTML))), settings());
  await Promise.all(
    Array.from({ length: 50 }, async (_, i) => {
      await null;
      const recipient = `u${i}@example.net`;
      const made = applyTracking(plan, {
        ring,
        messageId: 'm',
        recipient,
        subaccount: 0,
        campaign: '',
        expiry: 2e9,
      });
      for (const { token } of openUrls(ring, decodedParts(made.content)[0]!.bytes.toString()))
        assert.equal(token.recipient, recipient);
    }),
  );
});

test('fuzz: every transfer encoding gives the same text, and quoted-printable legal lines', () => {
  const words = [
    `<a href="${U}">`,
    `<a\r\n data-msys-linkname="x"\r\n\thref='${U}?ü&amp;x' class="y">`,
    `<a data-msys-unsubscribe="1"href=${U}>`,
    '</a>',
    'é',
    '€uro ',
    '=',
    ' ',
    '\t',
    '\r\n',
    'x'.repeat(30),
    'lorem ipsum ',
    '<body>',
    '</body>',
    '<!-- c -->',
    '.',
  ];
  let seed = 99;
  const random = (n: number) => {
    seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
    return (seed >> 8) % n;
  };
  for (let round = 0; round < 250; round++) {
    let text = '';
    for (let i = random(60); i >= 0; i--) text += words[random(words.length)];
    text += 'end\r\n';
    const bytes = Buffer.from(text);
    const results = (['8bit', 'quoted-printable', 'base64'] as const).map((encoding) => {
      const body =
        encoding === '8bit'
          ? bytes
          : encoding === 'base64'
            ? encodeBase64(bytes)
            : looseBreaks(encodeQuotedPrintable(bytes), random);
      const { content } = track(ring, single(encoding, body));
      if (encoding !== '8bit') assert.ok(longestLine(content) <= 76, content.toString());
      return decoded(content);
    });
    assert.equal(results[1], results[0]);
    assert.equal(results[2], results[0]);
  }
});

/** More soft line breaks than needed, as other encoders make them. */
function looseBreaks(encoded: Buffer, random: (n: number) => number): Buffer {
  const units = encoded.toString('latin1').match(/=\r\n|\r\n|=[0-9A-F]{2}|[\s\S]/g) ?? [];
  return Buffer.from(
    units.map((unit) => (unit.length !== 2 && random(15) === 0 ? `=\r\n${unit}` : unit)).join(''),
    'latin1',
  );
}

test('a message made of links is bounded in what it costs', () => {
  const raw = single('8bit', Buffer.from(`<a href="${U}">\r\n`.repeat(5000)));
  const plan = planTracking(raw, settings());
  assert.equal(plan.links.length, 2000);
  assert.equal(plan.left.get('too many'), 3000);
  const line = `${`${U} `.repeat(100_000)}`;
  assert.equal(
    planTracking(single('8bit', Buffer.from(line), 'text/plain'), settings({ textLinks: true })).links.length,
    2000,
  );
});
