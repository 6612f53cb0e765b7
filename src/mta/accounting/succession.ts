/**
 * What happens to the place in the journal when an accounting file is renamed in the configuration, or one with other
 * settings takes its place: the new one goes on where the old one ended, so that no record is in both or in neither.
 */
import path from 'node:path';
import type { OutcomeView } from '../../events/outcome.ts';
import type { Spool } from '../../spool/spool.ts';
import { reason } from '../../system/durable-file.ts';
import type { Log } from '../../system/log.ts';
import { findNoted, Notes } from './acct-file-note.ts';

const FILE = 'acct-file ';

/**
 * Gives accounting files and pipes that are new in the configuration the place of those that are no longer in it, the
 * earliest if there are several. A file that is only added gets what the journal still holds; the place of one that
 * is only taken out is kept for the file that is added later.
 */
export async function succeedAcctFiles(
  spool: Spool,
  views: readonly Pick<OutcomeView, 'name'>[],
  log: Log,
): Promise<void> {
  const names = new Set(views.map((view) => view.name));
  const known = spool.checkpointed().filter((name) => name.startsWith(FILE));
  const gone = known.filter((name) => !names.has(name));
  const fresh = [...names].filter((name) => name.startsWith(FILE) && !known.includes(name));
  if (gone.length === 0 || fresh.length === 0) return;
  const ends = [];
  for (const name of gone) ends.push(await endOf(spool, name, log));
  const seq = Math.min(...ends);
  await spool.succeed(new Map(fresh.map((name) => [name, { seq, state: null }])), gone);
  log.info(`${fresh.join(', ')} goes on where ${gone.join(', ')} ended`);
  for (const name of gone) await notesOf(spool, name)?.remove();
}

/** Number of the last outcome that an accounting file has, which is beyond its checkpoint after a crash. */
async function endOf(spool: Spool, name: string, log: Log): Promise<number> {
  const { seq } = spool.checkpoint(name)!;
  try {
    const note = await notesOf(spool, name)?.read();
    if (!note) return seq;
    return Math.max(seq, (await findNoted(note, path.dirname(fileOf(name)), undefined, log)).through);
  } catch (error) {
    log.warn(
      `${name}, which is no longer configured, cannot be read; its last records may be written again`,
      {
        reason: reason(error),
      },
    );
    return seq;
  }
}

const fileOf = (name: string) => name.slice(FILE.length);

/** `null` for a pipe, of which nobody knows what it took beyond the checkpoint. */
function notesOf(spool: Spool, name: string): Notes | null {
  return fileOf(name).startsWith('|') ? null : new Notes(fileOf(name), spool.id);
}
