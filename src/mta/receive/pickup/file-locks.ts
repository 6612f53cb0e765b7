import { open } from 'node:fs/promises';

/** The kernel lists a lock in some 60 bytes; a machine with more locks than this is not asked to the end. */
const MOST_BYTES = 4 * 1024 * 1024;

/**
 * The files that some process has locked, by flock(2) or fcntl(2), as the kernel lists them (proc(5), /proc/locks).
 * Node itself has no call for either. Where there is no such list (not Linux), no file counts as locked; locks that
 * another machine holds on a network file system, and those of other containers, are not in it.
 */
export class FileLocks {
  readonly #inodes = new Map<bigint, string[]>();

  static async read(list = '/proc/locks'): Promise<FileLocks> {
    try {
      const handle = await open(list, 'r');
      try {
        const buffer = Buffer.alloc(MOST_BYTES);
        let used = 0;
        while (used < MOST_BYTES) {
          const { bytesRead } = await handle.read(buffer, used, MOST_BYTES - used, null);
          if (bytesRead === 0) break;
          used += bytesRead;
        }
        return new FileLocks(buffer.toString('latin1', 0, used));
      } finally {
        await handle.close();
      }
    } catch {
      return new FileLocks('');
    }
  }

  /** `text`: lines such as `1: FLOCK  ADVISORY  WRITE 708 08:01:2245996 0 EOF`. */
  constructor(text: string) {
    for (const line of text.split('\n')) {
      // A process that only waits for a lock (`->`) does not hold it.
      const match = /^\d+: (?:FLOCK|POSIX|OFDLCK) .* ([0-9a-f]+:[0-9a-f]+):(\d+) \d+ \w+$/.exec(line);
      if (!match) continue;
      const inode = BigInt(match[2]!);
      this.#inodes.set(inode, [...(this.#inodes.get(inode) ?? []), match[1]!]);
    }
  }

  holds(file: { readonly dev: bigint; readonly ino: bigint }): boolean {
    const devices = this.#inodes.get(file.ino);
    if (!devices) return false;
    const major = (file.dev >> 8n) & 0xfffn;
    const minor = (file.dev & 0xffn) | ((file.dev >> 12n) & 0xfff00n);
    const own = `${major.toString(16).padStart(2, '0')}:${minor.toString(16).padStart(2, '0')}`;
    // btrfs, overlay and others show files under another device than they lock them; those have no major number.
    return devices.some((device) => device === own || major === 0n || device.startsWith('00:'));
  }
}
