import { link, open, readdir, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import type { AcctFileNames } from './acct-file-names.ts';

/**
 * A second name of the file that is being written. An operator's script may move, rename or delete an accounting file
 * between a kill and the next start; by this name we still see what was in it.
 */
export function secondName(dir: string, name: string): string {
  return path.join(dir, `.${name}.open`);
}

/** What a file system without second names answers, and one where the file has just been moved away. */
const NO_LINKS = new Set(['EPERM', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK', 'ENOENT']);

export async function giveSecondName(dir: string, name: string): Promise<void> {
  const second = secondName(dir, name);
  await rm(second, { force: true });
  try {
    await link(path.join(dir, name), second);
  } catch (error) {
    if (!NO_LINKS.has((error as NodeJS.ErrnoException).code ?? '')) throw error;
  }
}

/** Removes the second names of files of an `<acct-file>` that are not being written. */
export async function forgetSecondNames(names: AcctFileNames, writing: ReadonlySet<string>): Promise<void> {
  for (const second of await readdir(names.dir)) {
    const name = /^\.(.+)\.open$/.exec(second)?.[1];
    if (name === undefined || writing.has(name) || !names.parse(name)) continue;
    await rm(path.join(names.dir, second), { force: true });
  }
}

/** Removes a file under both names; under the first only if that is still the same file. */
export async function removeBoth(dir: string, name: string): Promise<void> {
  const second = secondName(dir, name);
  const [first, other] = [path.join(dir, name), await inode(second)];
  if (other === null || other === (await inode(first))) await rm(first, { force: true });
  await rm(second, { force: true });
}

async function inode(file: string): Promise<number | null> {
  return stat(file).then(
    ({ ino }) => ino,
    () => null,
  );
}

/** Bytes `from` … `to` of a file. */
export async function readBytes(file: string, from: number, to: number): Promise<Buffer> {
  const handle = await open(file, 'r');
  try {
    const bytes = Buffer.alloc(to - from);
    const { bytesRead } = await handle.read(bytes, 0, bytes.length, from);
    return bytes.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}

/** Records in a file, its title not counted; a value with a line break inside counts once. */
export async function countRecords(file: string): Promise<number> {
  const handle = await open(file, 'r');
  try {
    let lines = 0;
    let quoted = false;
    for await (const chunk of handle.createReadStream({ autoClose: false })) {
      for (const byte of chunk as Buffer) {
        if (byte === 0x22) quoted = !quoted;
        else if (byte === 0x0a && !quoted) lines++;
      }
    }
    return Math.max(0, lines - 1);
  } finally {
    await handle.close();
  }
}
