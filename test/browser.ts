import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import path from 'node:path';
import { type Browser, chromium } from 'playwright-core';

const names = ['chromium', 'chromium-browser', 'google-chrome-stable', 'google-chrome'];

function executable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function onPath(name: string): string | null {
  const folders = ['/usr/bin', ...(process.env.PATH ?? '').split(path.delimiter)];
  return folders.map((dir) => path.join(dir, name)).find(executable) ?? null;
}

function find(): string | null {
  for (const name of names) {
    const file = onPath(name);
    if (file) return file;
  }
  return null;
}

/** Says something that must not be overlooked among the lines of a test run. */
function loud(text: string): void {
  process.stderr.write(`\n*** ${text}\n\n`);
}

/**
 * The program of a Chromium on this machine. Without one, root installs it from the system's packages; anybody else
 * gets `null` and a line that says what to install. Throws when the installation fails.
 */
function browserProgram(): string | null {
  const found = find();
  if (found) return found;
  const isRoot = process.getuid?.() === 0;
  if (!isRoot || !onPath('apt-get')) {
    loud('The tests in a real browser are SKIPPED: install the package "chromium" and run them again.');
    return null;
  }
  loud('Installing the system package "chromium" for the tests in a real browser (some minutes, once) …');
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  for (const args of [
    ['update', '-q'],
    ['install', '-y', '-q', '--no-install-recommends', 'chromium'],
  ]) {
    const done = spawnSync('apt-get', args, { stdio: ['ignore', 2, 2], env });
    if (done.status !== 0) {
      throw new Error(`"apt-get ${args.join(' ')}" failed; install the package "chromium" by hand`);
    }
  }
  return find();
}

/** Starts a headless Chromium that talks to nobody by itself; `null` where there is none (said loudly). */
export async function openBrowser(): Promise<Browser | null> {
  const executablePath = browserProgram();
  if (!executablePath) return null;
  return chromium.launch({
    executablePath,
    args: [
      '--headless=new',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
}
