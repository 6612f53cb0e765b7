import { open, readFile } from 'node:fs/promises';
import { writeFileDurably } from '../../system/durable-file.ts';

/** The end of the records that a journal has put into an accounting file; `file` is '' when there is none. */
export interface Position {
  readonly file: string;
  readonly bytes: number;
}

/**
 * Kept in a hidden file beside the accounting files. Without it nobody could tell our files from those of a program
 * that wrote here before or in between (a MTA that was rolled back to), and those must never be removed.
 */
export interface Start {
  /** The journal that this is about. */
  readonly owner: string;
  /** Where that journal found the folder when it was new. */
  readonly position: Position;
  /** The files that it made last, newest at the end. */
  readonly made: readonly string[];
}

export function isPosition(value: unknown): value is Position {
  const { file, bytes } = (value ?? {}) as Position;
  return typeof file === 'string' && Number.isSafeInteger(bytes) && bytes >= 0;
}

export async function readStart(file: string): Promise<Start | null> {
  try {
    const { owner, position, made } = JSON.parse(await readFile(file, 'utf8'));
    const valid = typeof owner === 'string' && isPosition(position) && Array.isArray(made);
    return valid ? { owner, position, made: made.map(String) } : null;
  } catch (error) {
    if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

export function writeStart(file: string, start: Start): Promise<void> {
  return writeFileDurably(file, `${JSON.stringify(start)}\n`);
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
