/** `pmta`: hands its words to the server and prints the answer; what needs no server it does itself. */
import { request as httpRequest, type RequestOptions } from 'node:http';
import path from 'node:path';
import { type Config, formatDiagnostic, type Loaded, loadConfig } from '../config/index.ts';
import { printFailure, printSuccess } from '../mta/monitor/answer.ts';
import { controlSocketPath } from '../mta/monitor/channels.ts';
import { printResult } from '../mta/monitor/command.ts';
import { parseCommand, quoteWord } from '../mta/monitor/command-line.ts';
import { toolCommands } from '../mta/monitor/commands/tools.ts';
import { COMMANDS } from '../mta/monitor/commands.ts';
import { systemClock } from '../system/clock.ts';
import { UserError } from '../system/user-error.ts';
import { defaultConfigFile } from './default-config-file.ts';
import { guarded } from './guarded.ts';
import { completionScript } from './pmta-completion.ts';

const TIMEOUT_MS = 300_000;
const LARGEST_ANSWER = 512 * 1024 * 1024;

function help(): string {
  const lines = [...COMMANDS]
    .map(({ words, usage, summary }) =>
      `  ${words.join(' ')} ${usage}`.trimEnd().concat(`\n      ${summary}`),
    )
    .sort();
  return `pmta: the MTA's management command

Usage: pmta [--config FILE] [--xml | --dom | --json] [--watch[=SECONDS]] COMMAND

${lines.join('\n')}
  test config
      reads the configuration and prints what is wrong with it; the running server is not touched
  completion {bash | zsh}
      a script that completes these commands in your shell

QUEUE is DOMAIN[/VMTA]; * in either stands for any text. Words may be shortened while they are unique.
--watch shows the answer again every 2 seconds, or as many as you say, until you stop it.
The server is found through the configuration file: --config, else PMTA_CONFIG, else /etc/pmta/config.
Exit status: 0 done, 1 failed, 2 wrong usage.
`;
}

interface Call {
  readonly configFile: string;
  readonly format: 'text' | 'xml' | 'dom' | 'json';
  readonly words: readonly string[];
  /** Seconds between two answers; 0 for one only. */
  readonly watch: number;
}

export async function main(argv: string[]): Promise<void> {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    // The reader (head, a pager) has enough.
    if (error.code !== 'EPIPE') throw error;
    process.exit();
  });
  process.exitCode = await guarded('pmta', () => dispatch(argv));
}

async function dispatch(argv: readonly string[]): Promise<number> {
  const call = readCall(argv);
  if (call === 'help' || call === 'usage') {
    (call === 'help' ? process.stdout : process.stderr).write(help());
    return call === 'help' ? 0 : 2;
  }
  const [first = '', second = ''] = call.words;
  if ('test'.startsWith(first) && 'config'.startsWith(second) && second !== '' && first.length > 1)
    return testConfig(call);
  if (first === 'completion') return completion(call.words.slice(1));
  const parsed = parseCommand(COMMANDS, call.words);
  if ('error' in parsed) {
    show(call, false, printFailure(parsed.error, call.format));
    if (parsed.error === 'Unknown command.') process.stderr.write('"pmta --help" lists the commands\n');
    return 2;
  }
  const tool = toolCommands.find(({ words }) => words === parsed.command.words);
  if (tool) {
    const config = () => configOf(call.configFile);
    const result = await tool.run({ config, clock: systemClock }, { ...parsed, now: systemClock.now() });
    const done = !('failure' in result);
    show(call, done, printResult(result, call.format));
    return done ? 0 : 1;
  }
  if (call.watch > 0) return await watch(call);
  const answer = await ask(call);
  show(call, answer.ok, answer.body);
  return answer.ok ? 0 : 1;
}

/** Only XML and JSON have a place for failures; a reader of the other two finds them where nothing else is. */
function show({ format }: Pick<Call, 'format'>, ok: boolean, text: string): void {
  (ok || format === 'xml' || format === 'json' ? process.stdout : process.stderr).write(text);
}

function configOf(file: string): Config {
  const { config, diagnostics } = loadConfig(file);
  if (config) return config;
  throw new UserError(
    diagnostics
      .filter(({ severity }) => severity === 'error')
      .map(formatDiagnostic)
      .join('\n'),
  );
}

function completion([shell]: readonly string[]): number {
  if (shell !== 'bash' && shell !== 'zsh') {
    throw new UserError('usage: pmta completion {bash | zsh}', { exitCode: 2 });
  }
  const local = ['bash', 'zsh'].map((word) => ({ words: ['completion', word], options: {} }));
  const all = [...COMMANDS, ...[{ words: ['test', 'config'], options: {} }, ...local]];
  const plain = { arguments: [0, 0], usage: '' } as const;
  process.stdout.write(
    completionScript(
      shell,
      all.map((command) => ({ ...plain, ...command })),
    ),
  );
  return 0;
}

