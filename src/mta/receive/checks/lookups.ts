import type { MxRecord, QueryType, Resolver } from '../../../dns/index.ts';

/** What one check asked the DNS, in order; told in its result under `trace-…-check`. */
export class Lookups {
  readonly #resolver: Pick<Resolver, 'query'>;
  readonly #most: number;
  readonly #traced: string[] = [];
  #count = 0;

  /** `most`: questions that the check may ask. */
  constructor(resolver: Pick<Resolver, 'query'>, most: number) {
    this.#resolver = resolver;
    this.#most = most;
  }

  /** As `dns.promises.resolve`, whose answers and errors mailauth knows. */
  readonly resolve = async (name: string, type: string): Promise<unknown[]> => {
    if (!isQueryType(type)) throw failure('ENOTIMP', `no question of type ${type}`);
    if (++this.#count > this.#most) throw failure('ETIMEOUT', 'too many DNS questions');
    const found = await this.#resolver.query(name, type);
    this.#note(name, type, found);
    switch (found.kind) {
      case 'answer':
        if (type === 'TXT') return found.records.map((text) => [text]);
        if (type === 'MX') {
          return (found.records as readonly MxRecord[]).map(({ preference, exchange }) => ({
            priority: preference,
            exchange,
          }));
        }
        return [...found.records];
      case 'nxdomain':
        throw failure('ENOTFOUND', `${name} does not exist`);
      case 'nodata':
        throw failure('ENODATA', `${name} has no ${type} records`);
      default:
        throw failure('ETIMEOUT', found.reason);
    }
  };

  /** `name TYPE answer` of each question. */
  get trace(): readonly string[] {
    return this.#traced;
  }

  #note(name: string, type: QueryType, found: Awaited<ReturnType<Resolver['query']>>): void {
    if (this.#traced.length >= MOST_TRACED) return;
    const answer =
      found.kind === 'answer'
        ? found.records
            .map((record) =>
              typeof record === 'string' ? record : 'exchange' in record ? record.exchange : '',
            )
            .join(' ')
        : found.kind;
    this.#traced.push(`${name} ${type} ${answer}`.slice(0, LONGEST_TRACED));
  }
}

const MOST_TRACED = 20;
const LONGEST_TRACED = 300;

function isQueryType(type: string): type is QueryType {
  return type === 'A' || type === 'AAAA' || type === 'MX' || type === 'TXT' || type === 'PTR';
}

function failure(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}
