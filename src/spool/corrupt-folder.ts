/**
 * Where records go that cannot be used: one JSON file each in the folder `corrupt` of the spool, and the message as
 * it is beside it, if there is one, so that a person can look at it and submit it again.
 */
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, writeSync } from 'node:fs';
import path from 'node:path';
import { reason } from '../system/durable-file.ts';
import type { Log } from '../system/log.ts';

export interface CorruptRecord {
  /** Names the file: the message's id, or the kind and key of another record. */
  readonly name: string;
  /** What is wrong, in words. */
  readonly fault: string;
  /** What there is of it; octets as base64. */
  readonly found: unknown;
  readonly message?: Buffer;
}

export class CorruptFolder {
  readonly dir: string;
  readonly #keep: boolean;
  readonly #log: Log;

  /** `keep` false: what cannot be used is deleted (`spool-delete-corrupted`). */
  constructor(spoolDir: string, keep: boolean, log: Log) {
    this.dir = path.join(spoolDir, 'corrupt');
    this.#keep = keep;
    this.#log = log;
  }

  /**
   * Keeps a record durably, so that it may leave the store. False when it could not be written down: then it must
   * stay. Waits for the disk in place: between finding a record and keeping it nothing may happen to it, and it is rare.
   */
  take({ name, fault, found, message }: CorruptRecord): boolean {
    const file = path.join(this.dir, `${name.replace(/[^A-Za-z0-9._-]/g, '_')}.json`);
    const where = { id: name, file };
    if (!this.#keep) {
      this.#log.error(`a corrupt record is deleted: ${fault}`, { id: name });
      return true;
    }
    try {
      mkdirSync(this.dir, { recursive: true, mode: 0o700 });
      if (message) writeOnce(file.replace(/json$/, 'eml'), message);
      writeOnce(file, `${JSON.stringify({ name, fault, found }, octetsAsBase64, 2)}\n`);
      const folder = openSync(this.dir, 'r');
      fsyncSync(folder);
      closeSync(folder);
    } catch (error) {
      this.#log.error(`a corrupt record cannot be set aside and stays: ${fault}; ${reason(error)}`, where);
      return false;
    }
    this.#log.error(`a corrupt record is set aside: ${fault}`, where);
    return true;
  }
}

/** What stands there already was set aside by a run that ended before it could take it out of the store. */
function writeOnce(file: string, data: string | Buffer): void {
  if (existsSync(file)) return;
  const handle = openSync(file, 'wx', 0o600);
  try {
    const bytes = Buffer.from(data);
    for (let at = 0; at < bytes.length; ) at += writeSync(handle, bytes, at);
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}

function octetsAsBase64(_key: string, value: unknown): unknown {
  const octets = value as { type?: unknown; data?: unknown } | null;
  if (octets?.type !== 'Buffer' || !Array.isArray(octets.data)) return value;
  return { base64: Buffer.from(octets.data).toString('base64') };
}
