// Hostile clients against the whole program: each gets a defined reply, costs a bounded amount, and disturbs nobody.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { after, before, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import type { TLSSocket } from 'node:tls';
import type { ReceivedMessage } from '../src/smtp/index.ts';
import { flood, type Stage, shout, startStage } from './hostile.ts';
import { until } from './program.ts';

let stage: Stage;

before(async () => {
  stage = await startStage({
    source: `
    allow-mailmerge yes
    process-x-virtual-mta yes
    smtp-command-timeout 5s
    smtp-data-timeout 5s
    max-message-size 64M`,
    config: (_, dir) => `
<virtual-mta __proto__>
</virtual-mta>
<bounce-processor>
    deliver-matched-email no
    deliver-unmatched-email yes
    <address-list>
        domain bounces.test
        address bounce@next.test
    </address-list>
</bounce-processor>
<feedback-loop-processor>
    deliver-matched-email no
    deliver-unmatched-email yes
    <address-list>
        address fbl@next.test
    </address-list>
</feedback-loop-processor>
<domain bounces.test>
    type discard
</domain>
<domain void.test>
    type discard
</domain>
# ${dir}
`,
  });
});
after(() => stage.stop());

const got = (words: string): ReceivedMessage[] =>
  stage.received.filter(({ content }) => content.includes(words));

// Smuggling

/** Ends of data that some server somewhere takes for one (CVE-2023-51764, -51765, -51766 and their kin). */
const FALSE_ENDS = [
  ...['\n.\n', '\n.\r\n', '\n.\r', '\r.\r', '\r.\r\n', '\r.\n', '\r\n.\n', '\r\n.\r', '\r\n.\r\r\n'],
  ...['\r\r\n.\r\r\n', '\r\r\n.\r\n', '\n\n.\n\n', '\r\n\r.\r\n', '\r\n\n.\r\n', '\r\n.\0\r\n'],
  ...['\r\n\0.\r\n', '\r\n.\r\0\n', '\r\n\0.\0\r\n', '\r\n. \r\n', '\r\n.\t\r\n', '\r\n .\r\n'],
  ...['\r\n..\r\n', '\r\n..\n', '\n..\n', '\r\n...\r\n', '\x85.\x85', '\u2028.\u2028', '\r\n\uff0e\r\n'],
];
const INNER =
  'MAIL FROM:<forged@victim.test>\r\nRCPT TO:<x@next.test>\r\nDATA\r\nSubject: forged\r\n\r\nforged\r\n.\r\n';

test('no spelling of the end of data lets a second message through, by DATA or by BDAT', async (t) => {
  for (const [n, end] of FALSE_ENDS.entries()) {
    const mark = `smuggle-${n}-`;
    const content = Buffer.from(`Subject: ${mark}\r\n\r\nfirst${end}${INNER}`);
    const envelope = 'EHLO c\r\nMAIL FROM:<a@client.test>\r\nRCPT TO:<k@next.test>\r\n';
    const data = Buffer.concat([Buffer.from(`${envelope}DATA\r\n`), content, Buffer.from('.\r\nQUIT\r\n')]);
    const chunk = Buffer.concat([
      Buffer.from(`${envelope}BDAT ${content.length} LAST\r\n`),
      content,
      Buffer.from('QUIT\r\n'),
    ]);
    for (const bytes of [data, chunk]) {
      const said = await shout(t, stage.port, bytes);
      // The first message is taken whole or refused; whatever the client says after its true end is its own affair.
      assert.match(said, /^(?:250 2\.0\.0 message accepted|550 5\.6\.11 )/m, JSON.stringify(end));
    }
  }
  await stage.unharmed(t);
  for (const { envelope, content } of stage.received) {
    const whole = content.includes('Subject: smuggle-');
    // Its own envelope was heard only where the first message was over by the rules: CR LF . CR LF.
    if (envelope.from.address === 'forged@victim.test') assert.ok(!whole);
    else if (whole) assert.equal(envelope.recipients[0]!.address, 'k@next.test');
  }
  const forged = stage.received.filter(({ envelope }) => envelope.from.address === 'forged@victim.test');
  const trueEnds = FALSE_ENDS.filter((end) => end.includes('\r\n.\r\n'));
  assert.equal(forged.length, trueEnds.length);
});

// TLS

