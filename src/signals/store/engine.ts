import { mkdir, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { Readable } from 'node:stream';
import { type ClickHouseClient, type ClickHouseSettings, createClient } from '@clickhouse/client';
import { reason } from '../../system/durable-file.ts';
import { UserError } from '../../system/user-error.ts';
import type { Cluster } from './ddl.ts';

/** Values bound to `{name:Type}` in a statement; never spliced into its text. */
export type Parameters = Readonly<Record<string, unknown>>;

/** ClickHouse, embedded or a server: the same statements run on both. */
export interface Engine {
  /** A failed write has ended for certain: no connection is between us and the engine. */
  readonly embedded: boolean;
  /** The cluster that the tables are spread over; `null` if they are in one place. */
  readonly cluster: Cluster;
  /** Rows of a SELECT. `JSONEachRow` forms: 64-bit integers as numbers. Throws `EngineError`. */
  read<Row>(sql: string, parameters?: Parameters): Promise<Row[]>;
  /** Runs a statement that changes something, in turn with all other writes. */
  write(sql: string, parameters?: Parameters): Promise<void>;
  /** SELECT in turn with the writes, so that it sees all of them; for the writer's own lookups. */
  readForWrite<Row>(sql: string, parameters?: Parameters): Promise<Row[]>;
  /**
   * Inserts rows as one block. `lines` are JSON arrays in the order of `columns`. A second insert of the same
   * `token` into the same table does nothing, there and in the views behind it.
   */
  insert(table: string, columns: readonly string[], lines: readonly string[], token: string): Promise<void>;
  /** The same for many rows: `block` is theirs in the format `Native` (native-block.ts). */
  insertBlock(table: string, columns: readonly string[], block: Buffer, token: string): Promise<void>;
  /**
   * Statements that may take long, one after the other in a lane of their own: for tables that ingest does not write
   * to. A read sees what was written here before it.
   */
  readonly background: Background;
  close(): Promise<void>;
}

export interface Background {
  read<Row>(sql: string, parameters?: Parameters): Promise<Row[]>;
  write(sql: string, parameters?: Parameters): Promise<void>;
}

/** The engine refused or failed. `code` is ClickHouse's number (159 timeout, 241 memory, …), 0 if there is none. */
export class EngineError extends Error {
  readonly code: number;
  constructor(message: string, code: number, cause: unknown) {
    super(message, { cause });
    this.name = 'EngineError';
    this.code = code;
  }
}

/** More queries wait than the engine can answer soon. */
export class EngineBusy extends Error {
  constructor() {
    super('too many queries are waiting');
    this.name = 'EngineBusy';
  }
}

export interface EngineLimits {
  /** Seconds that one query of a reader may take. */
  readonly querySeconds: number;
  /** Bytes of memory that one query may take. */
  readonly queryMemory: number;
  /** Rows that one query may answer. */
  readonly resultRows: number;
}

export const defaultLimits: EngineLimits = {
  querySeconds: 20,
  queryMemory: 2 * 2 ** 30,
  resultRows: 200_000,
};

const READERS = 2;
const LONGEST_QUEUE = 256;

/**
 * One connection and the queue before it. The embedded engine runs one statement per connection at a time and holds
 * a thread of Node's pool for each that waits; queueing here keeps that pool free for files.
 */
class Lane {
  readonly client: ClickHouseClient;
  waiting = 0;
  #last: Promise<unknown> = Promise.resolve();

  constructor(client: ClickHouseClient) {
    this.client = client;
  }

  run<T>(work: (client: ClickHouseClient) => Promise<T>): Promise<T> {
    if (this.waiting >= LONGEST_QUEUE) return Promise.reject(new EngineBusy());
    this.waiting++;
    const result = this.#last.then(() => work(this.client)).catch(translate);
    this.#last = result.then(
      () => void this.waiting--,
      () => void this.waiting--,
    );
    return result;
  }

  async close(): Promise<void> {
    await this.#last;
    await this.client.close();
  }
}

function translate(error: unknown): never {
  if (error instanceof EngineError || error instanceof EngineBusy) throw error;
  const e = error as { message?: string; code?: unknown };
  const code = Number(e?.code);
  throw new EngineError(String(e?.message ?? error).slice(0, 1000), Number.isInteger(code) ? code : 0, error);
}

