import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { silentLog } from '../../system/log.ts';
import { searchMessages } from '../search/message-search.ts';
import { backfillRollups } from './backfill.ts';
import { changeTtl, createTable, dropTable, replacePartition, syncReplicas, type Table } from './ddl.ts';
import { type Engine, openEmbedded, type Parameters } from './engine.ts';
import { EventStore } from './event-store.ts';
import { dropLeftovers } from './partitions.ts';
import { defaultRetention } from './retention.ts';
import { migrate, type Schema, schema, schemaStatements } from './schema.ts';
import { clusterSettings } from './server-engine.ts';
import { completenessTables } from './tables/completeness.ts';
import { laterDimensions } from './tables/dimensions.ts';
import { laterSealedTables } from './tables/sealed.ts';

let dir: string;
let engine: Engine;
before(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'posthorn-schema-'));
  engine = await openEmbedded(path.join(dir, 'one'));
});
after(async () => {
  await engine.close();
  await rm(dir, { recursive: true, force: true });
});

/** How the engine itself writes a statement; throws where it cannot read it. */
async function formatted(statement: string): Promise<string> {
  const [row] = await engine.read<{ q: string }>('SELECT formatQuery({q:String}) AS q', { q: statement });
  return row!.q;
}

const definitions = () =>
  engine.read<{ name: string; q: string }>(
    `SELECT name, create_table_query AS q FROM system.tables WHERE database = currentDatabase() ORDER BY name`,
  );

const v1: Table = {
  name: 'pets',
  columns: { name: 'String', born: "DateTime('UTC')" },
  engine: 'MergeTree',
  orderBy: ['name'],
  ttl: { from: 'born', keep: 'events' },
  deduplicationWindow: 10,
  shardingKey: 'cityHash64(name)',
};
const v2: Table = { ...v1, columns: { ...v1.columns, legs: 'UInt8 DEFAULT 4' } };
const first: Schema = { version: 3, oldest: 3, tables: [v1], views: [], steps: [] };
const second: Schema = {
  version: 4,
  oldest: 3,
  tables: [v2],
  views: [],
  steps: [
    { version: 4, statements: () => ['ALTER TABLE pets ADD COLUMN IF NOT EXISTS legs UInt8 DEFAULT 4'] },
  ],
};

test('an older store is brought forward to what an empty one gets, with its rows; a later or too old one is refused', async () => {
  await migrate(engine, defaultRetention, first);
  await engine.insert('pets', ['name', 'born'], [`["rex","2100-01-01 00:00:00"]`], 'a');
  assert.equal(await migrate(engine, defaultRetention, second), 4);
  const forward = await definitions();
  assert.deepEqual(await engine.read('SELECT name, legs FROM pets'), [{ name: 'rex', legs: 4 }]);
  // A step that broke off before its version was noted runs again.
  await engine.write('TRUNCATE TABLE schema_versions');
  await engine.insert('schema_versions', ['version'], ['[3]'], 'schema-again');
  await migrate(engine, defaultRetention, second);
  assert.deepEqual(await engine.read('SELECT max(version) AS v FROM schema_versions'), [{ v: 4 }]);

  await assert.rejects(migrate(engine, defaultRetention, first), /of version 4, this program knows 3/);
  await assert.rejects(
    migrate(engine, defaultRetention, { ...second, version: 6, oldest: 5 }),
    /before the first release/,
  );
  await engine.write('DROP TABLE pets SYNC');
  await engine.write('TRUNCATE TABLE schema_versions');
  await migrate(engine, defaultRetention, second);
  assert.deepEqual(await definitions(), forward, 'as if it had been made today');
  await engine.write('DROP TABLE pets SYNC');
  await engine.write('DROP TABLE schema_versions SYNC');
});

const without = (columns: Table['columns'], names: readonly string[]) =>
  Object.fromEntries(Object.entries(columns).filter(([name]) => !names.includes(name)));

