import { open } from 'node:fs/promises';

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
