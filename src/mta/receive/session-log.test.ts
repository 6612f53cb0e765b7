// What a source's log- directives write about a session, and limits of sessions that are not the protocol's own.
import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { reply } from '../../smtp/index.ts';
import { createLog } from '../../system/log.ts';
import { CONTENT, startReception, until } from '../testing.ts';

async function logged(
  t: TestContext,
  source: string,
  say: readonly string[],
  until_: RegExp,
): Promise<string> {
  let text = '';
  const out = new Writable({
    write(chunk, _, done) {
      text += chunk;
      done();
    },
  });
  const mta = await startReception(
    t,
    `<source 0/0>
      always-allow-relaying yes
      allow-auth yes
      allow-unencrypted-plain-auth yes
      ${source}
    </source>
    <smtp-user demo>
      password secret
    </smtp-user>`,
    { log: createLog(out, 'receive', () => 0) },
  );
  const peer = await mta.client();
  for (const line of say) await peer.ask(line);
  peer.socket.end();
  await peer.end();
  await until(() => mta.reception.openSessions === 0 && until_.test(text));
  return text;
}

const MAIL = [
  'MAIL FROM:<a@b.test>',
  'RCPT TO:<kim@a.test>',
  'DATA',
  `X-DKIM-Key: PRIVATE\r\n PEM\r\n${CONTENT}.`,
];

test('log-connections: opened and closed, with both addresses', async (t) => {
  const text = await logged(t, 'log-connections yes', ['QUIT'], /closed/);
  assert.match(text, /connection opened client=127\.0\.0\.1 port=\d+ local=127\.0\.0\.1:\d+/);
  assert.match(text, /connection closed client=127\.0\.0\.1 port=\d+ why=quit/);
  assert.doesNotMatch(text, /EHLO/);
});

test('log-commands: every command and reply, escaped, passwords blotted out, no content', async (t) => {
  const login = [
    'AUTH LOGIN',
    Buffer.from('demo').toString('base64'),
    Buffer.from('secret').toString('base64'),
  ];
  const text = await logged(
    t,
    'log-commands yes',
    ['NOOP \u202eforged', ...login, ...MAIL, 'QUIT'],
    /closing/,
  );
  assert.match(text, /client says .*line="EHLO client\.test"/);
  assert.match(text, /we say .*line="235 2\.7\.0 Authenticated"/);
  assert.match(text, /line="AUTH LOGIN"/);
  assert.match(text, /line=\(secret\)/);
  for (const secret of ['secret', 'demo']) assert.ok(!text.includes(Buffer.from(secret).toString('base64')));
  assert.doesNotMatch(text, /\u202e/);
  assert.doesNotMatch(text, /Subject: Hello|PRIVATE/);
});

test('log-commands: an initial response to AUTH is blotted out too', async (t) => {
  const plain = Buffer.from('\0demo\0secret').toString('base64');
  const text = await logged(t, 'log-commands yes', [`AUTH PLAIN ${plain}`, 'QUIT'], /closing/);
  assert.match(text, /line="AUTH PLAIN \(secret\)"/);
  assert.ok(!text.includes(plain));
});

test('log-data: content too, without a private key in X-DKIM-Key', async (t) => {
  const text = await logged(t, 'log-data yes', [...MAIL, 'QUIT'], /closing/);
  assert.match(text, /client sends .*line="Subject: Hello"/);
  assert.match(text, /line=X-DKIM-Key:\*+/);
  assert.doesNotMatch(text, /PRIVATE|PEM/);
});

test('without them nothing of a session is logged', async (t) => {
  const text = await logged(t, '', [...MAIL, 'QUIT'], /^/);
  assert.equal(text, '');
});

test('source-group max-smtp-in: one session more of its sources is turned away, and counted out again', async (t) => {
  const mta = await startReception(
    t,
    `<source-group g>
      max-smtp-in 1
    </source-group>
    <source 0/0>
      source-group G
    </source>`,
  );
  const first = await mta.client();
  await assert.rejects(async () => (await mta.client()).ask('NOOP'));
  await first.ask('QUIT');
  await first.end();
  await until(() => mta.reception.openSessions === 0);
  assert.match(await (await mta.client()).ask('NOOP'), /^250/);
});

test('too-many-rcpts-fails-message: the message fails at DATA; without it only the surplus', async (t) => {
  const source = (more: string) =>
    `<source 0/0>\nalways-allow-relaying yes\nmax-rcpt-per-message 1\n${more}\n</source>`;
  for (const [more, answer] of [
    ['too-many-rcpts-fails-message yes', /^452 4\.5\.3/],
    ['', /^354/],
  ] as const) {
    const peer = await (await startReception(t, source(more))).client();
    await peer.ask('MAIL FROM:<a@b.test>');
    await peer.ask('RCPT TO:<kim@a.test>');
    assert.match(await peer.ask('RCPT TO:<lou@a.test>'), /^452 4\.5\.3/);
    assert.match(await peer.ask('DATA'), answer);
  }
});

test('disconnect-on-transient-error: the connection ends where a 4xx would be said', async (t) => {
  const mta = await startReception(
    t,
    '<source 0/0>\ndisconnect-on-transient-error yes\n</source>\nrelay-debug yes',
  );
  const peer = await mta.client();
  await peer.ask('MAIL FROM:<a@b.test>');
  await assert.rejects(peer.ask('RCPT TO:<kim@a.test>'), /closed/);
});

test('checks are asked at MAIL, RCPT, DATA and with the content; fields go below our Received, a refusal ends it', async (t) => {
  const asked: string[] = [];
  const refuse = { at: '' };
  const at = (moment: string) => {
    asked.push(moment);
    const refusal = refuse.at === moment ? reply(550, '5.7.23', `refused at ${moment}`) : null;
    return { refusal, fields: [`X-Check: ${moment}\r\n`] };
  };
  const check = {
    atMail: ({ sender }: { sender: string }) => at(`mail ${sender}`),
    atRcpt: async (_: unknown, recipient: string) => at(`rcpt ${recipient}`),
    atData: () => at('data'),
    atContent: async (_: unknown, content: Buffer) => at(`content ${content.length}`),
  };
  const text = '<source 0/0>\nalways-allow-relaying yes\n</source>';
  const mta = await startReception(t, text, { checks: () => [check] });
  assert.match(await mta.send({ from: 'a@b.test', to: ['kim@a.test'] }), /^250 /);
  const moments = ['mail a@b.test', 'rcpt kim@a.test', 'data', `content ${CONTENT.length}`];
  assert.deepEqual(asked, moments);
  const fields = mta
    .stored()
    .content.toString()
    .match(/X-Check: .*/g);
  assert.deepEqual(
    fields,
    moments.map((moment) => `X-Check: ${moment}`),
  );
  for (const moment of moments) {
    refuse.at = moment;
    const peer = await mta.client();
    let answer = '';
    for (const line of ['MAIL FROM:<a@b.test>', 'RCPT TO:<kim@a.test>', 'DATA', `${CONTENT}.`]) {
      answer = await peer.ask(line);
      if (!/^[23]/.test(answer)) break;
    }
    assert.equal(answer, `550 5.7.23 refused at ${moment}`);
  }
});
