// The benchmarks as someone who measures meets them: options and their mistakes, results that can be compared, flame
// graphs, a kill that loses nothing, and nothing left behind. No figure is judged here.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, globSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { missing } from '../scripts/system-packages.ts';
import { endsWithUs, root, temporaryFolder, until } from './program.ts';

const main = path.join(root, 'bench', 'main.ts');
/** Those that the table of bench/README.md tells of. */
const names = [
  ...readFileSync(path.join(root, 'bench', 'README.md'), 'utf8').matchAll(/^\| `([\w-]+)` \|/gm),
].map(([, name]) => name!);
const postfix = missing('postfix') || (process.getuid?.() !== 0 && 'SKIPPED: only root can start Postfix');

function bench(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [main, ...args], { encoding: 'utf8' });
}

test('a benchmark that does not exist, and options for nobody', () => {
  const none = bench('relais');
  assert.equal(names.length, 17);
  assert.equal(none.status, 2);
  assert.match(none.stderr, /no benchmark "relais"; there are: .*relay/);
  assert.match(bench('relay', '5000').stderr, /no benchmark "5000".*begins with a dash/);
  assert.match(bench('--repeat', '1').stderr, /--repeat is for one benchmark: name it first/);
  assert.match(bench('relay', '--flame', '--repeat', '1').stderr, /--flame takes a folder/);
});

const allHelp = new Map(
  bench('--help')
    .stdout.split(/^== /m)
    .map((part) => [part.slice(0, part.indexOf('\n')), part]),
);
for (const name of names) {
  test(`${name}: a wrong option ends it with all that it has, and --help tells of each`, () => {
    const wrong = bench(name, '--no-such-option', '3');
    assert.equal(wrong.status, 1);
    const has = /there is no option --\S+; it has (.*)/.exec(wrong.stderr)?.[1];
    assert.ok(has, wrong.stderr);
    assert.doesNotMatch(wrong.stderr, /\n\s+at /, 'no stack trace');
    const help = allHelp.get(name)!;
    for (const option of has.split(', ')) {
      assert.match(help, new RegExp(`--(no-)?${option.slice(2)}\\b`), option);
    }
  });
}

test('a value that will not do is told with what will', () => {
  for (const [args, said] of [
    [['relay', '--messages', 'abc'], /--messages takes a whole number of at least 1, not "abc"/],
    [['relay', '--sessions', '20,'], /--sessions takes whole numbers of at least 1 with commas between/],
    [
      ['relay', '--peers', 'posthorn,exim'],
      /--peers takes some of posthorn,bare,postfix,haraka, not "posthorn,exim"/,
    ],
    [['relay', '--repeat'], /--repeat takes a whole number/],
    [['dkim', '100'], /no benchmark "100"/],
    [['dkim', '--bytes=0'], /--bytes takes a whole number of at least 1000/],
  ] as const) {
    assert.match(bench(...args).stderr, said);
  }
});

test('programs that are not there are named, with the package that brings them', () => {
  const empty = temporaryFolder();
  const done = spawnSync(process.execPath, [path.join(root, 'bench', 'relay.ts')], {
    encoding: 'utf8',
    env: { ...process.env, PATH: empty },
  });
  assert.equal(done.status, 2);
  assert.match(
    done.stderr,
    /^relay: smtp-source is not here: it comes with Postfix \(apt-get install postfix\)/,
  );
});

