import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { good } from '../../config/testing.ts';
import type { AttemptFacts, Delivered, MessageFacts, Outcome } from '../../events/outcome.ts';
import { sampleOutcome } from '../../events/testing.ts';
import { silentLog } from '../../system/log.ts';
import { TestClock } from '../../system/testing.ts';
import { acctFileView } from './from-config.ts';
import { recordsOf } from './rfc4180.testing.ts';

const clock = new TestClock(Date.UTC(2031, 3, 8, 10));

/** What an `<acct-file>` with these lines writes of outcomes; `rest` is the configuration around it. */
async function written(
  t: TestContext,
  lines: string,
  outcomes: readonly Outcome[],
  rest = '',
): Promise<Map<string, string>[]> {
  const dir = await mkdtemp(path.join(tmpdir(), 'acct-config-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const config = good(`<acct-file ${dir}/acct.csv>\ndelete-after never\n${lines}\n</acct-file>\n${rest}`);
  const view = acctFileView(config, config.acctFiles[0]!, { clock, log: silentLog });
  await view.open(null);
  outcomes.forEach((outcome, i) => {
    view.write(i + 1, outcome);
  });
  await view.flush();
  await view.close();
  const files = (await readdir(dir)).filter((name) => name.endsWith('.csv'));
  const texts = await Promise.all(files.sort().map((name) => readFile(path.join(dir, name), 'utf8')));
  return texts.flatMap(recordsOf);
}

function delivered(attempt: Partial<AttemptFacts> = {}, message: Partial<MessageFacts> = {}): Delivered {
  const outcome = sampleOutcome('delivered') as Delivered;
  return {
    ...outcome,
    attempt: { ...outcome.attempt, ...attempt },
    message: { ...outcome.message, ...message },
  };
}

test('accounting 7.2: queue-filter as configured: no VMTA is {default}, * is each, first match decides, only ! writes nothing', async (t) => {
  const queues = ['a.example/{default}', 'a.example/mta-a', 'sub.b.example/mta-b', 'c.example/mta-a'];
  const outcomes = [...queues.map((queue) => delivered({ queue })), sampleOutcome('received')];
  const kept = async (filter: string) =>
    (await written(t, `records d, r\nqueue-filter ${filter}`, outcomes)).map((r) => r.get('queue'));
  // Receptions have no queue and pass each filter.
  assert.deepEqual(await kept('a.example'), ['a.example/{default}', '']);
  assert.deepEqual(await kept('a.example/*'), ['a.example/{default}', 'a.example/mta-a', '']);
  assert.deepEqual(await kept('*/mta-a'), ['a.example/mta-a', 'c.example/mta-a', '']);
  assert.deepEqual(await kept('!c.example/*, */*'), [...queues.slice(0, 3), '']);
  assert.deepEqual(await kept('*.b.example/MTA-B, !*/*'), ['sub.b.example/mta-b', '']);
  assert.deepEqual(await kept('!a.example/*'), ['']);
});

test('accounting 2: disable-acct-records is asked for the queue of each record', async (t) => {
  const outcomes = ['a.example/mta-a', 'b.example/mta-a'].flatMap((queue) => [
    delivered({ queue }),
    { ...sampleOutcome('deferred'), attempt: delivered({ queue }).attempt } as Outcome,
  ]);
  const rest = '<domain a.example>\ndisable-acct-records delivery\n</domain>';
  const rows = await written(t, 'records d, t', outcomes, rest);
  assert.deepEqual(
    rows.map((r) => `${r.get('type')} ${r.get('queue')}`),
    ['t a.example/mta-a', 'd b.example/mta-a', 't b.example/mta-a'],
  );
});

test('accounting 7: names of records in long and short form, user-string, map-header-to-field and seconds as configured', async (t) => {
  const lines = `records delivery , r
    record-fields d timeLogged , rcpt, userString, header_X-JOB, jobId
    record-fields delivery timeLogged,rcpt,userString,jobId
    user-string node-7
    iso-times no
    map-header-to-field d header_x-shop jobId
    map-header-to-field d header_x-job jobId`;
  const [row] = await written(t, lines, [delivered()]);
  assert.equal(row!.get('userString'), 'node-7');
  assert.equal(row!.get('jobId'), 'spring31');
  assert.equal(row!.get('timeLogged'), String(sampleOutcome('delivered').at / 1000));
});

test('accounting 8: SipHash and HMAC of the lower-case local part alone, in upper-case hexadecimal', async (t) => {
  const rcpt = async (policy: string) =>
    (await written(t, `records d\nprivacy-policy ${policy}`, [delivered()]))[0]!.get('rcpt');
  assert.equal(await rcpt('retain'), 'Ana@mail.example.net');
  assert.equal(await rcpt('redact'), '...@mail.example.net');
  assert.equal(await rcpt('redact somebody'), 'somebody@mail.example.net');
  assert.equal(await rcpt('siphash secret'), await rcpt('siphash-hexkey 736563726574'));
  assert.match((await rcpt('siphash secret'))!, /^[0-9A-F]{16}@mail\.example\.net$/);
  const key = 'k'.repeat(32);
  // echo -n ana | openssl dgst -sha256 -hmac kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk
  assert.equal(
    await rcpt(`hmac-sha256 ${key}`),
    '3F090C71617FD080443472B9ACE02FDD3B7EE10F4F3951A11B7BF889320E9D22@mail.example.net',
  );
});

test('accounting 3.1: dlvType and srcType of every way out and in; dsnAction says who is the last host', async (t) => {
  const ways = ['smtp', 'pipe', 'file', 'discard', 'http-delivery'] as const;
  const out = await written(
    t,
    'records d',
    ways.map((transport) => ({
      ...delivered({ transport }),
      action: transport === 'smtp' ? 'relayed' : 'delivered',
    })),
  );
  assert.deepEqual(
    out.map((r) => r.get('dlvType')),
    ways,
  );
  assert.deepEqual(
    out.map((r) => r.get('dsnAction')),
    ['relayed', 'delivered', 'delivered', 'delivered', 'delivered'],
  );
  const sources = ['smtp', 'api', 'pickup', 'http'] as const;
  const into = await written(
    t,
    'records d, r',
    sources.flatMap((source) => {
      const host = source === 'pickup' ? { heloName: '', clientIp: '' } : {};
      const outcome = delivered({}, { source, ...host });
      return [outcome, { ...outcome, kind: 'received' } as Outcome];
    }),
  );
  assert.deepEqual(
    into.map((r) => `${r.get('type')} ${r.get('srcType')} ${r.get('srcMta')}`),
    ['smtp', 'api', 'pickup', 'http'].flatMap((s) =>
      ['d', 'r'].map((type) => `${type} ${s} ${s === 'pickup' ? '' : 'feed1.example.com (192.0.2.14)'}`),
    ),
  );
});

test('accounting 1: one program in two blocks is two views, each with its place in the journal', () => {
  const config = good('<acct-file "|cat">\n</acct-file>\n<acct-file "|cat">\nrecords r\n</acct-file>');
  const names = config.acctFiles.map((acct) => acctFileView(config, acct, { clock, log: silentLog }).name);
  assert.deepEqual(names, ['acct-file |cat', 'acct-file |cat (2)']);
});
