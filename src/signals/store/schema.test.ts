import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { changeTtl, createTable, dropTable, replacePartition, type Table } from './ddl.ts';
import { type Engine, openEmbedded } from './engine.ts';
import { defaultRetention } from './retention.ts';
import { migrate, type Schema, schema, schemaStatements } from './schema.ts';

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
  for (const table of schema.tables) {
    const [, over] = createTable(table, defaultRetention, 'c1');
    const text = await formatted(over!);
    assert.ok(text.includes(`Distributed('c1', currentDatabase(), '${table.name}_local', `), text);
    assert.doesNotMatch(text, /CODEC|INDEX/);
    for (const statement of [
      ...dropTable(table, 'c1'),
      replacePartition(table, '20260101', { ...table, name: 'other' }, 'c1', true),
      ...(table.ttl ? [changeTtl(table, defaultRetention, 'c1')] : []),
    ]) {
      assert.match(await formatted(statement), /ON CLUSTER c1/);
    }
  }
});