// Settings belong to a lane, not to a query: embedded, they are made once by SET, because the client would put them
// before each statement, which makes an insert take twice as long. Only the insert token stands in its statement.
function readerSettings(limits: EngineLimits): ClickHouseSettings {
  return {
    max_execution_time: limits.querySeconds,
    max_memory_usage: String(limits.queryMemory),
    max_result_rows: String(limits.resultRows),
    result_overflow_mode: 'throw',
    output_format_json_quote_64bit_integers: 0,
    max_threads: 2,
  };
}

const writerSettings: ClickHouseSettings = {
  output_format_json_quote_64bit_integers: 0,
  max_partitions_per_insert_block: '0',
  deduplicate_blocks_in_dependent_materialized_views: 1,
  async_insert: 0,
  // Keeps every insert one block, so that it becomes one part per partition or none.
  max_insert_threads: '1',
  // Our inserts are of some MB: smaller pieces let both cores parse.
  min_chunk_bytes_for_parallel_parsing: '1000000',
  max_query_size: String(16 * 2 ** 20),
};

const backgroundSettings: ClickHouseSettings = {
  output_format_json_quote_64bit_integers: 0,
  max_partitions_per_insert_block: '0',
  async_insert: 0,
  max_memory_usage: String(2 * 2 ** 30),
  // One, so that readers have another core.
  max_threads: 1,
  max_insert_threads: '1',
  // A day of a large sender has a million combinations of dimensions.
  max_bytes_before_external_group_by: String(2 ** 29),
  max_bytes_ratio_before_external_group_by: 0,
};

class LaneEngine implements Engine {
  readonly embedded: boolean;
  readonly cluster: Cluster;
  readonly #writer: Lane;
  readonly #readers: readonly Lane[];
  readonly #aside: Lane;
  readonly background: Background;
  /** Embedded: where a block lies while the engine takes it in. */
  readonly #blockFile: string | null;
  readonly #afterClose: () => Promise<void>;

  constructor(
    blockFile: string | null,
    cluster: Cluster,
    writer: Lane,
    readers: readonly Lane[],
    aside: Lane,
    afterClose: () => Promise<void> = async () => {},
  ) {
    this.embedded = blockFile !== null;
    this.#blockFile = blockFile;
    this.cluster = cluster;
    this.#writer = writer;
    this.#readers = readers;
    this.#aside = aside;
    this.background = {
      read: (sql, parameters) => aside.run((client) => select(client, sql, parameters)),
      write: (sql, parameters) => aside.run((client) => command(client, sql, parameters)),
    };
    this.#afterClose = afterClose;
  }

  read<Row>(sql: string, parameters?: Parameters): Promise<Row[]> {
    const lane = this.#readers.reduce((a, b) => (b.waiting < a.waiting ? b : a));
    return lane.run((client) => select<Row>(client, sql, parameters));
  }

  readForWrite<Row>(sql: string, parameters?: Parameters): Promise<Row[]> {
    return this.#writer.run((client) => select<Row>(client, sql, parameters));
  }

  async write(sql: string, parameters?: Parameters): Promise<void> {
    await this.#writer.run((client) => command(client, sql, parameters));
  }

