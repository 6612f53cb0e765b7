// A message that has gone through: its signature verifies, every part is intact, and only what was asked for differs.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, test } from 'node:test';
import { dkimVerify } from 'mailauth/lib/dkim/verify.js';
import nodemailer from 'nodemailer';
import { Header } from '../src/mail/header.ts';
import { leaves, parseMime } from '../src/mail/mime.ts';
import { decodeBase64, decodeQuotedPrintable } from '../src/mail/transfer-encoding.ts';
import { type Demo, startDemo } from './demo.ts';
import { until } from './program.ts';

let demo: Demo;
before(async () => {
  demo = await startDemo({ sink: true });
});
after(() => demo.stop());

const html = `<!DOCTYPE html>
<html><head><title>Grüße</title><style>a{color:red}</style></head>
<body class="x"><!-- <a href="https://shop.example/comment">no</a> -->
<p>Hello &amp; welcome, <a class=b href='https://shop.example/one?a=1&amp;b=2' data-msys-linkname="First">one</a>
<a href="https://shop.example/two" data-msys-clicktrack="0">two</a>
<A HREF="HTTPS://shop.example/three#part">three</A>
<a href="mailto:help@brand.test">mail</a> <a href="#top">top</a></p>
</body></html>`;
const text = 'Grüße aus München.\r\n.a line that begins with a dot\r\nhttps://shop.example/plain\r\n';
const attachment = Buffer.from(Array.from({ length: 5000 }, (_, i) => (i * 7919) & 0xff));

async function submit(extra: Record<string, unknown> = {}): Promise<string> {
  const transport = nodemailer.createTransport({
    host: '127.0.0.1',
    port: demo.ports.submission,
    requireTLS: true,
    tls: { rejectUnauthorized: false },
    auth: { user: 'demo', pass: demo.secrets.password },
  });
  const to = 'kim@accept.sink.test';
  const info = await transport.sendMail({
    from: '"Brand Ünits" <news@brand.test>',
    to,
    subject: 'Weekly news – ünïcode',
    text,
    html,
    attachments: [{ filename: 'data.bin', content: attachment }],
    headers: { 'X-Job': 'weekly', 'X-SP-Subaccount-Id': '7', 'X-Demo-Internal': 'secret', 'X-Kept': 'yes' },
    ...extra,
  });
  transport.close();
  return info.messageId.replace(/[<>]/g, '');
}

/** The message as the sink has it. */
async function received(messageId: string): Promise<Buffer> {
  const control = `http://127.0.0.1:${demo.ports.sinkControl}`;
  let id = '';
  await until(async () => {
    const { messages } = (await (await fetch(`${control}/v1/messages?limit=100`)).json()) as {
      messages: { id: string; mid: string }[];
    };
    id = messages.find(({ mid }) => mid === messageId)?.id ?? '';
    return id !== '';
  });
  return Buffer.from(
    await (await fetch(`${control}/v1/messages/${encodeURIComponent(id)}/raw`)).arrayBuffer(),
  );
}

/** An independent verifier, with the key from the configuration's own file instead of DNS. */
async function verify(raw: Buffer): Promise<string[]> {
  const resolver = async (name: string) => {
    assert.equal(name, 'posthorn._domainkey.brand.test');
    return [[`v=DKIM1; k=rsa; p=${demo.secrets.dkimPublicKey}`]];
  };
  const { results } = await dkimVerify(raw, { resolver: resolver as never });
  return results.map(({ status }) => `${status.result}${status.comment ? `: ${status.comment}` : ''}`);
}

function content(raw: Buffer, part: ReturnType<typeof parseMime>): Buffer {
  const body = raw.subarray(part.bodyStart, part.bodyEnd);
  if (part.encoding === 'base64') return decodeBase64(body);
  if (part.encoding === 'quoted-printable') return decodeQuotedPrintable(body).bytes;
  return body;
}

test('the signature verifies, and any change breaks it', async () => {
  const raw = await received(await submit());
  assert.deepEqual(await verify(raw), ['pass']);
  const at = raw.indexOf('Content-Type: text/html');
  const broken = Buffer.from(raw);
  const letter = raw.indexOf('welcome', at);
  broken[letter] = 0x57;
  const [result] = await verify(broken);
  assert.match(result!, /^(fail|neutral)/);
});

test('all parts are intact: only tracked links and pixels differ', async () => {
  const raw = await received(await submit());
  const parts = [...leaves(parseMime(raw))];
  assert.deepEqual(
    parts.map((part) => part.type),
    ['text/plain', 'text/html', 'application/octet-stream'],
  );
  const [plain, rich, file] = parts as [(typeof parts)[0], (typeof parts)[0], (typeof parts)[0]];
  assert.equal(content(raw, plain).toString().trimEnd(), text.trimEnd());
  const hash = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
  assert.equal(hash(content(raw, file)), hash(attachment));

  const tracked = content(raw, rich).toString();
  const base = `http://127.0.0.1:${demo.ports.tracker}`;
  const links = [...tracked.matchAll(/"(http:\/\/127\.0\.0\.1:\d+\/f\/a\/[\w-]+)"/g)].map((m) => m[1]!);
  assert.equal(links.length, 2, tracked);
  assert.ok(links.every((link) => link.startsWith(base)));
  assert.equal(
    [...tracked.matchAll(/<img [^>]*src="http:\/\/127\.0\.0\.1:\d+\/q\/[\w-]+"[^>]*>/g)].length,
    2,
  );
  // Take out what tracking put in, and the original is there, byte for byte.
  const restored = tracked
    .replace(/<div style="[^"]*"><img [^>]*\/q\/[^>]*><\/div>/, '')
    .replace(/<img [^>]*\/q\/[^>]*>/, '')
    .replace(`"${links[0]}"`, `'https://shop.example/one?a=1&amp;b=2' data-msys-linkname="First"`)
    .replace('data-msys-linkname="First">one', 'data-msys-linkname="First">one')
    .replace(
      '<a href="https://shop.example/two">',
      '<a href="https://shop.example/two" data-msys-clicktrack="0">',
    )
    .replace(links[1]!, 'HTTPS://shop.example/three#part');
  assert.equal(restored.replaceAll('\r\n', '\n').trimEnd(), html.trimEnd());
});

test('headers: control headers are gone, others stand as they were, ours are added on top', async () => {
  const raw = await received(await submit());
  const header = new Header(raw);
  for (const gone of ['X-Job', 'X-SP-Subaccount-Id', 'X-Demo-Internal'])
    assert.equal(header.get(gone), null, gone);
  assert.equal(header.get('X-Kept'), 'yes');
  const names = header.fields.map((field) => field.key);
  assert.equal(names[0], 'dkim-signature');
  assert.equal(names[1], 'received');
  const trace = header.get('received')!;
  assert.ok(!trace.includes('from '), `hide-message-source: ${trace}`);
  assert.match(
    trace,
    /with ESMTPSA id [0-9a-f]{16}\.[0-9a-f]{20}s\.[0-9a-f]{12} for <kim@accept\.sink\.test>/,
  );
});

test('a message without HTML is not touched below its headers', async () => {
  const raw = await received(await submit({ html: undefined, attachments: [] }));
  assert.ok(!raw.includes(`127.0.0.1:${demo.ports.tracker}`));
  assert.deepEqual(await verify(raw), ['pass']);
});
