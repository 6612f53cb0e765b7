import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { reason } from '../../../system/durable-file.ts';
import { UserError } from '../../../system/user-error.ts';
import { isTrapKind, type TrapKind } from './trap-kind.ts';

/**
 * The operator's list of traps: addresses as hashes, domains in clear or as hashes. An address that was given in
 * clear is hashed while it is read and not kept.
 */
export interface TrapList {
  readonly size: number;
  /** `address` in lower case, '' when only its `sha1` (hexadecimal, '' when unknown) is there. */
  find(address: string, sha1: string, domain: string): TrapKind | null;
}

const MOST_ENTRIES = 5_000_000;
const LONGEST_LINE = 1000;

const algorithms = ['md5', 'sha1', 'sha256'] as const;
type Algorithm = (typeof algorithms)[number];
const algorithmOf = new Map<number, Algorithm>([
  [32, 'md5'],
  [40, 'sha1'],
  [64, 'sha256'],
]);

export const emptyTrapList: TrapList = { size: 0, find: () => null };

class HashedTraps implements TrapList {
  readonly #hashes = new Map<Algorithm, Map<string, TrapKind>>();
  readonly #domains = new Map<string, TrapKind>();

  get size(): number {
    return [...this.#hashes.values()].reduce((sum, one) => sum + one.size, this.#domains.size);
  }

  /** Adds one entry; answers what is wrong with it, `null` if nothing. */
  add(kind: TrapKind, value: string): string | null {
    const text = value.toLowerCase();
    const algorithm =
      /^[0-9a-f]+$/.test(text) && !text.includes('.') ? algorithmOf.get(text.length) : undefined;
    if (algorithm) this.#addHash(algorithm, text, kind);
    else if (/^@?[^\s@]+\.[^\s@.]+$/.test(text)) this.#domains.set(text.replace(/^@/, ''), kind);
    else if (/^[^\s@]+@[^\s@]+$/.test(text)) this.#addHash('sha1', digest('sha1', text), kind);
    else return 'is neither a hash (32, 40 or 64 hexadecimal digits) nor a domain nor an address';
    return null;
  }

  #addHash(algorithm: Algorithm, hash: string, kind: TrapKind): void {
    const hashes = this.#hashes.get(algorithm);
    if (hashes) hashes.set(hash, kind);
    else this.#hashes.set(algorithm, new Map([[hash, kind]]));
  }

  find(address: string, sha1: string, domain: string): TrapKind | null {
    for (const [algorithm, hashes] of this.#hashes) {
      const known = algorithm === 'sha1' && sha1 !== '' ? sha1 : address && digest(algorithm, address);
      const found = (known && hashes.get(known)) || hashes.get(digest(algorithm, domain));
      if (found) return found;
    }
    return this.#domains.get(domain) ?? null;
  }
}

function digest(algorithm: Algorithm, text: string): string {
  return createHash(algorithm).update(text).digest('hex');
}

/**
 * Reads a list: one entry a line, `recycled`, `typo` or `parked` before it (none means recycled), separated by blanks
 * or a comma; `#` begins a comment. Throws `UserError` with the line's number, and never quotes an entry, because it
 * may be a trap.
 */
export async function readTrapList(file: string): Promise<TrapList> {
  const traps = new HashedTraps();
  let handle: Awaited<ReturnType<typeof open>>;
  try {
    handle = await open(file, 'r');
  } catch (error) {
    throw new UserError(`${file} (spam traps) cannot be read: ${reason(error)}`, { cause: error });
  }
  try {
    const lines = createInterface({ input: handle.createReadStream(), crlfDelay: Number.POSITIVE_INFINITY });
    let number = 0;
    let entries = 0;
    for await (const line of lines) {
      number++;
      const words = line
        .replace(/#.*/, '')
        .split(/[\s,;]+/)
        .filter((w) => w !== '');
      if (words.length === 0) continue;
      const at = `${file} (spam traps), line ${number}`;
      if (line.length > LONGEST_LINE) throw new UserError(`${at}: the line is too long`);
      if (++entries > MOST_ENTRIES) throw new UserError(`${at}: more than ${MOST_ENTRIES} entries`);
      const kind = words.length === 1 ? 'recycled' : words[0]!.toLowerCase();
      if (words.length > 2 || !isTrapKind(kind)) {
        throw new UserError(`${at}: write "recycled", "typo" or "parked" and one hash or domain`);
      }
      const fault = traps.add(kind, words.at(-1)!);
      if (fault) throw new UserError(`${at}: the entry ${fault}`);
    }
  } finally {
    await handle.close().catch(() => {});
  }
  return traps;
}
