import { Fault } from './diagnostic.ts';

/** A regex out of the configuration, compiled once. */
export interface Pattern {
  readonly source: string;
  /** Whether it matches somewhere in the subject. */
  test(subject: string): boolean;
}

/** Compiles the text between the slashes. */
export function compilePattern(source: string): Pattern | Fault {
  try {
    const sensitive = source.startsWith('(?-i)');
    const regex = new RegExp(sensitive ? source.slice(5) : source, sensitive ? '' : 'i');
    return { source, test: (subject) => regex.test(subject) };
  } catch (error) {
    return new Fault(`regex does not compile: ${(error as Error).message}`, { text: source });
  }
}
