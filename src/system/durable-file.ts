import { randomBytes } from 'node:crypto';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { UserError } from './user-error.ts';

/** Makes names in a folder (created, renamed, removed files) survive a power cut. */
export async function syncFolder(dir: string): Promise<void> {
  const handle = await open(dir, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * Replaces `file` by `data` so that after a crash either the old or the new content is there, whole.
 * The temporary file is in the same folder because a rename is atomic only within one file system.
 */
export async function writeFileDurably(file: string, data: string | Uint8Array, mode = 0o640): Promise<void> {
  const temporary = `${file}.${randomBytes(4).toString('hex')}.tmp`;
  try {
    const handle = await open(temporary, 'wx', mode);
    try {
      await handle.writeFile(data);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, file);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncFolder(path.dirname(file));
}

/** Makes sure that a folder exists and can be written; says in one sentence why not. */
export async function requireWritableFolder(dir: string, purpose: string): Promise<void> {
  const probe = path.join(dir, `.probe-${randomBytes(4).toString('hex')}`);
  try {
    await mkdir(dir, { recursive: true, mode: 0o750 });
    const handle = await open(probe, 'wx');
    try {
      // A full disk lets a file be made and refuses its first byte.
      await handle.writeFile('x');
      await handle.sync();
    } finally {
      await handle.close();
      await rm(probe, { force: true });
    }
  } catch (error) {
    throw new UserError(`${dir} (${purpose}) cannot be written: ${reason(error)}`, { cause: error });
  }
}

/** The system's error in words, with what to do about it. */
export function reason(error: unknown): string {
  const code = (error as NodeJS.ErrnoException)?.code;
  switch (code) {
    case 'ENOSPC':
    case 'EDQUOT':
      return 'the disk is full; free some space there or name another folder';
    case 'EACCES':
    case 'EPERM':
      return 'permission denied; give this user the right to write there or name another folder';
    case 'EROFS':
      return 'the file system is read-only; name another folder';
    case 'ENOTDIR':
    case 'EEXIST':
      return 'part of that path is a file, not a folder; name another folder';
    case 'ENOENT':
      return 'no such file or folder';
    default:
      return error instanceof Error ? error.message : String(error);
  }
}