test('results are saved with their conditions, two are compared, and a flame graph is drawn', () => {
  const [results, flames] = [temporaryFolder(), path.join(temporaryFolder(), 'with "odd" name')];
  for (const messages of ['200', '300']) {
    const run = ['--messages', messages, '--repeat', '2', '--results', results, '--flame', flames];
    const done = bench('smtp-protocol', ...run);
    assert.equal(done.status, 0, done.stderr);
  }
  const [older, newer] = readdirSync(results).sort() as [string, string];
  const { conditions, figures } = JSON.parse(readFileSync(path.join(results, older), 'utf8'));
  for (const key of ['node', 'system', 'cores', 'processor', 'files are on', 'version', 'options', 'tls']) {
    assert.ok(conditions[key], key);
  }
  assert.match(conditions.options, /messages 200; sessions 20; bytes 10240; repeat 2/);
  assert.equal(figures[0].values.length, 2);
  const whats = figures.map((figure: { what: string }) => figure.what);
  assert.equal(new Set(whats).size, whats.length, 'each figure has a name of its own');

  const compared = bench('compare', path.join(results, older), path.join(results, newer));
  assert.equal(compared.status, 0, compared.stderr);
  assert.match(compared.stdout, /differs: options: messages 200; .* -> messages 300;/);
  assert.match(
    compared.stdout,
    /PIPELINING: processor time a message, both ends, posthorn, µs +[\d.]+ +[\d.]+ +[\d.]+ +x/,
  );
  const other = path.join(results, 'other.json');
  writeFileSync(other, JSON.stringify({ benchmark: 'dkim', conditions: {}, figures: [] }));
  assert.match(bench('compare', path.join(results, older), other).stderr, /of different benchmarks/);
  assert.match(bench('compare', main, main).stderr, /cannot be read/);

  const drawn = globSync('smtp-protocol/*.svg', { cwd: flames });
  assert.equal(drawn.length, 2);
  assert.match(
    readFileSync(path.join(flames, drawn[0]!), 'utf8'),
    /^<svg[\s\S]*smtp-protocol\.ts:\d+ [\d.]+ %/,
  );
});

test('a server that is killed in the middle of the load loses nothing that it acknowledged', () => {
  const results = temporaryFolder();
  const run = ['--messages', '600', '--sessions', '5', '--kills', '2', '--results', results];
  const done = bench('kill', ...run);
  assert.equal(done.status, 0, `${done.stdout}\n${done.stderr}`);
  const { figures } = JSON.parse(readFileSync(path.join(results, readdirSync(results)[0]!), 'utf8'));
  const value = (what: string) => figures.find((figure: { what: string }) => figure.what === what).median;
  assert.ok(value('acknowledged') >= 590, 'at most those in flight at a kill have no answer');
  assert.equal(value('acknowledged and lost'), 0);
  assert.equal(value('delivered, without a record of it'), 0);
});

test('figures of the store name the engine that they were measured with', () => {
  const results = temporaryFolder();
  const done = bench('scores', '--mails', '100', '--days', '1', '--results', results);
  assert.equal(done.status, 0, done.stderr);
  const { conditions } = JSON.parse(readFileSync(path.join(results, readdirSync(results)[0]!), 'utf8'));
  assert.match(conditions.engine, /^ClickHouse \d/);
});

/** Processes that have a folder in their command line or environment. */
function processesOf(folder: string): string[] {
  return readdirSync('/proc').filter((pid) => {
    try {
      return ['cmdline', 'environ'].some((file) =>
        readFileSync(`/proc/${pid}/${file}`, 'latin1').includes(folder),
      );
    } catch {
      return false;
    }
  });
}

async function interrupted(signal: NodeJS.Signals, args: readonly string[], when: RegExp): Promise<void> {
  const folder = temporaryFolder();
  // Postfix's parts run as other users and walk this path.
  chmodSync(folder, 0o755);
  const child: ChildProcess = endsWithUs(
    spawn(process.execPath, [main, ...args], {
      env: { ...process.env, TMPDIR: folder },
      stdio: ['ignore', 'pipe', 'pipe'],
    }),
  );
  let said = '';
  for (const stream of [child.stdout!, child.stderr!]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
  }
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  await until(() => when.test(said) && processesOf(folder).length > 2);
  child.kill(signal);
  assert.equal(await ended, signal === 'SIGINT' ? 130 : 1, said);
  assert.match(said, /interrupted: what was not finished is not saved/);
  await until(() => processesOf(folder).length === 0);
  assert.deepEqual(existsSync(folder) ? readdirSync(folder) : [], []);
}

test('an interrupted benchmark leaves no process and no file', async () => {
  await interrupted('SIGTERM', ['kill', '--messages', '200000'], /kills: 5/);
  await interrupted('SIGINT', ['ingest', '--events', '60000', '--repeat', '50'], /batches of 5 MB: /);
});

test('nor does it leave a Postfix', { skip: postfix }, async () => {
  await interrupted('SIGTERM', ['relay', '--peers', 'postfix', '--messages', '900000'], /repetitions: 3/);
});
