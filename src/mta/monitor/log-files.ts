/** `/logs` and `/getFile`: the log's generations and the accounting files, and nothing else (management guide, 8.2). */
import { createReadStream } from 'node:fs';
import { lstat, open, readdir } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { Config } from '../../config/index.ts';
import { logTime } from '../../system/log.ts';
import { AcctFileNames } from '../accounting/acct-file-names.ts';
import { JsonOnly, Many, type Tree } from './answer.ts';

export interface ListedFile {
  /** Base name; the only thing that a visitor can ask for. */
  readonly name: string;
  readonly path: string;
  readonly at: number;
  readonly size: number;
}

/** A folder that has more is not listed to its end. */
const MOST_FILES = 10_000;

/** Files that a visitor may see, the newest first. */
export async function listedFiles(config: Config): Promise<ListedFile[]> {
  const found = new Map<string, ListedFile>();
  const log = config.global.get('log-file');
  const wanted: [dir: string, isOurs: (name: string) => boolean][] = [];
  if (log) {
    const base = path.basename(log);
    wanted.push([
      path.dirname(log),
      (name) =>
        name === base || (name.startsWith(`${base}.`) && /^\d{1,4}$/.test(name.slice(base.length + 1))),
    ]);
  }
  for (const { target } of config.acctFiles) {
    if (target.startsWith('|')) continue;
    const names = new AcctFileNames(target);
    wanted.push([names.dir, (name) => names.parse(name) !== null]);
  }
  for (const [dir, isOurs] of wanted) {
    const names = (await readdir(dir).catch(() => [])).filter(isOurs).slice(-MOST_FILES);
    for (const name of names) {
      const file = path.join(dir, name);
      // A link could lead to any file of this machine.
      const facts = await lstat(file).catch(() => null);
      if (!facts?.isFile() || found.has(name)) continue;
      found.set(name, { name, path: file, at: facts.mtimeMs, size: facts.size });
    }
  }
  return [...found.values()].sort((a, b) => b.at - a.at || (a.name < b.name ? 1 : -1));
}

export function filesTree(files: readonly ListedFile[]): Tree {
  const trees = files.map(({ name, at, size }) => ({ name, date: logTime(at), size }));
  return { title: new JsonOnly(`${files.length} log files`), log: { file: new Many('files', trees) } };
}

/** Sends a file as it is now; what is appended meanwhile is not sent. */
export async function sendFile(response: ServerResponse, file: ListedFile): Promise<void> {
  const handle = await open(file.path, 'r');
  try {
    const { size } = await handle.stat();
    response.writeHead(200, {
      'Content-Type': 'application/octet-stream',
      'Content-Disposition': `attachment; filename="${file.name.replace(/[^\w.-]/g, '_')}"`,
      'Content-Length': size,
      'Cache-Control': 'no-store',
      'X-Content-Type-Options': 'nosniff',
    });
    if (size === 0) response.end();
    else {
      const from = createReadStream(file.path, { fd: handle.fd, autoClose: false, start: 0, end: size - 1 });
      await pipeline(from, response);
    }
  } finally {
    await handle.close();
  }
}
