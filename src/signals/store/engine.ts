import { mkdir, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { Readable } from 'node:stream';
import { type ClickHouseClient, type ClickHouseSettings, createClient } from '@clickhouse/client';
import { reason } from '../../system/durable-file.ts';
import { UserError } from '../../system/user-error.ts';
import { type Cluster, quoted } from './ddl.ts';
import { PartCheck } from './part-check.ts';

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
  /** What was asked of it since the start. */
  readonly counts: Readonly<Record<StatementKind, StatementCount>>;
  close(): Promise<void>;
}

/** `read`: what readers ask; `lookup`: the writer's SELECTs; `background`: what that lane does. */
export type StatementKind = 'read' | 'lookup' | 'insert' | 'write' | 'background';

export interface StatementCount {
  /** Ended well. */
  done: number;
  failed: number;
  /** Time of all of them together, without their time in the queue. */
  seconds: number;
}

/** A lane to give statements to. */
export interface Statements {
  read<Row>(sql: string, parameters?: Parameters): Promise<Row[]>;
  write(sql: string, parameters?: Parameters): Promise<void>;
}

export interface Background extends Statements {
  /**
   * Work of many statements, one at a time: a refresh, a sealing, an erasure. Otherwise one could put in place what it
   * has read before another changed it.
   */
  inTurn<T>(work: () => Promise<T>): Promise<T>;
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

/** A server did not answer, or not in its own words: whether the statement ran, and runs still, is not known. */
export class EngineAway extends EngineError {
  constructor(message: string, cause: unknown) {
    super(message, 0, cause);
    this.name = 'EngineAway';
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

export const READERS = 2;
const LONGEST_QUEUE = 256;

/**
 * One connection and the queue before it. The embedded engine runs one statement per connection at a time and holds
 * a thread of Node's pool for each that waits; queueing here keeps that pool free for files.
 */
export class Lane {
  readonly client: ClickHouseClient;
  waiting = 0;
  #last: Promise<unknown> = Promise.resolve();
  /** Resolves when no statement of this lane runs any more; `null` where an answer tells that. */
  readonly #ended: (() => Promise<void>) | null;
  /** A statement may run still that is not waited for: one without an answer, or one of an earlier run. */
  #doubt: boolean;

  constructor(client: ClickHouseClient, ended: (() => Promise<void>) | null = null) {
    this.client = client;
    this.#ended = ended;
    this.#doubt = ended !== null;
  }

  run<T>(count: StatementCount, work: (client: ClickHouseClient) => Promise<T>): Promise<T> {
    if (this.waiting >= LONGEST_QUEUE) return Promise.reject(new EngineBusy());
    this.waiting++;
    const result = this.#last.then(() => this.#inTurn(count, work));
    this.#last = result.then(
      () => void this.waiting--,
      () => void this.waiting--,
    );
    return result;
  }

  async #inTurn<T>(count: StatementCount, work: (client: ClickHouseClient) => Promise<T>): Promise<T> {
    const begun = performance.now();
    try {
      if (this.#doubt) {
        await this.#ended!();
        this.#doubt = false;
      }
      const value = await work(this.client);
      count.done++;
      return value;
    } catch (error) {
      count.failed++;
      const told = this.translate(error);
      if (told instanceof EngineAway) this.#doubt = this.#ended !== null;
      throw told;
    } finally {
      count.seconds += (performance.now() - begun) / 1000;
    }
  }

  /** What a failure of the client means. */
  protected translate(error: unknown): EngineError {
    if (error instanceof EngineError) return error;
    const e = error as { message?: string; code?: unknown };
    const code = Number(e?.code);
    return new EngineError(
      String(e?.message ?? error).slice(0, 1000),
      Number.isInteger(code) ? code : 0,
      error,
    );
  }

