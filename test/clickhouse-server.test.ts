// The whole service with its events on a server: `--clickhouse URL`, over ClickHouse's own engine in another process,
// behind its HTTP interface (test/clickhouse-front.ts). The same answers as with the engine in the process, and when
// the server fails, loses answers or is away: nothing acknowledged is lost, nothing counts twice, queries say 503.
import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { beginService } from '../src/signals/service-process-testing.ts';
import { eventId, line, startTestService, TEST_KEY, type TestService } from '../src/signals/test-service.ts';
import { systemClock } from '../src/system/clock.ts';
import { ClickHouseFront, type Fault } from './clickhouse-front.ts';
import { temporaryFolder } from './program.ts';

const front = new ClickHouseFront(temporaryFolder());
before(() => front.start());
after(() => front.kill());

const NOW = Math.floor(Date.now() / 1000);
const DAY = 86_400;

/** Messages of three days with all that becomes of them; every fifth is known only by the second batch. */
function history(count: number): [string[], string[]] {
  const first: string[] = [];
  const second: string[] = [];
  for (let i = 0; i < count; i++) {
    const at = (after: number) => ({ timestamp: String(NOW - 2.5 * DAY + (i * 2 * DAY) / count + after) });
    const message = {
      message_id: `front-${i}`,
      campaign_id: ['spring', 'it\'s "summer"\t\\n', ''][i % 3],
      subaccount_id: [0, 7][i % 2],
      rcpt_to: `user${i % 40}@${['gmail.com', 'web.de', 'müller.example'][i % 3]}`,
      subject: `Grüße № ${i} \u{1f600}`,
      binding_group: 'pool',
    };
    (i % 5 === 0 ? second : first).push(line('reception', { ...message, ...at(0) }));
    first.push(
      i % 7 === 0
        ? line('inband', { ...message, ...at(5), bounce_class: '10', reason: `no such user 'x\\${i % 3}` })
        : line('delivery', { ...message, ...at(5), num_retries: String(i % 2) }),
    );
    if (i % 2 === 0) {
      first.push(line('open', { message_id: message.message_id, rcpt_to: '', ...at(100) }));
      first.push(
        line('click', {
          message_id: message.message_id,
          rcpt_to: '',
          ...at(200),
          target_link_url: `https://a.example/?q=${i % 4}`,
        }),
      );
    }
    if (i % 31 === 0) first.push(line('feedback', { message_id: message.message_id, ...at(300) }));
  }
  return [first, second];
}

const from = new Date((NOW - 4 * DAY) * 1000).toISOString().slice(0, 13);
const metrics =
  'count_injected,count_accepted,count_bounce,count_clicked,count_unique_clicked,count_unique_rendered,count_spam_complaint';
const questions = [
  `/metrics/deliverability?from=${from}:00&metrics=${metrics}`,
  `/metrics/deliverability/campaign?from=${from}:00&metrics=${metrics}`,
  `/metrics/deliverability/domain?from=${from}:00&metrics=${metrics}&subaccounts=7`,
  `/metrics/deliverability/time-series?from=${from}:00&precision=hour&timezone=Asia/Kolkata&metrics=${metrics}`,
  `/metrics/deliverability/time-series?from=${from}:00&precision=day&metrics=${metrics}`,
  `/metrics/deliverability/bounce-reason?from=${from}:00`,
  `/metrics/deliverability/link-name?from=${from}:00&metrics=count_clicked`,
  `/events/message?from=${from}:00:00Z&per_page=500&events=click,bounce`,
  `/events/message?from=${from}:00:00Z&campaigns=${encodeURIComponent('it\'s "summer"\t\\n')}`,
  `/events/message?from=${from}:00:00Z&recipients=user3@web.de,user1@gmail.com`,
  `/events/message?from=${from}:00:00Z&messages=${Array.from({ length: 3000 }, (_, i) => `front-${i}`).join()}&per_page=10`,
  `/events/message?from=${from}:00:00Z&reasons=${encodeURIComponent("'x\\1")}`,
  `/signals/health-score/campaign_id?from=${from.slice(0, 10)}&to=${new Date(NOW * 1000).toISOString().slice(0, 10)}&limit=100`,
  `/signals/cohort-engagement?from=${from.slice(0, 10)}&to=${new Date(NOW * 1000).toISOString().slice(0, 10)}`,
  '/ingest/status',
  '/subaccounts',
];

