import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { KeyRing } from './key-ring.ts';
import { crlf, decodedParts, openUrls, readable, temporaryRing, track } from './rewrite-testing.ts';
import type { TrackingSettings } from './tracking-plan.ts';

let ring: KeyRing;
let remove: () => Promise<void>;
before(async () => {
  ({ ring, remove } = await temporaryRing());
});
after(() => remove());

const HEAD =
  'From: a@b.example\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n';

/** What becomes of one piece of HTML, with tracked URLs made readable. */
function html(text: string, options: Partial<TrackingSettings> = {}): string {
  const { content } = track(ring, Buffer.from(HEAD + text), {
    opens: false,
    initialOpens: false,
    ...options,
  });
  return readable(ring, decodedParts(content)[0]!.bytes.toString());
}

function pixels(text: string): string {
  return html(text, { opens: true, initialOpens: true, clicks: false });
}

const U = 'https://shop.example/a';

test('section 5: which elements and attributes are wrapped', () => {
  for (const [given, wanted] of [
    [`<a href="${U}">x</a>`, `<a href="{click ${U}}">x</a>`],
    [`<area shape=rect href='${U}'>`, `<area shape=rect href="{click ${U}}">`],
    [`<A HREF=${U} CLASS=y>`, `<A HREF="{click ${U}}" CLASS=y>`],
    [`<a\n\thref = "${U}"/>`, `<a\n\thref = "{click ${U}}"/>`],
    [`<a title="a > b" href="${U}">`, `<a title="a > b" href="{click ${U}}">`],
    [
      `<a href="${U}" href="https://other.example/">`,
      `<a href="{click ${U}}" href="https://other.example/">`,
    ],
    [`<a href="${U}"target=_blank>`, `<a href="{click ${U}}"target=_blank>`],
    [`<svg><a href="${U}">`, `<svg><a href="{click ${U}}">`],
    [`<p>a < b<a href="${U}">`, `<p>a < b<a href="{click ${U}}">`],
    [`<a href=${U}>x</a><b>`, `<a href="{click ${U}}">x</a><b>`],
  ] as const) {
    assert.equal(html(given), wanted);
  }
});

test('section 5: what is left exactly as it was', () => {
  for (const text of [
    '<a name="x">',
    `<link href="${U}">`,
    `<base href="${U}">`,
    `<form action="${U}"><button formaction="${U}">`,
    `<img src="${U}"><iframe src="${U}"></iframe><video src="${U}"><source src="${U}">`,
    `<meta http-equiv="refresh" content="0; url=${U}">`,
    `<td background="${U}" style="background:url(${U})">`,
    `<svg><a xlink:href="${U}">`,
    `<a data-href="${U}">`,
    `<abbr href="${U}">`,
    `<!-- <a href="${U}"> -->`,
    `<!--[if mso]><a href="${U}"><v:roundrect href="${U}"><![endif]-->`,
    `<!--><!---><!-- a --!>`,
    `<style>a{b:"<a href=${U}>"}</style>`,
    `<script>"<a href='${U}'>"</script>`,
    `<TEXTAREA><a href="${U}"></textarea>`,
    `<title><a href="${U}"></title>`,
    `<noscript><a href="${U}"></noscript>`,
    `<xmp><a href="${U}"></xmp>`,
    `<![CDATA[<a href="${U}">]]>`,
    `<? <a href="${U}" ?`,
    `</a href="${U}">`,
    `<a href="${U}`,
    `<a href="${U}"`,
    `<style><a href="${U}"></a>`,
    `<!-- <a href="${U}">`,
    `< a href="${U}">`,
    `&lt;a href="${U}">`,
    '<',
    '<a',
    '',
  ]) {
    assert.equal(html(text), text);
  }
  assert.equal(html(`<style></style x><a href="${U}">`), `<style></style x><a href="{click ${U}}">`);
  assert.equal(
    html(`<style></styles></style><a href="${U}">`),
    `<style></styles></style><a href="{click ${U}}">`,
  );
  assert.equal(html(`<!-- > --><a href="${U}">`), `<!-- > --><a href="{click ${U}}">`);
  assert.equal(
    html(`<!-- -------- > --- --------!><a href="${U}">`),
    `<!-- -------- > --- --------!><a href="{click ${U}}">`,
  );
  assert.equal(html(`<!----------><a href="${U}">`), `<!----------><a href="{click ${U}}">`);
});

