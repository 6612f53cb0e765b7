/**
 * Appends mail to mbox files: `From ` lines quoted as mboxrd does, under flock(2) as other programs on the file expect.
 *
 * A kill in the middle of an append leaves half a mail. So what is about to be appended where is written down first,
 * in a note that outlives the process. The next append to that file finds the note: half a mail is cut off again, and
 * a whole one of the same message is not appended a second time.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, mkdir, open, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { writeFileDurably } from '../../system/durable-file.ts';

export interface MboxMail {
  /** Names this message for these recipients, the same on every attempt. */
  readonly key: string;
  /** Envelope sender; '' is the null sender. */
  readonly sender: string;
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly content: Buffer;
}

interface Note {
  readonly file: string;
  readonly key: string;
  readonly offset: number;
  readonly length: number;
}

/** Seconds that another program may keep its lock before we try again later. */
const LOCK_SECONDS = 30;

export class Mboxes {
  readonly #notes: string;
  /** One append per file at a time, until its outcome is on disk: there is one note per file. */
  readonly #busy = new Map<string, Promise<void>>();

  /** `dir`: where notes are kept; made when needed. */
  constructor(dir: string) {
    this.#notes = dir;
  }

  /** Resolves when the mail is on disk. Call the answer when that is recorded and will not be tried again. */
  async append(file: string, mail: MboxMail): Promise<() => void> {
    while (this.#busy.has(file)) await this.#busy.get(file);
    let free = () => {};
    const turn = new Promise<void>((resolve) => {
      free = resolve;
    });
    this.#busy.set(file, turn);
    const release = () => {
      this.#busy.delete(file);
      free();
    };
    const note = path.join(this.#notes, createHash('sha256').update(path.resolve(file)).digest('hex'));
    try {
      await mkdir(this.#notes, { recursive: true, mode: 0o700 });
      await this.#appendLocked(file, note, mail);
    } catch (error) {
      release();
      throw error;
    }
    return () => void rm(note, { force: true }).then(release, release);
  }

  async #appendLocked(file: string, noteFile: string, mail: MboxMail): Promise<void> {
    // Not through a link: whoever may write in that folder could lead us to another file.
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW;
    const handle = await open(file, flags, 0o660);
    try {
      const facts = await handle.stat();
      if (!facts.isFile()) throw new Error('not a regular file');
      if (facts.nlink > 1) throw new Error('the file has another name (hard link)');
      await lock(handle);
      const note = await readNote(noteFile, file);
      if (note && (await isWhole(handle, note))) {
        if (note.key === mail.key) return;
      } else if (note) await cutTorn(handle, note);
      const { size } = await handle.stat();
      const data = Buffer.concat([await gap(handle, size), mboxEntry(mail)]);
      const begun: Note = { file, key: mail.key, offset: size, length: data.length };
      await writeFileDurably(noteFile, JSON.stringify(begun), 0o600);
      try {
        await writeAll(handle, data, size);
        await handle.sync();
      } catch (error) {
        // Full disk: half a mail must not stay for a reader to find.
        await handle.truncate(size).catch(() => {});
        throw error;
      }
    } finally {
      // Closing lets the lock go.
      await handle.close();
    }
  }
}

/** One mail as mbox has it: LF line ends, a `From ` line before, an empty line after. */
export function mboxEntry({ sender, at, content }: MboxMail): Buffer {
  const who = sender === '' ? 'MAILER-DAEMON' : sender.replace(/[^!-~\u0080-\uffff]/g, '-');
  const when = new Date(at).toUTCString();
  // Fri, 21 Nov 2026 04:05:06 GMT -> Fri Nov 21 04:05:06 2026
  const [day, date, month, year, time] = when.replace(',', '').split(' ');
  const from = `From ${who} ${day} ${month} ${String(Number(date)).padStart(2)} ${time} ${year}\n`;
  const text = content
    .toString('latin1')
    .replace(/\r\n/g, '\n')
    .replace(/^(>*From )/gm, '>$1');
  const body = Buffer.from(text, 'latin1');
  return Buffer.concat([Buffer.from(from), body, Buffer.from(text.endsWith('\n') ? '\n' : '\n\n')]);
}

/** What is missing before a new mail may begin: a file that another program left without its empty line. */
async function gap(handle: FileHandle, size: number): Promise<Buffer> {
  if (size === 0) return Buffer.alloc(0);
  const tail = Buffer.alloc(Math.min(2, size));
  await handle.read(tail, 0, tail.length, size - tail.length);
  if (tail.at(-1) !== 0x0a) return Buffer.from('\n\n');
  return tail.length > 1 && tail[0] !== 0x0a ? Buffer.from('\n') : Buffer.alloc(0);
}

async function readNote(noteFile: string, file: string): Promise<Note | null> {
  let text: string;
  try {
    text = await readFile(noteFile, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  try {
    const note = JSON.parse(text) as Note;
    const usable =
      note.file === file && Number.isSafeInteger(note.offset) && Number.isSafeInteger(note.length);
    return usable ? note : null;
  } catch {
    return null;
  }
}

/** Whether what the note speaks of stands in the file to its end: it begins where it should and no other mail is in it. */
async function isWhole(handle: FileHandle, { offset, length }: Note): Promise<boolean> {
  const { size } = await handle.stat();
  return (
    size >= offset + length &&
    (await beginsMail(handle, offset)) &&
    !(await another(handle, offset, offset + length))
  );
}

/** Cuts half a mail off, if what is there is ours: a `From ` line where we began and no other mail after. */
async function cutTorn(handle: FileHandle, { offset, length }: Note): Promise<void> {
  const { size } = await handle.stat();
  if (size <= offset || size >= offset + length) return;
  if (await another(handle, offset, size)) return;
  await handle.truncate(offset);
  await handle.sync();
}

async function beginsMail(handle: FileHandle, offset: number): Promise<boolean> {
  const head = Buffer.alloc(7);
  const { bytesRead } = await handle.read(head, 0, head.length, offset);
  return /^\n{0,2}From /.test(head.toString('latin1', 0, bytesRead));
}

/** Whether a second mail begins in this stretch of the file, read a piece at a time. */
async function another(handle: FileHandle, from: number, to: number): Promise<boolean> {
  const piece = Buffer.alloc(64 * 1024);
  let found = 0;
  let kept = '\n';
  for (let at = from; at < to; ) {
    const { bytesRead } = await handle.read(piece, 0, Math.min(piece.length, to - at), at);
    if (bytesRead === 0) break;
    const text = kept + piece.toString('latin1', 0, bytesRead);
    found += text.split('\nFrom ').length - 1;
    kept = text.slice(-5);
    at += bytesRead;
  }
  return found > 1;
}

async function writeAll(handle: FileHandle, data: Buffer, at: number): Promise<void> {
  for (let done = 0; done < data.length; ) {
    const { bytesWritten } = await handle.write(data, done, data.length - done, at + done);
    done += bytesWritten;
  }
}

/**
 * flock(2), which Node does not have: the lock belongs to the opened file and not to a process, so the system's
 * `flock` program can take it for a descriptor that it inherits, and it stays ours when that program has ended.
 */
function lock(handle: FileHandle): Promise<void> {
  return new Promise((resolve, reject) => {
    const args = ['--exclusive', '--timeout', String(LOCK_SECONDS), '3'];
    const child = spawn('flock', args, { stdio: ['ignore', 'ignore', 'ignore', handle.fd] });
    child.once('error', (error) => {
      const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
      reject(new Error(missing ? 'the program flock (util-linux) is not installed' : error.message));
    });
    child.once('exit', (code) => {
      if (code === 0) resolve();
      else reject(new Error(`another program has held its lock for ${LOCK_SECONDS} s`));
    });
  });
}
