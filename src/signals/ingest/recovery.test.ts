import assert from 'node:assert/strict';
import { mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { systemClock } from '../../system/clock.ts';
import type { Log } from '../../system/log.ts';
import { type Signals, startSignals } from '../server.ts';
import { type Engine, openEmbedded } from '../store/engine.ts';
import { line, TEST_KEY } from '../test-service.ts';

let dir: string;
before(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'posthorn-recovery-'));
});
after(() => rm(dir, { recursive: true, force: true }));

const said: string[] = [];
const log: Log = {
  info() {},
  warn: (message) => void said.push(message),
  error: (message, fields) => void said.push(`${message} ${fields?.because ?? ''}`),
  named: () => log,
};

const start = (): Promise<Signals> =>
  startSignals({
    dataDir: dir,
    listen: { host: '127.0.0.1', port: 0 },
    adminKey: TEST_KEY,
    log,
    clock: systemClock,
    eventAgeHours: 48,
  });

/** Puts the only processed batch back to where it waits, as if the program had been killed before it was done. */
async function unfinish(): Promise<void> {
  const done = path.join(dir, 'ingest/done');
  const [day] = await readdir(done);
  const names = await readdir(path.join(done, day!));
  const name = names.find((n) => !n.includes('failures'))!;
  const pending = `${String(Date.now()).padStart(14, '0')}-000000000-${name}`;
  await rename(path.join(done, day!, name), path.join(dir, 'ingest/pending', pending));
}

async function withEngine<T>(work: (engine: Engine) => Promise<T>): Promise<T> {
  const engine = await openEmbedded(path.join(dir, 'clickhouse'));
  try {
    return await work(engine);
  } finally {
    await engine.close();
  }
}

/** All that must be the same after any recovery; then breaks something for the next one. */
function state(statements: readonly string[] = []): Promise<unknown> {
  return withEngine(async (engine) => {
    const now = await stateOf(engine);
    for (const statement of statements) await engine.write(statement);
    return now;
  });
}

async function stateOf(engine: Engine): Promise<unknown> {
  return {
    events: await engine.read(
      `SELECT event_id, toInt64(sum(sign)) AS n, count() AS c FROM events GROUP BY event_id ORDER BY event_id`,
    ),
    minute: await engine.read(
      `SELECT t, campaign_id, sum(row_count) AS c, sum(injected) AS i, sum(rendered) AS r,
         sum(clicked) AS u
       FROM metrics_minute GROUP BY t, campaign_id ORDER BY t, campaign_id`,
    ),
    hour: await engine.read(
      `SELECT t, campaign_id, sum(row_count) AS c, sum(injected) AS i, sum(rendered) AS r,
         sum(clicked) AS u
       FROM metrics_hour GROUP BY t, campaign_id ORDER BY t, campaign_id`,
    ),
    engagement: await engine.read(
      `SELECT t, campaign_id, message, sum(row_count) AS c, sum(rendered) AS r
       FROM engagement GROUP BY t, campaign_id, message ORDER BY t, message, campaign_id`,
    ),
    reasons: await engine.read(
      `SELECT t, reason, sum(row_count) AS c, sum(events) AS n FROM reasons GROUP BY t, reason ORDER BY t, reason`,
    ),
    ids: await engine.read('SELECT DISTINCT event_id FROM event_ids ORDER BY event_id'),
    messages: await engine.read('SELECT DISTINCT message_id FROM messages ORDER BY message_id'),
    outcome: await engine.read(
      `SELECT batch_id, event_id, type, error_type, number_succeeded AS s, number_failed AS f, number_duplicates AS d
       FROM ingest_events FINAL ORDER BY batch_id`,
    ),
  };
}

/** Comparing part by part keeps a difference readable. */
function assertSame(actual: unknown, expected: unknown, name: string): void {
  for (const [part, rows] of Object.entries(expected as Record<string, unknown[]>)) {
    const have = (actual as Record<string, unknown[]>)[part]!;
    const differing = rows.findIndex((row, i) => JSON.stringify(row) !== JSON.stringify(have[i]));
    assert.deepEqual(have[differing], rows[differing], `${name}: ${part}\n${said.join('\n')}`);
    assert.equal(have.length, rows.length, `${name}: ${part}`);
  }
}

