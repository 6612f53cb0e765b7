import path from 'node:path';
import { parseArgs } from 'node:util';
import { formatDiagnostic, loadConfig } from '../config/index.ts';
import { CLIENT_HEADER } from '../mta/monitor/client-header.ts';
import { printable } from '../system/log.ts';
import { UserError } from '../system/user-error.ts';
import { defaultConfigFile } from './default-config-file.ts';
import { guarded } from './main.ts';
import { version } from './version.ts';

const help = `pmta: the MTA's management command

Usage: pmta [--config FILE] [--xml | --dom | --json] COMMAND

  show status               traffic, connections, queues
  show queues               queues with mail, the fullest first   [--maxitems=N]
  show topqueues            the same
  explain QUEUE             why the mail of domain/vmta waits
  show settings DOMAIN[/VMTA]   what applies to a queue
  show version
  schedule QUEUE            tries now what waits: domain[/vmta], * stands for any text   [--retry-recipients]
  reload                    reads the configuration again; a broken one changes nothing
  test config               reads the configuration and prints what is wrong with it

Words may be shortened while they are unique. The MTA's management port is taken from the configuration:
--config, else PMTA_CONFIG, else /etc/pmta/config.
Exit status: 0 done, 1 failed, 2 wrong usage.
`;

const TIMEOUT_MS = 60_000;

/** Commands by their words; each answers the exit code. */
const COMMANDS: readonly { words: readonly string[]; run: (call: Call) => Promise<number> }[] = [
  { words: ['show', 'status'], run: (call) => show(call, '/status', {}) },
  { words: ['show', 'queues'], run: (call) => show(call, '/queues', maxItems(call)) },
  { words: ['show', 'topqueues'], run: (call) => show(call, '/queues', maxItems(call)) },
  { words: ['show', 'version'], run: showVersion },
  { words: ['show', 'settings'], run: showSettings },
  { words: ['schedule'], run: schedule },
  { words: ['reload'], run: reload },
  { words: ['explain'], run: explain },
  { words: ['test', 'config'], run: testConfig },
];

interface Call {
  readonly configFile: string;
  readonly format: 'text' | 'xml' | 'dom' | 'json';
  readonly rest: readonly string[];
  readonly maxItems: string | undefined;
  readonly retryRecipients: boolean;
}

export async function main(argv: string[]): Promise<void> {
  process.exitCode = await guarded('pmta', () => dispatch(argv));
}

async function dispatch(argv: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: argv,
    allowPositionals: true,
    options: {
      config: { type: 'string' },
      xml: { type: 'boolean', default: false },
      dom: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      maxitems: { type: 'string' },
      'retry-recipients': { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help || positionals.length === 0) {
    process.stdout.write(help);
    return values.help ? 0 : 2;
  }
  const found = COMMANDS.filter(({ words }) => matches(words, positionals));
  const exact = found.find(({ words }) => words.every((word, i) => word === positionals[i]));
  const command = exact ?? (found.length === 1 ? found[0] : undefined);
  if (!command) {
    const said = printable(positionals.join(' '));
    const what = found.length > 1 ? `"${said}" is not unique` : `there is no command "${said}"`;
    throw new UserError(`${what}; "pmta --help" lists them`, { exitCode: 2 });
  }
  return await command.run({
    configFile: path.resolve(values.config ?? defaultConfigFile()),
    format: values.json ? 'json' : values.xml ? 'xml' : values.dom ? 'dom' : 'text',
    rest: positionals.slice(command.words.length),
    maxItems: values.maxitems,
    retryRecipients: values['retry-recipients'],
  });
}

/** Whether what was typed is these words, each perhaps shortened. */
function matches(words: readonly string[], typed: readonly string[]): boolean {
  return words.every((word, i) => typed[i] !== undefined && typed[i] !== '' && word.startsWith(typed[i]!));
}

function show(call: Call, page: string, query: Record<string, string>): Promise<number> {
  return ask(call, page, query, 'GET');
}

async function ask(
  call: Call,
  page: string,
  query: Record<string, string>,
  method: 'GET' | 'POST',
): Promise<number> {
  const url = `${managementUrl(call.configFile)}${page}?${new URLSearchParams({ ...query, format: call.format })}`;
  let response: Response;
  try {
    response = await fetch(url, {
      method,
      headers: { [CLIENT_HEADER]: 'pmta' },
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  } catch (error) {
    throw new UserError(
      `the MTA does not answer at ${new URL(url).host}; is it running with ${call.configFile}?`,
      {
        cause: error,
      },
    );
  }
  const text = await response.text();
  if (response.ok) {
    process.stdout.write(text);
    return 0;
  }
  (call.format === 'text' ? process.stderr : process.stdout).write(text);
  return 1;
}

async function explain(call: Call): Promise<number> {
  const [queue] = call.rest;
  if (queue === undefined) throw new UserError('explain needs a queue, domain/vmta', { exitCode: 2 });
  return await show(call, '/explain', { queue });
}

async function showSettings(call: Call): Promise<number> {
  const [queue] = call.rest;
  if (queue === undefined) throw new UserError('show settings needs DOMAIN or DOMAIN/VMTA', { exitCode: 2 });
  return await show(call, '/settings', { queue });
}

async function reload(call: Call): Promise<number> {
  return await ask(call, '/command', { command: 'reload' }, 'POST');
}

async function schedule(call: Call): Promise<number> {
  const [queue] = call.rest;
  if (queue === undefined)
    throw new UserError('schedule needs a queue, domain or domain/vmta', { exitCode: 2 });
  const query = { command: 'schedule', queue, retryRecipients: String(call.retryRecipients) };
  return await ask(call, '/command', query, 'POST');
}

async function showVersion(): Promise<number> {
  process.stdout.write(`Posthorn v${version()}.\n`);
  return 0;
}

async function testConfig(call: Call): Promise<number> {
  const { config, diagnostics } = loadConfig(call.configFile);
  for (const diagnostic of diagnostics) process.stdout.write(`${formatDiagnostic(diagnostic)}\n`);
  if (config) process.stdout.write('Configuration is valid.\n');
  return config ? 0 : 1;
}

function maxItems(call: Call): Record<string, string> {
  return call.maxItems === undefined ? {} : { maxitems: call.maxItems };
}

function managementUrl(file: string): string {
  // A file that is broken just now must not keep an operator from the server that runs with what it was.
  const { config, root, diagnostics } = loadConfig(file);
  const port =
    config?.global.get('http-mgmt-port') ??
    (root?.lines('http-mgmt-port').at(-1)?.value as number | undefined);
  if (port === undefined) {
    const first = diagnostics.find(({ severity }) => severity === 'error');
    throw new UserError(first ? formatDiagnostic(first) : `${file} names no http-mgmt-port`);
  }
  if (port === 0) throw new UserError(`${file}: http-mgmt-port is 0, so the MTA cannot be managed`);
  return `http://127.0.0.1:${port}`;
}
