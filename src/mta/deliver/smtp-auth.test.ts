// Authentication at the next host (`auth-username`, `auth-password`).
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test } from 'node:test';
import { deliveryTo, remoteHost } from './remote-host.testing.ts';

const base64 = (text: string) => Buffer.from(text).toString('base64');
const LOGIN = 'auth-username kim\nauth-password geheim';

test('AUTH CRAM-MD5 outbound: the password does not go over the wire, only the digest of the challenge', async (t) => {
  const challenge = '<1896.697170952@remote.test>';
  const remote = await remoteHost(t, {
    keywords: ['AUTH LOGIN PLAIN CRAM-MD5'],
    answer: (verb) => (verb === 'AUTH' ? `334 ${base64(challenge)}` : null),
  });
  const mta = await deliveryTo(t, [remote], { settings: LOGIN });
  await mta.submit(['kim@a.test']);
  await mta.quiet();
  assert.deepEqual(mta.story(), ['delivered kim@a.test 2.0.0']);
  const digest = createHmac('md5', 'geheim').update(challenge).digest('hex');
  assert.deepEqual(remote.seen.slice(1, 3), ['AUTH CRAM-MD5', base64(`kim ${digest}`)]);
});

test('AUTH LOGIN outbound: in clear only with use-unencrypted-plain-auth', async (t) => {
  for (const allowed of [true, false]) {
    const remote = await remoteHost(t, {
      keywords: ['AUTH LOGIN'],
      answer: (verb) => {
        if (verb === 'AUTH') return `334 ${base64('Username:')}`;
        return verb === base64('kim').toUpperCase() ? `334 ${base64('Password:')}` : null;
      },
    });
    const settings = `${LOGIN}\nuse-unencrypted-plain-auth ${allowed}`;
    const mta = await deliveryTo(t, [remote], { settings });
    await mta.submit(['kim@a.test']);
    await mta.quiet();
    if (allowed) {
      assert.deepEqual(mta.story(), ['delivered kim@a.test 2.0.0']);
      assert.deepEqual(remote.seen.slice(1, 4), ['AUTH LOGIN', base64('kim'), base64('geheim')]);
    } else {
      assert.deepEqual(mta.story(), ['queue-deferred a.test/{default} 4.4.1']);
      assert.ok(!remote.seen.some((line) => line.includes(base64('geheim'))));
    }
  }
});