test('each of several links is judged for itself, whatever host the one before it had', () => {
  const links = [
    [U, true],
    ['https://shop.example/\0x', false],
    ['https://shop.example.bad host/', false],
    ['https://shop.example', true],
    ['https://shop.example?b', true],
    ['https://shop.example\\@evil.example/', false],
    ['https://shop.example:99999/', false],
    ['https://ada@shop.example/', false],
    [U, true],
    ['https:///?', false],
    ['https:///shop.example', true],
    ['https:///?', false],
    ['https://track.test/other', true],
    ['https://track.test/f/a/x', false],
  ] as const;
  assert.equal(
    html(links.map(([href]) => `<a href="${href}">`).join('')),
    links.map(([href, wrapped]) => `<a href="${wrapped ? `{click ${href}}` : href}">`).join(''),
  );
});

test('section 5: conditional comments on request', () => {
  const text = `<!--[if mso]><v:roundrect xmlns:v="u" href="${U}"><a href='${U}'></v:roundrect><![endif]--><a href="${U}">`;
  assert.equal(
    html(text, { msoConditionals: true }),
    text
      .replace(`"${U}"><a href='${U}'`, `"{click ${U}}"><a href="{click ${U}}"`)
      .replace(`<a href="${U}">`, `<a href="{click ${U}}">`),
  );
  const revealed = `<!--[if !mso]><!--><a href="${U}"><!--<![endif]-->`;
  assert.equal(html(revealed), revealed.replace(U, `{click ${U}}`), 'what all readers see is no comment');
});

test('section 5: targets', () => {
  for (const [href, target] of [
    ['HTTPS://Shop.Example/A', 'HTTPS://Shop.Example/A'],
    [' https://shop.example/a\t ', U],
    ['https://shop.\nexample/a', U],
    ['https://shop.example/?a=1&amp;b=2&c=3#f', 'https://shop.example/?a=1&b=2&c=3#f'],
    ['https://shop.example/?a=1&copy=2&reg1', 'https://shop.example/?a=1&copy=2&reg1'],
    ['https://shop.example/?a=&quot;&#39;&#x26;&lt', 'https://shop.example/?a="\'&<'],
    ['https://shop.example/?q=gr&uuml;n', 'https://shop.example/?q=grün'],
    ['https&colon;//shop.example/a', U],
    ['https://grün.example/ä b', 'https://grün.example/ä b'],
    ['https://shop.example/{{path}}', 'https://shop.example/{{path}}'],
    ['http://track.test/other/', 'http://track.test/other/'],
    ['http://192.0.2.1:8080/', 'http://192.0.2.1:8080/'],
    ['http://[2001:db8::1]/', 'http://[2001:db8::1]/'],
    [`https://shop.example/${'a'.repeat(4096 - 21)}`, `https://shop.example/${'a'.repeat(4096 - 21)}`],
  ] as const) {
    const [link] = openUrls(
      ring,
      track(ring, Buffer.from(`${HEAD}<a href="${href}">`), { opens: false, initialOpens: false })
        .content.toString()
        .replace(/=\r\n/g, '')
        .replace(/=3D/g, '='),
    );
    assert.equal(link?.token.target, target, href);
  }
  for (const href of [
    'mailto:a@b.example',
    'tel:+1',
    'sms:1',
    'callto:x',
    'data:text/html,x',
    'cid:x',
    'javascript:alert(1)',
    'ftp://a.example/',
    'webcal://a.example/',
    'app://a.example/',
    '#top',
    '',
    'page.html',
    '/page.html',
    '//shop.example/a',
    'http://',
    'http:///',
    'https:shop.example',
    'http://shop example/',
    'http://a:99999/',
    'http://user:pw@shop.example/',
    'http://user@shop.example/',
    'http://good.example\\@evil.example/',
    `https://shop.example/${'a'.repeat(4096 - 20)}`,
    'https://track.test/f/a/xyz',
    'https://TRACK.test:443/q/xyz',
    'http://track.test:80/u/xyz',
    'https://{{host}}/',
    '{{scheme}}://shop.example/',
    'https://%%host%%/',
    'https://*|HOST|*/x',
    'https://shop.example/?a=&unknownreference;',
  ]) {
    assert.equal(html(`<a href="${href}">`), `<a href="${href}">`, href);
  }
});