/** Our own options are taken out; everything else is the server's to read, wherever it stands. */
function readCall(argv: readonly string[]): Call | 'help' | 'usage' {
  let config: string | undefined;
  let format: Call['format'] = 'text';
  let seconds = 0;
  const words: string[] = [];
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i]!;
    if (word === '--help' || word === '-h') return 'help';
    if (word === '--xml' || word === '--dom' || word === '--json') format = word.slice(2) as Call['format'];
    else if (word === '--config') config = argv[++i];
    else if (word.startsWith('--config=')) config = word.slice('--config='.length);
    else if (word === '--watch') seconds = 2;
    else if (word.startsWith('--watch=')) {
      seconds = Number(word.slice('--watch='.length));
      if (!(seconds >= 0.2 && seconds <= 86_400)) {
        throw new UserError(`${word}: give seconds between 0.2 and 86400`, { exitCode: 2 });
      }
    } else words.push(word);
  }
  if (words.length === 0) return 'usage';
  return { configFile: path.resolve(config ?? defaultConfigFile()), format, words, watch: seconds };
}

interface Answer {
  readonly ok: boolean;
  readonly body: string;
}

async function ask(call: Call): Promise<Answer> {
  const loaded = loadConfig(call.configFile);
  const command = call.words.map(quoteWord).join(' ');
  const body = new URLSearchParams({ command, format: call.format }).toString();
  const options: RequestOptions = {
    method: 'POST',
    path: '/pmta',
    headers: {
      'Content-Type': 'application/x-www-form-urlencoded',
      'Content-Length': Buffer.byteLength(body),
    },
    timeout: TIMEOUT_MS,
  };
  // A file that is broken just now must not keep an operator from the server that runs with what it was.
  const stateDir =
    loaded.config?.global.get('state-dir') ??
    (loaded.root?.lines('state-dir').at(-1)?.value as string | undefined);
  const socketPath = stateDir === undefined ? null : controlSocketPath(stateDir);
  if (socketPath) {
    const answer = await exchange({ ...options, socketPath }, body);
    if ('status' in answer) return answered(answer);
    if (answer.code === 'EACCES')
      throw new UserError(`${socketPath}: permission denied; run pmta as the user that the server runs as`);
  }
  return await askPort(call, loaded, options, body);
}

/** Without the socket (its path too long, another version's server): the port, if `http-access` lets us. */
async function askPort(call: Call, loaded: Loaded, options: RequestOptions, body: string): Promise<Answer> {
  const { config, root, diagnostics } = loaded;
  const port =
    config?.global.get('http-mgmt-port') ??
    (root?.lines('http-mgmt-port').at(-1)?.value as number | undefined);
  if (port === undefined) {
    const first = diagnostics.find(({ severity }) => severity === 'error');
    throw new UserError(first ? formatDiagnostic(first) : `${call.configFile} names no http-mgmt-port`);
  }
  const notRunning = `the MTA does not answer; is it running with ${call.configFile}?`;
  if (port === 0) throw new UserError(notRunning);
  const apiKey = config?.global.get('http-api-key')[0];
  const headers = { ...options.headers, ...(apiKey === undefined ? {} : { 'X-API-Key': apiKey }) };
  const answer = await exchange({ ...options, headers, host: '127.0.0.1', port }, body);
  if ('status' in answer) return answered(answer);
  throw new UserError(notRunning, { cause: answer });
}

function answered({ status, body }: { readonly status: number; readonly body: string }): Answer {
  return { ok: status === 200, body };
}

function exchange(
  options: RequestOptions,
  body: string,
): Promise<{ status: number; body: string } | NodeJS.ErrnoException> {
  return new Promise((resolve) => {
    const request = httpRequest(options, (response) => {
      const chunks: Buffer[] = [];
      let size = 0;
      response.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size > LARGEST_ANSWER) response.destroy(new Error('the answer is too large'));
        else chunks.push(chunk);
      });
      response.once('end', () =>
        resolve({ status: response.statusCode ?? 500, body: Buffer.concat(chunks).toString('utf8') }),
      );
      response.once('error', resolve);
    });
    request.once('timeout', () => request.destroy(new Error('no answer in time')));
    request.once('error', resolve);
    request.end(body);
  });
}

/** The answer again and again, on a terminal each in place of the last. */
async function watch(call: Call): Promise<number> {
  const clear = process.stdout.isTTY ? '\x1b[H\x1b[J' : '';
  if (process.stdout.isTTY) process.stdout.write('\x1b[2J');
  for (;;) {
    const answer = await ask(call);
    process.stdout.write(clear + answer.body);
    if (!answer.ok) return 1;
    await new Promise((resolve) => setTimeout(resolve, call.watch * 1000));
  }
}

function testConfig({ configFile, format }: Call): number {
  const { config, diagnostics } = loadConfig(configFile);
  const found = diagnostics.map(formatDiagnostic);
  const message = [...found, ...(config ? ['Configuration is valid.'] : [])].join('\n');
  if (format === 'text') show({ format }, config !== null, `${message}\n`);
  else
    show(
      { format },
      config !== null,
      config ? printSuccess('', format, message) : printFailure(message, format),
    );
  return config ? 0 : 1;
}
