// What a stranger and a user meet at the two listeners, tried with other people's clients over a socket.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { after, before, test } from 'node:test';
import { missing } from '../scripts/system-packages.ts';
import { type Demo, startDemo } from './demo.ts';

let demo: Demo;
before(async () => {
  demo = await startDemo();
});
after(() => demo.stop());

const swaksMissing = missing('swaks', 'libnet-ssleay-perl');
const opensslMissing = missing('openssl');

function swaks(port: number, ...args: string[]): { status: number | null; output: string } {
  const done = spawnSync('swaks', ['--server', `127.0.0.1:${port}`, '--timeout', '120', ...args], {
    encoding: 'utf8',
    timeout: 120_000,
  });
  return { status: done.status, output: done.stdout + done.stderr };
}

test('submission without AUTH is refused relaying with 550 5.7.1', { skip: swaksMissing }, () => {
  const { status, output } = swaks(
    demo.ports.submission,
    '--from',
    'a@brand.test',
    '--to',
    'x@gmail.sink.test',
    '--tls',
  );
  assert.notEqual(status, 0);
  assert.match(output, /<[*~]\* +550 5\.7\.1 /);
});

test('the inbound listener relays for nobody, and offers no AUTH', { skip: swaksMissing }, () => {
  const { output } = swaks(demo.ports.inbound, '--from', 'a@b.test', '--to', 'x@gmail.sink.test');
  assert.match(output, /<[*~]\* +550 5\.7\.1 /);
  assert.doesNotMatch(output, /250[- ]AUTH/);
});

test('mail to the bounce domain is accepted on the inbound listener', { skip: swaksMissing }, () => {
  const { status, output } = swaks(demo.ports.inbound, '--from', '<>', '--to', 'return@bounces.demo.test');
  assert.equal(status, 0, output);
  assert.match(output, /250 2\.0\.0 /);
});

test('a user who signs in over TLS may relay; with a wrong password not', { skip: swaksMissing }, () => {
  const as = (password: string) =>
    swaks(
      demo.ports.submission,
      ...['--from', 'a@brand.test', '--to', 'x@accept.sink.test', '--tls'],
      ...['--auth', 'PLAIN', '--auth-user', 'demo', '--auth-password', password],
    );
  const right = as(demo.secrets.password);
  assert.equal(right.status, 0, right.output);
  const wrong = as('guessed');
  assert.notEqual(wrong.status, 0);
  assert.match(wrong.output, /535 5\.7\.8 /);
});

test('the password is not taken in clear', { skip: swaksMissing }, () => {
  const { status, output } = swaks(
    demo.ports.submission,
    ...['--from', 'a@brand.test', '--to', 'x@accept.sink.test'],
    ...['--auth', 'PLAIN', '--auth-user', 'demo', '--auth-password', demo.secrets.password],
  );
  assert.notEqual(status, 0);
  assert.doesNotMatch(output, /235 /);
});

for (const [version, flag, works] of [
  ['TLS 1.0', '-tls1', false],
  ['TLS 1.1', '-tls1_1', false],
  ['TLS 1.2', '-tls1_2', true],
  ['TLS 1.3', '-tls1_3', true],
] as const) {
  test(`${version} ${works ? 'connects' : 'does not connect'}`, { skip: opensslMissing }, () => {
    const done = spawnSync(
      'openssl',
      [
        ...['s_client', '-connect', `127.0.0.1:${demo.ports.submission}`, '-starttls', 'smtp', flag],
        // The client itself would refuse old versions at its usual security level; it is the server that must.
        ...['-cipher', 'ALL:@SECLEVEL=0'],
      ],
      { input: 'QUIT\r\n', encoding: 'utf8', timeout: 120_000 },
    );
    const connected = /Cipher is (?!\(NONE\))\S+/.test(done.stdout);
    assert.equal(connected, works, done.stdout.slice(-1500) + done.stderr.slice(-500));
  });
}
