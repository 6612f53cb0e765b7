import { randomBytes } from 'node:crypto';
import { link, open, readFile, rm, unlink } from 'node:fs/promises';
import path from 'node:path';
import { reason, syncFolder } from '../../system/durable-file.ts';
import { UserError } from '../../system/user-error.ts';
import { isApiKey } from './accounts.ts';

/**
 * The first API key: the one given (`POSTHORN_ADMIN_KEY`), else the one in `DIR/admin.key`, else a new one written
 * there, readable by its owner only. Throws `UserError`.
 */
export async function adminKey(
  dataDir: string,
  given: string | undefined,
): Promise<{ key: string; file: string | null }> {
  if (given !== undefined && given !== '') {
    if (!isApiKey(given)) {
      throw new UserError('POSTHORN_ADMIN_KEY must be exactly 40 hexadecimal digits; correct it or unset it');
    }
    return { key: given.toLowerCase(), file: null };
  }
  const file = path.join(dataDir, 'admin.key');
  for (;;) {
    const existing = await readKey(file);
    if (existing !== null) return { key: existing, file };
    const key = randomBytes(20).toString('hex');
    const temporary = `${file}.${randomBytes(4).toString('hex')}.tmp`;
    try {
      const handle = await open(temporary, 'wx', 0o600);
      try {
        await handle.writeFile(`${key}\n`);
        await handle.sync();
      } finally {
        await handle.close();
      }
      // A link, unlike a rename, never takes the place of a key that another start has just made.
      await link(temporary, file);
      await unlink(temporary);
      await syncFolder(dataDir);
      return { key, file };
    } catch (error) {
      await rm(temporary, { force: true });
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') continue;
      throw new UserError(`${file} (first API key) cannot be written: ${reason(error)}`, { cause: error });
    }
  }
}

async function readKey(file: string): Promise<string | null> {
  let text: string;
  try {
    text = (await readFile(file, 'utf8')).trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new UserError(`${file} (first API key) cannot be read: ${reason(error)}`, { cause: error });
  }
  if (isApiKey(text)) return text.toLowerCase();
  throw new UserError(
    `${file} does not hold an API key of 40 hexadecimal digits; correct it, or remove it and a new one is made`,
  );
}
