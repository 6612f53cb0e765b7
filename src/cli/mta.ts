import path from 'node:path';
import { parseArgs } from 'node:util';
import {
  type Config,
  effectReport,
  formatDiagnostic,
  type Loaded,
  loadConfig,
  type ReplacedFile,
} from '../config/index.ts';
import { startMta } from '../mta/mta.ts';
import { systemClock } from '../system/clock.ts';
import { createLog } from '../system/log.ts';
import { LogFile, type LogFileSettings } from '../system/log-file.ts';
import { dropFor, isRoot, lowerTo } from '../system/privileges.ts';
import { UserError } from '../system/user-error.ts';
import { defaultConfigFile } from './default-config-file.ts';
import { untilStopped } from './until-stopped.ts';
import { builtAt, version } from './version.ts';

export const help = `posthorn mta: the mail server, from a PowerMTA configuration file

Usage: posthorn mta [--config FILE] [--check [FILE]]

  --config FILE   the configuration (default PMTA_CONFIG or /etc/pmta/config)
  --check         only read it: print every error and warning, exit 1 when there is an error
  --json          with --check: print them as one JSON array

Runs in the foreground; everything else comes from the file. SIGTERM or Ctrl-C stops it in order.
Exit status: 0 done, 1 failed, 2 wrong usage.
`;

const MOST_NAMED = 10;

export async function run(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      config: { type: 'string' },
      check: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    },
  });
  if (positionals.length > (values.check && values.config === undefined ? 1 : 0)) {
    throw new UserError(`what is "${positionals.at(-1)}"? The file is given by --config`, { exitCode: 2 });
  }
  const given = values.config ?? positionals[0] ?? defaultConfigFile();
  const file = path.resolve(given);
  const readConfig = (replaced?: ReplacedFile) =>
    loadConfig(file, { texts: replaced && new Map([[replaced.file, replaced.text]]) });
  const loaded = readConfig();
  const { config, diagnostics } = loaded;
  if (values.check && values.json) {
    process.stdout.write(`${JSON.stringify(diagnostics)}\n`);
    return config ? 0 : 1;
  }
  for (const diagnostic of diagnostics) process.stderr.write(`${formatDiagnostic(diagnostic)}\n`);
  if (!config) {
    const errors = diagnostics.filter(({ severity }) => severity === 'error').length;
    throw new UserError(
      `${given} has ${errors === 1 ? 'an error' : `${errors} errors`}; nothing was started`,
    );
  }
  const without = withoutEffect(loaded);
  if (without) process.stderr.write(`${given}: ${without}\n`);
  if (values.check) {
    process.stdout.write(`${given}: no errors\n`);
    return 0;
  }
  const user = giveUpRoot(config);
  const logFile = await LogFile.open(logSettings(config), systemClock);
  try {
    const log = createLog(logFile, 'mta');
    if (without) log.warn(without);
    const mta = await startMta({
      config,
      readConfig,
      version: version(),
      builtAt: builtAt(),
      clock: systemClock,
      log,
      applyLog: (next) => logFile.apply(logSettings(next)),
      rotateLog: () => logFile.rotate(),
      onFailed: (error) => {
        log.error(`the server ends, because ${error.message}`);
        process.stderr.write(`posthorn mta: ${error.message}; mend the disk and start again\n`);
        // Whoever supervises it starts it again; what is acknowledged is on disk. The log gets its line out first.
        setTimeout(() => process.exit(1), 200);
      },
    });
    if (user) {
      dropFor(user);
      log.info(`root is given up, the server runs as ${user}`);
    }
    process.stdout.write(`posthorn mta listens on ${mta.addresses.join(', ')}\n`);
    // What pmta reload does, for those who are used to signals.
    process.on('SIGHUP', () => {
      mta.reload().catch((error: Error) => log.error(`reload failed, nothing has changed: ${error.message}`));
    });
    await untilStopped();
    await mta.stop();
    // All is written down. A host that never says a word must not keep the program for the minutes it is allowed.
    setTimeout(() => process.exit(), 1000).unref();
    return 0;
  } finally {
    await logFile.close();
  }
}

/** PowerMTA's own account. */
const RUN_AS = 'pmta';

/** `run-as-root no`: whom the server, started by root, becomes; null when it stays who it is. */
function giveUpRoot(config: Config): string | null {
  if (config.global.get('run-as-root') || !isRoot()) return null;
  if (lowerTo(RUN_AS)) return RUN_AS;
  process.stderr.write(
    `posthorn mta: run-as-root is no, and there is no user "${RUN_AS}": the server stays root; add the user or start the server as another one\n`,
  );
  return null;
}

/** Names what the files say and this server does not do yet; null when there is nothing. */
function withoutEffect(loaded: Loaded): string | null {
  const lines = effectReport(loaded).lines.filter(({ effect }) => effect === 'no effect yet');
  const names = [...new Set(lines.map(({ directive }) => directive.toLowerCase()))].sort();
  if (names.length === 0) return null;
  const shown = names.slice(0, MOST_NAMED).join(', ');
  const more = names.length > MOST_NAMED ? ` and ${names.length - MOST_NAMED} more` : '';
  return `without effect yet: ${shown}${more}; posthorn config effect shows the lines`;
}

/** The log goes where `log-file` says, in as many generations as `log-rotate` says. */
function logSettings(config: Config): LogFileSettings {
  const { global } = config;
  const file = global.get('log-file');
  if (!file) throw new UserError(`Startup error: No logging file specified (log-file in ${config.file})`);
  const origin = global.origin('log-file');
  return {
    file,
    origin: origin ? `${origin.file}:${origin.line}` : 'default',
    generations: global.get('log-rotate'),
    atMidnight: global.get('log-auto-rotation'),
    worldReadable: global.get('log-file-world-readable'),
  };
}
