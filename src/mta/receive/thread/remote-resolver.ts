/** Questions to the DNS that another thread asks, so that there is one resolver with one cache. */
import type { Found, QueryType, Resolver } from '../../../dns/index.ts';

export interface DnsAsked {
  readonly kind: 'dns-asked';
  readonly ask: number;
  readonly name: string;
  readonly type: QueryType;
}

export interface DnsAnswered {
  readonly kind: 'dns-answered';
  readonly ask: number;
  readonly found: Found;
}

export class RemoteResolver implements Pick<Resolver, 'query'> {
  readonly #say: (asked: DnsAsked) => void;
  readonly #waiting = new Map<number, (found: Found) => void>();
  #last = 0;

  constructor(say: (asked: DnsAsked) => void) {
    this.#say = say;
  }

  query(name: string, type: QueryType): Promise<Found> {
    const ask = ++this.#last;
    return new Promise((resolve) => {
      this.#waiting.set(ask, resolve);
      this.#say({ kind: 'dns-asked', ask, name, type });
    });
  }

  answered({ ask, found }: DnsAnswered): void {
    const resolve = this.#waiting.get(ask);
    this.#waiting.delete(ask);
    resolve?.(found);
  }
}
