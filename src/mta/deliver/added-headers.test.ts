// Header fields taken out and added at delivery, on messages that came in over SMTP.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startRendering } from './rendered.testing.ts';

const CONTENT = 'From: News <news@x.example>\r\nSubject: x\r\n\r\nbody\r\n';

const config = (source: string, more = '') => `
  ${more}
  <source 0/0>
    always-allow-relaying yes
    add-received-header no
    ${source}
  </source>`;

test('date-header-time delivery: Date is added when the message goes, with that time', async (t) => {
  const under = await startRendering(t, config('add-date-header yes\ndate-header-time delivery'));
  await under.mta.send({ to: ['kim@a.test'], content: CONTENT });
  const { envelope, content } = under.mta.stored();
  assert.ok(!content.includes('Date:'), 'the stored copy has none');
  under.mta.clock.advance(3_600_000);
  const copy = await (await under.open(envelope, content)).copy(0);
  assert.ok(copy.kind === 'ready');
  assert.equal(
    copy.content.toString(),
    CONTENT.replace('\r\n\r\n', '\r\nDate: Sat, 21 Nov 2026 01:00:00 +0000\r\n\r\n'),
  );
  const dated = CONTENT.replace('Subject', 'Date: Fri, 1 Jan 2027 00:00:00 +0000\r\nSubject');
  assert.equal((await under.pass(dated)).content.toString(), dated, 'a Date that is there stays');
});

test('add-date-header override replaces Date, at delivery or at reception', async (t) => {
  const dated = CONTENT.replace('Subject', 'Date: Fri, 1 Jan 2027 00:00:00 +0000\r\nDate: x\r\nSubject');
  for (const when of ['delivery', 'reception']) {
    const under = await startRendering(t, config(`add-date-header override\ndate-header-time ${when}`));
    const { header } = await under.pass(dated);
    assert.deepEqual(
      header.all('date').map((field) => header.value(field)),
      ['Sat, 21 Nov 2026 00:00:00 +0000'],
      when,
    );
  }
});

test('D3.10: add-x-virtual-mta-header tells the VMTA that delivers, if the message has none', async (t) => {
  const vmtas = '<virtual-mta v1>\n</virtual-mta>\n<virtual-mta v2>\n</virtual-mta>';
  const plain = await startRendering(t, config('add-x-virtual-mta-header yes', vmtas));
  assert.equal((await plain.pass(CONTENT, { vmta: 'v2' })).header.get('x-virtual-mta'), 'v2');
  const asked = `X-Virtual-MTA: v1\r\n${CONTENT}`;
  const kept = await plain.pass(asked, { vmta: 'v2' });
  assert.deepEqual(
    kept.header.all('x-virtual-mta').map((field) => kept.header.value(field)),
    ['v1'],
    'not processed: the message’s own stays',
  );
  const processed = await startRendering(
    t,
    config('add-x-virtual-mta-header yes\nprocess-x-virtual-mta yes', vmtas),
  );
  const rerouted = await processed.pass(asked, { vmta: 'v2' });
  assert.deepEqual(
    rerouted.header.all('x-virtual-mta').map((field) => rerouted.header.value(field)),
    ['v2'],
    'taken out as processed, so it is absent',
  );
});

test('remove-header of source and domain: gone from what goes out, kept in what is stored', async (t) => {
  const under = await startRendering(
    t,
    config('remove-header X-One', '<domain a.test>\nremove-header X-Two, Received\n</domain>'),
  );
  const extra = 'Received: a\r\n\tfolded\r\nX-One: 1\r\nx-one : 2\r\nX-TWO: 3\r\nX-Three: 4\r\n';
  const out = await under.pass(extra + CONTENT);
  assert.equal(out.content.toString(), `X-Three: 4\r\n${CONTENT}`);
  assert.equal(under.mta.stored().content.toString(), extra + CONTENT);
  const other = await under.pass(extra + CONTENT, { domain: 'b.test' });
  assert.ok(other.header.get('x-two') !== null, 'the domain’s list is for its queue only');
});

test('X-Schedule goes even when not processed; retain-x-schedule keeps it', async (t) => {
  const content = `X-Schedule: 2026-01-01 00:00:00 / 2099-01-01 00:00:00\r\n${CONTENT}`;
  const drops = await startRendering(t, config(''));
  assert.equal((await drops.pass(content)).header.get('x-schedule'), null);
  const keeps = await startRendering(t, config('retain-x-schedule yes'));
  assert.notEqual((await keeps.pass(content)).header.get('x-schedule'), null);
});

test('D11.3: VMTA overflow with queue-to {sparkpost}, X-Job j7: the header has campaign_id j7', async (t) => {
  const under = await startRendering(
    t,
    config(
      'process-x-job yes\nprocess-x-virtual-mta yes',
      `<domain {sparkpost}>
        auth-password ${'0'.repeat(40)}
        sparkpost-ip-pool "bulk pool"
        sparkpost-sandbox yes
      </domain>
      <virtual-mta overflow>
        <domain *>
          queue-to {sparkpost}
        </domain>
      </virtual-mta>`,
    ),
  );
  await under.mta.send({
    to: ['u@a.example'],
    content: `X-Job: j7\r\nX-Virtual-MTA: overflow\r\n${CONTENT}`,
  });
  const { domain, vmta } = under.mta.queued.at(-1)!;
  assert.equal(`${domain}/${vmta}`, '{sparkpost}/overflow');
  const { envelope, content } = under.mta.stored();
  const copy = await (await under.open(envelope, content, { domain, vmta })).copy(0);
  assert.ok(copy.kind === 'ready');
  const [, json] = /^X-MSYS-API: (.*)\r$/m.exec(copy.content.toString())!;
  assert.deepEqual(JSON.parse(json!), {
    campaign_id: 'j7',
    options: { sandbox: true, ip_pool: 'bulk pool' },
  });
});

test('D11.3: add-x-msys-api-header true in <domain a.example>: added on direct delivery too', async (t) => {
  const under = await startRendering(
    t,
    config('', '<domain a.example>\nadd-x-msys-api-header true\nsparkpost-ip-pool Ünits\n</domain>'),
  );
  const out = await under.pass(CONTENT, { domain: 'a.example' });
  const line = out.header.get('x-msys-api')!;
  assert.match(line, /^[ -~]+$/, 'ASCII only');
  assert.deepEqual(JSON.parse(line), { options: { sandbox: false, ip_pool: 'Ünits' } });
  assert.equal((await under.pass(CONTENT, { domain: 'b.example' })).header.get('x-msys-api'), null);
});

test('D11.4: an X-MSYS-API header in the message is left, and none is added', async (t) => {
  const under = await startRendering(
    t,
    config('', '<domain a.example>\nadd-x-msys-api-header true\n</domain>'),
  );
  const content = `X-MSYS-API: {"campaign_id":"mine"}\r\n${CONTENT}`;
  assert.equal((await under.pass(content, { domain: 'a.example' })).content.toString(), content);
});

test('a message that nothing asks to change goes out byte for byte, 8-bit and bare octets too', async (t) => {
  const under = await startRendering(t, config(''));
  await under.pass(CONTENT);
  const { envelope } = under.mta.stored();
  const odd = Buffer.concat([
    Buffer.from('From: a\u00e9 <a@x.example>\nX: y\r\n\r\nbare\nLF, bare\rCR\r\n', 'latin1'),
    Buffer.from([0, 0x80, 0xff]),
  ]);
  const copy = await (await under.open(envelope, odd)).copy(0);
  assert.ok(copy.kind === 'ready' && copy.content.equals(odd));
});
