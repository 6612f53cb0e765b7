// Section 16 of the delivery guide, row by row: what headers of the message itself do, and whether they stay.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { CONTENT, startReception } from '../testing.ts';
import { parseSchedule } from './schedule-windows.ts';

/** Sends one message and answers what is stored of it. */
async function taken(t: TestContext, source: string, head: string, global = '') {
  const mta = await startReception(
    t,
    `${global}
    <virtual-mta v1>
    </virtual-mta>
    <source 0/0>
      always-allow-relaying yes
      ${source}
    </source>`,
  );
  const answer = await mta.send({ to: ['kim@a.test'], content: `${head}\r\n${CONTENT}` });
  if (!answer.startsWith('250')) return { answer, facts: null, goes: null, pending: null };
  const { envelope } = mta.stored();
  const goes = (name: string) =>
    envelope.removeHeaders.some((one) => one.toLowerCase() === name.toLowerCase());
  return { answer, facts: envelope.facts, goes, pending: mta.queued[0]!, logged: mta.logged };
}

test('X-Job: process-x-job; unprocessed it stays, processed only with retain', async (t) => {
  const unread = await taken(t, '', 'X-Job: j1');
  assert.deepEqual([unread.facts!.jobId, unread.goes!('X-Job')], ['', false]);
  const read = await taken(t, 'process-x-job yes', 'X-Job: j1');
  assert.deepEqual([read.facts!.jobId, read.goes!('X-Job')], ['j1', true]);
  const kept = await taken(t, 'process-x-job yes\nretain-x-job yes', 'X-Job: j1');
  assert.deepEqual([kept.facts!.jobId, kept.goes!('X-Job')], ['j1', false]);
});

test('X-Job: printable, no blanks, whatever the header holds; at most one: the first counts', async (t) => {
  const odd = await taken(t, 'process-x-job yes', `X-Job: Spring "Sale" ${'x'.repeat(100)}\r\nX-Job: second`);
  assert.match(odd.facts!.jobId, /^Spring_Sale_x+$/);
  assert.equal(odd.facts!.jobId.length, 64);
});

test('jobid-header NAME: the job ID when X-Job gave none; the header stays', async (t) => {
  const source = 'process-x-job yes\njobid-header X-Campaign';
  const other = await taken(t, source, 'X-Campaign: c1');
  assert.deepEqual([other.facts!.jobId, other.goes!('X-Campaign')], ['c1', false]);
  assert.equal((await taken(t, source, 'X-Campaign: c1\r\nX-Job: j1')).facts!.jobId, 'j1');
});

test('jobid-prefix p yields p + value of X-Job; {auth} inserts the login name', async (t) => {
  assert.equal((await taken(t, 'process-x-job yes\njobid-prefix p-', 'X-Job: j1')).facts!.jobId, 'p-j1');
  assert.equal((await taken(t, 'process-x-job yes\njobid-prefix p-', 'X-Other: x')).facts!.jobId, '');
  const mta = await startReception(
    t,
    `<source 0/0>
      allow-auth yes
      allow-unencrypted-plain-auth yes
    </source>
    <source {auth}>
      always-allow-relaying yes
      process-x-job yes
      jobid-prefix {auth}
    </source>
    <smtp-user demo>
      password secret
    </smtp-user>`,
  );
  const client = await mta.client();
  await client.ask(`AUTH PLAIN ${Buffer.from('\0demo\0secret').toString('base64')}`);
  await client.ask('MAIL FROM:<news@brand.test>');
  await client.ask('RCPT TO:<kim@a.test>');
  await client.ask('DATA');
  await client.ask(`X-Job: -j1\r\n${CONTENT}.`);
  assert.equal(mta.stored().envelope.facts.jobId, 'demo-j1');
});

test('X-Envid: the DSN envelope ID; unprocessed it stays, processed it goes', async (t) => {
  const unread = await taken(t, '', 'X-Envid: e1');
  assert.deepEqual([unread.facts!.envId, unread.goes!('X-Envid')], ['', false]);
  const read = await taken(t, 'process-x-envid yes', 'X-Envid: e1');
  assert.deepEqual([read.facts!.envId, read.goes!('X-Envid')], ['e1', true]);
  const bad = await taken(t, 'process-x-envid yes', `X-Envid: ${'e'.repeat(101)}`);
  assert.equal(bad.facts!.envId, '');
});

