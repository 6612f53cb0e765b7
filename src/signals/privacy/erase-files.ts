import { createReadStream, createWriteStream } from 'node:fs';
import { open, readdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createGzip } from 'node:zlib';
import { syncFolder } from '../../system/durable-file.ts';
import { messagesOfLine, scrubLine } from './scrub.ts';

export interface Person {
  /** `null` where only the digest is known any more. */
  readonly address: string | null;
  /** SHA-1 of the address, hexadecimal. */
  readonly digest: string;
  /** Ids of messages to this recipient: lines that name one and no recipient are this person's. */
  readonly messages: ReadonlySet<string>;
}

/** Ids of the messages that batches on disk say went to the recipient with this digest. */
export async function messagesTo(ingestDir: string, digest: string): Promise<string[]> {
  const found = new Set<string>();
  for (const file of await doneFiles(ingestDir)) {
    await whole(file, (line) => {
      for (const id of messagesOfLine(line, digest)) found.add(id);
      return true;
    });
  }
  return [...found];
}

/** Files of batches and failures that are done with; what an earlier run left half-written is removed. */
async function doneFiles(dir: string): Promise<string[]> {
  const found: string[] = [];
  for (const entry of await readdir(path.join(dir, 'done'), { recursive: true, withFileTypes: true })) {
    const file = path.join(entry.parentPath, entry.name);
    if (entry.isFile() && entry.name.endsWith('.gz')) found.push(file);
    else if (entry.name.endsWith(TEMPORARY)) await rm(file, { force: true });
  }
  return found;
}

const TEMPORARY = '.erase.tmp';

/** Batches that wait or are in hand. */
export async function pendingBatches(ingestDir: string): Promise<Set<string>> {
  return new Set((await readdir(path.join(ingestDir, 'pending'))).filter((name) => name.endsWith('.gz')));
}

/**
 * Takes people out of the processed batches and failures on disk. Each file is replaced as a whole, so that whenever
 * this is cut off it may be begun again. Returns how many files changed.
 */
export async function eraseFromFiles(ingestDir: string, people: readonly Person[]): Promise<number> {
  let changed = 0;
  for (const file of await doneFiles(ingestDir)) {
    try {
      if (await rewrite(file, people)) changed++;
    } catch (error) {
      // Expired meanwhile.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  return changed;
}

async function* linesOf(file: string): AsyncGenerator<string> {
  const input = createReadStream(file);
  const gunzip = createGunzip();
  input.on('error', (error) => gunzip.destroy(error));
  input.pipe(gunzip);
  try {
    yield* createInterface({ input: gunzip, crlfDelay: Number.POSITIVE_INFINITY });
  } finally {
    input.destroy();
    gunzip.destroy();
  }
}

async function rewrite(file: string, people: readonly Person[]): Promise<boolean> {
  if (!(await mentions(file, people))) return false;
  const temporary = `${file}${TEMPORARY}`;
  const clean = async function* () {
    for await (const line of linesOf(file)) {
      let text = line;
      for (const person of people) text = scrubLine(text, person) ?? text;
      yield `${text}\n`;
    }
  };
  await pipeline(Readable.from(clean()), createGzip(), createWriteStream(temporary, { mode: 0o640 }));
  const handle = await open(temporary, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(temporary, file);
  await syncFolder(path.dirname(file));
  return true;
}

async function mentions(file: string, people: readonly Person[]): Promise<boolean> {
  return !(await whole(file, (line) => people.every((person) => scrubLine(line, person) === null)));
}

/** Reads the lines while `each` says so; whether it did to the end. */
async function whole(file: string, each: (line: string) => boolean): Promise<boolean> {
  try {
    for await (const line of linesOf(file)) if (!each(line)) return false;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    // A batch that cannot be inflated tells nobody's address.
    if (code.startsWith('Z_') || code === 'ERR_TRAILING_JUNK_AFTER_STREAM_END' || code === 'ENOENT')
      return true;
    throw error;
  }
  return true;
}
