/** What a command of the management interface is, and how its answer is printed. */

import type { Level } from './access.ts';
import { type Format, printFailure, printSuccess, type Tree } from './answer.ts';
import type { CommandWords } from './command-line.ts';

export interface CommandCall {
  readonly args: readonly string[];
  readonly options: ReadonlyMap<string, string>;
  readonly now: number;
}

export type CommandResult =
  | {
      /** For XML, DOM and JSON; '' when there is nothing but the message. */
      readonly data: Tree | '';
      /** For people; the message when left out. */
      readonly text?: string;
      readonly message?: string;
    }
  | { readonly failure: string };

/** `T`: what the command works on. */
export interface Command<T> extends CommandWords {
  /** One line for `--help`. */
  readonly summary: string;
  /** Least `http-access` that may give it; `admin` for everything that changes something. */
  readonly level: Exclude<Level, 'none'>;
  run(tools: T, call: CommandCall): CommandResult | Promise<CommandResult>;
}

/** The answer in one of the four shapes (section 3). */
export function printResult(result: CommandResult, format: Format): string {
  if ('failure' in result) return printFailure(result.failure, format);
  const message = result.message ?? '';
  if (format !== 'text') return printSuccess(result.data, format, message);
  const text = result.text ?? '';
  const lines = text !== '' && message !== '' ? `${text}${message}` : text || message;
  return lines === '' || lines.endsWith('\n') ? lines : `${lines}\n`;
}

/** The answer of the web's `/command`: the text output as one string, or the message (section 8.2). */
export function printWebResult(result: CommandResult, format: Format): string {
  if ('failure' in result) return printFailure(result.failure, format);
  return printSuccess(result.text ?? '', format, result.message ?? '');
}
