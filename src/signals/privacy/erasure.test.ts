import assert from 'node:assert/strict';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { type Clock, systemClock } from '../../system/clock.ts';
import { silentLog } from '../../system/log.ts';
import { startSignals } from '../server.ts';
import { type Engine, openEmbedded } from '../store/engine.ts';
import { line, startTestService, TEST_KEY, type TestService } from '../test-service.ts';
import { digestOf } from './scrub.ts';

const ADA = 'Ada.Lovelace@example.net';
const DIGEST = digestOf(ADA);
const BASE64 = Buffer.from(DIGEST, 'hex').toString('base64').slice(0, 27);
/** Everything that tells who she is. */
const TRACES = ['lovelace', DIGEST, BASE64, 'countess'];

const ada = (n: number) => ({ message_id: `ada-${n}`, rcpt_to: ADA, campaign_id: 'spring', subject: 'News' });

function lines(): string[] {
  const now = String(Math.floor(Date.now() / 1000) - 600);
  const all = [
    line('reception', { ...ada(1), rcpt_meta: { title: 'countess' }, rcpt_tags: ['countess'] }),
    line('delivery', { ...ada(1), raw_rcpt_to: ADA }),
    line('inband', {
      ...ada(2),
      bounce_class: '10',
      reason: `550 no ${ADA} here`,
      raw_reason: `550 <${ADA.toUpperCase()}> unknown, ask Ada.Lovelace`,
    }),
    line('click', {
      message_id: 'ada-1',
      rcpt_to: '',
      target_link_url: `https://b.example/?to=${encodeURIComponent(ADA)}`,
      user_agent: 'countess browser',
    }),
    line('open', { message_id: 'ada-1', rcpt_to: '' }),
    line('outofband', {
      message_id: 'ada-1',
      rcpt_to: '',
      raw_reason: 'from bounce-ada.lovelace=example.net@b.example',
    }),
    line('reception', {
      message_id: 'ada-3',
      rcpt_to: undefined,
      rcpt_hash: BASE64,
      rcpt_domain: 'example.net',
    }),
    line('gen_fail', { message_id: undefined, raw_rcpt_to: ADA, rcpt_to: ADA }),
    // Of another, who mentions her.
    line('feedback', { message_id: 'bob-1', rcpt_to: 'bob@example.net', report_by: ADA }),
    line('reception', {
      message_id: 'bob-1',
      rcpt_to: 'bob@example.net',
      rcpt_meta: { friend: ADA, is: 'kept' },
    }),
    // Refused, and so in the file of failures.
    line('reception', { ...ada(4), timestamp: '1' }),
    `this is no JSON: ${ADA}`,
  ];
  return all.map((text) => text.replace(/"timestamp":"1\d+"/, `"timestamp":"${now}"`));
}

const metricsPath =
  '/api/v1/metrics/deliverability/campaign?from=2020-01-01T00:00&metrics=count_injected,count_delivered,count_bounce,count_unique_clicked,count_unique_rendered,count_clicked';

async function counts(service: TestService): Promise<unknown> {
  const paths = [
    metricsPath,
    metricsPath.replace('/campaign?', '/domain?'),
    '/api/v1/metrics/deliverability/bounce-classification?from=2020-01-01T00:00',
    '/api/v1/ingest/status',
  ];
  return Promise.all(paths.map(async (where) => (await service.get(where)).body.results));
}

/** Rows of any table with a trace of her in any column. */
async function traces(engine: Engine): Promise<string[]> {
  const tables = await engine.background.read<{ name: string }>(
    `SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree'`,
  );
  const found: string[] = [];
  for (const { name } of tables) {
    const rows = await engine.background.read<object>(`SELECT * FROM ${name}`);
    found.push(...rows.map((row) => `${name} ${JSON.stringify(row)}`).filter((text) => hasTrace(text)));
  }
  return found;
}

function hasTrace(text: string): boolean {
  return TRACES.some((trace) => text.toLowerCase().includes(trace.toLowerCase()));
}