test('commands that come before the TLS handshake are forgotten; AUTH among them signs nobody in', async (t) => {
  const injected = [
    'EHLO evil\r\nMAIL FROM:<injected@client.test>\r\nRCPT TO:<injected@next.test>\r\n',
    `EHLO evil\r\nAUTH PLAIN ${Buffer.from('\0python\0opensesame').toString('base64')}\r\n`,
    'RSET\r\n',
    'DATA\r\nsome\r\n.\r\n',
    '\x16\x03\x01',
    'EHLO',
  ];
  for (const words of injected) {
    const peer = await stage.session(t);
    peer.write(`MAIL FROM:<early@client.test>\r\nSTARTTLS\r\n${words}`);
    assert.match(await peer.text(), /^250 /);
    assert.match(await peer.text(), /^220 /);
    await peer.secure();
    // The next word is the answer to ours: not one injected command was heard.
    assert.match(await peer.ask('RCPT TO:<injected@next.test>'), /^503 /);
    assert.match(await peer.ask('EHLO c'), /^250 mta\.posthorn\.test/);
    assert.match(await peer.ask('AUTH PLAIN AGEAYg=='), /^535 /);
    peer.write('QUIT\r\n');
    await peer.end();
  }
  await stage.unharmed(t);
});

test('garbage for a handshake, a handshake that never goes on, renegotiation without end', async (t) => {
  const garbage = ['GET / HTTP/1.1\r\n\r\n', '\x16\x03\x01\xff\xff', '\0'.repeat(20_000), '\x16\x03\x03\0\0'];
  for (const bytes of garbage) {
    const peer = await stage.session(t);
    assert.match(await peer.ask('STARTTLS'), /^220 /);
    peer.socket.removeAllListeners('data');
    peer.write(Buffer.from(bytes, 'latin1'));
    if (bytes.length > 10) await peer.end();
  }
  const peer = await stage.session(t);
  assert.match(await peer.ask('STARTTLS'), /^220 /);
  await peer.secure({ maxVersion: 'TLSv1.2' });
  const socket = peer.socket as TLSSocket;
  let rounds = 0;
  for (; rounds < 50 && !socket.destroyed; rounds++) {
    const failed = await new Promise<Error | null>((resolve) => {
      socket.once('close', () => resolve(new Error('closed')));
      if (!socket.renegotiate({ rejectUnauthorized: false }, resolve)) resolve(new Error('refused'));
    });
    if (failed) break;
  }
  assert.ok(rounds < 10, `${rounds} renegotiations were taken`);
  socket.destroy();
  await stage.unharmed(t);
});

// Time

test('one byte a second: command and content have limits that single bytes do not renew', async (t) => {
  const command = await stage.session(t);
  const content = await stage.session(t);
  for (const line of ['MAIL FROM:<a@client.test>', 'RCPT TO:<slow@next.test>', 'DATA'])
    await content.ask(line);
  const many = Array.from({ length: 200 }, () => connect({ port: stage.port, host: '127.0.0.1' }));
  t.after(() => {
    for (const socket of many) socket.destroy();
  });
  for (const socket of many) socket.on('error', () => {}).resume();
  let stop = false;
  const drip = (async () => {
    for (const byte of 'MAIL FROM:<aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa') {
      if (stop) break;
      if (!command.closed) command.write(byte);
      for (const socket of many) socket.write('E');
      await wait(200);
    }
  })();
  await stage.ordinary(t);
  assert.match(await command.text(), /^421 4\.4\.2 /);
  await command.end();
  // Silence in the middle of content.
  content.write('Subject: slow\r\n\r\nnever ends');
  assert.match(await content.text(), /^421 4\.4\.2 /);
  await content.end();
  await until(() => many.every((socket) => socket.closed || socket.readableEnded || socket.destroyed));
  stop = true;
  await drip;
  await stage.unharmed(t);
  assert.equal(got('Subject: slow').length, 0);
});

