import { randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { Clock } from '../../system/clock.ts';
import { syncFolder, writeFileDurably } from '../../system/durable-file.ts';
import type { Log } from '../../system/log.ts';
import type { EventStore } from '../store/event-store.ts';
import { eraseFromFiles, messagesTo, type Person, pendingBatches } from './erase-files.ts';
import { eraseFromStore } from './erase-store.ts';
import type { RecipientsAtRest } from './recipients-at-rest.ts';
import { digestOf } from './scrub.ts';

/** A request in the journal. Its addresses stand there until the first pass is done, after that their digests alone. */
interface Journalled {
  readonly id: string;
  readonly at: number;
  readonly subaccount: number | null;
  readonly addresses: readonly string[];
  readonly digests: readonly string[];
  /** Ids of their messages, once they were looked up in the batches; in the order of `digests`. */
  readonly messages?: readonly (readonly string[])[];
}

export interface ErasureOptions {
  readonly dataDir: string;
  readonly store: EventStore;
  readonly recipients: RecipientsAtRest;
  readonly clock: Clock;
  readonly log: Log;
  /** No event older than this when it arrives is taken, milliseconds. */
  readonly maxAgeMs: number;
}

const HOUR = 3_600_000;

/**
 * Takes recipients out of everything that is kept, by request. A request is in the journal before it is acknowledged;
 * at the next start an unfinished one is begun again. The first pass goes through the tables and the batches on disk.
 * Events of before the request may still come for as long as ingest takes them: they are stored without the recipient
 * (`RecipientsAtRest`), and when none can come any more a last pass goes through the batches that brought them.
 */
export class Erasure {
  readonly #options: ErasureOptions;
  readonly #dir: string;
  readonly #open: Journalled[];
  #running: Promise<void> = Promise.resolve();
  #closed = false;
  #cancel = () => {};

  private constructor(options: ErasureOptions, dir: string, open: Journalled[]) {
    this.#options = options;
    this.#dir = dir;
    this.#open = open;
    for (const one of open) this.#note(one);
    this.#start();
  }

  static async open(options: ErasureOptions): Promise<Erasure> {
    const dir = path.join(options.dataDir, 'erasures');
    await mkdir(dir, { recursive: true, mode: 0o700 });
    const open: Journalled[] = [];
    for (const name of (await readdir(dir)).sort()) {
      if (name.endsWith('.json'))
        open.push(JSON.parse(await readFile(path.join(dir, name), 'utf8')) as Journalled);
      else await rm(path.join(dir, name), { force: true });
    }
    return new Erasure(options, dir, open);
  }

  /** Requests whose first pass is not done. */
  get pending(): number {
    return this.#open.filter((one) => one.addresses.length > 0).length;
  }

  /** Takes a request; when this resolves it is on disk. `subaccount` `null` is all of them. */
  async request(addresses: readonly string[], subaccount: number | null): Promise<void> {
    const at = this.#options.clock.now();
    const lower = [...new Set(addresses.map((address) => address.trim().toLowerCase()))];
    const one: Journalled = {
      id: `${String(at).padStart(14, '0')}-${randomUUID()}`,
      at,
      subaccount,
      addresses: lower,
      digests: lower.map(digestOf),
    };
    await writeFileDurably(this.#file(one), JSON.stringify(one), 0o600);
    this.#note(one);
    this.#open.push(one);
    this.#start();
  }

  /** Resolves when no first pass is left to be done, or it failed and will be tried again. */
  async idle(): Promise<void> {
    await this.#running;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#cancel();
    await this.#running;
  }

  #file(one: Journalled): string {
    return path.join(this.#dir, `${one.id}.json`);
  }

  #note(one: Journalled): void {
    for (const digest of one.digests) this.#options.recipients.erase(digest, one.at, one.subaccount);
  }

  #start(): void {
    this.#cancel();
    this.#running = this.#running.then(() => this.#run());
  }

  async #run(): Promise<void> {
    const { clock, log } = this.#options;
    try {
      for (const one of [...this.#open]) {
        if (this.#closed) return;
        if (one.addresses.length > 0) await this.#first(one);
        else if (clock.now() > this.#lastArrival(one)) await this.#last(one);
      }
    } catch (error) {
      log.error('recipients could not be erased; it will be tried again', { because: String(error) });
      this.#again(60_000);
      return;
    }
    if (this.#open.length > 0) this.#again(HOUR);
  }

  #again(ms: number): void {
    // Several requests that came together each end here; one timer is enough, and the one that is ended with.
    this.#cancel();
    if (!this.#closed) this.#cancel = this.#options.clock.after(ms, () => this.#start());
  }

  #lastArrival(one: Journalled): number {
    return one.at + this.#options.maxAgeMs + HOUR;
  }

  async #first(one: Journalled): Promise<void> {
    const { store, log, dataDir } = this.#options;
    const ingest = path.join(dataDir, 'ingest');
    // What came before the request is processed first: some of it may be on its way into the tables in clear.
    const waiting = await pendingBatches(ingest);
    while (waiting.size > 0) {
      const now = await pendingBatches(ingest);
      for (const name of waiting) if (!now.has(name)) waiting.delete(name);
      if (this.#closed) return;
      if (waiting.size > 0) await setTimeout(100);
    }
    await store.turn();
    let events = 0;
    for (const address of one.addresses) {
      // In turn: a refresh or a sealing that has read the address would put it back.
      const erased = await store.engine.background.inTurn(() =>
        eraseFromStore(store, address, one.subaccount),
      );
      events += erased.events;
    }
    const looked = await this.#withMessages(one, ingest);
    const people = this.#people(looked, true);
    const files = await eraseFromFiles(ingest, people);
    await this.#replace(looked, { ...looked, addresses: [] });
    log.info('recipients are erased', { recipients: people.length, events, files });
  }

  /** Noted before the first file changes: a file that has been cleaned tells no ids any more. */
  async #withMessages(one: Journalled, ingest: string): Promise<Journalled> {
    if (one.messages) return one;
    const messages: string[][] = [];
    for (const digest of one.digests) messages.push(await messagesTo(ingest, digest));
    const looked = { ...one, messages };
    await this.#replace(one, looked);
    return looked;
  }

  #people(one: Journalled, inClear: boolean): Person[] {
    return one.digests.map((digest, i) => ({
      address: inClear ? one.addresses[i]! : null,
      digest,
      messages: new Set(one.messages?.[i]),
    }));
  }

  async #last(one: Journalled): Promise<void> {
    const { dataDir, recipients } = this.#options;
    await eraseFromFiles(path.join(dataDir, 'ingest'), this.#people(one, false));
    for (const digest of one.digests) recipients.forget(digest, one.at);
    await rm(this.#file(one), { force: true });
    await syncFolder(this.#dir);
    this.#open.splice(this.#open.indexOf(one), 1);
  }

  async #replace(one: Journalled, by: Journalled): Promise<void> {
    await writeFileDurably(this.#file(by), JSON.stringify(by), 0o600);
    this.#open[this.#open.indexOf(one)] = by;
  }
}
