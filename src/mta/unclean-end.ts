import { readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { writeFileDurably } from '../system/durable-file.ts';

export interface RunningMark {
  /** When the server started that ended without stopping in order; null when the last one stopped in order. */
  readonly endedBadly: string | null;
  /** This one stops in order. */
  remove(): Promise<void>;
}

/** A file that is there while the server runs, so that the next start knows how the last one ended. */
export async function markRunning(stateDir: string, now: number): Promise<RunningMark> {
  const file = path.join(stateDir, 'running');
  const before = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  await writeFileDurably(file, `${new Date(now).toISOString()}\n`);
  return {
    endedBadly: before === null ? null : before.trim().slice(0, 40),
    remove: () => rm(file, { force: true }),
  };
}