async function recovered(breakNext: readonly string[] = []): Promise<unknown> {
  const signals = await start();
  await signals.idle();
  await signals.close();
  return state(breakNext);
}

const today = Math.floor(Date.now() / 86_400_000) * 86_400;
const yesterday = today - 3600;

test('whatever part of a batch had been written when the program was killed, the end is the same', async () => {
  const lines: string[] = ['{}'];
  for (let i = 0; i < 40; i++) {
    const timestamp = String(i % 2 === 0 ? today + i : yesterday + i);
    const message = { message_id: `m${i}`, timestamp };
    lines.push(line('reception', { ...message, campaign_id: `c${i % 3}` }));
    lines.push(line('open', { ...message, rcpt_to: '' }));
    if (i % 5 === 0) lines.push(line('inband', { ...message, bounce_class: '10', reason: `no ${i}` }));
  }
  const orphans = line('open', { message_id: 'm4', rcpt_to: '', timestamp: String(yesterday) });
  let signals = await start();
  const post = async (body: Buffer) => {
    const response = await fetch(`${signals.url}/api/v1/ingest/events`, {
      method: 'POST',
      headers: {
        authorization: TEST_KEY,
        'content-type': 'application/x-ndjson',
        'content-encoding': 'gzip',
      },
      body: new Uint8Array(body),
    });
    assert.equal(response.status, 200);
    await signals.idle();
  };
  await post(gzipSync(orphans));
  await rm(path.join(dir, 'ingest/done'), { recursive: true });
  await signals.close();
  signals = await start();
  await post(gzipSync(lines.join('\n')));
  await signals.close();
  // One day of the batch had become durable, the other had not.
  const day = new Date(today * 1000).toISOString().slice(0, 10).replaceAll('-', '');
  const breaks: [name: string, statements: string[]][] = [
    ['nothing is missing but the end of the paper work', []],
    ['no outcome', [`ALTER TABLE ingest_events DELETE WHERE type = 'error' SETTINGS mutations_sync = 2`]],
    ['one roll-up is missing', ['TRUNCATE TABLE metrics_hour']],
    ['both roll-ups are missing', ['TRUNCATE TABLE metrics_hour', 'TRUNCATE TABLE metrics_minute']],
    [
      'the roll-ups of messages and reasons are missing',
      ['TRUNCATE TABLE engagement', 'TRUNCATE TABLE reasons'],
    ],
    ['a roll-up was written twice', ['INSERT INTO metrics_minute SELECT * FROM metrics_minute']],
    [
      'half of the events are missing',
      [`ALTER TABLE events DROP PARTITION ${day}`, `ALTER TABLE metrics_minute DROP PARTITION ${day}`],
    ],
    [
      'opens are missing, and so is what was known of their messages',
      [
        `ALTER TABLE events DELETE WHERE type = 'open' AND message_id != 'm4' SETTINGS mutations_sync = 2`,
        'TRUNCATE TABLE messages',
      ],
    ],
    ['the lookups are missing', ['TRUNCATE TABLE event_ids', 'TRUNCATE TABLE messages']],
  ];
  const expected = (await state(breaks[0]![1])) as Record<string, unknown>;
  for (const [i, [name]] of breaks.entries()) {
    await unfinish();
    said.length = 0;
    const after = (await recovered(breaks[i + 1]?.[1])) as Record<string, unknown>;
    // The earlier batch's own lookups are not this batch's to mend.
    if (name === 'the lookups are missing') after.ids = expected.ids;
    assertSame(after, expected, name);
    assert.deepEqual(
      said.filter((text) => !text.includes('is incomplete after a break')),
      [],
      name,
    );
  }
});

test('files of uploads that were never acknowledged are removed, others left alone', async () => {
  const pending = path.join(dir, 'ingest/pending');
  await writeFile(path.join(pending, '00000000000001-000000000-x.gz.tmp'), 'half');
  await writeFile(path.join(pending, 'README'), 'not ours');
  await recovered();
  assert.deepEqual(await readdir(pending), ['README']);
});
