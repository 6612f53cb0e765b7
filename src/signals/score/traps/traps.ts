import { stat } from 'node:fs/promises';
import type { Clock } from '../../../system/clock.ts';
import { type Log, printable } from '../../../system/log.ts';
import { isParkedDomain } from './parked-domain.ts';
import type { TrapKind } from './trap-kind.ts';
import { emptyTrapList, readTrapList, type TrapList } from './trap-list.ts';
import { isTypoDomain } from './typo-domain.ts';

/** Rules of domains are asked for every injection; the answers for so many domains are remembered. */
const REMEMBERED_DOMAINS = 50_000;
const RELOAD_MS = 15_000;

/** Knows traps: the operator's list first, then the built-in rules for domains. Nothing here ever names one. */
export class Traps {
  #list: TrapList;
  readonly #rules = new Map<string, TrapKind | null>();

  readonly #mailHostOf: (domain: string) => string;

  /** `mailHostOf`: the host that mail for a domain goes to first, '' while it is not known. */
  constructor(list: TrapList = emptyTrapList, mailHostOf: (domain: string) => string = () => '') {
    this.#list = list;
    this.#mailHostOf = mailHostOf;
  }

  /** How many entries the operator's list has. */
  get listed(): number {
    return this.#list.size;
  }

  use(list: TrapList): void {
    this.#list = list;
  }

  /**
   * What kind of trap a recipient is, `null` if none. `address` and `domain` in lower case, `address` '' when only its
   * `sha1` (hexadecimal) is known.
   */
  kindOf(address: string, sha1: string, domain: string): TrapKind | null {
    if (this.#list.size > 0) {
      const listed = this.#list.find(address, sha1, domain);
      if (listed) return listed;
    }
    const byRule = this.#byRule(domain);
    if (byRule !== null) return byRule;
    // Not remembered: the host may become known at any time.
    const host = this.#mailHostOf(domain);
    return host !== '' && isParkedDomain(domain, [host]) ? 'parked' : null;
  }

  #byRule(domain: string): TrapKind | null {
    let kind = this.#rules.get(domain);
    if (kind === undefined) {
      kind = isTypoDomain(domain) ? 'typo' : isParkedDomain(domain) ? 'parked' : null;
      if (this.#rules.size >= REMEMBERED_DOMAINS) this.#rules.clear();
      this.#rules.set(domain, kind);
    }
    return kind;
  }
}

/**
 * Traps with the operator's list from `file`, read again within a quarter of a minute whenever it changes; a list
 * with a fault is reported and the one before stays in force. Throws `UserError` if the first reading fails.
 */
export async function watchTraps(
  file: string,
  clock: Clock,
  log: Log,
  mailHostOf?: (domain: string) => string,
): Promise<{ traps: Traps; close: () => void }> {
  let seen = await stampOf(file);
  const traps = new Traps(await readTrapList(file), mailHostOf);
  log.info('spam traps are read', { file, entries: traps.listed });
  let cancel = () => {};
  let closed = false;
  const look = async () => {
    const now = await stampOf(file);
    if (now === seen) return;
    seen = now;
    try {
      traps.use(await readTrapList(file));
      log.info('spam traps are read again', { file, entries: traps.listed });
    } catch (error) {
      log.warn('the list of spam traps has changed and cannot be used; the one before stays in force', {
        because: printable(error instanceof Error ? error.message : String(error)),
      });
    }
  };
  const next = () => {
    cancel = clock.after(RELOAD_MS, () => {
      look().finally(() => {
        if (!closed) next();
      });
    });
  };
  next();
  return {
    traps,
    close: () => {
      closed = true;
      cancel();
    },
  };
}

/** Changes whenever the file does. */
async function stampOf(file: string): Promise<string> {
  try {
    const { mtimeMs, size, ino } = await stat(file);
    return `${mtimeMs} ${size} ${ino}`;
  } catch {
    return 'gone';
  }
}