test('closing the connection at every byte of a session: only what was acknowledged, or whole, is taken', async (t) => {
  const before = stage.received.length;
  const good =
    'EHLO c\r\nMAIL FROM:<a@client.test> ENVID=x\r\nRCPT TO:<prefix@next.test> NOTIFY=NEVER\r\nDATA\r\nSubject: prefix\r\n\r\nHello\r\n.\r\n';
  const cut = async (length: number, how: 'end' | 'reset') => {
    const socket = connect({ port: stage.port, host: '127.0.0.1' });
    t.after(() => socket.destroy());
    socket.on('error', () => {});
    socket.resume();
    await once(socket, 'connect');
    socket.write(good.slice(0, length));
    if (how === 'end') socket.end();
    else socket.resetAndDestroy();
    await once(socket, 'close');
  };
  for (let length = 0; length < good.length; length += 16) {
    await Promise.all(
      Array.from({ length: Math.min(16, good.length - length) }, async (_, i) => {
        await cut(length + i, 'end');
        await cut(length + i, 'reset');
      }),
    );
  }
  await stage.unharmed(t);
  assert.equal(got('Subject: prefix\r\n').length, 0);
  await cut(good.length, 'end');
  await until(() => got('Subject: prefix\r\n').length === 1);
  assert.ok(stage.received.length > before);
});

// Sizes

function* repeated(piece: (n: number) => string, times: number, first: string, last: string) {
  yield first;
  let pieces = '';
  for (let n = 0; n < times; n++) {
    pieces += piece(n);
    if (pieces.length > 65_536) {
      yield pieces;
      pieces = '';
    }
  }
  yield pieces + last;
}

const BEGIN = 'EHLO c\r\nMAIL FROM:<a@client.test>\r\n';

test('1,000,000 recipients: 50,000 are taken, each further one gets 452, others submit meanwhile', async (t) => {
  const flooding = flood(
    t,
    stage.port,
    repeated((n) => `RCPT TO:<r${n}@void.test>\r\n`, 1_000_000, BEGIN, 'RSET\r\nQUIT\r\n'),
  );
  await stage.ordinary(t);
  const { codes } = await flooding;
  assert.equal(codes.get('452'), 950_000);
  assert.equal(codes.get('250'), 50_000 + 3);
  assert.equal(codes.get('221'), 1);
  await stage.unharmed(t);
});

test('10,000 commands that do not exist: the session ends at the 20th', async (t) => {
  const { codes, last } = await flood(t, stage.port, ['EHLO c\r\n', 'XYZZY\r\n'.repeat(10_000)]);
  assert.equal(codes.get('500'), 20);
  assert.match(last, /^421 4\.7\.0 /);
  await stage.unharmed(t);
});

test('a command line without end, AUTH of 1 MB, controls and 8-bit in commands', async (t) => {
  const long = await shout(t, stage.port, `EHLO c\r\nMAIL FROM:<${'a'.repeat(1_000_000)}`);
  assert.match(long, /\r\n500 5\.5\.6 [^\r]*\r\n$/);
  const auth = await shout(t, stage.port, `EHLO c\r\nAUTH CRAM-MD5\r\n${'A'.repeat(1_000_000)}\r\n`);
  assert.match(auth, /\r\n500 5\.5\.6 [^\r]*\r\n$/);
  const argument = await shout(t, stage.port, `EHLO c\r\nAUTH PLAIN ${'A'.repeat(1_000_000)}\r\n`);
  assert.match(argument, /\r\n500 5\.5\.6 [^\r]*\r\n$/);
  const wrong: [string, RegExp][] = [
    ['MAIL FROM:<a@b\0.test>', /^500 /],
    ['MAIL FROM:<a\x1b[2J@b.test>', /^500 /],
    ['MAIL FROM:<a@b.test>\rRCPT TO:<x@y.test>', /^500 /],
    ['MAIL FROM:<a\x80@b.test>', /^5\d\d /],
    [`MAIL FROM:<${'a'.repeat(10_000)}@b.test>`, /^5\d\d /],
    [`EHLO ${'a'.repeat(300)}`, /^501 /],
    ['EHLO a b', /^501 /],
    ['MAIL FROM:<a@client.test> ENVID=x+0D+0AInjected', /^501 /],
    [`MAIL FROM:<a@client.test> ENVID=${'x'.repeat(101)}`, /^501 /],
    ['MAIL FROM:<a@client.test> SIZE=-1', /^501 /],
    ['MAIL FROM:<a@client.test> SIZE=99999999999999999999', /^5\d\d /],
    ['MAIL FROM:<a@client.test> __proto__=x', /^5\d\d /],
  ];
  for (const [line, expected] of wrong) {
    const peer = await stage.session(t);
    peer.write(Buffer.from(`${line}\r\n`, 'latin1'));
    assert.match(await peer.text(), expected, line.slice(0, 60));
    peer.socket.destroy();
  }
  const peer = await stage.session(t);
  await peer.ask('MAIL FROM:<a@client.test>');
  const recipients: [string, RegExp][] = [
    [`RCPT TO:<${'a'.repeat(3000)}@next.test>`, /^5\d\d /],
    [`RCPT TO:<a@${'b.'.repeat(1000)}test>`, /^5\d\d /],
    ['RCPT TO:<a@next.test> ORCPT=rfc822;x+0D+0ARcpt', /^501 /],
    ['RCPT TO:<a@next.test> ORCPT=rfc822;x+00', /^501 /],
    ['RCPT TO:<a@next.test> NOTIFY=__proto__', /^501 /],
    ['RCPT TO:<@relay.test,@other.test:source-route@next.test>', /^[25]\d\d /],
    ['RCPT TO:<a!b%c@d.test@next.test>', /^553 /],
    ['RCPT TO:<>', /^5\d\d /],
    ['RCPT TO:<|/bin/sh@next.test>', /^[25]\d\d /],
  ];
  for (const [line, expected] of recipients) assert.match(await peer.ask(line), expected, line.slice(0, 60));
  peer.socket.destroy();
  await stage.unharmed(t);
});

