import { setTimeout as sleep } from 'node:timers/promises';
import {
  type ClickHouseClient,
  ClickHouseError,
  ClickHouseLogLevel,
  type ClickHouseSettings,
  createClient,
} from '@clickhouse/client';
import { UserError } from '../../system/user-error.ts';
import { type Cluster, quoted } from './ddl.ts';
import {
  backgroundSettings,
  defaultLimits,
  type Engine,
  EngineAway,
  EngineError,
  type EngineLimits,
  Lane,
  LaneEngine,
  READERS,
  readerSettings,
  writerSettings,
} from './engine.ts';

/** A server that says nothing for so long is taken for away. Writers' statements may well take minutes. */
const READ_MS = 5000;
const WRITE_MS = 600_000;
const BACKGROUND_MS = 3_600_000;
/** How long a lane waits for a statement without an answer to end before it says that it waits. */
const ENDED_MS = 30_000;
const ASK_MS = 250;

const everyLane: ClickHouseSettings = {
  // The status tells how it ended: a failure in the middle of an answer is none behind a `200`.
  wait_end_of_query: 1,
};

/**
 * Of a cluster. Acknowledged means that the shards have the rows (`distributed_foreground_insert`, under the name that
 * older servers know too), and what is read is what was written: lookups ask the replica that inserts go to.
 */
export const clusterSettings: ClickHouseSettings = {
  insert_distributed_sync: 1,
  load_balancing: 'in_order',
  prefer_localhost_replica: 0,
};

class ServerLane extends Lane {
  protected override translate(error: unknown): EngineError {
    if (error instanceof EngineError || error instanceof ClickHouseError) return super.translate(error);
    const { message } = super.translate(error);
    return new EngineAway(`the ClickHouse server does not answer: ${message.replace(/\s+/g, ' ')}`, error);
  }
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
  const connect = (settings: ClickHouseSettings, request_timeout: number) =>
    createClient({
      url,
      clickhouse_settings: { ...settings, ...everyLane, ...(cluster === null ? {} : clusterSettings) },
      max_open_connections: 1,
      request_timeout,
      // Thousands of ids to look up are more than a request line holds.
      use_multipart_params_auto: true,
      // It would write statements and their values, which name recipients, to the console.
      log: { level: ClickHouseLogLevel.OFF },
    });
  const readMs = limits.querySeconds * 1000 + READ_MS;
  const watcher = connect(readerSettings(limits), readMs);
  /** Statements of a lane bear its name, so that those can be found that nobody waits for. */
  const named = (name: string, settings: ClickHouseSettings, ms: number) => {
    const mark = `posthorn ${name}`;
    return new ServerLane(connect({ ...settings, log_comment: mark }, ms), () =>
      ended(watcher, mark, cluster),
    );
  };
  const writer = named('writer', writerSettings, WRITE_MS);
  const aside = named('background', backgroundSettings, BACKGROUND_MS);
  const readers = Array.from(
    { length: READERS },
    () => new ServerLane(connect(readerSettings(limits), readMs)),
  );
  const engine = new LaneEngine(null, cluster, writer, readers, aside, null, () => watcher.close());
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

/**
 * Resolves when the server runs no statement with this mark in our database. Throws if it is not so after a while. What
 * was sent and is not running yet cannot be seen: hence the moment before the first look.
 */
async function ended(client: ClickHouseClient, mark: string, cluster: Cluster): Promise<void> {
  const processes =
    cluster === null ? 'system.processes' : `clusterAllReplicas(${quoted(cluster)}, system.processes)`;
  const until = Date.now() + ENDED_MS;
  for (;;) {
    await sleep(ASK_MS);
    const result = await client.query({
      query: `SELECT count() AS n FROM ${processes}
        WHERE current_database = currentDatabase() AND Settings['log_comment'] = {mark:String}`,
      query_params: { mark },
      format: 'JSONEachRow',
    });
    const [row] = await result.json<{ n: number }>();
    if (row?.n === 0) return;
    if (Date.now() > until) {
      throw new EngineError('a statement of before that was not answered runs still', 0, undefined);
    }
  }
}