test('X-Virtual-MTA: unprocessed it stays and chooses nothing, processed it goes unless retained', async (t) => {
  const unread = await taken(t, '', 'X-Virtual-MTA: v1');
  assert.deepEqual([unread.facts!.vmta, unread.goes!('X-Virtual-MTA')], ['{default}', false]);
  const read = await taken(t, 'process-x-virtual-mta yes', 'X-Virtual-MTA: v1');
  assert.deepEqual([read.facts!.vmta, read.goes!('X-Virtual-MTA')], ['v1', true]);
  const kept = await taken(t, 'process-x-virtual-mta yes\nretain-x-virtual-mta yes', 'X-Virtual-MTA: v1');
  assert.equal(kept.goes!('X-Virtual-MTA'), false);
});

const WINDOW = '2027-01-01 08:00:00 / 2027-01-01 18:00:00';

test('X-Schedule: windows of each recipient; it goes even when not processed, unless retain-x-schedule', async (t) => {
  const read = await taken(
    t,
    'process-x-schedule yes',
    `X-Schedule: ${WINDOW},\r\n ${WINDOW.replaceAll('01-01', '01-02')}`,
  );
  assert.deepEqual(
    read.pending!.windows?.map(({ start, end }) => [new Date(start).getDate(), end - start]),
    [
      [1, 36_000_000],
      [2, 36_000_000],
    ],
  );
  assert.equal(read.goes!('X-Schedule'), true);
  const unread = await taken(t, '', `X-Schedule: ${WINDOW}`);
  assert.deepEqual([unread.pending!.windows, unread.goes!('X-Schedule')], [undefined, true]);
  const kept = await taken(t, 'retain-x-schedule yes', `X-Schedule: ${WINDOW}`);
  assert.equal(kept.goes!('X-Schedule'), false);
});

test('D16.5 a malformed X-Schedule is refused at submission; blanks are optional', async (t) => {
  for (const bad of [
    'tomorrow',
    '2027-01-01 08:00:00',
    `${WINDOW},`,
    '2027-02-30 08:00:00/2027-03-01 08:00:00',
  ]) {
    assert.match(
      (await taken(t, 'process-x-schedule yes', `X-Schedule: ${bad}`)).answer,
      /^550 5\.6\.0/,
      bad,
    );
  }
  assert.equal(
    (await taken(t, '', 'X-Schedule: tomorrow')).answer.slice(0, 3),
    '250',
    'not processed, not read',
  );
  assert.deepEqual(
    parseSchedule('2027-01-01 08:00:00/2027-01-01 09:00:00'),
    parseSchedule(' 2027-01-01  08:00:00 / 2027-01-01 09:00:00 '),
  );
  assert.equal(parseSchedule('2027-01-01 09:00:00/2027-01-01 08:00:00'), null, 'ends before it starts');
  assert.equal(parseSchedule('2027-01-01 24:00:00/2027-01-03 08:00:00'), null);
  assert.equal(parseSchedule(`${WINDOW},`.repeat(200) + WINDOW), null, 'more windows than anybody needs');
});

test('X-DKIM-Options: unprocessed it stays, processed it goes unless retained', async (t) => {
  const head = 'X-DKIM-Options: s=k1';
  assert.equal((await taken(t, '', head)).goes!('X-DKIM-Options'), false);
  assert.equal((await taken(t, 'process-x-dkim-options yes', head)).goes!('X-DKIM-Options'), true);
  const kept = await taken(t, 'process-x-dkim-options yes\nretain-x-dkim-options yes', head);
  assert.equal(kept.goes!('X-DKIM-Options'), false);
});

