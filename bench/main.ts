// The measurements, one process each so that none has another's memory: "npm run bench", or with names only those.
// What begins with a dash, and all after it, is for the measurement itself: npm run bench -- relay --messages 5000
//   npm run bench -- NAME --help             what it measures and what it can be given; without NAME all of them
//   npm run bench -- NAME --flame FOLDER     flame graphs of each Node process and thread that takes part
//   npm run bench -- NAME --results FOLDER   saves the figures there instead of below var/bench
//   npm run bench -- compare OLD NEW         two results (JSON files below var/bench), figure by figure
import { type ChildProcess, spawn } from 'node:child_process';
import { globSync, mkdirSync, readFileSync } from 'node:fs';
import { availableParallelism, cpus, release, tmpdir } from 'node:os';
import path from 'node:path';
import { compareResults } from './harness/compare.ts';
import { drawAll } from './harness/flame.ts';
import { fileSystemOf } from './harness/report.ts';

const names = globSync('*.ts', { cwd: import.meta.dirname })
  .map((file) => file.slice(0, -3))
  .filter((name) => name !== 'main')
  .sort();
const given = process.argv.slice(2);
const firstOption = given.findIndex((argument) => argument.startsWith('-'));
const chosen = firstOption < 0 ? given : given.slice(0, firstOption);
const options = firstOption < 0 ? [] : given.slice(firstOption);
if (chosen[0] === 'compare') {
  if (given.length !== 3) fail('"compare" takes two results, the older one first: compare OLD.json NEW.json');
  process.stdout.write(compareResults(given[1]!, given[2]!, fail));
  process.exit(0);
}
const everyName = `there are: ${names.join(', ')}`;
const unknown = chosen.find((name) => !names.includes(name));
if (unknown !== undefined) {
  const dash = chosen[0] === unknown ? '' : '. What one is given begins with a dash (--help)';
  fail(`there is no benchmark "${unknown}"; ${everyName}${dash}`);
}
if (options.includes('--help') || options.includes('-h')) {
  if (chosen.length === 0) process.stdout.write(`${about('main')}\n\n`);
  for (const name of chosen.length > 0 ? chosen : names)
    process.stdout.write(`== ${name}\n${about(name)}\n\n`);
  process.exit(0);
}
const folder = folderOf('--flame');
const results = folderOf('--results');
if (chosen.length === 0 && options.length > 0) {
  fail(`${options[0]} is for one benchmark: name it first, NAME ${options[0]}; ${everyName}`);
}
process.stdout.write(
  `Node ${process.version}, Linux ${release()}, ${availableParallelism()} cores (${cpus()[0]?.model ?? 'unknown'})\n`,
);
const env: NodeJS.ProcessEnv = { ...process.env, ...(results && { BENCH_RESULTS: results }) };
// Postfix's programs are there, which is not in everyone's path.
env.PATH = `${env.PATH ?? ''}:/usr/sbin`;
// Where temporary files are kept in memory, a sync costs nothing and keeps nothing.
if (env.TMPDIR === undefined && fileSystemOf(tmpdir()) === 'tmpfs') env.TMPDIR = '/var/tmp';

let running: ChildProcess | null = null;
let told: NodeJS.Signals | null = null;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    told = signal;
    running?.kill(signal);
  });
}
const failed: string[] = [];
for (const name of chosen.length > 0 ? chosen : names) {
  if (told !== null) break;
  process.stdout.write(`\n== ${name}\n`);
  if ((await run(name)) !== 0) failed.push(name);
}
if (folder !== null) process.stdout.write(`${drawAll(folder)} flame graphs: ${folder}\n`);
if (told !== null) process.stderr.write('interrupted: what was not finished is not saved\n');
else if (failed.length > 0) process.stderr.write(`failed: ${failed.join(', ')}\n`);
process.exit(told === 'SIGINT' ? 130 : told !== null || failed.length > 0 ? 1 : 0);

function run(name: string): Promise<number | null> {
  const profile =
    folder === null ? '' : ` --cpu-prof --cpu-prof-dir=${JSON.stringify(path.join(folder, name))}`;
  const child = spawn(
    process.execPath,
    ['--expose-gc', path.join(import.meta.dirname, `${name}.ts`), ...options],
    { stdio: 'inherit', env: { ...env, NODE_OPTIONS: `${env.NODE_OPTIONS ?? ''}${profile}`.trim() } },
  );
  running = child;
  return new Promise((resolve) => child.once('exit', resolve));
}

/** Takes an option with its folder out of the others, which are the measurement's. */
function folderOf(name: '--flame' | '--results'): string | null {
  const at = options.findIndex((option) => option === name || option.startsWith(`${name}=`));
  if (at < 0) return null;
  const [option, next] = options.splice(at, options[at] === name ? 2 : 1);
  const where = option === name ? next : option!.slice(name.length + 1);
  if (!where || where.startsWith('-')) fail(`${name} takes a folder: ${name} FOLDER`);
  mkdirSync(where, { recursive: true });
  return path.resolve(where);
}

function fail(message: string): never {
  process.stderr.write(`${message}\n`);
  process.exit(2);
}

/** The comment at the head of a benchmark, which says what is measured and how it is called. */
function about(name: string): string {
  const source = readFileSync(path.join(import.meta.dirname, `${name}.ts`), 'utf8');
  const block = /\/\*\*?([\s\S]*?)\*\/|^(?:\/\/.*\n)+/m.exec(source);
  return (block?.[1] ?? block?.[0] ?? '').replace(/^\s*(?:\*|\/\/) ?/gm, '').trim();
}