test('section 5: excluded domains and the List-Unsubscribe address', () => {
  const options = { excludeDomains: ['no.example', '*.shop.example'] };
  for (const [url, wrapped] of [
    ['https://no.example/x', false],
    ['https://NO.example:8443/x', false],
    ['https://a.no.example/', true],
    ['https://eu.shop.example/', false],
    ['https://shop.example/', true],
    ['https://no.example.evil.example/', true],
  ] as const) {
    assert.equal(html(`<a href="${url}">`, options) !== `<a href="${url}">`, wrapped, url);
  }
  const raw = Buffer.from(
    `List-Unsubscribe: <mailto:x@b.example>,\r\n <${U}>\r\n${HEAD}<a href="${U}"><a href="${U}b">`,
  );
  const text = readable(ring, track(ring, raw, { opens: false, initialOpens: false }).content.toString());
  assert.ok(text.endsWith(`<a href="${U}"><a href="{click ${U}b}">`));
});

test('section 5.1: data-msys attributes steer and disappear', () => {
  for (const [given, wanted] of [
    [`<a data-msys-clicktrack="0" href="${U}">`, `<a href="${U}">`],
    [`<a href="${U}" data-msys-clicktrack=0>`, `<a href="${U}">`],
    [`<a href="${U}" data-msys-clicktrack="1">`, `<a href="{click ${U}}">`],
    [`<a href="${U}" data-msys-clicktrack="">`, `<a href="{click ${U}}">`],
    [`<a DATA-MSYS-LINKNAME="Gr&uuml;&szlig;e" href="${U}">`, `<a href="{click ${U} "Grüße"}">`],
    [`<a data-msys-link-name="x" href="${U}">`, `<a href="{click ${U} "x"}">`],
    [`<a data-msys-unsubscribe="1" href="${U}">`, `<a href="{click ${U} unsubscribe}">`],
    [`<a data-msys-unsubscribe="0" href="${U}">`, `<a href="{click ${U}}">`],
    [`<a data-msys-sublink="open/me" href="${U}">`, `<a href="{click ${U}}">`],
    [`<a data-msys-sublink=".." href="${U}">`, `<a href="{click ${U}}">`],
    [`<a data-msys-sublink="open-app.v2" href="${U}">`, `<a href="{click ${U} /open-app.v2}">`],
    [`<a data-msys-sublink="${'x'.repeat(65)}" href="${U}">`, `<a href="{click ${U}}">`],
    [`<a data-msys-linkname="a"href="${U}"data-msys-clicktrack='0'class=x>`, `<a href="${U}" class=x>`],
    [
      `<a  data-msys-linkname="a"\r\n data-msys-unsubscribe="1"\r\n href="mailto:x">`,
      `<a\r\n href="mailto:x">`,
    ],
    [`<a/data-msys-linkname=a/href="${U}">`, `<a/>`],
    ['<a name=x data-msys-linkname>', '<a name=x>'],
    ['<p data-msys-linkname="x">', '<p>'],
    [`<a data-msys-other="x" href="mailto:x">`, `<a data-msys-other="x" href="mailto:x">`],
  ] as const) {
    assert.equal(html(given), wanted, given);
  }
});

test('section 5.1: names are cut to 63 octets between characters', () => {
  const [link] = openUrls(
    ring,
    track(ring, Buffer.from(`${HEAD}<a data-msys-linkname="${'é'.repeat(40)}" href="${U}">`), {
      opens: false,
      initialOpens: false,
    }).content.toString(),
  );
  assert.equal(link!.token.linkName, 'é'.repeat(31));
});

test('section 7: where pixels go', () => {
  const top = '[{initial_open}]';
  const bottom = '{open}';
  for (const [given, wanted] of [
    ['<html><head></head><body>x</body></html>', `<html><head></head><body>${top}x${bottom}</body></html>`],
    ['<BODY CLASS="a>b">x</BODY >', `<BODY CLASS="a>b">${top}x${bottom}</BODY >`],
    ['<head></head>x', `<head></head>${top}x${bottom}`],
    ['<html lang=en>x</html>', `<html lang=en>${top}x${bottom}</html>`],
    ['<!doctype html>\r\n<!-- c -->\r\n<p>x', `<!doctype html>\r\n<!-- c -->${top}\r\n<p>x${bottom}`],
    ['\ufeff<p>x', `\ufeff${top}<p>x${bottom}`],
    ['x', `${top}x${bottom}`],
    ['', `${top}${bottom}`],
    [
      '<!-- <body> --><body>x<!-- </body> --></body><!-- </body> -->',
      `<!-- <body> --><body>${top}x<!-- </body> -->${bottom}</body><!-- </body> -->`,
    ],
    ['<style><body></style><body>x', `<style><body></style><body>${top}x${bottom}`],
    ['<body>a<body>b</body>c</body>d', `<body>${top}a<body>b</body>c${bottom}</body>d`],
    ['</body><body>x', `</body><body>${top}x${bottom}`],
    ['<!--[if mso]><body><![endif]--><body>x', `<!--[if mso]><body><![endif]--><body>${top}x${bottom}`],
  ] as const) {
    assert.equal(pixels(given), wanted, given);
  }
  assert.equal(html('<body></body>', { opens: true }), `<body>${bottom}</body>`);
  assert.equal(html('<body></body>', { initialOpens: true }), `<body>${top}</body>`);
  assert.equal(
    html('<!--[if mso]><body><![endif]--><p>', { initialOpens: true, msoConditionals: true }),
    `<!--[if mso]><body><![endif]-->${top}<p>`,
  );
});

