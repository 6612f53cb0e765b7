/**
 * Records that cannot be used: each leaves the store once the folder of corrupt records has it (`CorruptFolder`), and
 * everything else goes on.
 */
import type { Database } from 'lmdb';
import type { Log } from '../system/log.ts';
import type { CorruptFolder } from './corrupt-folder.ts';
import { type MailTables, recipientsOf } from './mail-tables.ts';
import type { Outcomes } from './outcome-journal.ts';
import { type ReadRecord, readRecords } from './read-records.ts';
import { pendingFault } from './record-checks.ts';
import type { Envelope } from './stored-message.ts';

/** What the store does for it. */
export interface SetAsideStore {
  readonly tables: MailTables;
  readonly outcomes: () => Database<Outcomes, number>;
  readonly envelope: (spoolId: string) => Envelope | undefined;
  /** Whatever of a message is kept in memory. */
  readonly forget: (spoolId: string) => void;
  readonly settle: (spoolId: string, index: number) => Promise<void>;
  /** Begins writes when the store is free for them, in one transaction. */
  readonly commit: (begin: () => readonly Promise<boolean>[]) => Promise<void>;
}

export class SetAside {
  readonly #store: SetAsideStore;
  readonly #folder: CorruptFolder;
  readonly #log: Log;
  /** What is leaving the store, by the names that the folder gives it; a message's is its id. */
  readonly #leaving = new Map<string, Promise<void>>();

  constructor(store: SetAsideStore, folder: CorruptFolder, log: Log) {
    this.#store = store;
    this.#folder = folder;
    this.#log = log;
  }

  /** Whether this message is leaving the store. */
  has(spoolId: string): boolean {
    return this.#leaving.has(spoolId);
  }

  message(spoolId: string, fault: string): void {
    if (this.#leaving.has(spoolId)) return;
    const { envelopes, contents, pending } = this.#store.tables;
    const recipients = readRecords(pending, recipientsOf(spoolId), pendingFault);
    const found = { envelope: envelopes.getBinary(spoolId), recipients };
    if (!this.#folder.take({ name: spoolId, fault, found, message: contents.get(spoolId) })) return;
    this.#store.forget(spoolId);
    const taken = this.#store.commit(() => [
      ...recipients.map(({ key }) => pending.remove(key)),
      envelopes.remove(spoolId),
      contents.remove(spoolId),
    ]);
    this.#takeOut(spoolId, taken);
  }

  /** One record of many: the other recipients go on. The address is in the envelope, if that can be read. */
  recipient(spoolId: string, index: number, fault: string, octets: Buffer | undefined): void {
    const address = this.#store.envelope(spoolId)?.recipients[index]?.address;
    const record = { name: `${spoolId}-${index}`, fault, found: { address, record: octets } };
    if (!this.#folder.take({ ...record, message: this.#store.tables.contents.get(spoolId) })) return;
    this.#takeOut(record.name, this.#store.settle(spoolId, index));
  }

  /** A record of the journal; its key is the number of its last outcome. */
  outcomes({ key, fault, octets }: ReadRecord<Outcomes, number>): void {
    const name = `outcomes-${key}`;
    const what = `the record of outcomes through ${key} ${fault}`;
    if (!this.#folder.take({ name, fault: what, found: octets })) return;
    this.#takeOut(
      name,
      this.#store.commit(() => [this.#store.outcomes().remove(key)]),
    );
  }

  /** Resolves when nothing is leaving the store any more. */
  async ended(): Promise<void> {
    await Promise.all(this.#leaving.values());
  }

  /** When that fails it is found again at the next start. */
  #takeOut(name: string, taken: Promise<void>): void {
    const written = taken
      .catch((error: Error) => this.#log.warn(`${name} was set aside and stays as well: ${error.message}`))
      .finally(() => this.#leaving.delete(name));
    this.#leaving.set(name, written);
  }
}
