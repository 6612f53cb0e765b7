import { readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ClickHouseClient } from '@clickhouse/client';
import { EngineError } from './engine.ts';

/** How often the files of merges are looked at. What was merged stays on disk for eight minutes more. */
const LOOK_MS = 10_000;
/** The engine tells when a part was written in whole seconds. */
const OVERLAP_MS = 2000;
/** ClickHouse's code for a table that is detached and used by some query still. */
const IN_USE = '57';

interface Part {
  readonly table: string;
  readonly path: string;
  readonly bytes: number;
}

/**
 * Looks after the embedded engine on a full disk: there it takes files that could not be written for written, says that
 * an insert went well, and puts an empty part in place of those that it has merged. So the files of new parts are
 * compared with what the engine believes of them. A table with a part that is not whole is detached and attached: the
 * engine then reads its parts from the disk, sets the broken ones aside, and takes the merged ones back.
 */
export class PartCheck {
  readonly #log: (message: string) => void;
  #lookedAt = Date.now();
  #damages = 0;
  /** Tables that are detached, because attaching them has failed. */
  readonly #detached = new Set<string>();
  #turn: Promise<unknown> = Promise.resolve();

  constructor(log: (message: string) => void = () => {}) {
    this.#log = log;
  }

  /** Runs a statement that writes. Throws if a part was damaged meanwhile, whichever statement it was of. */
  async around<T>(client: ClickHouseClient, work: () => Promise<T>): Promise<T> {
    const before = this.#damages;
    let value: T;
    try {
      value = await work();
    } catch (error) {
      // It says why itself, and may have left a damaged part nevertheless.
      await this.look(client).catch(() => {});
      throw error;
    }
    await this.look(client);
    if (this.#damages !== before) {
      throw new EngineError(
        'the disk is full or failing: the engine could not keep what it wrote',
        243,
        null,
      );
    }
    return value;
  }

  /** Looks at the parts that are new since the last look. */
  look(client: ClickHouseClient): Promise<void> {
    const run = this.#turn.then(() => this.#look(client));
    this.#turn = run.catch(() => {});
    return run;
  }

  /** Looks every few seconds, through `look`; what it returns ends that. */
  watch(look: () => Promise<void>): () => void {
    let timer: NodeJS.Timeout;
    const again = () => {
      timer = setTimeout(() => look().then(again, again), LOOK_MS).unref();
    };
    again();
    return () => clearTimeout(timer);
  }

  async #look(client: ClickHouseClient): Promise<void> {
    const now = Date.now();
    const result = await client.query({
      query: `SELECT table, path, toUInt64(bytes_on_disk) AS bytes FROM system.parts
        WHERE active AND database = currentDatabase() AND modification_time >= toDateTime({since:UInt32})`,
      query_params: { since: Math.floor((this.#lookedAt - OVERLAP_MS) / 1000) },
      format: 'JSONEachRow',
    });
    const parts = await result.json<Part>();
    const damaged = new Set(parts.filter((part) => isDamaged(part)).map((part) => part.table));
    for (const table of [...damaged, ...this.#detached]) {
      this.#damages++;
      if (damaged.has(table)) {
        this.#log(`a part of ${table} is damaged, the disk was full or failing; the table is read anew`);
        this.#detached.add(table);
        await client.command({ query: `DETACH TABLE ${table} SYNC` });
      }
      await attach(client, table);
      this.#detached.delete(table);
    }
    this.#lookedAt = now;
  }
}

/** Waits for readers that are at the table still. */
async function attach(client: ClickHouseClient, table: string): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      await client.command({ query: `ATTACH TABLE IF NOT EXISTS ${table}` });
      return;
    } catch (error) {
      if ((error as { code?: unknown }).code !== IN_USE || tries === 100) throw error;
      await sleep(100);
    }
  }
}

/** Whether its files hold less than the engine has counted. A part that is gone was merged meanwhile, or dropped. */
function isDamaged(part: Part): boolean {
  let bytes = 0;
  try {
    for (const name of readdirSync(part.path, { recursive: true, encoding: 'utf8' }))
      bytes += statSync(path.join(part.path, name)).size;
  } catch {
    return false;
  }
  return bytes < Number(part.bytes);
}
