import type { Engine } from './engine.ts';

/** Days that each kind of data is kept (SparkPost's own figures are the defaults). */
export interface Retention {
  readonly events: number;
  readonly metrics: number;
  readonly messages: number;
}

export const defaultRetention: Retention = { events: 10, metrics: 190, messages: 60 };

/** Columns that reports filter and group by, the same in `events` and in the roll-ups. */
export const dimensions = [
  'subaccount_id',
  'campaign_id',
  'template_id',
  'recipient_domain',
  'sending_domain',
  'sending_ip',
  'ip_pool',
  'mailbox_provider',
  'mailbox_provider_region',
] as const;
export type Dimension = (typeof dimensions)[number];

/** Columns of `events` in the order in which rows are inserted. */
export const eventColumns = [
  'ts',
  'event_id',
  'type',
  'batch_id',
  'sign',
  'version',
  'orphan',
  ...dimensions,
  'message_id',
  'transmission_id',
  'rcpt_to',
  'raw_rcpt_to',
  'rcpt_hash',
  'routing_domain',
  'friendly_from',
  'subject',
  'ab_test_id',
  'ab_test_version',
  'bounce_class',
  'bounce_category',
  'reason',
  'raw_reason',
  'link_name',
  'num_retries',
  'queue_time',
  'msg_size',
  'prefetched',
  'data',
] as const;
export type EventColumn = (typeof eventColumns)[number];

const lowCardinality = 'LowCardinality(String)';

/**
 * `events`: one row per event. A late injection enriches engagement that came before it by two more rows of the same
 * `event_id`: a copy of the poor row with sign -1 and the richer one with a higher version. So `sum(sign)` counts
 * events under any filter, and readers take the highest version.
 */
const eventsTable = `
CREATE TABLE IF NOT EXISTS events (
  ts DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
  event_id String CODEC(ZSTD(1)),
  type ${lowCardinality},
  batch_id LowCardinality(String),
  sign Int8,
  version UInt8,
  orphan UInt8,
  subaccount_id UInt32,
  campaign_id ${lowCardinality},
  template_id ${lowCardinality},
  recipient_domain ${lowCardinality},
  sending_domain ${lowCardinality},
  sending_ip ${lowCardinality},
  ip_pool ${lowCardinality},
  mailbox_provider ${lowCardinality},
  mailbox_provider_region ${lowCardinality},
  message_id String CODEC(ZSTD(1)),
  transmission_id String CODEC(ZSTD(1)),
  rcpt_to String CODEC(ZSTD(1)),
  raw_rcpt_to String CODEC(ZSTD(1)),
  rcpt_hash String CODEC(ZSTD(1)),
  routing_domain ${lowCardinality},
  friendly_from ${lowCardinality},
  subject String CODEC(ZSTD(1)),
  ab_test_id ${lowCardinality},
  ab_test_version ${lowCardinality},
  bounce_class UInt16,
  bounce_category ${lowCardinality},
  reason String CODEC(ZSTD(1)),
  raw_reason String CODEC(ZSTD(1)),
  link_name String CODEC(ZSTD(1)),
  num_retries UInt32,
  queue_time UInt64,
  msg_size UInt64,
  prefetched UInt8,
  data String CODEC(ZSTD(3)),
  INDEX message_id_index message_id TYPE bloom_filter(0.01) GRANULARITY 1,
  INDEX event_id_index event_id TYPE bloom_filter(0.01) GRANULARITY 1,
  INDEX rcpt_to_index rcpt_to TYPE bloom_filter(0.01) GRANULARITY 1
) ENGINE = MergeTree
PARTITION BY toYYYYMMDD(ts)
ORDER BY (ts, event_id)
TTL toDateTime(ts) + INTERVAL 10 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000,
  fsync_after_insert = 1, fsync_part_directory = 1`;

/** Small granules and blocks: these tables are read by scattered keys, a few rows here and there. */
const byKey = `index_granularity = 256, min_compress_block_size = 4096, max_compress_block_size = 16384,
  ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000`;

