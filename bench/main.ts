// The measurements, one process each so that none has another's memory: "npm run bench", or with names only those.
// What begins with a dash, and all after it, is for the measurement itself: npm run bench -- relay --messages 5000
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { availableParallelism, cpus, release } from 'node:os';
import path from 'node:path';

const names = readdirSync(import.meta.dirname)
  .filter((file) => file.endsWith('.ts') && file !== 'main.ts')
  .map((file) => file.slice(0, -3))
  .sort();
const given = process.argv.slice(2);
const firstOption = given.findIndex((argument) => argument.startsWith('-'));
const chosen = firstOption < 0 ? given : given.slice(0, firstOption);
const options = firstOption < 0 ? [] : given.slice(firstOption);
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
  const done = spawnSync(
    process.execPath,
    ['--expose-gc', path.join(import.meta.dirname, `${name}.ts`), ...options],
    { stdio: 'inherit' },
  );
  if (done.status !== 0) failed++;
}
process.exit(failed > 0 ? 1 : 0);