async function answers(service: TestService): Promise<Map<string, unknown>> {
  const all = new Map<string, unknown>();
  for (const question of questions) {
    const { status, body } = await service.get(`/api/v1${question}`);
    assert.equal(status, 200, `${question.slice(0, 100)} ${JSON.stringify(body).slice(0, 300)}`);
    all.set(question.slice(0, 100), [body.total_count ?? null, body.results]);
  }
  return all;
}

test('a server answers what the engine in the process answers, to all that is asked', async () => {
  const options = { eventAgeHours: 24 * 6, clock: systemClock, scoreRefreshMs: 3_600_000 };
  const embedded = await startTestService(options);
  const served = await startTestService({ ...options, clickhouseUrl: front.url });
  try {
    const [first, second] = history(300);
    for (const batch of [first, second]) {
      const own = await embedded.ingest(batch);
      const theirs = await served.ingest(batch);
      assert.equal(theirs.number_succeeded, batch.length);
      assert.equal(theirs.type, own.type);
    }
    const both = async (when: string) => {
      const expected = await answers(embedded);
      const actual = await answers(served);
      for (const [question, results] of expected) {
        assert.deepEqual(actual.get(question), results, `${when}: ${question}`);
      }
      return JSON.stringify([...expected.values()]);
    };
    const plain = await both('as it came');
    assert.ok(plain.length > 100_000);
    assert.deepEqual(await served.signals.refreshScores(), await embedded.signals.refreshScores());
    await both('with scores');
    assert.equal(await served.signals.sealDays(), await embedded.signals.sealDays());
    await both('sealed');
    for (const service of [embedded, served]) await service.signals.erase(['User3@web.de']);
    const erased = await both('erased');
    assert.ok(!erased.includes('user3@web.de') && plain.includes('user3@web.de'));
    assert.equal(await front.number("(SELECT count() FROM events WHERE data LIKE '%user3@web.de%')"), 0);
    await served.ingest([first[0]!]);
    assert.equal((await served.ingest([first[0]!])).error_type, 'duplicate_batch');
  } finally {
    await embedded.stop();
    await served.stop();
  }
});

/** What must be there once of each event and message of a batch, by campaign. */
async function stored(campaign: string) {
  const of = `campaign_id = '${campaign}'`;
  const events = `FROM events WHERE ${of}`;
  return {
    rows: await front.number(`(SELECT count() ${events})`),
    events: await front.number(`(SELECT uniqExact(event_id) ${events})`),
    minutes: await front.number(`(SELECT sum(row_count) FROM metrics_minute WHERE ${of})`),
    hours: await front.number(`(SELECT sum(row_count) FROM metrics_hour WHERE ${of})`),
    opens: await front.number(`(SELECT sum(rendered) FROM engagement WHERE ${of})`),
    reasons: await front.number(`(SELECT sum(row_count) FROM reasons WHERE ${of})`),
    ids: await front.number(
      `(SELECT uniqExact(event_id) FROM event_ids WHERE event_id IN (SELECT event_id ${events}))`,
    ),
    messages: await front.number(
      `(SELECT uniqExact(message_id) FROM messages WHERE message_id IN (SELECT message_id ${events}))`,
    ),
  };
}

/** Events of two days, so that an insert has several parts. */
function batchOf(campaign: string, count: number): string[] {
  return Array.from({ length: count }, (_, i) => {
    const message = {
      message_id: `${campaign}-${i}-${eventId()}`,
      campaign_id: campaign,
      timestamp: String(NOW - (i % 2) * 80_000 - 600),
    };
    return [
      line('reception', message),
      i % 2 === 0
        ? line('open', { ...message, rcpt_to: '' })
        : line('inband', { ...message, bounce_class: '10', reason: 'full' }),
    ];
  }).flat();
}

