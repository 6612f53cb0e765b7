/**
 * The program and arguments of `command` (guide section 7.3). There is no shell: the line is split first and macros
 * are put in after, so nothing in an address can become another argument, an option or a command.
 */
import { expandMacros, type MacroValues } from './macros.ts';

/**
 * Splits a command line at blanks. Single or double quotes keep blanks in an argument; a backslash is a character like
 * any other, as the guide's own example for `command` has it. `null` for quotes without an end, or no program.
 */
export function splitCommand(line: string): readonly string[] | null {
  const words: string[] = [];
  let word: string | null = null;
  let quote = '';
  for (const c of line) {
    if (quote !== '') {
      if (c === quote) quote = '';
      else word += c;
    } else if (c === '"' || c === "'") {
      quote = c;
      word ??= '';
    } else if (c === ' ' || c === '\t') {
      if (word !== null) words.push(word);
      word = null;
    } else word = (word ?? '') + c;
  }
  if (quote !== '') return null;
  if (word !== null) words.push(word);
  return words.length > 0 && words[0] !== '' ? words : null;
}

/**
 * The arguments for one recipient; null when a value would make an argument begin with `-`, so that a program would
 * take an address for an option.
 */
export function expandArguments(words: readonly string[], values: MacroValues): string[] | null {
  const expanded: string[] = [];
  for (const word of words) {
    const made = expandMacros(word, values);
    if (made.startsWith('-') && !word.startsWith('-')) return null;
    expanded.push(made);
  }
  return expanded;
}