const newCounts =
  /\b(?:outbound_tls|delivered_tls|list_unsubscribe|link_unsubscribe|nonprefetched_clicked|nonprefetched_unique_clicked|delivery_times)\b/;

/** As version 5 had it: without VMTA and node. */
const version5: Schema = {
  ...schema,
  version: 5,
  tables: schema.tables.map(({ primaryKey, ...table }) => ({
    ...table,
    columns: without(
      table.columns,
      laterDimensions.filter((name) => table.name !== 'ingest_events' || name !== 'node'),
    ),
    orderBy: primaryKey ?? table.orderBy,
  })),
  views: schema.views.map((view) => ({
    ...view,
    select: (table) => view.select(table).replaceAll(/, vmta, node\b/g, ''),
  })),
  steps: [],
};

/** As version 4 had it: without the counts that version 5 added. */
const version4: Schema = {
  ...version5,
  version: 4,
  tables: version5.tables
    .filter((table) => !completenessTables.some((later) => later.name === table.name))
    .map((table) => ({
      ...table,
      columns: Object.fromEntries(Object.entries(table.columns).filter(([name]) => !newCounts.test(name))),
    })),
  views: version5.views.map((view) => ({
    ...view,
    to: { ...view.to },
    select: (table) =>
      view
        .select(table)
        .split('\n')
        .filter((line) => !new RegExp(` AS ${newCounts.source}`).test(line))
        .join('\n')
        .replace(/,(?=\nFROM)/, ''),
  })),
};

/** What version 2 had in other form. */
const version2: Schema = {
  ...version4,
  version: 2,
  tables: version4.tables
    .filter((table) => !laterSealedTables.some((later) => later.name === table.name))
    .map((table) =>
      table.name === 'events'
        ? {
            ...table,
            columns: { ...table.columns, subject: 'String CODEC(ZSTD(1))' },
            indexes: [
              ...table.indexes!.slice(0, 2),
              'INDEX rcpt_to_index rcpt_to TYPE bloom_filter(0.01) GRANULARITY 1',
            ],
          }
        : table.name === 'ingest_events'
          ? { ...table, columns: without(table.columns, ['received', 'node', 'lags', 'lag_counts']) }
          : table,
    ),
};

const tables = () =>
  engine.read<{ name: string; q: string }>(
    `SELECT name, create_table_query AS q FROM system.tables WHERE database = currentDatabase() ORDER BY name`,
  );
const dropAll = async () => {
  for (const { name } of await tables()) await engine.write(`DROP TABLE IF EXISTS ${name} SYNC`);
};
/** Events of the last five days, of all kinds that counts look at, and those of each hour: today may be minutes old. */
const fill = (first: number) =>
  engine.write(
    `INSERT INTO events (ts, event_id, type, batch_id, sign, version, sending_ip, message_id, campaign_id, rcpt_to, link_name, num_retries, queue_time, prefetched, data)
     SELECT now64(3, 'UTC') - toIntervalHour(number % 100), toString(number),
       ['injection', 'delivery', 'delivery', 'click', 'list_unsubscribe', 'link_unsubscribe', 'open', 'delay'][intDiv(number % 5000, 100) % 8 + 1], 'b', 1, 1,
       ['192.0.2.1', 'mta-1', '2001:db8::7', 'mta-2', ''][intDiv(number, 100) % 5 + 1] AS ip,
       concat('m', toString(number % 5000)), concat('c', toString(number % 3)), 'a@b.example', if(intDiv(number % 5000, 100) % 8 = 3, 'l', ''), number % 2,
       cityHash64(number) % 100000, number % 5 = 0, concat('{"outbound_tls":"', toString(number % 3), '","sending_ip":"', ip, '"}')
     FROM numbers(${first}, 20000)`,
  );
