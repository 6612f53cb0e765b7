import path from 'node:path';
import { parseArgs } from 'node:util';
import {
  effectReport,
  explain,
  formatDiagnostic,
  formatEffect,
  formatExplanation,
  type Loaded,
  loadConfig,
  printFile,
  printResolved,
} from '../config/index.ts';
import { UserError } from '../system/user-error.ts';
import { defaultConfigFile } from './default-config-file.ts';

export const help = `posthorn config: what a PowerMTA configuration means here

Usage: posthorn config check [FILE] [--json]
       posthorn config effect [FILE] [--json]
       posthorn config explain [FILE] [--vmta V] [--domain D] [--source IP] [--user U] [--defaults] [--json]
       posthorn config print [FILE] [--resolved]

FILE is by default what PMTA_CONFIG names, else /etc/pmta/config.

  check      every error and warning
  effect     every directive of the file: honoured, honoured differently (how), no effect yet (why), unknown
  explain    the settings that apply, where each was set and what it overrode
  print      the file as it is; with --resolved as one file, includes in their places

  --defaults  with explain: also what nothing in the file sets
  --json      results as JSON

Keys and certificates need not be there: the file may come from another machine.
Exit status: 0 done, 1 the configuration has errors, 2 wrong usage.
`;

const options = {
  vmta: { type: 'string' },
  domain: { type: 'string' },
  source: { type: 'string' },
  user: { type: 'string' },
  defaults: { type: 'boolean', default: false },
  resolved: { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
} as const;

function read(args: string[]) {
  try {
    return parseArgs({ args, options, allowPositionals: true });
  } catch (error) {
    throw new UserError((error as Error).message, { exitCode: 2, cause: error });
  }
}

const print = (text: string) => process.stdout.write(text);
const printJson = (value: unknown) => print(`${JSON.stringify(value, null, 2)}\n`);

/** Says on the other channel what is wrong, so that results can be piped. */
function complain(loaded: Loaded): number {
  for (const d of loaded.diagnostics) {
    if (d.severity === 'error') process.stderr.write(`${formatDiagnostic(d)}\n`);
  }
  return loaded.config ? 0 : 1;
}

export async function run(args: string[]): Promise<number> {
  const { values, positionals } = read(args);
  const [what, file = defaultConfigFile(), surplus] = positionals;
  if (!what || surplus) {
    throw new UserError('posthorn config needs one of check, effect, explain, print, and at most one FILE', {
      exitCode: 2,
    });
  }
  const main = path.resolve(file);
  const loaded = loadConfig(main, { missingFiles: 'warn' });
  switch (what) {
    case 'check': {
      if (values.json) printJson(loaded.diagnostics);
      else for (const d of loaded.diagnostics) print(`${formatDiagnostic(d)}\n`);
      return loaded.config ? 0 : 1;
    }
    case 'effect': {
      const report = effectReport(loaded);
      if (values.json) printJson(report);
      else print(formatEffect(report));
      return complain(loaded);
    }
    case 'explain': {
      if (!loaded.config) return complain(loaded);
      if (!values.vmta && !values.domain && !values.source && !values.user) {
        throw new UserError('explain needs --vmta, --domain, --source or --user', { exitCode: 2 });
      }
      const found = explain(loaded.config, values);
      if (values.json) printJson(found);
      else print(found.map((e) => formatExplanation(e, values)).join('\n'));
      return 0;
    }
    case 'print': {
      if (!values.resolved) {
        print(printFile(loaded, main));
        return loaded.trees.has(main) ? 0 : complain(loaded);
      }
      if (!loaded.config) return complain(loaded);
      print(printResolved(loaded));
      return 0;
    }
    default:
      throw new UserError(`posthorn config ${what} is unknown; there are check, effect, explain and print`, {
        exitCode: 2,
      });
  }
}