  async close(): Promise<void> {
    await this.#last;
    await this.client.close();
  }
}

// Settings belong to a lane, not to a query: embedded, they are made once by SET, because the client would put them
// before each statement, which makes an insert take twice as long. Only the insert token stands in its statement.
export function readerSettings(limits: EngineLimits): ClickHouseSettings {
  return {
    max_execution_time: limits.querySeconds,
    max_memory_usage: String(limits.queryMemory),
    max_result_rows: String(limits.resultRows),
    result_overflow_mode: 'throw',
    output_format_json_quote_64bit_integers: 0,
    max_threads: 2,
    // Searches for thousands of words are long statements.
    max_query_size: String(8 * 2 ** 20),
    max_parser_backtracks: '100000000',
    max_ast_elements: '1000000',
    max_expanded_ast_elements: '2000000',
  };
}

export const writerSettings: ClickHouseSettings = {
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

export const backgroundSettings: ClickHouseSettings = {
  output_format_json_quote_64bit_integers: 0,
  max_partitions_per_insert_block: '0',
  async_insert: 0,
  max_memory_usage: String(2 * 2 ** 30),
  // The texts of events that are taken out stand in the statement.
  max_query_size: String(64 * 2 ** 20),
  // One, so that readers have another core.
  max_threads: 1,
  max_insert_threads: '1',
  // A day of a large sender has a million combinations of dimensions.
  max_bytes_before_external_group_by: String(2 ** 29),
  max_bytes_ratio_before_external_group_by: 0,
};

export class LaneEngine implements Engine {
  readonly embedded: boolean;
  readonly cluster: Cluster;
  readonly #writer: Lane;
  readonly #readers: readonly Lane[];
  readonly #aside: Lane;
  readonly background: Background;
  readonly counts: Record<StatementKind, StatementCount> = {
    read: { done: 0, failed: 0, seconds: 0 },
    lookup: { done: 0, failed: 0, seconds: 0 },
    insert: { done: 0, failed: 0, seconds: 0 },
    write: { done: 0, failed: 0, seconds: 0 },
    background: { done: 0, failed: 0, seconds: 0 },
  };
  /** Embedded: where a block lies while the engine takes it in. */
  readonly #blockFile: string | null;
  /** Embedded: what looks after each statement that writes. */
  readonly #check: PartCheck | null;
  readonly #beforeClose: () => void;
  readonly #afterClose: () => Promise<void>;

  constructor(
    blockFile: string | null,
    cluster: Cluster,
    writer: Lane,
    readers: readonly Lane[],
    aside: Lane,
    check: PartCheck | null,
    afterClose: () => Promise<void>,
    beforeClose: () => void = () => {},
  ) {
    this.embedded = blockFile !== null;
    this.#blockFile = blockFile;
    this.cluster = cluster;
    this.#writer = writer;
    this.#readers = readers;
    this.#aside = aside;
    this.#check = check;
    let last: Promise<unknown> = Promise.resolve();
    this.background = {
      inTurn: (work) => {
        const run = last.then(work);
        last = run.catch(() => {});
        return run;
      },
      read: (sql, parameters) =>
        aside.run(this.counts.background, (client) => select(client, sql, parameters)),
      write: (sql, parameters) =>
        aside.run(this.counts.background, (client) =>
          this.#checked(client, () => command(client, sql, parameters)),
        ),
    };
    this.#beforeClose = beforeClose;
    this.#afterClose = afterClose;
  }

  #checked<T>(client: ClickHouseClient, work: () => Promise<T>): Promise<T> {
    return this.#check ? this.#check.around(client, work) : work();
  }

  read<Row>(sql: string, parameters?: Parameters): Promise<Row[]> {
    const lane = this.#readers.reduce((a, b) => (b.waiting < a.waiting ? b : a));
    return lane.run(this.counts.read, (client) => select<Row>(client, sql, parameters));
  }

  readForWrite<Row>(sql: string, parameters?: Parameters): Promise<Row[]> {
    return this.#writer.run(this.counts.lookup, (client) => select<Row>(client, sql, parameters));
  }

  async write(sql: string, parameters?: Parameters): Promise<void> {
    await this.#writer.run(this.counts.write, (client) =>
      this.#checked(client, () => command(client, sql, parameters)),
    );
  }

  async insert(
    table: string,
    columns: readonly string[],
    lines: readonly string[],
    token: string,
  ): Promise<void> {
    if (lines.length === 0) return;
    const into = `${insertInto(table, columns, token)} FORMAT JSONCompactEachRow`;
    await this.#writer.run(this.counts.insert, (client) =>
      this.#checked(client, () => send(client, into, `${lines.join('\n')}\n`)),
    );
  }

  async insertBlock(table: string, columns: readonly string[], block: Buffer, token: string): Promise<void> {
    const into = insertInto(table, columns, token);
    const file = this.#blockFile;
    await this.#writer.run(this.counts.insert, async (client) => {
      if (file === null) return send(client, `${into} FORMAT Native`, block);
      // In this process the client knows text only, which costs the engine three times as much.
      try {
        await writeFile(file, block, { mode: 0o640 });
        await this.#checked(client, () =>
          command(client, `${into} SELECT ${columns.join(', ')} FROM file(${quoted(file)}, Native)`),
        );
      } finally {
        await rm(file, { force: true });
      }
    });
  }

  async close(): Promise<void> {
    this.#beforeClose();
    await Promise.all([this.#writer, this.#aside, ...this.#readers].map((lane) => lane.close()));
    await this.#afterClose();
  }
}

function insertInto(table: string, columns: readonly string[], token: string): string {
  if (!/^[\w-]{1,200}$/.test(token)) throw new Error(`not a token: ${token}`);
  return `INSERT INTO ${table} (${columns.join(', ')}) SETTINGS insert_deduplication_token = '${token}'`;
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

/** A statement with data behind it. The answer is read to its end: only then the connection is free. */
async function send(client: ClickHouseClient, query: string, data: string | Buffer): Promise<void> {
  const { stream } = await client.exec({ query, values: Readable.from([data]) });
  for await (const _ of stream);
}

const require = createRequire(import.meta.url);

/** ClickHouse's engine in this process, its data in `folder`. Throws `UserError` if it cannot be opened. */
export async function openEmbedded(
  folder: string,
  limits: EngineLimits = defaultLimits,
  log: (message: string) => void = () => {},
): Promise<Engine> {
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
  const check = new PartCheck(log);
  const stop = check.watch(() =>
    writer.run({ done: 0, failed: 0, seconds: 0 }, (client) => check.look(client)),
  );
  return new LaneEngine(blockFile, null, writer, readers, aside, check, drainPending, stop);
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
