/** One command over the web: whether this visitor may give it, and what came of it. Data and pages both ask here. */
import { type Access, atLeast, type Level } from './access.ts';
import type { CommandResult } from './command.ts';
import { parseCommand } from './command-line.ts';
import { COMMANDS } from './commands.ts';
import type { MonitorOptions } from './server.ts';

export interface Visitor {
  /** Address, or `control socket`. */
  readonly client: string;
  readonly access: Access;
  /** Whether this request may change anything at all: it is no forgery and no GET. */
  readonly mayChange: boolean;
}

export type Ran =
  /** There is no such command, or not with these words. */
  { readonly unknown: string } | { readonly refused: string } | { readonly result: CommandResult };

/** Characters of a question or an answer that `http-log-data` writes. */
export const MOST_LOGGED = 64 * 1024;

/** `least`: what the visitor must be, whatever the command says. */
export async function runWords(
  { config, control, clock, log }: MonitorOptions,
  { client, access, mayChange }: Visitor,
  words: readonly string[],
  least: Level = 'monitor',
): Promise<Ran> {
  const parsed = parseCommand(COMMANDS, words);
  if ('error' in parsed) return { unknown: parsed.error };
  const { command } = parsed;
  const refused = refusalOf(
    access,
    mayChange,
    command.level === 'monitor' ? least : command.level,
    command.level === 'admin',
  );
  if (refused !== null) {
    log.warn('management command refused', { client, command: command.words.join(' ') });
    return { refused };
  }
  if (command.level === 'admin') log.info(`command ${words.join(' ').slice(0, 500)}`, { client });
  if (config().global.get('http-log-data')) {
    log.info(`asked ${withoutKeys(words).slice(0, MOST_LOGGED)}`, { client });
  }
  return { result: await command.run(control, { ...parsed, now: clock.now() }) };
}

/** Why not; null when nothing is in the way. */
export function refusalOf(
  access: Access,
  mayChange: boolean,
  needed: Level,
  changes: boolean,
): string | null {
  if (!atLeast(access.level, needed)) return `this needs http-access ${needed}; you have ${access.level}`;
  if (changes && !mayChange) {
    return 'a change is asked for by POST, with the header X-API-Key or with the X-CSRF-Token that an earlier GET gave';
  }
  return null;
}

/** The keys of `digest` are nothing for a log. */
function withoutKeys(words: readonly string[]): string {
  return words.map((word) => word.replace(/^(--(?:hex)?key=).*/is, '$1***')).join(' ');
}
