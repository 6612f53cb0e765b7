/** Single threads of a server held to a share of a processor, by control groups of Linux (version 1, which knows threads). */
import {
  accessSync,
  constants,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { fail } from './given.ts';

const GROUPS = '/sys/fs/cgroup/cpu';
/** The least that the system gives at a time; a period is as much longer as the share is smaller. */
const QUOTA_US = 1000;

/** Ends the benchmark, saying what to do, where threads cannot be bound. */
export function needThreadBounds(): void {
  try {
    accessSync(path.join(GROUPS, 'cpu.cfs_quota_us'), constants.W_OK);
    accessSync(GROUPS, constants.W_OK);
  } catch {
    fail(
      `threads cannot be held to a share of a processor: that takes root, and control groups of version 1 in ${GROUPS}; --share 100 leaves threads as they are`,
    );
  }
}

/** Each thread that runs our code gets so many percent of a processor, until the answer is called. */
export function boundThreads(pid: number, percent: number): () => void {
  const bound: { readonly thread: string; readonly group: string }[] = [];
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const name = readFileSync(`/proc/${pid}/task/${thread}/comm`, 'utf8').trim();
    if (Number(thread) !== pid && name !== 'reception' && name !== 'content') continue;
    const group = path.join(GROUPS, `posthorn-bench-${thread}`);
    mkdirSync(group);
    bound.push({ thread, group });
    writeFileSync(path.join(group, 'cpu.cfs_period_us'), `${Math.round((QUOTA_US * 100) / percent)}`);
    writeFileSync(path.join(group, 'cpu.cfs_quota_us'), `${QUOTA_US}`);
    writeFileSync(path.join(group, 'tasks'), thread);
  }
  return () => {
    for (const { thread, group } of bound) {
      writeFileSync(path.join(GROUPS, 'tasks'), thread);
      rmdirSync(group);
    }
  };
}