test('X-DKIM-Key never leaks: processed or not it goes, unless retain-x-dkim-key', async (t) => {
  const head = 'X-DKIM-Key: secret';
  for (const [source, goes] of [
    ['process-x-dkim-key yes', true],
    ['process-x-dkim-key no', true],
    ['retain-x-dkim-key yes', false],
    ['process-x-dkim-key yes\nretain-x-dkim-key yes', false],
  ] as const) {
    assert.equal((await taken(t, source, head)).goes!('X-DKIM-Key'), goes, source);
  }
});

const SIGNALS = (more: string) => `<signals>\napi-key ${'a'.repeat(40)}\n${more}\n</signals>`;

test('X-SP-Subaccount-Id: unprocessed it stays, processed only with retain; a malformed one is ignored and logged', async (t) => {
  const head = 'X-SP-Subaccount-Id: 31';
  const unread = await taken(t, '', head, SIGNALS(''));
  assert.deepEqual([unread.facts!.subaccountId, unread.goes!('X-SP-Subaccount-Id')], [0, false]);
  const read = await taken(t, '', head, SIGNALS('process-x-sp-subaccount-id yes'));
  assert.deepEqual([read.facts!.subaccountId, read.goes!('X-SP-Subaccount-Id')], [31, true]);
  const both = 'process-x-sp-subaccount-id yes\nretain-x-sp-subaccount-id yes';
  assert.equal((await taken(t, '', head, SIGNALS(both))).goes!('X-SP-Subaccount-Id'), false);
  for (const bad of ['0', '-1', 'x', '1.5', '99999999999']) {
    const ignored = await taken(
      t,
      '',
      `X-SP-Subaccount-Id: ${bad}`,
      SIGNALS('process-x-sp-subaccount-id yes'),
    );
    assert.equal(ignored.facts!.subaccountId, 0, bad);
    assert.ok(ignored.logged!.some((line) => line.includes('X-SP-Subaccount-Id')));
  }
});

test('custom-message-id-header NAME: its value; the header stays', async (t) => {
  const read = await taken(t, '', 'X-Mine: m1', SIGNALS('custom-message-id-header X-Mine'));
  assert.deepEqual([read.facts!.customMessageId, read.goes!('X-Mine')], ['m1', false]);
});

test('process-x-msys-api: campaign_id is the job ID before X-Job, and the header goes', async (t) => {
  const head =
    'X-MSYS-API: {"campaign_id": "c1",\r\n "metadata": {"a": 1}, "options": {"open_tracking": false}}\r\nX-Job: j1';
  const read = await taken(t, 'process-x-msys-api yes\nprocess-x-job yes', head);
  assert.deepEqual([read.facts!.jobId, read.goes!('X-MSYS-API')], ['c1', true]);
  const unread = await taken(t, 'process-x-job yes', head);
  assert.deepEqual([unread.facts!.jobId, unread.goes!('X-MSYS-API')], ['j1', false]);
});

test('process-x-msys-api: what SparkPost would refuse is refused in its words', async (t) => {
  for (const [json, words] of [
    ['{"metadata": []}', "X-MSYS-API 'metadata' must be of type 'json object'"],
    [`{"campaign_id": "${'c'.repeat(65)}"}`, 'smtpapi_campaign_id context is limited to 64 bytes'],
    ['{"campaign_id": 7}', "'campaign_id' must be of type 'string'"],
    ['{', 'X-MSYS-API is not JSON'],
    [`{"metadata": ${'{"a":'.repeat(9_000)}1${'}'.repeat(9_000)}}`, 'is nested deeper than 32 levels'],
    ['[]', "X-MSYS-API must be of type 'json object'"],
    [`{"metadata": {"a": "${'x'.repeat(11_000)}"}}`, "'metadata' is limited to"],
  ] as const) {
    const { answer } = await taken(t, 'process-x-msys-api yes', `X-MSYS-API: ${json}`);
    assert.ok(answer.startsWith('550 5.6.0 ') && answer.includes(words), answer);
  }
  const odd = await taken(
    t,
    'process-x-msys-api yes',
    'X-MSYS-API: {"__proto__": {"campaign_id": "x"}, "constructor": 1}',
  );
  assert.equal(odd.facts!.jobId, '');
});
