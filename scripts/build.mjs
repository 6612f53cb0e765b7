// Makes what is published: dist/ with compiled JavaScript and the built web interface. Node does not strip types in
// installed packages, so the package cannot ship its sources as they are.
import { spawnSync } from 'node:child_process';
import { cpSync, rmSync } from 'node:fs';
import path from 'node:path';
import { pinnedNode, prepare, root } from './prepare.mjs';

prepare();
rmSync(path.join(root, 'dist'), { recursive: true, force: true });
const tsc = path.join(root, 'node_modules', 'typescript', 'bin', 'tsc');
const done = spawnSync(pinnedNode, [tsc, '-p', 'tsconfig.build.json'], { cwd: root, stdio: 'inherit' });
if (done.status !== 0) process.exit(done.status ?? 1);
// What is read as it is written.
for (const file of [
  'signals/ingest/providers/mailbox-providers.txt',
  'mta/monitor/ui/static/monitor.css',
  'mta/monitor/ui/static/monitor.js',
  'mta/monitor/ui/static/icon.svg',
]) {
  cpSync(path.join(root, 'src', file), path.join(root, 'dist', file));
}
cpSync(path.join(root, 'ui', 'dist'), path.join(root, 'dist', 'ui'), { recursive: true });
