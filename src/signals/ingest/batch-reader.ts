import { createReadStream, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { createGunzip, gunzip, gunzipSync } from 'node:zlib';

export interface BatchLimits {
  /** Bytes that a batch may inflate to. */
  readonly inflated: number;
  /** Bytes of one line. */
  readonly line: number;
  /** Lines of one batch. */
  readonly lines: number;
}

export const defaultBatchLimits: BatchLimits = {
  inflated: 256 * 2 ** 20,
  line: 2 ** 20,
  lines: 1_000_000,
};

/** A line, or the beginning of one that is too long to be kept. */
export interface BatchLine {
  readonly text: string;
  readonly tooLong: boolean;
}

/** The batch cannot be read: no gzip, broken off, or more than the limits. */
export class UnreadableBatch extends Error {}

const LINE_FEED = 10;
const KEPT_OF_LONG_LINE = 1024;
/** Lines that are handed out together: what lies between two looks at everything else that waits. */
const LINES_AT_ONCE = 256;
/** Batches of usual size are inflated at once; larger ones piece by piece, and twice. */
const AT_ONCE = 12 * 2 ** 20;
/** Below this, handing the work to another thread costs more than the work. */
const SMALL = 32 * 1024;
const SMALL_INFLATED = 512 * 1024;

const inflate = promisify(gunzip) as (
  octets: Buffer,
  options: { maxOutputLength: number },
) => Promise<Buffer>;

/** zlib names its faults Z_…; a fault of the disk is no fault of the batch. */
function translate(error: unknown): never {
  const code = (error as NodeJS.ErrnoException).code ?? '';
  if (code.startsWith('Z_') || code === 'ERR_TRAILING_JUNK_AFTER_STREAM_END') {
    throw new UnreadableBatch((error as Error).message);
  }
  throw error;
}

async function* inflated(file: string, limit: number): AsyncGenerator<Buffer> {
  const input = createReadStream(file);
  const stream = createGunzip({ chunkSize: 128 * 1024 });
  input.on('error', (error) => stream.destroy(error));
  input.pipe(stream);
  let total = 0;
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      total += chunk.length;
      if (total > limit) throw new UnreadableBatch(`inflates to more than ${limit} bytes`);
      yield chunk;
    }
  } catch (error) {
    translate(error);
  } finally {
    input.destroy();
    stream.destroy();
  }
}

/** The whole batch; `null` when it is too large for that. */
async function inflatedAtOnce(file: string, size: number, limits: BatchLimits): Promise<Buffer | null> {
  if (size <= SMALL) {
    try {
      return gunzipSync(readFileSync(file), { maxOutputLength: Math.min(SMALL_INFLATED, limits.inflated) });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ERR_BUFFER_TOO_LARGE') translate(error);
    }
  }
  try {
    return await inflate(await readFile(file), { maxOutputLength: Math.min(AT_ONCE, limits.inflated) });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') return null;
    translate(error);
  }
}

function countLines(chunk: Buffer): number {
  let lines = 0;
  for (let at = chunk.indexOf(LINE_FEED); at >= 0; at = chunk.indexOf(LINE_FEED, at + 1)) lines++;
  return lines;
}

function requireFewLines(lines: number, limits: BatchLimits): void {
  if (lines > limits.lines) throw new UnreadableBatch(`has more than ${limits.lines} lines`);
}

/**
 * Opens a batch: reads it to its end once, because one that breaks off half-way must store nothing. Gives its lines,
 * some at a time, blank ones left out, whatever its size in bounded memory. Throws `UnreadableBatch`.
 */
export async function openBatch(
  file: string,
  size: number,
  limits: BatchLimits,
): Promise<AsyncGenerator<readonly BatchLine[]>> {
  if (size === 0) throw new UnreadableBatch('is empty, not even a gzip header');
  const whole = await inflatedAtOnce(file, size, limits);
  if (whole) {
    requireFewLines(countLines(whole), limits);
    return linesOf([whole], limits);
  }
  let lines = 0;
  for await (const chunk of inflated(file, limits.inflated)) {
    lines += countLines(chunk);
    requireFewLines(lines, limits);
  }
  return linesOf(inflated(file, limits.inflated), limits);
}

async function* linesOf(
  chunks: Iterable<Buffer> | AsyncIterable<Buffer>,
  limits: BatchLimits,
): AsyncGenerator<readonly BatchLine[]> {
  /** The beginning of a line that goes on in the next chunk. */
  let parts: Buffer[] = [];
  let length = 0;
  let lines: BatchLine[] = [];
  let first = true;
  const take = (bytes: Buffer): void => {
    const tooLong = length > limits.line;
    let text = bytes.toString('utf8', 0, tooLong ? KEPT_OF_LONG_LINE : bytes.length);
    // A byte order mark before the first line is no part of it (RFC 8259 section 8.1 lets a reader ignore it).
    if (first && text.startsWith('\ufeff')) text = text.slice(1);
    first = false;
    length = 0;
    if (tooLong || text.trim() !== '') lines.push({ text, tooLong });
  };
  for await (const chunk of chunks) {
    let from = 0;
    while (from < chunk.length) {
      const end = chunk.indexOf(LINE_FEED, from);
      const piece = chunk.subarray(from, end < 0 ? chunk.length : end);
      if (end < 0 || parts.length > 0) {
        // Of a line that is too long only the beginning is kept; the copy lets go of the chunk.
        if (length <= limits.line) parts.push(Buffer.from(piece.subarray(0, limits.line + 1)));
        length += piece.length;
        if (end < 0) break;
        take(parts.length === 1 ? parts[0]! : Buffer.concat(parts));
        parts = [];
      } else {
        length = piece.length;
        take(piece);
      }
      from = end + 1;
      if (lines.length >= LINES_AT_ONCE) {
        yield lines;
        lines = [];
      }
    }
  }
  if (length > 0) take(Buffer.concat(parts));
  if (lines.length > 0) yield lines;
}