/** What duplicate removal looks into. A set: rows may stand twice. */
const eventIdsTable = `
CREATE TABLE IF NOT EXISTS event_ids (
  h UInt64,
  event_id String CODEC(ZSTD(1)),
  batch_id LowCardinality(String),
  day Date DEFAULT today()
) ENGINE = MergeTree
PARTITION BY day
ORDER BY h
TTL day + INTERVAL 4 DAY
SETTINGS ${byKey}`;

/** What enrichment looks into: injections and deliveries by message. A set: rows may stand twice. */
const messagesTable = `
CREATE TABLE IF NOT EXISTS messages (
  h UInt64,
  message_id String CODEC(ZSTD(1)),
  subaccount_id UInt32,
  injection UInt8,
  ts DateTime64(3, 'UTC'),
  data String CODEC(ZSTD(3))
) ENGINE = MergeTree
PARTITION BY toMonday(ts)
ORDER BY h
TTL toDateTime(ts) + INTERVAL 60 DAY
SETTINGS ${byKey}`;

/** Events that found no message, so that a late injection finds them. A set: rows may stand twice. */
const orphansTable = `
CREATE TABLE IF NOT EXISTS orphans (
  h UInt64,
  message_id String CODEC(ZSTD(1)),
  ts DateTime64(3, 'UTC'),
  event_id String CODEC(ZSTD(1))
) ENGINE = MergeTree
PARTITION BY toMonday(ts)
ORDER BY h
TTL toDateTime(ts) + INTERVAL 60 DAY
SETTINGS ${byKey}`;

const eventIdsView = `
CREATE MATERIALIZED VIEW IF NOT EXISTS event_ids_view TO event_ids AS
SELECT cityHash64(event_id) AS h, event_id, batch_id, today() AS day FROM events WHERE version = 1 AND sign = 1`;

const messagesView = `
CREATE MATERIALIZED VIEW IF NOT EXISTS messages_view TO messages AS
SELECT cityHash64(message_id) AS h, message_id, subaccount_id, type = 'injection' AS injection, ts, data
FROM events WHERE type IN ('injection', 'delivery') AND sign = 1 AND message_id != ''`;

const orphansView = `
CREATE MATERIALIZED VIEW IF NOT EXISTS orphans_view TO orphans AS
SELECT cityHash64(message_id) AS h, message_id, ts, event_id FROM events WHERE orphan = 1 AND sign = 1`;

/** Column of the roll-ups → the amount that one row of `events` adds to it (times its sign). */
export const counters: Readonly<Record<string, string>> = {
  events: '1',
  injected: `type = 'injection'`,
  policy_rejection: `type = 'policy_rejection'`,
  generation_failed: `type = 'generation_failure'`,
  generation_rejection: `type = 'generation_rejection'`,
  delivered_first: `type = 'delivery' AND num_retries = 0`,
  delivered_subsequent: `type = 'delivery' AND num_retries > 0`,
  delivery_time_first: `if(type = 'delivery' AND num_retries = 0, queue_time, 0)`,
  delivery_time_subsequent: `if(type = 'delivery' AND num_retries > 0, queue_time, 0)`,
  msg_volume: `if(type = 'delivery', msg_size, 0)`,
  inband_bounce: `type = 'bounce' AND bounce_category != 'Admin'`,
  outofband_bounce: `type = 'out_of_band' AND bounce_category != 'Admin'`,
  hard_bounce: `type IN ('bounce', 'out_of_band') AND bounce_category = 'Hard'`,
  soft_bounce: `type IN ('bounce', 'out_of_band') AND bounce_category = 'Soft'`,
  block_bounce: `type IN ('bounce', 'out_of_band') AND bounce_category = 'Block'`,
  undetermined_bounce: `type IN ('bounce', 'out_of_band') AND bounce_category = 'Undetermined'`,
  admin_bounce: `type IN ('bounce', 'out_of_band') AND bounce_category = 'Admin'`,
  delayed: `type = 'delay'`,
  delayed_first: `type = 'delay' AND num_retries = 0`,
  spam_complaint: `type = 'spam_complaint'`,
  unsubscribe: `type IN ('list_unsubscribe', 'link_unsubscribe')`,
  rendered: `type IN ('open', 'amp_open')`,
  initial_rendered: `type IN ('initial_open', 'amp_initial_open')`,
  clicked: `type IN ('click', 'amp_click')`,
  nonprefetched_rendered: `type IN ('open', 'amp_open') AND NOT prefetched`,
  nonprefetched_initial_rendered: `type IN ('initial_open', 'amp_initial_open') AND NOT prefetched`,
};