test('BDAT: no size, negative, huge, LAST twice, DATA in the middle', async (t) => {
  const envelope = `${BEGIN}RCPT TO:<bdat@next.test>\r\n`;
  const lost: [string, RegExp][] = [
    ['BDAT\r\n', /\r\n501 5\.5\.4 [^\r]*\r\n$/],
    ['BDAT -1\r\n', /\r\n501 5\.5\.4 [^\r]*\r\n$/],
    ['BDAT 1e9\r\n', /\r\n501 5\.5\.4 [^\r]*\r\n$/],
    ['BDAT 99999999999999999999 LAST\r\n', /\r\n501 5\.5\.4 [^\r]*\r\n$/],
    // More than anybody may send is refused at once: nothing of it has to be read.
    ['BDAT 999999999999999 LAST\r\nxxx', /\r\n552 5\.3\.4 [^\r]*\r\n$/],
  ];
  for (const [words, expected] of lost) {
    assert.match(await shout(t, stage.port, envelope + words), expected, words.slice(0, 40));
  }
  assert.match(await shout(t, stage.port, 'EHLO c\r\nBDAT 999999999999999\r\nxxx'), /\r\n5\d\d [^\r]*\r\n$/);
  const twice = await shout(
    t,
    stage.port,
    `${envelope}BDAT 2 LAST\r\n\r\nBDAT 2 LAST\r\n\r\nNOOP\r\nQUIT\r\n`,
  );
  assert.match(
    twice,
    /\r\n250 2\.0\.0 message accepted[^\r]*\r\n503 [^\r]*\r\n250 [^\r]*\r\n221 [^\r]*\r\n$/,
  );
  const mixed = await shout(t, stage.port, `${envelope}BDAT 2\r\n\r\nDATA\r\nNOOP\r\nQUIT\r\n`);
  assert.match(mixed, /\r\n250 [^\r]*\r\n503 [^\r]*\r\n250 [^\r]*\r\n221 [^\r]*\r\n$/);
  await stage.unharmed(t);
});

async function submit(
  t: Parameters<Stage['session']>[0],
  recipients: readonly string[],
  content: string | Buffer,
): Promise<string> {
  const peer = await stage.session(t);
  const bytes = typeof content === 'string' ? Buffer.from(content, 'latin1') : content;
  const rcpt = recipients.map((address) => `RCPT TO:<${address}>\r\n`).join('');
  peer.write(`MAIL FROM:<a@client.test>\r\n${rcpt}BDAT ${bytes.length} LAST\r\n`);
  peer.write(bytes);
  for (let replies = recipients.length + 1; replies > 0; replies--) assert.match(await peer.text(), /^250 /);
  const answer = await peer.text();
  peer.write('QUIT\r\n');
  return answer;
}

