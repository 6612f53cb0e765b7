import { closeSync, openSync, readdirSync, readSync, statSync } from 'node:fs';
import path from 'node:path';

/** Largest file that is read as configuration or as a list of addresses. */
export const LARGEST_FILE = 64 * 1024 * 1024;

/** What the reader needs of a disk. Missing things throw, as `node:fs` does. */
export interface Disk {
  /** UTF-8 text; wrong bytes show as U+FFFD. */
  readFile(file: string): string;
  exists(file: string): boolean;
  /** Names in a folder. */
  list(folder: string): string[];
  /** Permission bits of a file, or null where there are none. */
  mode(file: string): number | null;
  /** Changes whenever the file does; null when that cannot be told. */
  stamp?(file: string): string | null;
}

export const realDisk: Disk = {
  readFile(file) {
    const stat = statSync(file);
    // A pipe that nobody writes to would hold everything up; /dev/stdin and what a shell puts there are meant.
    if (!stat.isFile() && !(stat.isFIFO() && file.startsWith('/dev/'))) {
      throw new Error(stat.isDirectory() ? 'it is a folder' : 'it is not a regular file');
    }
    return readBounded(file, stat.size);
  },
  exists(file) {
    return statSync(file, { throwIfNoEntry: false }) !== undefined;
  },
  list: (folder) => readdirSync(folder),
  stamp(file) {
    const stat = statSync(file, { throwIfNoEntry: false, bigint: true });
    // A time of a moment ago may be that of the next change, too.
    if (!stat?.isFile() || Date.now() - Number(stat.mtimeMs) < 2_000) return null;
    return `${stat.dev} ${stat.ino} ${stat.size} ${stat.mtimeNs} ${stat.ctimeNs}`;
  },
  mode(file) {
    if (process.platform === 'win32') return null;
    return statSync(file, { throwIfNoEntry: false })?.mode ?? null;
  },
};

/** Sizes of pipes and of files below /proc are not known before the end. */
function readBounded(file: string, size: number): string {
  const tooLarge = () => new Error(`file is larger than ${LARGEST_FILE} bytes`);
  if (size > LARGEST_FILE) throw tooLarge();
  const descriptor = openSync(file, 'r');
  try {
    const chunks: Buffer[] = [];
    let total = 0;
    for (;;) {
      const chunk = Buffer.allocUnsafe(Math.max(64 * 1024, size + 1 - total));
      const read = readSync(descriptor, chunk);
      if (read === 0) return Buffer.concat(chunks, total).toString('utf8');
      total += read;
      if (total > LARGEST_FILE) throw tooLarge();
      chunks.push(chunk.subarray(0, read));
    }
  } finally {
    closeSync(descriptor);
  }
}

/** One part of a wildcard path as a test; `*` and `?` do not match a leading dot. */
function segmentTest(segment: string): (name: string) => boolean {
  const source = segment
    .replace(/[.+^${}()|\\]/g, '\\$&')
    .replace(/\*+/g, '[^/]*')
    .replace(/\?/g, '[^/]');
  try {
    const regex = new RegExp(`^${source}$`);
    return (name) => (segment.startsWith('.') || !name.startsWith('.')) && regex.test(name);
  } catch {
    return (name) => name === segment;
  }
}

export const hasWildcard = (name: string): boolean => /[*?[]/.test(name);

/** Files that a path with wildcards names, in byte order. */
export function expandWildcard(pattern: string, disk: Disk): string[] {
  let found = [path.parse(pattern).root || '.'];
  const parts = pattern.slice(path.parse(pattern).root.length).split(/[\\/]/).filter(Boolean);
  for (const [i, part] of parts.entries()) {
    const last = i === parts.length - 1;
    if (!hasWildcard(part)) {
      found = found.map((f) => path.join(f, part));
      if (last) found = found.filter((f) => disk.exists(f));
      continue;
    }
    const matches = segmentTest(part);
    found = found.flatMap((folder) => {
      try {
        return disk
          .list(folder)
          .filter(matches)
          .map((name) => path.join(folder, name));
      } catch {
        return [];
      }
    });
  }
  return found.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
}
