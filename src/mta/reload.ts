import type { Config } from '../config/index.ts';

/** Settings that the running process cannot change, with what a change of each needs. */
const NEED_RESTART = [
  'content-threads',
  'reception-thread',
  'http-mgmt-port',
  'state-dir',
  'host-name',
  'run-as-root',
] as const;

/** Sentences about changes that this reload does not bring into force (configuration language, section 15). */
export function restartNeeded(before: Config, after: Config): string[] {
  const sentences: string[] = [];
  for (const name of NEED_RESTART) {
    if (JSON.stringify(before.global.get(name)) === JSON.stringify(after.global.get(name))) continue;
    const origin = after.global.origin(name);
    const where = origin ? ` (${origin.file}:${origin.line})` : '';
    sentences.push(`${name}${where} takes effect after a restart`);
  }
  if (before.spools.map(({ dir }) => dir).join() !== after.spools.map(({ dir }) => dir).join()) {
    sentences.push('another <spool> takes effect after a restart');
  }
  return sentences;
}