test('100,000 header lines, a header line of 1 MB, headers called __proto__: passed on as they came', async (t) => {
  const lines = `${'X-Line: 1\r\n'.repeat(100_000)}Subject: many lines\r\n\r\nHello\r\n`;
  const long = `Subject: one long line\r\nX-Long: ${'x'.repeat(1_000_000)}\r\n\r\nHello\r\n`;
  const names =
    '__proto__: polluted\r\nconstructor: polluted\r\ntoString: polluted\r\nX-Job: constructor\r\nX-Virtual-MTA: __proto__\r\nX-Envid: constructor\r\nSubject: names\r\n\r\nHello\r\n';
  for (const content of [lines, long, names]) {
    assert.match(await submit(t, ['k@next.test'], content), /^250 /);
  }
  await until(() =>
    ['many lines', 'one long line', 'names'].every((s) => got(`Subject: ${s}\r\n`).length === 1),
  );
  assert.ok(got('Subject: many lines\r\n')[0]!.content.toString('latin1').endsWith(lines));
  assert.ok(got('Subject: one long line\r\n')[0]!.content.toString('latin1').endsWith(long));
  await until(async () => (await stage.records('d')).some((row) => row.get('jobId') === 'constructor'));
  const row = (await stage.records('d')).find((one) => one.get('jobId') === 'constructor')!;
  assert.equal(row.get('vmta'), '__proto__');
  assert.equal(row.get('envId'), 'constructor');
  assert.equal(row.get('header___proto__'), 'polluted');
  assert.equal(row.get('header_constructor'), 'polluted');
  await stage.unharmed(t);
});

function deepMultipart(depth: number): string {
  let open = '';
  let close = '';
  for (let i = 0; i < depth; i++) {
    open += `Content-Type: multipart/mixed; boundary=b${i}\r\n\r\n--b${i}\r\n`;
    close = `\r\n--b${i}--${close}`;
  }
  return `Subject: deep multipart\r\nMIME-Version: 1.0\r\n${open}\r\nx${close}\r\n`;
}

test('multipart 10,000 deep and messages in messages 1,000 deep, to people, bounce and complaint processors', async (t) => {
  const everybody = ['k@next.test', 'bounce@next.test', 'fbl@next.test'];
  assert.match(await submit(t, everybody, deepMultipart(10_000)), /^250 /);
  const messages = `Subject: deep messages\r\n${'Content-Type: message/rfc822\r\n\r\n'.repeat(1_000)}x\r\n`;
  assert.match(await submit(t, everybody, messages), /^250 /);
  const report = `Subject: deep report\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\n${'Content-Type: message/rfc822\r\n\r\n'.repeat(1_000)}x\r\n--b--\r\n`;
  assert.match(await submit(t, everybody, report), /^250 /);
  await until(
    () => got('Subject: deep multipart\r\n').length >= 1 && got('Subject: deep messages\r\n').length >= 1,
  );
  await stage.unharmed(t);
});

test('one report to 5,000 addresses of the bounce processor is read once', async (t) => {
  const block = 'Final-Recipient: rfc822; gone@client.test\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n';
  const report = `Subject: report\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\n\r\n${'y\r\n'.repeat(1_000_000)}\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; evil.test\r\n\r\n${block.repeat(10)}\r\n--b--\r\n`;
  const recipients = Array.from({ length: 5_000 }, (_, n) => `b${n}@bounces.test`);
  const before = (await stage.records('rb')).length;
  const answer = submit(t, recipients, report);
  assert.match(await answer, /^[245]\d\d /);
  await stage.unharmed(t);
  await until(async () => (await stage.records('rb')).length >= before + 10);
});

// Words

