import { channel } from 'node:diagnostics_channel';
import type { Parameter } from '../parameter.ts';
import { parseQuery, type Query } from '../search/parameters.ts';

/** Tells which end point reads which of its parameters: `{endpoint, name}`. Heard by the test of the declarations. */
export const parameterReads = channel('posthorn.signals.parameter-read');

/**
 * The query of a request as its end point declares it. Undeclared parameters are not there, as SparkPost ignores them;
 * code that reads one has forgotten to declare it, which throws.
 */
export class DeclaredQuery implements Query {
  readonly #endpoint: string;
  readonly #declared: ReadonlySet<string>;
  /** The same without the watch, for the check of all of them. */
  readonly values: ReadonlyMap<string, string>;

  constructor(endpoint: string, declared: ReadonlySet<string>, search: string) {
    this.#endpoint = endpoint;
    this.#declared = declared;
    this.values = new Map([...parseQuery(search)].filter(([name]) => declared.has(name)));
  }

  get(name: string): string | undefined {
    this.#read(name);
    return this.values.get(name);
  }

  has(name: string): boolean {
    this.#read(name);
    return this.values.has(name);
  }

  [Symbol.iterator](): Iterator<[string, string]> {
    return this.values[Symbol.iterator]();
  }

  #read(name: string): void {
    // `delimiter` belongs to lists, and what has no lists has no use for it.
    if (!this.#declared.has(name) && name !== 'delimiter') {
      throw new Error(`${this.#endpoint} reads the parameter '${name}', which it does not declare`);
    }
    if (parameterReads.hasSubscribers) parameterReads.publish({ endpoint: this.#endpoint, name });
  }
}

export const namesOf = (parameters: readonly Parameter[]): ReadonlySet<string> =>
  new Set(parameters.map((p) => p.name));
