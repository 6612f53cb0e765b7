/** The domains whose routing data a configuration keeps warm (`<dns>`; delivery guide, section 20). */
import { open } from 'node:fs/promises';
import type { Config } from '../config/index.ts';
import {
  type Precache,
  type PrecachedDomain,
  type Resolver,
  readPrecachedDomains,
  startPrecache,
} from '../dns/index.ts';
import type { Clock } from '../system/clock.ts';
import { reason } from '../system/durable-file.ts';
import { UserError } from '../system/user-error.ts';

export interface PrecacheSettings {
  readonly domains: readonly string[];
  readonly intervalMs: number;
}

/** The beginning of the file that is looked at; 500 domains, the default, have a few kilobytes. */
const MOST_BYTES = 16 * 1024 * 1024;

/** Reads the file of domains; UserError when that is not possible. No domains when none is configured. */
export async function readPrecacheSettings({ dns }: Config): Promise<PrecacheSettings> {
  const file = dns?.get('precached-domains-file');
  const intervalMs = dns?.get('precached-refresh-interval') ?? 0;
  if (!dns || !file) return { domains: [], intervalMs };
  try {
    const handle = await open(file, 'r');
    try {
      const size = Math.min(MOST_BYTES, (await handle.stat()).size);
      const { bytesRead, buffer } = await handle.read(Buffer.alloc(size), 0, size, 0);
      const text = buffer.toString('utf8', 0, bytesRead);
      return { domains: readPrecachedDomains(text, dns.get('precached-max-domains')), intervalMs };
    } finally {
      await handle.close();
    }
  } catch (error) {
    const origin = dns.origin('precached-domains-file');
    const where = origin ? `${origin.file}:${origin.line}: ` : '';
    throw new UserError(`${where}precached-domains-file ${file} cannot be read: ${reason(error)}`, {
      cause: error,
    });
  }
}

/** Keeps them warm for as long as a configuration is in force. */
export class PrecachedDomains {
  readonly #clock: Clock;
  #running: Precache | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** From now on these, and no others. */
  apply(resolver: Resolver, settings: PrecacheSettings): void {
    this.close();
    this.#running = startPrecache({ resolver, ...settings, clock: this.#clock });
  }

  /** For `pmta show precache`, in the order of the file. */
  list(): readonly PrecachedDomain[] {
    return this.#running?.domains() ?? [];
  }

  /** Resolves when the round of questions under way, if any, is over. */
  async settled(): Promise<void> {
    await this.#running?.settled();
  }

  close(): void {
    this.#running?.close();
    this.#running = null;
  }
}
