// Reports made to cost time or memory: each is read within a bound, and others get their turn meanwhile.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readComplaint } from '../../mail/complaint-report.ts';
import { readDeliveryReport } from '../../mail/delivery-report.ts';
import { CONTENT, startReception } from '../testing.ts';

const config = `
  relay-domain bounces.test
  <source 0/0>
    always-allow-relaying yes
    max-message-size 0
  </source>
  <bounce-processor>
    <address-list>
      domain bounces.test
    </address-list>
  </bounce-processor>`;

const nested = (depth: number) => {
  const open = Array.from(
    { length: depth },
    (_, n) =>
      `Content-Type: multipart/report; report-type=delivery-status; boundary=b${n}\r\n\r\n--b${n}\r\n`,
  );
  const close = Array.from({ length: depth }, (_, n) => `--b${depth - 1 - n}--\r\n`);
  return `MIME-Version: 1.0\r\n${open.join('')}Content-Type: message/delivery-status\r\n\r\nx\r\n${close.join('')}`;
};

test('a report in a report, 1,000 deep, is not read to its bottom', () => {
  for (const read of [readDeliveryReport, readComplaint]) {
    assert.notEqual(read(Buffer.from(nested(1000))).kind, 'report');
  }
});

test('20 MB of base64, and a charset that is none, give no report', () => {
  const base64 = Buffer.alloc(15_000_000, 'x').toString('base64').replace(/.{76}/g, '$&\r\n');
  for (const type of [
    'text/plain; charset=x-unknown',
    'message/delivery-status',
    'text/html; charset=utf-7',
  ]) {
    const mail = `MIME-Version: 1.0\r\nContent-Type: ${type}\r\nContent-Transfer-Encoding: base64\r\n\r\n${base64}`;
    assert.notEqual(readDeliveryReport(Buffer.from(mail)).kind, 'report', type);
    assert.notEqual(readComplaint(Buffer.from(mail)).kind, 'report', type);
  }
});

test('while a report about 10,000 recipients is read, other mail is taken', async (t) => {
  const mta = await startReception(t, config);
  const blocks = Array.from(
    { length: 10_000 },
    (_, n) =>
      `Final-Recipient: rfc822; u${n}@a.test\r\nAction: failed\r\nStatus: 5.1.1\r\nDiagnostic-Code: smtp; 550 ${n} ${'word '.repeat(100)}\r\n\r\n`,
  );
  const report = `MIME-Version: 1.0\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; a.test\r\n\r\n${blocks.join('')}`;
  let done = false;
  const large = mta.send({ from: '', to: ['r@bounces.test'], content: report }).then((answer) => {
    done = true;
    return answer;
  });
  let taken = 0;
  while (!done) {
    assert.match(await mta.send({ to: ['kim@a.test'], content: CONTENT.toString() }), /^250 /);
    if (!done) taken++;
  }
  assert.match(await large, /^250 /);
  assert.equal(mta.outcomes().filter(({ kind }) => kind === 'remote-bounce').length, 10_000);
  assert.ok(taken >= 3, `${taken} mails were taken meanwhile`);
});
