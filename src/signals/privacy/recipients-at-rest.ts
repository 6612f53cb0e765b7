import type { EventRow } from '../store/event-store.ts';
import { digestOf, scrubRow } from './scrub.ts';

/** Whose events that happened before when are to be stored without the person. */
interface Erased {
  readonly at: number;
  /** `null`: in every subaccount. */
  readonly subaccount: number | null;
}

/**
 * What becomes of recipients on their way into the store: with `hashAll` their hash is stored in place of the address;
 * events of an erased recipient that come late, and happened before the erasure was asked for, are stored without.
 */
export class RecipientsAtRest {
  readonly #hashAll: boolean;
  readonly #erased = new Map<string, Erased[]>();

  constructor(hashAll: boolean) {
    this.#hashAll = hashAll;
  }

  /** Events of this recipient up to this time are to be stored without it. */
  erase(digest: string, at: number, subaccount: number | null): void {
    this.#erased.set(digest, [...(this.#erased.get(digest) ?? []), { at, subaccount }]);
  }

  /** No event of that time can come any more. */
  forget(digest: string, at: number): void {
    const left = (this.#erased.get(digest) ?? []).filter((one) => one.at !== at);
    if (left.length > 0) this.#erased.set(digest, left);
    else this.#erased.delete(digest);
  }

  apply(rows: readonly EventRow[]): readonly EventRow[] {
    if (!this.#hashAll && this.#erased.size === 0) return rows;
    return rows.map((row) => {
      const address = row.rcpt_to || row.raw_rcpt_to;
      if (address === '' && row.rcpt_hash === '') return row;
      const digest = address === '' ? row.rcpt_hash : digestOf(address);
      const isErased = this.#erased
        .get(digest)
        ?.some(
          (one) => row.ts <= one.at && (one.subaccount === null || one.subaccount === row.subaccount_id),
        );
      if (isErased) return scrubRow(row, 'erase');
      return this.#hashAll && address !== '' ? scrubRow(row, 'hash') : row;
    });
  }
}
