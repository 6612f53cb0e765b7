// The front door of a checkout: makes it ready, then runs the given command under the project's own Node.
//   node scripts/run.mjs up …       posthorn up …
//   node scripts/run.mjs --tests …  the whole test suite; --bench, --directives likewise
import { spawn } from 'node:child_process';
import path from 'node:path';
import { pinnedNode, prepare, root } from './prepare.mjs';

const given = process.argv.slice(2);
prepare();
const programs = {
  '--tests': 'scripts/test.ts',
  '--bench': 'bench/main.ts',
  '--directives': 'src/config/write-reference.ts',
};
const program = programs[given[0]];
const file = program ?? 'bin/posthorn.js';
const args = program ? given.slice(1) : given;
const child = spawn(pinnedNode, [path.join(root, file), ...args], { stdio: 'inherit' });
// The terminal sends Ctrl-C to the whole group, so the child has it already; this process only has to outlive it.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => child.kill('SIGTERM'));
child.on('error', (error) => {
  process.stderr.write(`posthorn: ${pinnedNode} could not be started: ${error.message}\n`);
  process.exit(1);
});
child.on('exit', (code, signal) => process.exit(code ?? (signal === 'SIGINT' ? 130 : 1)));
