/**
 * The look at everything that the run before has left: who waits, and whether messages, envelopes and recipients still
 * fit together. It goes on in the background while mail is stored and settled.
 */
import type { RangeOptions } from 'lmdb';
import { type MailTables, type PendingKey, type PendingValue, recipientsOf } from './mail-tables.ts';
import { type ReadRecord, readRecords } from './read-records.ts';
import { pendingFault } from './record-checks.ts';
import type { SetAside } from './set-aside.ts';
import type { PendingRecipient } from './stored-message.ts';

export class RecoveryScan {
  readonly #tables: MailTables;
  readonly #aside: SetAside;
  /** Last message of the run before; the scan goes so far. */
  readonly #lastFound: string;
  /** Messages of this run whose ids are not younger than those the scan looks at (a clock was set back). */
  readonly #early = new Set<string>();

  /** Made when the store is opened: what is in it now is what the run before has left. */
  constructor(tables: MailTables, aside: SetAside) {
    this.#tables = tables;
    this.#aside = aside;
    const last = <T>(keys: Iterable<T>): T | undefined => [...keys][0];
    const backwards = { reverse: true, limit: 1 };
    this.#lastFound = [
      last(tables.pending.getKeys(backwards))?.[0] ?? '',
      last(tables.envelopes.getKeys(backwards)) ?? '',
      last(tables.contents.getKeys(backwards)) ?? '',
    ]
      .sort()
      .at(-1)!;
  }

  /** Call before a message of this run is written, so that the scan never takes it for one of the last. */
  leaveOut(spoolId: string): void {
    if (spoolId <= this.#lastFound) this.#early.add(spoolId);
  }

  /** See `Spool.recover`. */
  *batches(batchSize: number): Generator<PendingRecipient[]> {
    for (let after = ''; after < this.#lastFound; ) {
      const slice = this.#slice(after, batchSize);
      if (slice.recipients.length > 0) yield slice.recipients;
      after = slice.through;
    }
    this.#early.clear();
  }

  /**
   * Looks at about `limit` messages that follow `after`. All reads of one turn of the event loop see the same
   * transaction, in which every message has its envelope, its content and a recipient, or something is broken.
   */
  #slice(after: string, limit: number): { recipients: PendingRecipient[]; through: string } {
    const { envelopes: envelopeTable, contents: contentTable, pending: pendingTable } = this.#tables;
    const start = after === '' ? undefined : ([after, Number.POSITIVE_INFINITY] as PendingKey);
    const read = (range: RangeOptions) => readRecords(pendingTable, range, pendingFault);
    const pending = read({ start, limit });
    const envelopes = [...envelopeTable.getKeys({ start: after, exclusiveStart: true, limit })];
    const contents = [...contentTable.getKeys({ start: after, exclusiveStart: true, limit })];
    if (pending.length === limit) {
      const [spoolId] = pending.at(-1)!.key;
      pending.push(...read({ ...recipientsOf(spoolId), start: pending.at(-1)!.key, exclusiveStart: true }));
    }
    const through = [
      this.#lastFound,
      pending.length >= limit ? pending.at(-1)!.key[0] : this.#lastFound,
      envelopes.length === limit ? envelopes.at(-1)! : this.#lastFound,
      contents.length === limit ? contents.at(-1)! : this.#lastFound,
    ].sort()[0]!;
    // All three lists are in order: one walk through them compares, which is cheaper than sets of a million ids.
    const recipients: PendingRecipient[] = [];
    let [at, e, c] = [0, 0, 0];
    for (;;) {
      const spoolId = least(pending[at]?.key[0], envelopes[e], contents[c]);
      if (spoolId === undefined || spoolId > through) break;
      const envelope = envelopes[e] === spoolId;
      const content = contents[c] === spoolId;
      if (envelope) e++;
      if (content) c++;
      const from = at;
      while (pending[at]?.key[0] === spoolId) at++;
      if ((this.#early.size > 0 && this.#early.has(spoolId)) || this.#aside.has(spoolId)) continue;
      if (from === at) this.#aside.message(spoolId, 'a message has no recipients');
      else if (!envelope || !content) this.#aside.message(spoolId, 'recipients wait without their message');
      else for (let i = from; i < at; i++) this.#found(pending[i]!, recipients);
    }
    return { recipients, through };
  }

  #found(
    { key: [spoolId, index], value, fault, octets }: ReadRecord<PendingValue, PendingKey>,
    recipients: PendingRecipient[],
  ): void {
    if (value === undefined) this.#aside.recipient(spoolId, index, `recipient ${index} ${fault}`, octets);
    else if (value.lastReply === undefined) recipients.push(Object.assign(value, { spoolId, index }));
    else {
      // What only reports ask for stays on disk.
      const { lastReply: _, ...rest } = value;
      recipients.push({ spoolId, index, ...rest });
    }
  }
}

/** The first of three ids in order; undefined when there are none. */
function least(...ids: readonly (string | undefined)[]): string | undefined {
  let first: string | undefined;
  for (const id of ids) if (id !== undefined && (first === undefined || id < first)) first = id;
  return first;
}
