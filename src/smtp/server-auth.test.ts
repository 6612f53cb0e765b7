import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test } from 'node:test';
import { reply } from './reply.ts';
import type { SmtpServerHandlers, SmtpServerOptions } from './server-types.ts';
import { Peer, startServer } from './test-peer.ts';

const base64 = (text: string) => Buffer.from(text).toString('base64');
const PLAIN = base64('\0kim\0sécret');

const OPTIONS: Partial<SmtpServerOptions> = {
  authMechanisms: ['PLAIN', 'LOGIN', 'CRAM-MD5'],
  allowClearPasswords: true,
  requireAuth: true,
};
const HANDLERS: Partial<SmtpServerHandlers> = {
  passwordOf: async (user) => (user === 'kim' ? 'sécret' : null),
};

function cramAnswer(challenge: string, user: string, password: string): string {
  const text = Buffer.from(challenge.slice(4), 'base64');
  return base64(`${user} ${createHmac('md5', password).update(text).digest('hex')}`);
}

/** Each line is asked for; the last reply comes back. A function makes its line from the reply before. */
async function talk(
  t: Parameters<typeof startServer>[0],
  lines: (string | ((before: string) => string))[],
  options = OPTIONS,
  handlers = HANDLERS,
): Promise<{ reply: string; user: string | null; peer: Peer }> {
  const { port, server } = await startServer(t, options, handlers);
  const peer = await Peer.open(t, port);
  await peer.reply();
  let text = await peer.ask('EHLO c');
  for (const line of lines) text = await peer.ask(typeof line === 'string' ? line : line(text));
  const [session] = server.sessions;
  return { reply: text, user: session?.user ?? null, peer };
}

test('the three mechanisms accept the right password', async (t) => {
  const ways: (string | ((before: string) => string))[][] = [
    [`AUTH PLAIN ${PLAIN}`],
    ['AUTH PLAIN', PLAIN],
    [`auth plain ${base64('kim\0kim\0sécret')}`],
    ['AUTH LOGIN', base64('kim'), base64('sécret')],
    [`AUTH LOGIN ${base64('kim')}`, base64('sécret')],
    ['AUTH CRAM-MD5', (challenge) => cramAnswer(challenge, 'kim', 'sécret')],
  ];
  for (const way of ways) {
    const { reply, user, peer } = await talk(t, way);
    assert.match(reply, /^235 2\.7\.0/, String(way[0]));
    assert.equal(user, 'kim');
    assert.match(await peer.ask(`AUTH PLAIN ${PLAIN}`), /^503 5\.5\.1/);
    assert.match(await peer.ask('MAIL FROM:<a@b>'), /^250/);
  }
});

test('a wrong password, an unknown user and a wrong proof are all the same to the client', async (t) => {
  const ways: (string | ((before: string) => string))[][] = [
    [`AUTH PLAIN ${base64('\0kim\0wrong')}`],
    [`AUTH PLAIN ${base64('\0tom\0sécret')}`],
    [`AUTH PLAIN ${base64('\0__proto__\0x')}`],
    ['AUTH LOGIN', base64('kim'), base64('')],
    ['AUTH CRAM-MD5', (challenge) => cramAnswer(challenge, 'kim', 'wrong')],
    ['AUTH CRAM-MD5', (challenge) => cramAnswer(challenge, 'tom', '\0')],
  ];
  for (const way of ways) {
    const { reply, user } = await talk(t, way);
    assert.equal(reply, '535 5.7.8 User or password is wrong', String(way));
    assert.equal(user, null);
  }
});

