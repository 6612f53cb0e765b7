import { readdirSync, readFileSync, statSync } from 'node:fs';
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
}

export const realDisk: Disk = {
  readFile(file) {
    const { size } = statSync(file);
    if (size > LARGEST_FILE) throw new Error(`file is larger than ${LARGEST_FILE} bytes`);
    return readFileSync(file, 'utf8');
  },
  exists(file) {
    return statSync(file, { throwIfNoEntry: false }) !== undefined;
  },
  list: (folder) => readdirSync(folder),
  mode(file) {
    if (process.platform === 'win32') return null;
    return statSync(file, { throwIfNoEntry: false })?.mode ?? null;
  },
};

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