/**
 * Column of the roll-ups → which events make a message count there, once per unit of time. Events that have found no
 * message yet are kept apart, in a column `…_orphans` that can be taken back from: message → how many such events.
 */
export const uniques: Readonly<Record<string, string>> = {
  unique_rendered: counters.rendered!,
  unique_initial_rendered: counters.initial_rendered!,
  unique_confirmed_opened: `(${counters.rendered}) OR (${counters.initial_rendered}) OR (${counters.clicked})`,
  unique_clicked: counters.clicked!,
  nonprefetched_unique_rendered: counters.nonprefetched_rendered!,
  nonprefetched_unique_initial_rendered: counters.nonprefetched_initial_rendered!,
  nonprefetched_unique_confirmed_opened: `(${counters.nonprefetched_rendered}) OR (${counters.nonprefetched_initial_rendered}) OR (${counters.clicked})`,
};

export const rollups = ['metrics_minute', 'metrics_hour'] as const;
export type Rollup = (typeof rollups)[number];

/** `row_count` counts rows of `events` whatever their sign: the check that a roll-up is complete. */
const rollupColumns = `
  t DateTime('UTC') CODEC(Delta, ZSTD(1)),
  subaccount_id UInt32,
  campaign_id ${lowCardinality},
  template_id ${lowCardinality},
  recipient_domain ${lowCardinality},
  sending_domain ${lowCardinality},
  sending_ip ${lowCardinality},
  ip_pool ${lowCardinality},
  mailbox_provider ${lowCardinality},
  mailbox_provider_region ${lowCardinality},
  row_count SimpleAggregateFunction(sum, UInt64),
  ${Object.keys(counters)
    .map((name) => `${name} SimpleAggregateFunction(sum, Int64)`)
    .join(',\n  ')},
  ${Object.keys(uniques)
    .map(
      (name) =>
        `${name} AggregateFunction(uniqExact, UInt64),
  ${name}_orphans AggregateFunction(sumMap, Array(UInt64), Array(Int64))`,
    )
    .join(',\n  ')}`;

const rollupTable = (name: string) => `
CREATE TABLE IF NOT EXISTS ${name} (${rollupColumns}
) ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMMDD(t)
ORDER BY (t, ${dimensions.join(', ')})
TTL t + INTERVAL 190 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000,
  fsync_after_insert = 1, fsync_part_directory = 1`;

/**
 * The roll-up of a set of events. A message is its id within its subaccount, as ids of a sender's own choice may come
 * twice. Negative counts can be: they take back what a late injection moved elsewhere. */
export function rollupSelect(rollup: Rollup, where = ''): string {
  const unit = rollup === 'metrics_minute' ? 'toStartOfMinute' : 'toStartOfHour';
  return `SELECT toDateTime(${unit}(ts), 'UTC') AS t, ${dimensions.join(', ')},
  count() AS row_count,
  ${Object.entries(counters)
    .map(([name, amount]) => `sum(toInt64(sign) * toInt64(${amount})) AS ${name}`)
    .join(',\n  ')},
  ${Object.entries(uniques)
    .map(
      ([name, which]) =>
        `uniqExactStateIf(cityHash64(message_id, subaccount_id), orphan = 0 AND message_id != '' AND (${which})) AS ${name},
  sumMapStateIf([cityHash64(message_id, subaccount_id)], [toInt64(sign)], orphan = 1 AND (${which})) AS ${name}_orphans`,
    )
    .join(',\n  ')}
FROM events ${where}
GROUP BY t, ${dimensions.join(', ')}`;
}

