import { createReadStream } from 'node:fs';
import { createGunzip } from 'node:zlib';

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

async function* inflated(file: string, limit: number): AsyncGenerator<Buffer> {
  const input = createReadStream(file);
  const gunzip = createGunzip();
  input.on('error', (error) => gunzip.destroy(error));
  input.pipe(gunzip);
  let total = 0;
  try {
    for await (const chunk of gunzip as AsyncIterable<Buffer>) {
      total += chunk.length;
      if (total > limit) throw new UnreadableBatch(`inflates to more than ${limit} bytes`);
      yield chunk;
    }
  } catch (error) {
    // zlib names its faults Z_…; a fault of the disk is no fault of the batch.
    const code = (error as NodeJS.ErrnoException).code ?? '';
    if (code.startsWith('Z_') || code === 'ERR_TRAILING_JUNK_AFTER_STREAM_END') {
      throw new UnreadableBatch((error as Error).message);
    }
    throw error;
  } finally {
    input.destroy();
    gunzip.destroy();
  }
}

/**
 * Reads a batch to its end without keeping it, because a batch that breaks off half-way must store nothing.
 * Throws `UnreadableBatch`.
 */
export async function requireReadable(file: string, size: number, limits: BatchLimits): Promise<void> {
  if (size === 0) throw new UnreadableBatch('is empty, not even a gzip header');
  let lines = 0;
  for await (const chunk of inflated(file, limits.inflated)) {
    for (let at = chunk.indexOf(LINE_FEED); at >= 0; at = chunk.indexOf(LINE_FEED, at + 1)) lines++;
    if (lines > limits.lines) throw new UnreadableBatch(`has more than ${limits.lines} lines`);
  }
}

/** The lines of a batch, blank ones left out, whatever their length in bounded memory. */
export async function* batchLines(file: string, limits: BatchLimits): AsyncGenerator<BatchLine> {
  let parts: Buffer[] = [];
  let length = 0;
  const take = (): BatchLine | null => {
    const bytes = parts.length === 1 ? parts[0]! : Buffer.concat(parts);
    const tooLong = length > limits.line;
    const text = bytes.toString('utf8', 0, tooLong ? KEPT_OF_LONG_LINE : bytes.length);
    parts = [];
    length = 0;
    return text.trim() === '' && !tooLong ? null : { text, tooLong };
  };
  for await (const chunk of inflated(file, limits.inflated)) {
    let from = 0;
    while (from < chunk.length) {
      const end = chunk.indexOf(LINE_FEED, from);
      const piece = chunk.subarray(from, end < 0 ? chunk.length : end);
      if (length <= limits.line) parts.push(piece);
      length += piece.length;
      if (end < 0) break;
      from = end + 1;
      const line = take();
      if (line) yield line;
    }
  }
  if (length > 0) {
    const line = take();
    if (line) yield line;
  }
}
