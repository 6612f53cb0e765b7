// Reports to the real program over SMTP, which is killed as soon as it has said 250 to each: what a report says is in
// accounting and in the event files exactly once.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { csvRows } from '../src/up/csv-rows.ts';
import { until } from './program.ts';
import { reportServer } from './report-server.ts';

test('rb, rs and f rows and their events appear exactly once, although the server is killed after every 250', async (t) => {
  const taken: string[] = [];
  const server = await reportServer(
    t,
    `enable-signals yes
    <signals>
      api-key ${'a'.repeat(40)}
      customer-id 1
      upload-url http://127.0.0.1:9/ingest
    </signals>
    <source 127.0.0.1>
      always-allow-relaying yes
      process-x-job yes
    </source>
    <bounce-processor>
      <address-list>
        address return@bounces.test
      </address-list>
    </bounce-processor>
    <feedback-loop-processor>
      <address-list>
        address fbl@bounces.test
      </address-list>
    </feedback-loop-processor>
    <acct-file DIR/acct/acct.csv>
      records rb, rs, f
      record-fields rb *,jobId,matched,matchedRcpt
      record-fields rs *,jobId,matched,matchedRcpt
      record-fields f *,jobId,matched,matchedRcpt
    </acct-file>`,
    (content) => taken.push(content.toString('latin1')),
  );
  const { dir } = server;
  const send = async (from: string, to: string, content: string) => {
    const client = await server.session();
    await server.send(client, from, to, Buffer.from(content, 'latin1'));
    return client;
  };
  const first = await send(
    'return@bounces.test',
    'kim@rd.test',
    'From: n@brand.test\r\nX-Job: spring\r\nSubject: s\r\n\r\nx\r\n',
  );
  await first.quit();
  await until(() => taken.length === 1);
  const header = taken[0]!.slice(0, taken[0]!.indexOf('\r\n\r\n'));
  const report = (type: string, part: string, fields: string) =>
    `From: <>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=${type}; boundary=b\r\n\r\n--b\r\nContent-Type: ${part}\r\n\r\n${fields}\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n${header}\r\n\r\nx\r\n--b--\r\n`;
  const dsn = (action: string, status: string) =>
    report(
      'delivery-status',
      'message/delivery-status',
      `Reporting-MTA: dns; mx.rd.test\r\n\r\nFinal-Recipient: rfc822; kim@rd.test\r\nAction: ${action}\r\nStatus: ${status}`,
    );
  const complaint = report(
    'feedback-report',
    'message/feedback-report',
    'Feedback-Type: abuse\r\nUser-Agent: T/1\r\nVersion: 1',
  );
  for (const [to, content] of [
    ['return@bounces.test', dsn('delayed', '4.4.1')],
    ['return@bounces.test', dsn('failed', '5.1.1')],
    ['return@bounces.test', dsn('failed', '5.1.1')],
    ['fbl@bounces.test', complaint],
    ['fbl@bounces.test', complaint],
  ] as const) {
    await send('', to, content);
    server.program.process.kill('SIGKILL');
    await server.program.finished;
    await server.start();
  }
  const rows: string[] = [];
  const read = async () => {
    rows.length = 0;
    for (const name of readdirSync(path.join(dir, 'acct')).filter((n) => n.endsWith('.csv'))) {
      for await (const row of csvRows(path.join(dir, 'acct', name))) {
        rows.push(
          ['type', 'rcpt', 'matched', 'matchedRcpt', 'jobId'].map((column) => row.get(column)).join(' '),
        );
      }
    }
    return rows.length;
  };
  await until(async () => (await read()) >= 5);
  const { code, stderr } = await server.program.stop();
  assert.equal(code, 0, stderr);
  await read();
  assert.deepEqual(rows, [
    'rs kim@rd.test yes kim@rd.test spring',
    'rb kim@rd.test yes kim@rd.test spring',
    'rb kim@rd.test repeated  ',
    'f  yes kim@rd.test spring',
    'f  repeated  ',
  ]);
  const files = readdirSync(path.join(dir, 'state', 'sparkpost'), { recursive: true, withFileTypes: true });
  const events = files
    .filter((entry) => entry.isFile() && entry.name.startsWith('sp1-'))
    .flatMap((entry) => readFileSync(path.join(entry.parentPath, entry.name), 'utf8').split('\n'))
    .filter((line) => line !== '')
    .map(
      (line) => (JSON.parse(line) as { msys: { message_event: Record<string, string> } }).msys.message_event,
    );
  const of = (type: string) => events.filter((event) => event.type === type);
  assert.equal(of('outofband').length, 1);
  assert.equal(of('feedback').length, 1);
  assert.deepEqual(
    [of('outofband')[0]!.rcpt_to, of('outofband')[0]!.campaign_id, of('outofband')[0]!.bounce_class],
    ['kim@rd.test', 'spring', '10'],
  );
  assert.equal(of('feedback')[0]!.message_id, of('reception')[0]!.message_id);
  assert.equal(new Set(events.map(({ event_id }) => event_id)).size, events.length);
});
