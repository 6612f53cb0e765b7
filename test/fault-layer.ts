/** Puts a program on a disk that fails on command (test/fault-layer.c), and cuts its power. */
import { spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';
import { temporaryFolder } from './program.ts';

export type Fault = 'enospc' | 'eio-sync' | 'eio-sync-once' | 'eio-dsync' | 'eio-dsync-once';

export interface FaultLayer {
  /** For the environment of the program. */
  readonly env: Record<string, string>;
  switch(fault: Fault, on: boolean): void;
  /** To be called when the program is dead: takes back a random part of what was not synced. */
  cutPower(random: () => number): { pages: number; dropped: number; torn: number };
}

const PAGE = 4096;
const SECTOR = 512;
const [WRITTEN, SYNCED, DURABLE, LOST] = [1, 2, 3, 4];

let library: string | undefined;
function compiled(): string {
  if (!library) {
    const file = path.join(temporaryFolder(), 'fault-layer.so');
    const source = path.join(import.meta.dirname, 'fault-layer.c');
    const done = spawnSync('gcc', [
      '-shared',
      '-fPIC',
      '-O1',
      '-Wall',
      '-Werror',
      '-o',
      file,
      source,
      '-ldl',
      '-lpthread',
    ]);
    if (done.status !== 0) throw new Error(`the fault layer does not compile: ${done.stderr}`);
    library = file;
  }
  return library;
}

/** Faults for the files below `dir`; their switches lie in `control`, which must not be below it. */
export function faultLayer(dir: string, control: string, more: Record<string, string> = {}): FaultLayer {
  mkdirSync(control, { recursive: true });
  const undo = path.join(control, 'undo');
  return {
    env: { LD_PRELOAD: compiled(), FAULT_DIR: dir, FAULT_CONTROL: control, ...more },
    switch(fault, on) {
      if (on) writeFileSync(path.join(control, fault), '');
      else rmSync(path.join(control, fault), { force: true });
    },
    cutPower(random) {
      const log = existsSync(undo) ? readFileSync(undo) : Buffer.alloc(0);
      rmSync(undo, { force: true });
      return takeBack(dir, unsynced(log), random);
    },
  };
}

interface Page {
  /** What stood here before each write, in the order of the writes. */
  readonly before: { readonly offset: number; readonly octets: Buffer }[];
  /** A sync of it has failed: the system takes it for clean, and only writing it anew brings it to the disk. */
  lost: boolean;
}

/** Pages by inode and number whose last state need not be on the disk. */
function unsynced(log: Buffer): Map<number, Map<number, Page>> {
  const files = new Map<number, Map<number, Page>>();
  for (let at = 0; at + 32 <= log.length; ) {
    const [kind, inode, offset, length] = [0, 8, 16, 24].map((n) => Number(log.readBigUInt64LE(at + n))) as [
      number,
      number,
      number,
      number,
    ];
    at += 32;
    const pages = files.get(inode) ?? new Map<number, Page>();
    files.set(inode, pages);
    if (kind === WRITTEN) {
      // Killed while this was being noted: the write itself was not done.
      if (at + length > log.length) break;
      for (let done = 0; done < length; ) {
        const number = Math.floor((offset + done) / PAGE);
        const size = Math.min(length - done, (number + 1) * PAGE - offset - done);
        const page = pages.get(number) ?? { before: [], lost: false };
        page.before.push({ offset: offset + done, octets: log.subarray(at + done, at + done + size) });
        page.lost = false;
        pages.set(number, page);
        done += size;
      }
      at += length;
    } else if (kind === SYNCED) {
      for (const [number, { lost }] of pages) if (!lost) pages.delete(number);
    } else if (kind === LOST) {
      for (const page of pages.values()) page.lost = true;
    } else if (kind === DURABLE) {
      const last = Math.floor((offset + length - 1) / PAGE);
      for (let number = Math.floor(offset / PAGE); number <= last; number++) pages.delete(number);
    } else throw new Error(`the log of the fault layer is broken at ${at - 32}`);
  }
  return files;
}

function takeBack(dir: string, files: Map<number, Map<number, Page>>, random: () => number) {
  const count = { pages: 0, dropped: 0, torn: 0 };
  for (const name of readdirSync(dir, { recursive: true, encoding: 'utf8' })) {
    const file = path.join(dir, name);
    const facts = statSync(file);
    const pages = facts.isFile() ? files.get(facts.ino) : undefined;
    if (!pages || pages.size === 0) continue;
    const handle = openSync(file, 'r+');
    const { size } = fstatSync(handle);
    for (const { before } of pages.values()) {
      count.pages++;
      const fate = random();
      if (fate < 1 / 3) continue;
      if (fate < 2 / 3) count.dropped++;
      else count.torn++;
      // A disk writes sectors whole; of a torn page each has arrived or not.
      const sectors = Array.from({ length: PAGE / SECTOR }, () => fate < 2 / 3 || random() < 0.5);
      for (const { offset, octets } of before.toReversed()) {
        for (let done = 0; done < octets.length; ) {
          const at = offset + done;
          const length = Math.min(octets.length - done, SECTOR - (at % SECTOR), Math.max(0, size - at));
          if (length === 0) break;
          if (sectors[Math.floor((at % PAGE) / SECTOR)]) writeSync(handle, octets, done, length, at);
          done += length;
        }
      }
    }
    closeSync(handle);
  }
  return count;
}

/** Numbers in [0, 1) from a seed (mulberry32), so that a run can be repeated. */
export function randomFrom(seed: number): () => number {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
