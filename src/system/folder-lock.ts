import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { UserError } from './user-error.ts';

/** Those that are held: a handle that nobody refers to is collected, and its lock goes with it. */
const held = new Set<DatabaseSync>();

/**
 * Keeps a second program out of a folder for as long as this process lives, however it ends: the kernel frees the
 * lock with the process, so a kill leaves nothing to clean up. SQLite is used because Node itself has no file locks.
 * `purpose` names the folder for the person who started the second one; the folder must exist. Returns the release.
 */
export function lockFolder(dir: string, purpose: string): () => void {
  const db = new DatabaseSync(path.join(dir, 'lock.db'), { timeout: 0 });
  try {
    db.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE;');
  } catch (error) {
    db.close();
    throw new UserError(
      `${dir} (${purpose}) is in use by another posthorn; stop that one or choose another folder`,
      { cause: error },
    );
  }
  held.add(db);
  return () => {
    held.delete(db);
    db.close();
  };
}