test('what a client says stands in Received, records and log as words, and makes no line of its own', async (t) => {
  const peer = await stage.session(t);
  for (const helo of ['x\x1b[2J', 'x"><script>', 'x,y,"z"', 'x)by(mta.posthorn.test'])
    await peer.ask(`EHLO ${helo}`);
  const lines: [string, RegExp][] = [
    ['EHLO x;by,"mta".test', /^250 /],
    ['MAIL FROM:<"a,b\\"c"@client.test> ENVID=QQ,"x";+3Cscript+3E', /^250 /],
    ['RCPT TO:<words@next.test> ORCPT=rfc822;"a,b"+22+3Cscript+3E@y.test', /^250 /],
    ['DATA', /^354 /],
  ];
  for (const [line, expected] of lines) assert.match(await peer.ask(line), expected, line);
  const head = [
    'Subject: =?utf-8?q?words=0D=0AX-Injected:_yes=1B[2J=00?=',
    'From: =?utf-8?q?=0D=0AX-Injected:_yes?= <a@client.test>',
    'X-Job: a,b"c`d\x1b[2J é \t x',
    'X-Envid: bad\x00id',
    'X-Odd: \x1b]0;owned\x07 \x9b31m',
  ];
  assert.match(await peer.ask(`${head.join('\r\n')}\r\n\r\nHello\r\n.`), /^250 /);
  await stage.ordinary(t);
  await until(async () => (await stage.records('d')).some((row) => row.get('rcpt') === 'words@next.test'));
  const row = (await stage.records('d')).find((one) => one.get('rcpt') === 'words@next.test')!;
  assert.equal(row.get('orig'), '"a,b\\"c"@client.test');
  assert.equal(row.get('orcpt'), '"a,b""<script>@y.test');
  assert.match(row.get('jobId')!, /^[!-~]+$/);
  assert.match(row.get('envId')!, /^[ -~]*$/);
  const [message] = got('Subject: =?utf-8?q?words');
  const fields = message!.content
    .toString('latin1')
    .split('\r\n\r\n', 1)[0]!
    .split(/\r\n(?![ \t])/);
  assert.match(fields[0]!, /^Received: from x;by,"mta"\.test \(\[127\.0\.0\.1\]\)/);
  assert.ok(!fields.some((field) => field.startsWith('X-Injected')));
  for (const line of stage.accounting().split(/\r\n|[\r\n]/))
    assert.match(line, /^(?:type|r|d|b|t|tq|rb|rs|f),|^\{|^$/);
  for (const line of stage.log().split(/\r\n|[\r\n]/))
    assert.match(line, /^20\d\d-\d\d-\d\d [\d:]{8} \w+: |^$/);
  assert.doesNotMatch(stage.log(), /[\x00-\x09\x0b-\x1f\x7f-\x9f]/);
  await stage.unharmed(t);
});

// Mail merge

test('mail merge: a million variables, parts without end, names of the prototype, a template that grows', async (t) => {
  const variables = await flood(
    t,
    stage.port,
    repeated(
      (n) => `XDFN v${n}=${'x'.repeat(20)}\r\n`,
      1_000_000,
      'EHLO c\r\nXMRG FROM:<a@client.test>\r\n',
      'QUIT\r\n',
    ),
  );
  assert.equal(variables.codes.get('250'), 1_000 + 2);
  assert.ok((variables.codes.get('552') ?? 0) + (variables.codes.get('501') ?? 0) > 0);
  const parts = await flood(
    t,
    stage.port,
    repeated(
      (n) => `XPRT ${n + 1}\r\nx\r\n.\r\n`,
      3_000,
      'EHLO c\r\nXMRG FROM:<a@client.test>\r\nRCPT TO:<parts@next.test>\r\n',
      'QUIT\r\n',
    ),
  );
  assert.equal(parts.codes.get('354'), 1_000);
  const peer = await stage.session(t);
  const said: [string, RegExp][] = [
    ['XMRG FROM:<a@client.test>', /^250 /],
    ['XDFN __proto__=x', /^501 /],
    ['XDFN constructor=c tostring=t valueof=v', /^250 /],
    ['XDFN *vmta=__proto__ *jobid="a b\x7f"', /^5\d\d /],
    ['XDFN *parts=1-99999999', /^501 /],
    [`XDFN bomb=${'b'.repeat(30_000)}`, /^250 /],
    ['RCPT TO:<merged@next.test>', /^250 /],
    ['XPRT 1 LAST', /^354 /],
  ];
  for (const [line, expected] of said) assert.match(await peer.ask(line), expected, line.slice(0, 60));
  // 30 kB for each of 100,000 places would be 3 GB.
  peer.write(
    `Subject: merged [constructor] [__proto__] [tostring]\r\n\r\n${'[bomb]\r\n'.repeat(100_000)}.\r\n`,
  );
  assert.match(await peer.text(), /^[25]\d\d /);
  await stage.ordinary(t);
  await until(async () => (await stage.records('b')).some((row) => row.get('rcpt') === 'merged@next.test'));
  await stage.unharmed(t);
});