test('what is malformed, cancelled or not offered', async (t) => {
  const cases: [lines: string[], reply: RegExp][] = [
    [['AUTH'], /^501 5\.5\.4/],
    [['AUTH GSSAPI'], /^504 5\.5\.4/],
    [['AUTH PLAIN a b'], /^501 5\.5\.4/],
    [['AUTH PLAIN', '*'], /^501 5\.7\.0/],
    [['AUTH LOGIN', base64('kim'), '*'], /^501 5\.7\.0/],
    [['AUTH PLAIN !!!!'], /^501 5\.5\.2/],
    [['AUTH PLAIN ='], /^501 5\.5\.2/],
    [[`AUTH PLAIN ${base64('kim sécret')}`], /^501 5\.5\.2/],
    [[`AUTH PLAIN ${base64('other\0kim\0sécret')}`], /^501 5\.5\.2/],
    [[`AUTH PLAIN ${base64(`\0${'k'.repeat(2000)}\0x`)}`], /^501 5\.5\.2/],
    [['AUTH CRAM-MD5 abcd'], /^501 5\.5\.2/],
    [['AUTH CRAM-MD5', base64('kim')], /^501 5\.5\.2/],
    [['MAIL FROM:<a@b>'], /^530 5\.7\.0/],
    [['HELO c', 'AUTH PLAIN'], /^503 5\.5\.1/],
  ];
  for (const [lines, expected] of cases) {
    const { reply, peer } = await talk(t, lines);
    assert.match(reply, expected, lines.join(' / '));
    assert.match(await peer.ask('NOOP'), /^250/);
  }
});

test('AUTH is refused within a mail transaction', async (t) => {
  const { reply } = await talk(t, ['MAIL FROM:<a@b>', `AUTH PLAIN ${PLAIN}`], {
    ...OPTIONS,
    requireAuth: false,
  });
  assert.match(reply, /^503 5\.5\.1/);
});

test('in clear only CRAM-MD5 is offered, and passwords are not taken', async (t) => {
  const { port } = await startServer(t, { ...OPTIONS, allowClearPasswords: false }, HANDLERS);
  const peer = await Peer.open(t, port);
  await peer.reply();
  assert.match(await peer.ask('EHLO c'), /AUTH CRAM-MD5 ENHANCED/);
  assert.match(await peer.ask(`AUTH PLAIN ${PLAIN}`), /^538 5\.7\.11/);
  assert.match(await peer.ask('AUTH CRAM-MD5'), /^334 /);
});

test('guessing ends the session after a few tries', async (t) => {
  const { peer } = await talk(t, []);
  for (let i = 0; i < 4; i++) assert.match(await peer.ask(`AUTH PLAIN ${base64(`\0kim\0${i}`)}`), /^535/);
  assert.match(await peer.text(), /^421 4\.7\.0/);
  await peer.end();
});

test('a challenge is never given twice', async (t) => {
  const seen = new Set<string>();
  for (let i = 0; i < 5; i++) seen.add((await talk(t, ['AUTH CRAM-MD5'])).reply);
  assert.equal(seen.size, 5);
});

test('onAuth may refuse a right password and change what the session offers', async (t) => {
  const refused = await talk(t, [`AUTH PLAIN ${PLAIN}`], OPTIONS, {
    ...HANDLERS,
    onAuth: async () => reply(454, '4.7.0', 'Account is locked'),
  });
  assert.match(refused.reply, /^454 4\.7\.0/);
  assert.equal(refused.user, null);
  const changed = await talk(t, [`AUTH PLAIN ${PLAIN}`, 'EHLO c'], OPTIONS, {
    ...HANDLERS,
    onAuth: (_, session) => session.configure({ maxMessageSize: 7 }) as undefined,
  });
  assert.match(changed.reply, /SIZE 7 /);
});

test('checkPassword takes the place of the clear password for PLAIN and LOGIN', async (t) => {
  const handlers: Partial<SmtpServerHandlers> = {
    checkPassword: async (user, password) => user === password,
  };
  assert.match((await talk(t, [`AUTH PLAIN ${base64('\0x\0x')}`], OPTIONS, handlers)).reply, /^235/);
  assert.match((await talk(t, [`AUTH PLAIN ${base64('\0x\0y')}`], OPTIONS, handlers)).reply, /^535/);
});
