/**
 * Copies of what a processor could not read, to people (`forward-unmatched-to`, `forward-errors-to`). They can neither
 * loop nor flood: they leave with the null sender, nothing that they meet makes us send another, they carry a header
 * of ours and what carries it is not copied again, none goes to an address that a processor owns, and only so many go
 * in a minute.
 */
import { Header } from '../../mail/header.ts';
import type { Log } from '../../system/log.ts';

/** Stands on top of every copy. */
export const FORWARDED_HEADER = 'X-Posthorn-Forwarded';

const MOST_PER_MINUTE = 120;
const MINUTE_MS = 60_000;

export class Forwards {
  #minute = 0;
  #copies = 0;

  /** The addresses that get a copy of this mail; the log says why one does not. */
  allowed(
    addresses: readonly string[],
    raw: Buffer,
    at: number,
    log: Log,
    isProcessors: (address: string) => boolean,
  ): readonly string[] {
    if (addresses.length === 0) return [];
    if (new Header(raw).find(FORWARDED_HEADER.toLowerCase())) {
      log.info('a copy that we had forwarded came back; it is not forwarded again');
      return [];
    }
    const to = [...new Set(addresses)].filter((address) => !isProcessors(address));
    if (to.length < new Set(addresses).size && this.#copies === 0) {
      log.warn('an address of a processor gets no copies of reports: it would read them again');
    }
    if (to.length === 0) return [];
    const minute = Math.floor(at / MINUTE_MS);
    if (minute !== this.#minute) {
      this.#minute = minute;
      this.#copies = 0;
    }
    if (this.#copies < MOST_PER_MINUTE) {
      this.#copies += to.length;
      return to;
    }
    if (this.#copies !== Number.POSITIVE_INFINITY) {
      this.#copies = Number.POSITIVE_INFINITY;
      log.warn(`more than ${MOST_PER_MINUTE} copies of reports in a minute; the others are not forwarded`);
    }
    return [];
  }
}