const expectedOf = (batches: number, count: number) => {
  const n = batches * count;
  return {
    rows: 2 * n,
    events: 2 * n,
    minutes: 2 * n,
    hours: 2 * n,
    opens: n / 2,
    reasons: n / 2,
    ids: 2 * n,
    messages: n,
  };
};

test('whatever the server or the way to it does to a statement, each event is stored once and counted once', async () => {
  const service = await startTestService({ clickhouseUrl: front.url, scoreRefreshMs: 3_600_000 });
  try {
    const insert = '^INSERT INTO events ';
    const cases: [name: string, ...Fault[]][] = [];
    for (const kind of ['reset', 'lost', 'gateway', 'refused', 'cut', 'late-failure'] as const) {
      for (const [what, statement] of [
        ['insert', insert],
        ['outcome', '^INSERT INTO ingest_events'],
        ['lookup', 'FROM event_ids'],
      ] as const) {
        cases.push([`${kind}-${what}`, { kind, statement, times: 1 }]);
      }
    }
    cases.push(
      ['hang-insert', { kind: 'hang', statement: insert, times: 1, ms: 1500 }],
      // The insert begins when its client has given it up, and is at work while that looks what has become of it.
      ['late-insert', { kind: 'late', statement: insert, times: 1, ms: 2000 }],
      ['lost-thrice', { kind: 'lost', statement: insert, times: 3 }],
      // Gone when it is asked whether the insert still runs.
      [
        'late-and-deaf',
        { kind: 'late', statement: insert, times: 1, ms: 1500 },
        { kind: 'reset', statement: 'system.processes', times: 2 },
      ],
      [
        'lost-while-mending',
        { kind: 'lost', statement: insert, times: 1 },
        { kind: 'lost', statement: '^INSERT INTO (messages|orphans)', times: 1 },
      ],
    );
    for (const [name, ...faults] of cases) {
      await front.fail(...faults);
      const met = front.met.length;
      const total = faults.reduce((sum, fault) => sum + fault.times, 0);
      const posts = [1, 2].map(async () => {
        const { status } = await service.postBytes(gzipSync(batchOf(name, 20).join('\n')));
        assert.equal(status, 200, name);
      });
      await Promise.all(posts);
      // More come while the first are being repeated.
      while (front.met.length === met) await new Promise((resolve) => setTimeout(resolve, 5));
      assert.equal((await service.postBytes(gzipSync(batchOf(name, 20).join('\n')))).status, 200);
      await service.signals.idle();
      // One whose answer was lost is not sent again, so that a second loss may find nothing to meet.
      const found = front.met.length - met;
      if (name === 'lost-thrice') assert.ok(found >= 1);
      else assert.equal(found, total, `${name}: ${front.met.slice(met).join('\n')}`);
      assert.deepEqual(await stored(name), expectedOf(3, 20), name);
    }
    const failed = (await service.get('/api/v1/events/ingest?events=error')).body.results;
    // Those of the test before are there too.
    assert.deepEqual(
      failed.filter((outcome: { error_type: string }) => outcome.error_type !== 'duplicate_batch'),
      [],
    );
  } finally {
    await front.fail();
    await service.stop();
  }
});

