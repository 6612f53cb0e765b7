import type { Socket } from 'node:net';
import { printable } from '../system/log.ts';
import { SUPERVISED } from '../up/supervisor.ts';
import { guarded } from './guarded.ts';
import { version } from './version.ts';

/** One file of this folder: arguments and wiring, no logic. */
interface Command {
  /** Printed by `--help`. */
  readonly help: string;
  /** Runs until done and answers the exit code: 0 done, 1 failed, 2 wrong usage. */
  run(args: string[]): Promise<number>;
}

const commands: Record<string, { summary: string; load: () => Promise<Command> }> = {
  up: {
    summary: 'everything below on one machine, with a pretend internet',
    load: () => import('./up.ts'),
  },
  mta: { summary: 'the mail server, from a PowerMTA configuration file', load: () => import('./mta.ts') },
  signals: {
    summary: 'the analytics service: ingest, search, metrics, web interface',
    load: () => import('./signals.ts'),
  },
  tracker: {
    summary: 'answers opens, clicks and unsubscribes in delivered mail',
    load: () => import('./tracker.ts'),
  },
  sink: { summary: 'a pretend internet to send test mail to', load: () => import('./sink.ts') },
  generate: { summary: 'realistic traffic for a test', load: () => import('./generate.ts') },
  acct: { summary: 'finds and counts records in accounting files', load: () => import('./acct.ts') },
  config: {
    summary: 'explains a PowerMTA configuration: effect, settings, print',
    load: () => import('./config.ts'),
  },
  bounce: {
    summary: 'says what category and class a refusal gets, and why',
    load: () => import('./bounce.ts'),
  },
};

function usage(): string {
  const width = Math.max(...Object.keys(commands).map((name) => name.length));
  const lines = Object.entries(commands).map(([name, { summary }]) => `  ${name.padEnd(width)}  ${summary}`);
  return `posthorn: a mail platform for people who run their own sending

Usage: posthorn COMMAND [options]

${lines.join('\n')}

"posthorn COMMAND --help" tells more. "posthorn --version" prints the version.
Exit status: 0 done, 1 failed, 2 wrong usage.
`;
}

export async function main(argv: string[]): Promise<void> {
  if (process.env[SUPERVISED]) stopWithParent();
  process.exitCode = await dispatch(argv);
  // What was begun before a failure (a socket, a timer) must not keep a program alive that has given up.
  if (process.exitCode !== 0) setTimeout(() => process.exit(), 1000).unref();
}

/** A program started by `posthorn up` ends when `up` does, however that ended. */
function stopWithParent(): void {
  process.stdin.on('end', () => process.kill(process.pid, 'SIGTERM'));
  process.stdin.on('error', () => {});
  process.stdin.resume();
  (process.stdin as Partial<Socket>).unref?.();
}

async function dispatch(argv: string[]): Promise<number> {
  const [name, ...args] = argv;
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    process.stdout.write(usage());
    return name === undefined ? 2 : 0;
  }
  if (name === '--version' || name === '-V') {
    process.stdout.write(`posthorn ${version()}\n`);
    return 0;
  }
  const entry = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (!entry) {
    process.stderr.write(
      `posthorn: there is no command "${printable(name)}"; "posthorn --help" lists them\n`,
    );
    return 2;
  }
  const command = await entry.load();
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(command.help);
    return 0;
  }
  return await guarded(`posthorn ${name}`, () => command.run(args));
}