/** Files of the data folder, inflated where they are gzipped, with a trace of her. */
async function filesWithTraces(dir: string): Promise<string[]> {
  const found: string[] = [];
  for (const entry of await readdir(dir, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = path.join(entry.parentPath, entry.name);
    const bytes = await readFile(file);
    const text = (file.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('latin1');
    if (hasTrace(text)) found.push(path.relative(dir, file));
  }
  return found;
}

/**
 * Folders of parts that the engine has rewritten and will remove by itself, eight minutes later; there is nothing in
 * the others.
 */
async function partsToGo(dir: string): Promise<string[]> {
  const engine = await openEmbedded(path.join(dir, 'clickhouse'));
  try {
    assert.deepEqual(await traces(engine), []);
    const rows = await engine.background.read<{ path: string }>(
      `SELECT path FROM system.parts WHERE NOT active AND database = currentDatabase()`,
    );
    return rows.map((row) => row.path.slice(row.path.indexOf('/store/') + 1));
  } finally {
    await engine.close();
  }
}

/** Files with traces of her that nothing is going to remove. */
async function lastingTraces(dir: string): Promise<string[]> {
  const going = await partsToGo(dir);
  const files = await filesWithTraces(dir);
  return files.filter((file) => !going.some((part) => file.startsWith(`clickhouse/${part}`)));
}

test('an erased recipient is in no table and no file any more, counts and other people stay', async () => {
  const service = await startTestService({ eventAgeHours: 48 });
  try {
    const outcome = await service.ingest(lines());
    assert.equal(outcome.number_failed, 2);
    const before = await counts(service);
    const bob = (await service.get('/api/v1/events/message?recipients=bob@example.net')).body.total_count;
    const find = async (who: string) =>
      (await service.get(`/api/v1/events/message?recipients=${who}`)).body.total_count;
    assert.ok((await find(ADA)) >= 7);

    const ask = (body: unknown, headers = {}) =>
      service.send('POST', '/api/v1/data-privacy/rtbf-request', body, headers);
    assert.equal((await ask({ recipients: [] })).status, 400);
    const wrong = await ask({ recipients: ['ada@example.net', 'nobody'] });
    assert.equal(wrong.status, 400);
    assert.equal(wrong.body.errors[0].recipient, 'nobody');
    // Another subaccount's request takes nothing from this one.
    assert.equal((await ask({ recipients: [ADA] }, { 'x-msys-subaccount': '7' })).status, 200);
    await service.signals.erased();
    assert.ok((await find(ADA)) >= 7);

    const answer = await ask({ recipients: [` ${ADA} `], include_subaccounts: true });
    assert.deepEqual([answer.status, answer.body], [200, { results: { message: 'Request saved.' } }]);
    await service.signals.erased();
    assert.equal(await find(ADA), 0);
    assert.equal(await find(DIGEST), 0);
    assert.equal(await find('bob@example.net'), bob);
    assert.deepEqual(await counts(service), before);
    const events = (await service.get('/api/v1/events/message?messages=ada-1,bob-1')).text;
    assert.ok(events.includes('"kept"') && events.includes('"campaign_id":"spring"'));

    // A late batch must not bring her back, nor may it lose an event; what happens from now on is another matter.
    const late = await service.ingest([
      line('reception', { ...ada(5), timestamp: String(Math.floor(Date.now() / 1000) - 100) }),
      line('open', {
        message_id: 'ada-5',
        rcpt_to: '',
        timestamp: String(Math.floor(Date.now() / 1000) - 90),
      }),
    ]);
    assert.equal(late.number_succeeded, 2);
    assert.equal(await find(ADA), 0);
    assert.equal((await service.get('/api/v1/events/message?messages=ada-5')).body.total_count, 2);
    await service.ingest([
      line('reception', { ...ada(6), timestamp: String(Math.floor(Date.now() / 1000) + 5) }),
    ]);
    const new_ = `/api/v1/events/message?recipients=${ADA}&to=2100-01-01T00:00:00Z`;
    assert.equal((await service.get(new_)).body.total_count, 1);
    assert.equal((await ask({ recipients: [ADA], include_subaccounts: true })).status, 200);
    await service.signals.erased();
    const optOut = await service.send('POST', '/api/v1/data-privacy/opt-out-request', { recipients: [ADA] });
    assert.equal(optOut.status, 200);
    assert.equal((await service.get(new_)).body.total_count, 0);

    await service.signals.close();
    // The journal keeps her digest for as long as late events may come.
    assert.deepEqual(
      (await lastingTraces(service.dir)).filter((file) => !file.startsWith('erasures/')),
      [],
    );
    // Three days on nothing of the request is left either.
    const later = { now: () => Date.now() + 3 * 86_400_000, after: systemClock.after };
    const signals = await startSignals({
      dataDir: service.dir,
      listen: { host: '127.0.0.1', port: 0 },
      adminKey: TEST_KEY,
      log: silentLog,
      clock: later,
    });
    await signals.erased();
    await signals.close();
    assert.deepEqual(await lastingTraces(service.dir), []);
    assert.deepEqual(await readdir(path.join(service.dir, 'erasures')), []);
  } finally {
    await service.stop();
  }
});

test('nothing waits any more after a stop, however many requests came together', async () => {
  const waiting = new Map<number, () => void>();
  let timers = 0;
  const clock: Clock = {
    now: systemClock.now,
    after: (ms, then) => {
      const id = timers++;
      const cancel = systemClock.after(ms, () => {
        waiting.delete(id);
        then();
      });
      waiting.set(id, cancel);
      return () => {
        waiting.delete(id);
        cancel();
      };
    },
  };
  const service = await startTestService({ clock });
  try {
    const request = () =>
      service.send('POST', '/api/v1/data-privacy/rtbf-request', {
        recipients: [ADA],
        include_subaccounts: true,
      });
    for (const answer of await Promise.all([request(), request(), request()]))
      assert.equal(answer.status, 200);
    await service.signals.erased();
  } finally {
    await service.stop();
  }
  const left = waiting.size;
  for (const cancel of waiting.values()) cancel();
  assert.equal(left, 0);
});

test('a request that a kill has cut off is taken up at the next start', async () => {
  const service = await startTestService({ eventAgeHours: 48 });
  try {
    await service.ingest(lines());
    await service.signals.close();
    // As it stands on disk when the program is killed anywhere in its work, here with one table done.
    const one = {
      id: '00000000000001-x',
      at: Date.now(),
      subaccount: null,
      addresses: [ADA.toLowerCase()],
      digests: [DIGEST],
    };
    await writeFile(path.join(service.dir, 'erasures/00000000000001-x.json'), JSON.stringify(one));
    await writeFile(path.join(service.dir, 'erasures/00000000000002-y.json.1234.tmp'), ADA);
    const engine = await openEmbedded(path.join(service.dir, 'clickhouse'));
    await engine.write(`ALTER TABLE events UPDATE rcpt_to = '' WHERE 1 SETTINGS mutations_sync = 2`);
    await engine.close();
    const signals = await startSignals({
      dataDir: service.dir,
      listen: { host: '127.0.0.1', port: 0 },
      adminKey: TEST_KEY,
      log: silentLog,
      clock: systemClock,
    });
    await signals.erased();
    await signals.close();
    const files = await lastingTraces(service.dir);
    assert.deepEqual(files, ['erasures/00000000000001-x.json']);
    assert.doesNotMatch(await readFile(path.join(service.dir, files[0]!), 'utf8'), /lovelace/);
  } finally {
    await service.stop();
  }
});

test('with hashed recipients no address is stored, and events are found by it', async () => {
  const service = await startTestService({ hashRecipients: true });
  try {
    await service.ingest([
      line('reception', { ...ada(1), timestamp: String(Math.floor(Date.now() / 1000) - 600) }),
      line('open', {
        message_id: 'ada-1',
        rcpt_to: '',
        timestamp: String(Math.floor(Date.now() / 1000) - 500),
      }),
      line('inband', {
        ...ada(2),
        raw_reason: `no ${ADA}`,
        timestamp: String(Math.floor(Date.now() / 1000) - 400),
      }),
    ]);
    const { body } = await service.get(`/api/v1/events/message?recipients=${ADA}`);
    assert.equal(body.total_count, 3);
    for (const event of body.results) {
      assert.equal(event.rcpt_to, undefined);
      assert.equal(event.rcpt_hash, DIGEST);
      assert.equal(event.recipient_domain, 'example.net');
    }
    await service.signals.close();
    const engine = await openEmbedded(path.join(service.dir, 'clickhouse'));
    const found = await traces(engine);
    await engine.close();
    assert.ok(
      found.every((row) => !row.toLowerCase().includes('lovelace')),
      found.join('\n'),
    );
    const files = await filesWithTraces(service.dir);
    assert.ok(
      files.every((file) => file.startsWith('clickhouse/')),
      files.join(),
    );
  } finally {
    await service.stop();
  }
});

test('somebody with thousands of long events is erased from all of them', async () => {
  const service = await startTestService({ eventAgeHours: 48 });
  try {
    const told = 'a long story '.repeat(120);
    const events = Array.from({ length: 1200 }, (_, i) =>
      line(i % 2 === 0 ? 'delivery' : 'inband', {
        ...ada(i),
        subject: `${i} ${told}`,
        bounce_class: '10',
        reason: `${i} is no ${ADA}`,
        rcpt_meta: { n: i },
      }),
    );
    assert.equal((await service.ingest(events)).number_succeeded, 1200);
    const before = await counts(service);
    await service.signals.erase([ADA]);
    assert.deepEqual(await counts(service), before);
    const found = await service.get('/api/v1/events/message?per_page=2000');
    assert.equal(found.body.total_count, 1200);
    assert.ok(!hasTrace(found.text) && found.text.includes('a long story'));
  } finally {
    await service.stop();
  }
});
