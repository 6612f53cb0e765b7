// The measurements, one process each so that none has another's memory: "npm run bench", or with names only those.
// What begins with a dash, and all after it, is for the measurement itself: npm run bench -- relay --messages 5000
// "--help" tells what one measures and what it can be given.
// "--flame FOLDER" is for any of them: a flame graph of each Node process and thread that it starts, and its profile.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, release } from 'node:os';
import path from 'node:path';
import { flameGraph } from './harness/flame.ts';

const names = readdirSync(import.meta.dirname)
  .filter((file) => file.endsWith('.ts') && file !== 'main.ts')
  .map((file) => file.slice(0, -3))
  .sort();
const given = process.argv.slice(2);
const firstOption = given.findIndex((argument) => argument.startsWith('-'));
const chosen = firstOption < 0 ? given : given.slice(0, firstOption);
const options = firstOption < 0 ? [] : given.slice(firstOption);
const flame = options.indexOf('--flame');
const folder = flame < 0 ? null : path.resolve(options.splice(flame, 2)[1] ?? 'var/bench/flames');
const unknown = chosen.filter((name) => !names.includes(name));
if (unknown.length > 0) {
  process.stderr.write(`there is no benchmark "${unknown[0]}"; there are: ${names.join(', ')}\n`);
  process.exit(2);
}
if (options.includes('--help')) {
  for (const name of chosen.length > 0 ? chosen : names) process.stdout.write(`== ${name}\n${about(name)}\n`);
  process.exit(0);
}
process.stdout.write(
  `Node ${process.version}, Linux ${release()}, ${availableParallelism()} cores (${cpus()[0]?.model ?? 'unknown'})\n`,
);
const env = { ...process.env };
if (folder !== null) {
  mkdirSync(folder, { recursive: true });
  env.NODE_OPTIONS = `${env.NODE_OPTIONS ?? ''} --cpu-prof --cpu-prof-dir=${folder}`.trim();
}
let failed = 0;
for (const name of chosen.length > 0 ? chosen : names) {
  process.stdout.write(`\n== ${name}\n`);
  const done = spawnSync(
    process.execPath,
    ['--expose-gc', path.join(import.meta.dirname, `${name}.ts`), ...options],
    { stdio: 'inherit', env },
  );
  if (done.status !== 0) failed++;
}
if (folder !== null) {
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.cpuprofile'))) {
    const profile = path.join(folder, file);
    writeFileSync(`${profile}.svg`, flameGraph(JSON.parse(readFileSync(profile, 'utf8'))));
  }
  process.stdout.write(`flame graphs: ${folder}\n`);
}
process.exit(failed > 0 ? 1 : 0);

/** The comment at the head of a benchmark, which says what is measured and how it is called. */
function about(name: string): string {
  const text = readFileSync(path.join(import.meta.dirname, `${name}.ts`), 'utf8');
  const block = /\/\*\*?([\s\S]*?)\*\/|^(?:\/\/.*\n)+/m.exec(text);
  return (block?.[1] ?? block?.[0] ?? '').replace(/^\s*(?:\*|\/\/) ?/gm, '').trim();
}
