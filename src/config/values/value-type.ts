import type { Fault } from '../diagnostic.ts';

/** What a value is read from: its text without comment and outer blanks, and where relative paths begin. */
export interface ValueInput {
  readonly text: string;
  readonly folder: string;
}

/**
 * A kind of value: how it is written, and what it becomes. `T` is the form handed to the rest of the program. `words`
 * are the literal words it may hold, for completion.
 */
export interface ValueType<T> {
  readonly kind: string;
  readonly grammar: string;
  readonly words?: readonly string[];
  /** A value that must never be shown: passwords and keys. */
  readonly secret?: boolean;
  /** Names in the value that must exist, for the check after the whole file is read. */
  readonly refersTo?: string;
  parse(input: ValueInput): T | Fault;
}

/** A kind of value whose "not set" is an empty list and not null. */
export interface ListType<T> extends ValueType<T> {
  readonly empty: T;
}
