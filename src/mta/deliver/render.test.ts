import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { dkimVerify } from 'mailauth/lib/dkim/verify.js';
import { Header } from '../../mail/header.ts';
import { startServer } from '../../smtp/test-peer.ts';
import { folder, startDelivery } from '../testing.ts';

const HTML = Buffer.from(
  'X-Internal: secret\r\nX-Job: j\r\nFrom: News <news@brand.test>\r\nTo: list@a.test\r\nSubject: x\r\n' +
    'MIME-Version: 1.0\r\nContent-Type: text/html\r\n\r\n<body><a href="https://shop.test/one">one</a></body>\r\n',
);

test('headers go, links are tracked per recipient, and the signature is of exactly what goes out', async (t) => {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 1024 });
  const pem = path.join(folder(t), 'key.pem');
  writeFileSync(pem, privateKey.export({ type: 'pkcs8', format: 'pem' }));
  const remote = await startServer(t);
  const mta = await startDelivery(t, {
    config: `
      domain-key sel, brand.test, ${pem}
      <signals>
        api-key ${'0'.repeat(40)}
        engagement-tracking sparkpost
        tracking-domain click.brand.test
        customer-id 1
      </signals>
      <domain *>
        default-smtp-port ${remote.port}
        use-starttls no
        dkim-sign yes
        remove-header X-Internal
        max-smtp-out 1
      </domain>`,
  });
  await mta.submit(['kim@a.test', 'lou@a.test'], {
    content: HTML,
    facts: { openTracking: true, initialPixel: true, clickTracking: true },
    envelope: { removeHeaders: ['X-Job'] },
  });
  await mta.quiet();
  assert.deepEqual(mta.story(), ['delivered kim@a.test 2.0.0', 'delivered lou@a.test 2.0.0']);
  assert.deepEqual(
    remote.messages.map(({ envelope }) => envelope.recipients.map(({ address }) => address)),
    [['kim@a.test'], ['lou@a.test']],
    'a transaction for each',
  );
  const der = publicKey.export({ type: 'spki', format: 'der' }).toString('base64');
  const links = new Set<string>();
  for (const { content } of remote.messages) {
    const header = new Header(content);
    assert.equal(header.fields[0]?.key, 'dkim-signature');
    for (const gone of ['x-internal', 'x-job']) assert.equal(header.get(gone), null, gone);
    links.add(/href="([^"]+)"/.exec(content.toString())![1]!);
    const { results } = await dkimVerify(content, {
      resolver: (async () => [[`v=DKIM1; k=rsa; p=${der}`]]) as never,
    });
    assert.deepEqual(
      results.map(({ status }) => status.result),
      ['pass'],
    );
  }
  assert.equal(links.size, 2);
  assert.ok([...links].every((link) => link.includes('click.brand.test')));
});

test('mail that nothing changes goes out as it was stored, in one transaction for all', async (t) => {
  const remote = await startServer(t);
  const mta = await startDelivery(t, {
    config: `<domain *>\ndefault-smtp-port ${remote.port}\nuse-starttls no\n</domain>`,
  });
  await mta.submit(['kim@a.test', 'lou@a.test'], { content: HTML });
  await mta.quiet();
  assert.equal(remote.messages.length, 1);
  assert.ok(remote.messages[0]!.content.equals(HTML));
});

test('per recipient: connection lost between two copies; only who has no answer is sent to again', async (t) => {
  let messages = 0;
  const remote = await startServer(t, {}, { onMessage: () => (++messages === 2 ? 'drop' : null) });
  const mta = await startDelivery(t, {
    config: `
      <signals>
        api-key ${'0'.repeat(40)}
        engagement-tracking sparkpost
        tracking-domain click.brand.test
        customer-id 1
      </signals>
      <domain *>
        default-smtp-port ${remote.port}
        use-starttls no
        max-smtp-out 1
      </domain>`,
  });
  await mta.submit(['kim@a.test', 'lou@a.test', 'max@a.test'], {
    content: HTML,
    facts: { openTracking: true, initialPixel: true, clickTracking: true },
  });
  await mta.quiet();
  assert.deepEqual(mta.story(), [
    'delivered kim@a.test 2.0.0',
    'delivered lou@a.test 2.0.0',
    'delivered max@a.test 2.0.0',
  ]);
  assert.equal(messages, 4);
});

test('under queue-to the settings of the delivery queue decide, and the outcome tells what was done', async (t) => {
  const remote = await startServer(t);
  const mta = await startDelivery(t, {
    zone: 'relay.test A 127.0.0.1',
    config: `
      <signals>
        api-key ${'0'.repeat(40)}
        engagement-tracking sparkpost
        tracking-domain click.brand.test
        customer-id 1
      </signals>
      <domain *>
        default-smtp-port ${remote.port}
        use-starttls no
      </domain>
      <domain a.test>
        queue-to relay.test
      </domain>
      <domain relay.test>
        track-opens no
        track-initial-opens no
      </domain>`,
  });
  // What was recorded, as by an earlier configuration, says otherwise.
  await mta.submit(['kim@a.test'], {
    content: HTML,
    facts: { openTracking: true, initialPixel: true, clickTracking: false },
  });
  await mta.quiet();
  const [outcome] = mta.journal();
  assert.ok(outcome?.kind === 'delivered');
  const { openTracking, initialPixel, clickTracking } = outcome.message;
  assert.deepEqual(
    { openTracking, initialPixel, clickTracking },
    { openTracking: false, initialPixel: false, clickTracking: true },
  );
  const sent = remote.messages[0]!.content.toString();
  assert.ok(!sent.includes('<img'));
  assert.ok(sent.includes('click.brand.test/f/'));
});

test('mail that somebody else tracks is only marked: one transaction for all, nothing changed', async (t) => {
  const remote = await startServer(t);
  const mta = await startDelivery(t, {
    config: `
      <signals>
        api-key ${'0'.repeat(40)}
        engagement-tracking yes
        customer-id 1
      </signals>
      <domain *>
        default-smtp-port ${remote.port}
        use-starttls no
      </domain>`,
  });
  await mta.submit(['kim@a.test', 'lou@a.test'], {
    content: HTML,
    facts: { openTracking: true, clickTracking: true },
  });
  await mta.quiet();
  assert.equal(remote.messages.length, 1);
  assert.ok(remote.messages[0]!.content.equals(HTML));
});

test('D17.8, D17.10: a recipient whose parts are not there bounces, the next one is sent to', async (t) => {
  const remote = await startServer(t);
  const mta = await startDelivery(t, {
    config: `<domain *>\ndefault-smtp-port ${remote.port}\nuse-starttls no\n</domain>`,
  });
  const content = Buffer.from('From: a@brand.test\r\n\r\nDear [name]\r\n');
  const recipient = (address: string, parts: number[], name: string) => ({
    address,
    originalRecipient: '',
    messageId: '00000000000000000001',
    notify: [],
    merge: { values: [['name', name] as const], parts },
  });
  await mta.submit(['kim@a.test', 'lou@a.test'], {
    content,
    envelope: {
      recipients: [recipient('kim@a.test', [9], 'Kim'), recipient('lou@a.test', [1], 'Lou')],
      template: {
        head: 0,
        parts: [{ number: 1, start: 0, end: content.length }],
        expandUndefined: true,
      },
    },
  });
  await mta.quiet();
  assert.deepEqual(mta.story().sort(), ['bounced kim@a.test 5.6.0', 'delivered lou@a.test 2.0.0']);
  assert.deepEqual(
    remote.messages.map(({ content: sent }) => sent.toString()),
    ['From: a@brand.test\r\n\r\nDear Lou\r\n'],
  );
});
