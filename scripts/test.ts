// The whole test suite: formatting and rules, types, then every test. Called by "npm test" after scripts/run.mjs has
// made the checkout ready; further arguments are patterns of test names (node --test-name-pattern).
import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';
import path from 'node:path';
import { installSystemPackages } from './system-packages.ts';

const root = path.resolve(import.meta.dirname, '..');
const bin = path.join(root, 'node_modules', '.bin');

function step(name: string, file: string, args: string[]): void {
  process.stdout.write(`\n== ${name}\n`);
  const done = spawnSync(file, args, { cwd: root, stdio: 'inherit' });
  if (done.status === 0) return;
  process.stdout.write(`\n== ${name}: failed\n`);
  process.exit(done.status ?? 1);
}

installSystemPackages();
step('format and rules', path.join(bin, 'biome'), ['check', '.']);
step('types', path.join(bin, 'tsc'), ['--noEmit']);
step('types of the web interface', path.join(bin, 'tsc'), ['--noEmit', '-p', 'ui']);
const files = ['src/**/*.test.ts', 'ui/src/**/*.test.ts', 'test/**/*.test.ts'].flatMap((pattern) =>
  globSync(pattern, { cwd: root }).sort(),
);
const named = process.argv.slice(2).map((pattern) => `--test-name-pattern=${pattern}`);
step('tests', process.execPath, ['--test', '--test-concurrency=2', ...named, ...files]);
