// The measurements, one process each so that none has another's memory: "npm run bench", or with a name only that one.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { availableParallelism, cpus, release } from 'node:os';
import path from 'node:path';

const names = readdirSync(import.meta.dirname)
  .filter((file) => file.endsWith('.ts') && file !== 'main.ts')
  .map((file) => file.slice(0, -3))
  .sort();
const chosen = process.argv.slice(2);
const unknown = chosen.filter((name) => !names.includes(name));
if (unknown.length > 0) {
  process.stderr.write(`there is no benchmark "${unknown[0]}"; there are: ${names.join(', ')}\n`);
  process.exit(2);
}
process.stdout.write(
  `Node ${process.version}, Linux ${release()}, ${availableParallelism()} cores (${cpus()[0]?.model ?? 'unknown'})\n`,
);
let failed = 0;
for (const name of chosen.length > 0 ? chosen : names) {
  process.stdout.write(`\n== ${name}\n`);
  const done = spawnSync(process.execPath, ['--expose-gc', path.join(import.meta.dirname, `${name}.ts`)], {
    stdio: 'inherit',
  });
  if (done.status !== 0) failed++;
}
process.exit(failed > 0 ? 1 : 0);
