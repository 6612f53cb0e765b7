/** What a program and all it has started cost: processor time and memory, read from /proc. */
import { readdirSync, readFileSync } from 'node:fs';

/** The kernel counts processor time in hundredths of a second on every Linux that people run. */
const TICKS_PER_SECOND = 100;

interface Stat {
  readonly parent: number;
  /** Seconds, user and system, with those of children that have ended. */
  readonly cpu: number;
}

function statOf(pid: number): Stat | null {
  try {
    // The name stands in brackets and may hold anything; what counts comes after the last of them.
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = text.slice(text.lastIndexOf(') ') + 2).split(' ');
    const ticks = [11, 12, 13, 14].reduce((sum, i) => sum + Number(fields[i]), 0);
    return { parent: Number(fields[1]), cpu: ticks / TICKS_PER_SECOND };
  } catch {
    return null;
  }
}

/** A process and its descendants. */
export function treeOf(root: number): number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    const stat = Number.isInteger(pid) ? statOf(pid) : null;
    if (!stat) continue;
    const siblings = children.get(stat.parent);
    if (siblings) siblings.push(pid);
    else children.set(stat.parent, [pid]);
  }
  const tree = [root];
  for (const pid of tree) tree.push(...(children.get(pid) ?? []));
  return tree;
}

/** Seconds of processor time of a process and its descendants, ended ones included. */
export function cpuSeconds(root: number): number {
  return treeOf(root).reduce((sum, pid) => sum + (statOf(pid)?.cpu ?? 0), 0);
}

export type ThreadKind = 'main' | 'reception' | 'content' | 'pool' | 'compiler and collector' | 'workers';

/** Seconds of processor time of one Node process by what its threads are for. */
export function cpuByThread(pid: number): Map<ThreadKind, number> {
  const seconds = new Map<ThreadKind, number>();
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    try {
      const text = readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8');
      const end = text.lastIndexOf(') ');
      const fields = text.slice(end + 2).split(' ');
      const kind = threadKind(Number(thread) === pid, text.slice(text.indexOf('(') + 1, end));
      const spent = (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
      seconds.set(kind, (seconds.get(kind) ?? 0) + spent);
    } catch {
      // It ended meanwhile.
    }
  }
  return seconds;
}

/** By the names that we, Node, libuv and V8 give threads. */
function threadKind(isMain: boolean, name: string): ThreadKind {
  if (isMain) return 'main';
  if (name === 'reception' || name === 'content') return name;
  if (name.startsWith('libuv')) return 'pool';
  return name.startsWith('V8') || name.startsWith('Delayed') ? 'compiler and collector' : 'workers';
}

/** What was spent by each kind of thread since `before`, in milliseconds for each of `messages`. */
export function spentByThread(
  pid: number,
  before: ReadonlyMap<ThreadKind, number>,
  messages: number,
): Map<ThreadKind, number> {
  const spent = new Map<ThreadKind, number>();
  for (const [kind, now] of cpuByThread(pid)) {
    spent.set(kind, ((now - (before.get(kind) ?? 0)) * 1000) / messages);
  }
  return spent;
}

/** Bytes of memory of a process and its descendants; what several share is counted once (proportional set size). */
export function memoryOf(root: number): number {
  let kb = 0;
  for (const pid of treeOf(root)) {
    try {
      const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
      // Pages of the mapped spool are the kernel's cache: it takes them back when it needs them.
      kb += Number(/^Pss_Anon:\s+(\d+)/m.exec(rollup)?.[1] ?? /^Pss:\s+(\d+)/m.exec(rollup)?.[1] ?? 0);
    } catch {
      // It ended meanwhile, or is not ours to look into.
    }
  }
  return kb * 1024;
}

/** Watches memory until it is told to stop; answers the most that it saw, in bytes. */
export function watchMemory(root: number): () => number {
  let peak = memoryOf(root);
  const timer = setInterval(() => {
    peak = Math.max(peak, memoryOf(root));
  }, 250);
  return () => {
    clearInterval(timer);
    return Math.max(peak, memoryOf(root));
  };
}
