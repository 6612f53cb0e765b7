/**
 * What happens to the place in the journal when the configuration names an accounting file anew: renamed, it goes on
 * where the old one ended, so that no record is in both or in neither; added, its records begin now.
 */
import path from 'node:path';
import type { OutcomeView } from '../../events/outcome.ts';
import type { Checkpoint, Spool } from '../../spool/spool.ts';
import { reason } from '../../system/durable-file.ts';
import type { Log } from '../../system/log.ts';
import { forgetSecondNames } from './acct-file-disk.ts';
import { acctFileState, lastWritten } from './acct-file-intent.ts';
import { AcctFileNames } from './acct-file-names.ts';

const FILE = 'acct-file ';

/**
 * Gives accounting files and pipes that are new in the configuration the place of those that are no longer in it: of
 * the one with the same name in another folder, else of the earliest. The places of those that are not in it are
 * forgotten. `views`: those of the configuration in force from now on, not opened yet.
 */
export async function succeedAcctFiles(
  spool: Spool,
  views: readonly Pick<OutcomeView, 'name'>[],
  log: Log,
): Promise<void> {
  const configured = views.map(({ name }) => name).filter((name) => name.startsWith(FILE));
  const known = spool.viewsWithCheckpoint();
  const gone = known.filter((name) => name.startsWith(FILE) && !configured.includes(name));
  const fresh = configured.filter((name) => !known.includes(name));
  if (gone.length === 0 && fresh.length === 0) return;
  const ends = new Map<string, number>();
  for (const name of gone) ends.set(name, await endOf(spool, name, log));
  const begins = new Map<string, Checkpoint>();
  for (const name of fresh) {
    const same = gone.find((old) => path.basename(old) === path.basename(name));
    const before = same === undefined ? gone : [same];
    const seq = before.length > 0 ? Math.min(...before.map((old) => ends.get(old)!)) : spool.newestOutcome;
    // The journal of a spool that never had a view is owed whole.
    begins.set(name, { seq: known.length === 0 ? 0 : seq, state: null });
    if (before.length > 0) log.info(`${name} goes on where ${before.join(', ')} ended`);
  }
  await spool.succeed(begins, gone);
  for (const name of gone) {
    await forgetSecondNames(new AcctFileNames(name.slice(FILE.length)), new Set()).catch(() => {});
  }
}

/** Number of the last outcome that an accounting file has. */
async function endOf(spool: Spool, name: string, log: Log): Promise<number> {
  const { seq, state } = spool.checkpoint(name)!;
  const { writing = [] } = acctFileState(state);
  try {
    return Math.max(seq, await lastWritten(writing, path.dirname(name.slice(FILE.length)), undefined, log));
  } catch (error) {
    log.warn(`${name}, no longer configured, cannot be read; its last records may be written again`, {
      reason: reason(error),
    });
    return seq;
  }
}
