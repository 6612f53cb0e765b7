import { Fault } from '../diagnostic.ts';
import { isTame, LONGEST_SUBJECT, needsBacktracking, toJavaScript } from './backtracking.ts';
import { Machine, MOST_STEPS } from './machine.ts';
import { parseRegex } from './syntax.ts';

/** A regex out of the configuration, compiled once. */
export interface Pattern {
  /** The text between the slashes. */
  readonly source: string;
  /** Whether it matches somewhere in the subject. Only the first 16,384 characters are looked at. */
  test(subject: string): boolean;
  /** False when no text at all can match, as with `a^b`. */
  canMatch(): boolean;
}

/** Replies, addresses and header fields are shorter; what is longer was sent to cost time. */
export const LONGEST_TEXT = 16_384;

/**
 * Compiles the text between the slashes. Regular expressions proper run in time linear in the subject. One with
 * look-around or back references must go through JavaScript's engine, which can be led into endless work: it is
 * refused unless its form keeps the work small, and then sees the first 1,000 characters only.
 */
export function compilePattern(source: string): Pattern | Fault {
  const regex = parseRegex(source);
  if (regex instanceof Fault) return regex;
  if (!needsBacktracking(regex)) {
    const machine = Machine.of(regex);
    if (!machine) {
      return new Fault(`regex is too large`, {
        text: source,
        hint: `more than ${MOST_STEPS} steps when expanded`,
      });
    }
    return {
      source,
      test: (subject) => machine.test(subject.slice(0, LONGEST_TEXT)),
      canMatch: () => machine.canMatch(),
    };
  }
  if (!isTame(regex)) {
    return new Fault('regex could run without end on some texts', {
      text: source,
      hint: 'with look-around or back references, use at most two open repeats, none within another',
    });
  }
  try {
    const compiled = new RegExp(toJavaScript(regex), 'i');
    return {
      source,
      test: (subject) => compiled.test(subject.slice(0, LONGEST_SUBJECT)),
      canMatch: () => true,
    };
  } catch (error) {
    return new Fault(`regex does not compile: ${(error as Error).message}`, { text: source });
  }
}