test('a sealing, an erasure and a refresh of scores whose statements get lost come right when they are repeated', async () => {
  const service = await startTestService({
    clickhouseUrl: front.url,
    scoreRefreshMs: 3_600_000,
    eventAgeHours: 24 * 6,
  });
  try {
    await service.ingest([line('reception', { timestamp: String(NOW - 26 * 3600) })]);
    const before = await stored('lost-insert');
    for (const kind of ['reset', 'lost', 'cut'] as const) {
      for (const statement of ['REPLACE PARTITION', '_fresh|_now', '^DROP TABLE']) {
        await front.fail({ kind, statement, times: 1 });
        await assert.rejects(service.signals.sealDays(), `${kind} ${statement}`);
        await service.signals.sealDays();
        await front.fail({ kind, statement, times: 1 });
        await assert.rejects(service.signals.refreshScores(), `${kind} ${statement}`);
        await service.ingest([line('reception', { timestamp: String(NOW - 100) })]);
        await service.signals.refreshScores();
        await service.ingest([line('reception', { timestamp: String(NOW - 26 * 3600) })]);
      }
      const who = `erased-${kind}@example.net`;
      await service.ingest([line('reception', { rcpt_to: who }), line('delivery', { rcpt_to: who })]);
      await front.fail({ kind, statement: '^ALTER TABLE events UPDATE', times: 1 });
      await assert.rejects(service.signals.erase([who]));
      await service.signals.erase([who]);
      assert.equal(await front.number(`(SELECT count() FROM events WHERE data LIKE '%${who}%')`), 0);
    }
    assert.deepEqual(await stored('lost-insert'), before);
  } finally {
    await front.fail();
    await service.stop();
  }
});

test('while the server is away batches are taken and queries are told to come again; afterwards all goes on by itself', async () => {
  const dir = temporaryFolder();
  const options = ['--clickhouse', front.url];
  let service = beginService(path.join(dir, 'data'), { options });
  try {
    let url = (await service.ready)!;
    assert.ok(url, service.log());
    const ask = async (where: string) => {
      const response = await fetch(`${url}${where}`, { headers: { authorization: TEST_KEY } });
      return { status: response.status, headers: response.headers, text: await response.text() };
    };
    const post = async () => {
      const response = await fetch(`${url}/api/v1/ingest/events`, {
        method: 'POST',
        headers: {
          authorization: TEST_KEY,
          'content-type': 'application/x-ndjson',
          'content-encoding': 'gzip',
        },
        body: gzipSync(batchOf('away', 20).join('\n')),
      });
      assert.equal(response.status, 200);
    };
    const settled = async () => {
      for (;;) {
        const { status, text } = await ask('/api/v1/ingest/status');
        if (status === 200 && JSON.parse(text).results.batches_pending === 0) return;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    };
    await post();
    await settled();
    assert.equal((await ask('/ready')).status, 200);
    await front.kill();
    await post();
    await post();
    assert.equal((await ask('/health')).status, 200);
    const ready = await ask('/ready');
    assert.equal(ready.status, 503);
    assert.match(ready.text, /the event store does not answer/);
    // The list of subaccounts and the number of events are remembered for a moment.
    const remembered = ['/subaccounts', '/ingest/status'];
    for (const where of questions.filter((one) => !remembered.includes(one))) {
      const { status, headers, text } = await ask(`/api/v1${where}`);
      assert.equal(status, 503, `${where} ${text}`);
      assert.deepEqual(JSON.parse(text), {
        errors: [{ message: 'The event store does not answer; try again later', code: '1502' }],
      });
      assert.equal(headers.get('retry-after'), '5');
    }
    assert.doesNotMatch(service.log(), /secret/, 'no password in the log');
    // What could not be stored yet survives a crash.
    service.child.kill('SIGKILL');
    await service.exited;
    const refused = beginService(path.join(dir, 'data'), { options });
    assert.equal(await refused.ready, null);
    assert.match(refused.log(), /ClickHouse at 127\.0\.0\.1:\d+ does not answer/);
    assert.doesNotMatch(refused.log(), /secret/);
    await front.start();
    service = beginService(path.join(dir, 'data'), { options });
    url = (await service.ready)!;
    assert.ok(url, service.log());
    await post();
    await front.kill();
    await post();
    await front.start();
    await settled();
    assert.equal((await ask('/ready')).status, 200);
    assert.deepEqual(await stored('away'), expectedOf(5, 20));
    const figures = (await ask('/metrics')).text;
    assert.match(figures, /posthorn_signals_store_statements_total\{kind="insert",ended="well"\} [1-9]/);
  } finally {
    service.child.kill('SIGKILL');
    await service.exited;
  }
});