  async insert(
    table: string,
    columns: readonly string[],
    lines: readonly string[],
    token: string,
  ): Promise<void> {
    if (lines.length === 0) return;
    await this.#writer.run((client) =>
      client.exec({
        query: `${insertInto(table, columns, token)} FORMAT JSONCompactEachRow`,
        values: Readable.from([`${lines.join('\n')}\n`]),
      }),
    );
  }

  async insertBlock(table: string, columns: readonly string[], block: Buffer, token: string): Promise<void> {
    const into = insertInto(table, columns, token);
    const file = this.#blockFile;
    await this.#writer.run(async (client) => {
      if (file === null) {
        await client.exec({ query: `${into} FORMAT Native`, values: Readable.from([block]) });
        return;
      }
      // In this process the client knows text only, which costs the engine three times as much.
      try {
        await writeFile(file, block, { mode: 0o640 });
        await command(client, `${into} SELECT ${columns.join(', ')} FROM file(${quoted(file)}, Native)`);
      } finally {
        await rm(file, { force: true });
      }
    });
  }

  async close(): Promise<void> {
    await Promise.all([this.#writer, this.#aside, ...this.#readers].map((lane) => lane.close()));
    await this.#afterClose();
  }
}

function insertInto(table: string, columns: readonly string[], token: string): string {
  if (!/^[\w-]{1,200}$/.test(token)) throw new Error(`not a token: ${token}`);
  return `INSERT INTO ${table} (${columns.join(', ')}) SETTINGS insert_deduplication_token = '${token}'`;
}

function quoted(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}

async function select<Row>(client: ClickHouseClient, sql: string, parameters?: Parameters): Promise<Row[]> {
  const result = await client.query({
    query: sql,
    format: 'JSONEachRow',
    query_params: { ...parameters },
  });
  return result.json<Row>();
}

async function command(client: ClickHouseClient, sql: string, parameters?: Parameters): Promise<void> {
  await client.command({ query: sql, query_params: { ...parameters } });
}

const require = createRequire(import.meta.url);

/** ClickHouse's engine in this process, its data in `folder`. Throws `UserError` if it cannot be opened. */
export async function openEmbedded(folder: string, limits: EngineLimits = defaultLimits): Promise<Engine> {
  const blockFile = path.join(folder, 'insert.native');
  try {
    await mkdir(folder, { recursive: true, mode: 0o750 });
    await rm(blockFile, { force: true });
  } catch (error) {
    throw new UserError(`${folder} (event store) cannot be made: ${reason(error)}`, { cause: error });
  }
  const connection = require('chdb/connection') as typeof import('chdb/connection');
  const { drainPending } = require('chdb') as { drainPending(): Promise<void> };
  const open = async (settings: ClickHouseSettings): Promise<Lane> => {
    try {
      // chdb compiles against its own copy of the client's types; at run time they are the same interface.
      const made = connection.createChdbConnection({ path: folder }) as never;
      const client: ClickHouseClient = createClient({ connection: made } as never);
      for (const [name, value] of Object.entries(settings)) {
        const literal = typeof value === 'number' ? value : `'${value}'`;
        await client.command({ query: `SET ${name} = ${literal}` });
      }
      return new Lane(client);
    } catch (error) {
      throw openFailure(folder, error);
    }
  };
  const writer = await open(writerSettings);
  const readers: Lane[] = [];
  for (let i = 0; i < READERS; i++) readers.push(await open(readerSettings(limits)));
  const aside = await open(backgroundSettings);
  return new LaneEngine(blockFile, null, writer, readers, aside, drainPending);
}

function openFailure(folder: string, error: unknown): UserError {
  const text = error instanceof Error ? error.message : String(error);
  if (text.includes('Cannot lock file')) {
    return new UserError(
      `${folder} (event store) is in use by another posthorn signals; stop that one or give --data another folder`,
      { cause: error },
    );
  }
  const because = text.replace(/\s+/g, ' ').trim();
  return new UserError(
    `${folder} (event store) cannot be opened: ${because}; check the folder's owner and free space`,
    { cause: error },
  );
}

/**
 * A ClickHouse server at `url` (`http://user:password@host:8123/database`), a node of `cluster` if one is named.
 * Throws `UserError` if it does not answer.
 */
export async function openServer(
  url: string,
  cluster: Cluster = null,
  limits: EngineLimits = defaultLimits,
): Promise<Engine> {
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch {
    throw new UserError('--clickhouse needs a URL such as http://user:password@host:8123/database', {
      exitCode: 2,
    });
  }
  const open = (settings: ClickHouseSettings) =>
    new Lane(createClient({ url, clickhouse_settings: settings, max_open_connections: 1 }));
  const writer = open(writerSettings);
  const readers = Array.from({ length: READERS }, () => open(readerSettings(limits)));
  const engine = new LaneEngine(null, cluster, writer, readers, open(backgroundSettings));
  try {
    await engine.readForWrite('SELECT 1');
  } catch (error) {
    await engine.close();
    const message = error instanceof Error ? error.message : String(error);
    throw new UserError(`ClickHouse at ${parsed.host} does not answer: ${message.replace(/\s+/g, ' ')}`, {
      cause: error,
    });
  }
  return engine;
}
