/** Logins that failed, by the client's address (`smtp-max-auth-failure-rate`, section 3.3.7.7). */
import { isIPv6 } from 'node:net';
import type { Clock } from '../../system/clock.ts';

/** So many in so many milliseconds; null is no limit. */
type Rate = { readonly count: number; readonly perMs: number } | null;

/** Addresses remembered; beyond, the one whose period began first is forgotten. */
const MOST_ADDRESSES = 100_000;

interface Failures {
  readonly since: number;
  count: number;
}

/**
 * A period begins with the first failure and lasts as long as the rate says. When it has seen as many failures as the
 * rate allows, logins from that address are refused until it is over.
 */
export class AuthFailures {
  readonly #clock: Clock;
  /** In the order their periods began. */
  readonly #byClient = new Map<string, Failures>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  isLocked(client: string, rate: Rate): boolean {
    if (rate === null) return false;
    const known = this.#byClient.get(network(client));
    return known !== undefined && this.#clock.now() - known.since < rate.perMs && known.count >= rate.count;
  }

  failed(client: string, rate: Rate): void {
    if (rate === null) return;
    const now = this.#clock.now();
    const key = network(client);
    const known = this.#byClient.get(key);
    if (known && now - known.since < rate.perMs) {
      known.count++;
      return;
    }
    this.#byClient.delete(key);
    if (this.#byClient.size >= MOST_ADDRESSES) {
      for (const oldest of this.#byClient.keys()) {
        this.#byClient.delete(oldest);
        break;
      }
    }
    this.#byClient.set(key, { since: now, count: 1 });
  }
}

/** One IPv6 client has a whole /64 to come from. */
function network(address: string): string {
  if (!isIPv6(address)) return address;
  const [head = '', tail] = address.split('%')[0]!.split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - left.length - right.length);
  const groups = [...left, ...Array<string>(zeros).fill('0'), ...right];
  return groups
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, ''))
    .join(':');
}