test('pixel markup: no alternative text, nothing to escape', () => {
  const { content } = track(ring, Buffer.from(`${HEAD}<body>x</body>`));
  const text = content.toString();
  for (const [tag] of text.matchAll(/<img[^>]*>/g))
    assert.match(tag, /^<img border="0" width="1" height="1" alt="" src="[^"&]+"\/?>$/);
  assert.equal(text.match(/<img/g)!.length, 2);
});

test('rewriting twice changes nothing more', () => {
  const first = track(ring, Buffer.from(`${HEAD}<a data-msys-linkname=x href="${U}">`), {
    opens: false,
    initialOpens: false,
  });
  const second = track(ring, first.content, { opens: false, initialOpens: false });
  assert.equal(second.changed, false);
  assert.equal(second.content, first.content);
});

test('fuzz: any octets, bounded output, everything else in place', () => {
  const words = [
    '<',
    '>',
    '"',
    "'",
    '=',
    '/',
    '!',
    '--',
    '-->',
    '<!--',
    '<a ',
    '<a href=',
    U,
    ' ',
    '\r\n',
    'data-msys-linkname',
    '<style>',
    '</style',
    '<body',
    '</body>',
    '<![CDATA[',
    ']]>',
    '&amp;',
    '<!--[if mso]>',
    'é',
    '\0',
    'script',
    '<script>',
    '{{',
  ];
  let seed = 7;
  const random = (n: number) => {
    seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
    return seed % n;
  };
  for (let round = 0; round < 600; round++) {
    let text = '';
    for (let i = random(40); i >= 0; i--) text += words[random(words.length)];
    const tracked = track(ring, Buffer.from(HEAD + text), {
      opens: false,
      initialOpens: false,
      msoConditionals: round % 2 === 0,
    });
    assert.equal(tracked.skipped, undefined);
    const out = decodedParts(tracked.content)[0]!.bytes.toString();
    assert.ok(out.length <= text.length + tracked.links.length * 400);
    // Taking our URLs out again leaves the given text, less quotes around them and our attributes.
    const bare = (s: string) => s.replace(/ ?data-msys-linkname|["'\s]/g, '');
    let restored = out;
    for (const { url, token } of openUrls(ring, out)) restored = restored.replace(url, token.target);
    if (!text.includes('data-msys') && !text.includes('\r\n') && !text.includes('&amp;'))
      assert.equal(bare(restored), bare(text));
    const again = track(ring, tracked.content, {
      opens: false,
      initialOpens: false,
      msoConditionals: round % 2 === 0,
    });
    assert.equal(
      openUrls(ring, decodedParts(again.content)[0]!.bytes.toString()).length,
      openUrls(ring, out).length,
      'no link is wrapped twice',
    );
  }
});

test('time is linear in hostile text', () => {
  // Each would take minutes if some search started again at every octet.
  const size = 1_000_000;
  for (const unit of [
    '<',
    '<a ',
    '<a href="',
    '<!--',
    '<!--[if ',
    '<![CDATA[>',
    '</',
    '<style>',
    '<a a=a',
    '&amp',
    '<a href=https://a.example/&',
    '<!--[if x]>--',
    '[[data-msys-',
    'http://',
    '-- ',
  ]) {
    const raw = crlf(
      `From: a@b.example\nContent-Type: text/html\n\n${unit.repeat(Math.floor(size / unit.length))}`,
    );
    track(ring, raw, { msoConditionals: true, maxSize: 2 * size });
    const plain = crlf(
      `From: a@b.example\nContent-Type: text/plain\n\n${unit.repeat(Math.floor(size / unit.length / 10))}`,
    );
    track(ring, plain, { textLinks: true });
  }
});
