// What the tests need beyond npm's packages comes from the system's: installed when we may, else said aloud.
import { spawnSync } from 'node:child_process';

const NEEDED: readonly { command: string; package: string; for: string }[] = [
  { command: 'chromium', package: 'chromium', for: 'the browser test' },
  { command: 'swaks', package: 'swaks', for: 'the SMTP scenarios' },
  { command: 'openssl', package: 'openssl', for: 'the TLS scenarios' },
];

export function has(command: string): boolean {
  return spawnSync('sh', ['-c', 'command -v "$1"', 'sh', command]).status === 0;
}

/** Installs what is missing with apt-get when this is root; otherwise the tests that need it skip themselves. */
export function installSystemPackages(): void {
  const missing = NEEDED.filter(({ command }) => !has(command));
  if (missing.length === 0) return;
  const names = missing.map((entry) => entry.package);
  if (process.getuid?.() !== 0 || !has('apt-get')) {
    for (const entry of missing) {
      process.stdout.write(`!! ${entry.package} is not installed: ${entry.for} will be SKIPPED\n`);
    }
    return;
  }
  process.stdout.write(`== installing ${names.join(', ')} for the tests\n`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const quiet = { env, stdio: ['ignore', 'ignore', 'inherit'] as ('ignore' | 'inherit')[] };
  spawnSync('apt-get', ['-qq', 'update'], quiet);
  spawnSync('apt-get', ['-qq', 'install', '-y', '--no-install-recommends', ...names], quiet);
  for (const entry of missing) {
    if (!has(entry.command)) {
      process.stdout.write(`!! ${entry.package} could not be installed: ${entry.for} will be SKIPPED\n`);
    }
  }
}
