import { accessSync, constants } from 'node:fs';
import path from 'node:path';
import { type Browser, chromium } from 'playwright-core';
import { installSystemPackages } from '../scripts/system-packages.ts';

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

/** The program of a Chromium on this machine, installed first where that is possible; else `null`, said aloud. */
function browserProgram(): string | null {
  const found = find();
  if (found) return found;
  installSystemPackages();
  const installed = find();
  if (!installed) {
    process.stderr.write(
      '\n*** The tests in a real browser are SKIPPED: install the package "chromium" and run them again.\n\n',
    );
  }
  return installed;
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