const rollupView = (name: Rollup) =>
  `CREATE MATERIALIZED VIEW IF NOT EXISTS ${name}_view TO ${name} AS ${rollupSelect(name)}`;

/** Outcomes of batches; the latest version of a batch counts, so that a batch processed again replaces its own. */
const outcomesTable = `
CREATE TABLE IF NOT EXISTS ingest_events (
  batch_id String,
  event_id String,
  ts DateTime64(3, 'UTC'),
  written DateTime64(6, 'UTC') DEFAULT now64(6),
  type ${lowCardinality},
  error_type ${lowCardinality},
  retryable UInt8,
  subaccount_id UInt32,
  number_succeeded UInt32,
  number_failed UInt32,
  number_duplicates UInt32,
  data String CODEC(ZSTD(1))
) ENGINE = ReplacingMergeTree(written)
ORDER BY batch_id
TTL toDateTime(ts) + INTERVAL 11 DAY
SETTINGS non_replicated_deduplication_window = 1000`;

/** One step per version; a step once published is never changed, a new one is added. */
const migrations: readonly (readonly string[])[] = [
  [
    eventsTable,
    eventIdsTable,
    messagesTable,
    orphansTable,
    ...rollups.map(rollupTable),
    outcomesTable,
    eventIdsView,
    messagesView,
    orphansView,
    ...rollups.map(rollupView),
  ],
];

/**
 * Brings the tables to the version of this program. Every statement may run twice, so a crash between two of them
 * does no harm. Returns the version. Throws if the data is of a later version than this program knows.
 */
export async function migrate(engine: Engine, retention: Retention): Promise<number> {
  await engine.write(
    `CREATE TABLE IF NOT EXISTS schema_versions (version UInt32, at DateTime DEFAULT now())
     ENGINE = MergeTree ORDER BY version SETTINGS non_replicated_deduplication_window = 100`,
  );
  const [row] = await engine.readForWrite<{ v: number }>(`SELECT max(version) AS v FROM schema_versions`);
  const have = row?.v ?? 0;
  if (have > migrations.length) {
    throw new Error(
      `the event store is of version ${have}, this program knows ${migrations.length}; use the newer program`,
    );
  }
  for (let version = have + 1; version <= migrations.length; version++) {
    for (const statement of migrations[version - 1]!) await engine.write(statement);
    await engine.insert('schema_versions', ['version'], [`[${version}]`], `schema-${version}`);
  }
  await applyRetention(engine, retention);
  return migrations.length;
}

async function applyRetention(engine: Engine, retention: Retention): Promise<void> {
  const wanted: readonly (readonly [table: string, expression: string, days: number, initial: number])[] = [
    ['events', 'toDateTime(ts)', retention.events, defaultRetention.events],
    ['metrics_minute', 't', retention.metrics, defaultRetention.metrics],
    ['metrics_hour', 't', retention.metrics, defaultRetention.metrics],
    ['messages', 'toDateTime(ts)', retention.messages, defaultRetention.messages],
    ['orphans', 'toDateTime(ts)', retention.messages, defaultRetention.messages],
  ];
  for (const [table, expression, days] of wanted) {
    const [row] = await engine.readForWrite<{ q: string }>(
      `SELECT create_table_query AS q FROM system.tables WHERE database = currentDatabase() AND name = {table:String}`,
      { table },
    );
    if (row && !row.q.includes(`toIntervalDay(${Math.trunc(days)})`)) {
      await engine.write(
        `ALTER TABLE ${table} MODIFY TTL ${expression} + toIntervalDay(${Math.trunc(days)}) SETTINGS materialize_ttl_after_modify = 0`,
      );
    }
  }
}