/** All that follows from events, in one row for each day and table. */
const allSums = async () => {
  const sums = async (table: string, columns: string) =>
    engine.read(
      `SELECT '${table}' AS name, toYYYYMMDD(t) AS day, ${columns} FROM ${table} GROUP BY day ORDER BY day`,
    );
  const split = `sum(row_count * cityHash64(vmta, node)) AS by_vmta, arraySort(groupUniqArray(vmta)) AS vmtas`;
  const counted = `sum(events) AS e, sum(delivered_tls) AS tls, sum(list_unsubscribe) AS list, sum(link_unsubscribe) AS link,
    sum(unsubscribe) AS u, sum(clicked) AS c, toString(arraySort(mapKeys(sumMap(delivery_times)))) AS times,
    sum(arraySum(mapValues(delivery_times))) AS deliveries, ${split}`;
  const engaged = `sum(clicked) AS c, sum(nonprefetched_clicked) AS by_people, uniq(message) AS m, ${split}`;
  return [
    ...(await sums('metrics_minute', counted)),
    ...(await sums('metrics_hour', counted)),
    ...(await sums('engagement', engaged)),
    ...(await sums('reasons', `sum(events) AS e, ${split}`)),
  ];
};

/** An engine that breaks off at the statement of this number. */
function breaking(at: number): Engine {
  let left = at;
  return watched(() => {
    if (left-- === 0) throw new Error('killed');
  });
}

