import { accessSync, constants, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { type Browser, chromium, type Page } from 'playwright-core';
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

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** What axe has to say against a page by the rules of WCAG 2.2 AA and good practice; empty when nothing. */
export async function axeFindings(page: Page): Promise<string[]> {
  await page.evaluate(axe);
  return page.evaluate(async () => {
    // biome-ignore lint/suspicious/noExplicitAny: axe puts itself on the window.
    const { violations } = await (globalThis as any).axe.run(document, {
      runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
    });
    return violations.map(
      // biome-ignore lint/suspicious/noExplicitAny: the shape is axe's own.
      (v: any) => `${v.id}: ${v.help}: ${v.nodes.map((n: any) => n.html.slice(0, 160)).join(' | ')}`,
    );
  });
}
