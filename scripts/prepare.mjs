// Makes a fresh clone ready: npm packages, then the bundle of the web interface. Plain JavaScript, because the
// machine's own Node may be too old for TypeScript; the project's Node comes with the packages.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
export const pinnedNode = path.join(root, 'node_modules', 'node', 'bin', 'node');

function fail(message) {
  process.stderr.write(`posthorn: ${message}\n`);
  process.exit(1);
}

function say(message) {
  process.stderr.write(`posthorn: ${message}\n`);
}

function stampMatches(file, stamp) {
  return existsSync(file) && readFileSync(file, 'utf8') === stamp;
}

/** Installs the packages of package-lock.json unless exactly these are installed already. */
export function installPackages() {
  const lock = createHash('sha256')
    .update(readFileSync(path.join(root, 'package-lock.json')))
    .digest('hex');
  const stampFile = path.join(root, 'node_modules', '.posthorn-lock');
  if (existsSync(pinnedNode) && stampMatches(stampFile, lock)) return;
  say('installing the npm packages (about a minute, once) …');
  // Not "npm ci": it refuses a lock file that lacks optional packages of other platforms, which a registry may not
  // have. "--no-save" installs what the lock file says and leaves the file alone.
  const done = spawnSync('npm', ['install', '--no-save', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: root,
    stdio: ['ignore', 2, 2],
  });
  if (done.error) fail(`npm could not be started: ${done.error.message}. Install npm 10 or later.`);
  if (done.status !== 0)
    fail(`"npm install" failed in ${root} (exit ${done.status}); its own words are above.`);
  if (!existsSync(pinnedNode)) {
    fail(
      `the package "node" brought no program at ${pinnedNode}; allow its install script ("allowScripts").`,
    );
  }
  writeFileSync(stampFile, lock);
}

function* filesBelow(dir, skip) {
  for (const entry of readdirSync(dir).sort()) {
    if (skip.has(entry)) continue;
    const file = path.join(dir, entry);
    if (statSync(file).isDirectory()) yield* filesBelow(file, skip);
    else yield file;
  }
}

/** Builds ui/dist unless it was built from exactly these sources. */
export function buildUi() {
  const hash = createHash('sha256').update(readFileSync(path.join(root, 'package-lock.json')));
  for (const file of filesBelow(path.join(root, 'ui'), new Set(['dist', 'node_modules']))) {
    hash.update(path.relative(root, file)).update(readFileSync(file));
  }
  const stamp = hash.digest('hex');
  const stampFile = path.join(root, 'ui', 'dist', '.sources');
  if (stampMatches(stampFile, stamp)) return;
  say('building the web interface …');
  const vite = path.join(root, 'node_modules', 'vite', 'bin', 'vite.js');
  const done = spawnSync(pinnedNode, [vite, 'build', '--logLevel', 'warn', path.join(root, 'ui')], {
    cwd: root,
    stdio: ['ignore', 2, 2],
  });
  if (done.status !== 0) fail(`the web interface did not build (exit ${done.status}); the reason is above.`);
  mkdirSync(path.dirname(stampFile), { recursive: true });
  writeFileSync(stampFile, stamp);
}

export function prepare() {
  installPackages();
  buildUi();
}