/** An engine that does something before each statement that writes. */
function watched(before: () => void): Engine {
  return new Proxy(engine, {
    get(target, name) {
      if (name === 'write') {
        return (sql: string, parameters?: Parameters) => {
          before();
          return target.write(sql, parameters);
        };
      }
      const value = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

test('a store of version 4 gets the new counts of what it has, wherever a first try broke off', async () => {
  try {
    await migrate(engine, defaultRetention);
    const today = await tables();
    await fill(0);
    const wanted = await allSums();
    assert.ok(wanted.length >= 12);
    for (const row of wanted.slice(0, 4) as { tls: number; list: number; link: number; deliveries: number }[])
      assert.ok(row.tls > 0 && row.list > 0 && row.link > 0 && row.deliveries > row.tls);
    await dropAll();

    await migrate(engine, defaultRetention, version4);
    await fill(0);
    await engine.write('INSERT INTO sealed_days (day, sealed) SELECT toYYYYMMDD(today() - 1), 1');
    // Day after day, with fewer and fewer that are left to do.
    const statements = 60;
    for (const at of [0, 7, 30, statements, statements, statements, statements + 10]) {
      await assert.rejects(migrate(breaking(at), defaultRetention), /killed/);
    }
    await migrate(engine, defaultRetention);
    await dropLeftovers(engine);
    assert.deepEqual(await allSums(), wanted);
    assert.deepEqual(await tables(), today, 'as if it had been made today');
    const store = await EventStore.open(engine);
    assert.ok(!store.seals.has(Date.now() - 86_400_000), 'what was sealed without the new counts is open');
    await fill(20_000);
    const [row] = await engine.read<{ n: number }>('SELECT sum(delivered_tls) AS n FROM metrics_hour');
    const [raw] = await engine.read<{ n: number }>('SELECT sum(delivered_tls) AS n FROM metrics_minute');
    assert.ok(row!.n > 0 && row!.n === raw!.n, 'new events are counted too');
  } finally {
    await dropAll();
  }
});

test('a store of version 5 gets the VMTAs that its events tell of, wherever a first try broke off', async () => {
  try {
    await migrate(engine, defaultRetention);
    const today = await tables();
    await fill(0);
    const wanted = await allSums();
    for (const row of wanted as { vmtas: string[] }[]) assert.deepEqual(row.vmtas, ['', 'mta-1', 'mta-2']);
    await dropAll();

    await migrate(engine, defaultRetention, version5);
    await fill(0);
    await engine.write('INSERT INTO sealed_days (day, sealed) SELECT toYYYYMMDD(today() - 1), 1');
    // All mail was looked at, for the last time.
    await engine.write(
      `INSERT INTO unresolved (t, campaign_id, unresolved)
       SELECT toStartOfMinute(ts), campaign_id, 1 FROM events WHERE type = 'injection'`,
    );
    await engine.write(
      `INSERT INTO resolved_days (t, until, made)
       SELECT DISTINCT toStartOfDay(ts), now(), now64(3) + INTERVAL 30 DAY FROM events`,
    );
    const unresolved = () =>
      engine.read<{ vmta: string; n: number }>(
        'SELECT vmta, sum(unresolved + repeated) AS n FROM unresolved GROUP BY vmta ORDER BY vmta',
      );
    const [before] = await engine.read<{ n: number }>('SELECT sum(unresolved) AS n FROM unresolved');
    const later = schema.steps.filter((step) => step.version > 5);
    const statements =
      later.flatMap((step) => step.statements(defaultRetention, null)).length + 2 * schema.views.length;
    // At each statement that changes a table, then day after day, with fewer and fewer that are left to do.
    for (let at = 0; at < statements; at++) {
      await assert.rejects(migrate(breaking(at), defaultRetention), /killed/, String(at));
    }
    for (const more of [1, 9, 20, 20, 20, 20, 20]) {
      await assert.rejects(migrate(breaking(statements + more), defaultRetention), /killed/, String(more));
    }
    await migrate(engine, defaultRetention);
    await dropLeftovers(engine);
    assert.deepEqual(await allSums(), wanted);
    assert.deepEqual(await tables(), today, 'as if it had been made today');
    let written = 0;
    await backfillRollups(
      watched(() => written++),
      silentLog,
    );
    assert.equal(written, 0, 'all is done');

    const store = await EventStore.open(engine, { dueAfterHours: 0 });
    assert.ok(!store.seals.has(Date.now() - 86_400_000), 'what was sealed without them is open');
    assert.ok((await store.completeness.refresh(silentLog)) >= 4);
    const made = await unresolved();
    assert.deepEqual(
      made.map((row) => row.vmta),
      ['', 'mta-1', 'mta-2'],
    );
    assert.equal(
      made.reduce((sum, row) => sum + row.n, 0),
      before!.n,
    );
    // What was known of messages tells it of what they draw from now on.
    const known = await store.messages(['m1', 'm105']);
    assert.deepEqual(
      [...known.values()]
        .flat()
        .sort((a, b) => (a.message_id < b.message_id ? -1 : 1))
        .map((row) => [row.message_id, row.vmta, row.node]),
      [
        ['m1', '', ''],
        ['m105', 'mta-1', ''],
      ],
    );
  } finally {
    await dropAll();
  }
});

test('a store of version 6 seals its days again, so that clicks by machines are no opens by people', async () => {
  try {
    await migrate(engine, defaultRetention, { ...schema, version: 6, steps: [] });
    await fill(0);
    // As the program of then stored it.
    const old = await EventStore.open(engine, { now: () => Date.now() + 86_400_000 });
    assert.ok((await old.seals.sealQuietDays(silentLog, 0)) >= 4);
    await engine.write(
      'ALTER TABLE slices_day UPDATE nonprefetched_unique_confirmed_opened = -1 WHERE 1 SETTINGS mutations_sync = 2',
    );
    await migrate(engine, defaultRetention);
    const store = await EventStore.open(engine, { now: () => Date.now() + 86_400_000 });
    assert.ok(!store.seals.has(Date.now() - 86_400_000));
    assert.ok((await store.seals.sealQuietDays(silentLog, 0)) >= 4);
    const [row] = await engine.read<{ wrong: number; n: number }>(
      `SELECT countIf(nonprefetched_unique_confirmed_opened < 0) AS wrong, count() AS n FROM slices_day`,
    );
    assert.ok(row!.n > 0 && row!.wrong === 0);
  } finally {
    await dropAll();
  }
});

test('sums of days whose events are gone in part stay as they are', async () => {
  try {
    await migrate(engine, defaultRetention, version4);
    await fill(0);
    const counts = () =>
      engine.read<{ day: number; e: number; tls: number }>(
        'SELECT toYYYYMMDD(t) AS day, sum(events) AS e, sum(delivered_tls) AS tls FROM metrics_hour GROUP BY day ORDER BY day',
      );
    await engine.write(`ALTER TABLE metrics_hour ADD COLUMN delivered_tls Int64`);
    const before = await counts();
    await engine.write(`ALTER TABLE metrics_hour DROP COLUMN delivered_tls`);
    await engine.write(
      `ALTER TABLE events DELETE WHERE toYYYYMMDD(ts) = ${before[1]!.day} AND event_id LIKE '%1' SETTINGS mutations_sync = 2`,
    );
    await engine.write(`ALTER TABLE events DROP PARTITION ${before[2]!.day}`);
    await migrate(engine, defaultRetention);
    const after = await counts();
    assert.deepEqual(
      after.map(({ day, e }) => ({ day, e })),
      before.map(({ day, e }) => ({ day, e })),
    );
    assert.deepEqual(
      after.slice(0, 4).map((row) => row.tls > 0),
      [true, false, false, true],
    );
  } finally {
    await dropAll();
  }
});

test('a store of version 2 comes forward with all its events; its days are sealed again', async () => {
  try {
    await migrate(engine, defaultRetention, version2);
    const columns =
      'ts, event_id, type, sign, version, message_id, rcpt_to, rcpt_hash, recipient_domain, subject';
    const at = `now64(3, 'UTC') - toIntervalHour(number % 100)`;
    await engine.write(
      `INSERT INTO events (${columns}) SELECT ${at}, toString(number), 'delivery', 1, 1, toString(number),
         if(number % 7 = 0, '', concat('u', toString(number), '@d', toString(number % 50), '.example')),
         if(number % 7 = 0, hex(number), ''), concat('d', toString(number % 50), '.example'),
         concat('News of ', toString(number % 90)) FROM numbers(20000)`,
    );
    await engine.write(`INSERT INTO sealed_days (day, sealed) SELECT toYYYYMMDD(today() - 1), 1`);
    const sums = () =>
      engine.read(
        `SELECT toYYYYMMDD(ts) AS day, count() AS n, sum(cityHash64(event_id, subject, rcpt_to, rcpt_hash)) AS h
         FROM events GROUP BY day ORDER BY day`,
      );
    const before = await sums();
    assert.equal(await migrate(engine, defaultRetention), schema.version);
    assert.deepEqual(await sums(), before);

    const store = await EventStore.open(engine, { now: () => Date.now() + 86_400_000 });
    assert.ok(!store.seals.has(Date.now() - 86_400_000), 'what was sealed in the older form is open');
    assert.ok((await store.seals.sealQuietDays(silentLog, 0)) >= 4);
    assert.equal(await store.count(), 20_000);
    const find = async (recipient: string) =>
      (
        await searchMessages(
          store,
          '/',
          new Map([
            ['recipients', recipient],
            ['from', '2020-01-01'],
          ]),
          Date.now() + 120_000,
        )
      ).totalCount;
    assert.deepEqual([await find('U15@D15.example'), await find('u14@d14.example')], [1, 0]);
    const mutations = 'SELECT count() AS n FROM system.mutations WHERE NOT is_done';
    while ((await engine.read<{ n: number }>(mutations))[0]!.n > 0) await setTimeout(50);
    const [skipped] = await engine.read<{ n: number }>(
      `SELECT count() AS n FROM system.data_skipping_indices WHERE table = 'events' AND data_compressed_bytes > 0`,
    );
    assert.equal(skipped!.n, 5, 'indexes of rows that were there before');

    const forward = await tables();
    await dropAll();
    await migrate(engine, defaultRetention);
    assert.deepEqual(forward, await tables(), 'as if it had been made today');
  } finally {
    await dropAll();
  }
});

test('the store can be made twice, and other days to keep are applied and then stay', async () => {
  await migrate(engine, defaultRetention);
  const made = await definitions();
  for (const table of schema.tables)
    assert.ok(
      made.some((m) => m.name === table.name),
      table.name,
    );
  await migrate(engine, defaultRetention);
  assert.deepEqual(await definitions(), made);
  await migrate(engine, { ...defaultRetention, events: 3, metrics: 30 });
  const ttlOf = (all: { name: string; q: string }[], name: string) =>
    /TTL (.*?) SETTINGS/.exec(all.find((m) => m.name === name)!.q)![1];
  assert.equal(ttlOf(await definitions(), 'events'), 'toDateTime(ts) + toIntervalDay(3)');
  assert.equal(ttlOf(await definitions(), 'metrics_hour'), 't + toIntervalDay(30)');
  assert.equal(ttlOf(await definitions(), 'messages'), ttlOf(made, 'messages'));
  await migrate(engine, defaultRetention);
  assert.deepEqual(await definitions(), made);
});

test("every statement for a cluster is one that the engine's parser reads, and says what it must", async () => {
  const cluster = "it's \\ one";
  for (const statement of schemaStatements(defaultRetention, cluster)) {
    const text = await formatted(statement);
    assert.ok(text.includes("ON CLUSTER `it's \\\\ one`"), statement);
    if (text.includes('MATERIALIZED VIEW')) {
      assert.match(text, / TO \w+_local\b/);
      assert.match(text, /FROM \w+_local\b/);
      assert.doesNotMatch(text, /FROM (?!\w+_local)\w+\b/, 'a view reads the rows of its own node only');
    } else if (!text.includes('ENGINE = Distributed')) {
      const [, name, family] = /CREATE TABLE IF NOT EXISTS (\w+)_local .*ENGINE = (\w+)\(/s.exec(text) ?? [];
      assert.match(family ?? '', /^Replicated(Aggregating|Replacing)?MergeTree$/, text);
      assert.ok(text.includes(`'/clickhouse/tables/{shard}/{database}/${name}', '{replica}'`), text);
      assert.ok(!text.includes('non_replicated'), text);
    }
  }
  for (const statement of schema.steps.flatMap((step) => step.statements(defaultRetention, cluster))) {
    assert.ok((await formatted(statement)).includes("ON CLUSTER `it's \\\\ one`"), statement);
  }
  for (const table of schema.tables) {
    const [, over] = createTable(table, defaultRetention, 'c1');
    const text = await formatted(over!);
    assert.ok(text.includes(`Distributed('c1', currentDatabase(), '${table.name}_local', `), text);
    assert.doesNotMatch(text, /CODEC|INDEX/);
    for (const statement of [
      ...dropTable(table, 'c1'),
      ...syncReplicas(table, 'c1'),
      replacePartition(table, '20260101', { ...table, name: 'other' }, 'c1', true),
      ...(table.ttl ? [changeTtl(table, defaultRetention, 'c1')] : []),
    ]) {
      assert.match(await formatted(statement), /ON CLUSTER c1/);
    }
  }
});

test('an insert into a cluster is acknowledged when the shards have it: the engine knows the settings for it', async () => {
  for (const [name, value] of Object.entries(clusterSettings)) {
    await engine.write(`SET ${name} = ${typeof value === 'number' ? value : `'${value}'`}`);
  }
  const rows = await engine.readForWrite(
    `SELECT toString(getSetting('distributed_foreground_insert')) AS now,
       toString(getSetting('load_balancing')) AS which`,
  );
  assert.deepEqual(rows, [{ now: 'true', which: 'in_order' }]);
});
