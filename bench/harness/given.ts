/** What a benchmark is given on its command line, and how it ends when it is told to or cannot go on. */
import path from 'node:path';
import { parseArgs } from 'node:util';

/** One kind of option: what it is when it is not given, and how its text is read; null for a text that will not do. */
interface Kind<T> {
  readonly otherwise: T;
  /** What the option takes, for people; null for one that takes nothing. */
  readonly takes: string | null;
  read(text: string): T | null;
}

export const number = (otherwise: number, least = 1): Kind<number> => ({
  otherwise,
  takes: `a whole number of at least ${least}`,
  read: (text) => (/^\d{1,15}$/.test(text) && Number(text) >= least ? Number(text) : null),
});

export const numbers = (otherwise: readonly number[], least = 1): Kind<readonly number[]> => ({
  otherwise,
  takes: `whole numbers of at least ${least} with commas between`,
  read: (text) => {
    const all = text.split(',').map((each) => number(0, least).read(each));
    return all.every((n) => n !== null) ? all : null;
  },
});

/** Some of these, in any order. */
export const some = (of: readonly string[]): Kind<readonly string[]> => ({
  otherwise: of,
  takes: `some of ${of.join(',')}`,
  read: (text) => {
    const all = [...new Set(text.split(','))];
    return all.every((name) => of.includes(name)) ? all : null;
  },
});

export const text = <T extends string | null>(otherwise: T): Kind<string | T> => ({
  otherwise,
  takes: 'a text',
  read: (given) => given,
});

/** `--name` turns it on, `--no-name` off. */
export const flag = (otherwise: boolean): Kind<boolean> => ({
  otherwise,
  takes: null,
  read: () => null,
});

type Given<O> = { readonly [name in keyof O]: O[name] extends Kind<infer T> ? T : never };

const name = path.basename(process.argv[1] ?? '', '.ts');
let all = '';

/** All options of this run, those that were not given too: a condition of its figures. */
export const optionsOfThisRun = () => all;

/** Ends the benchmark with what is wrong and what to do about it; nothing is left behind. */
export function fail(message: string): never {
  process.stderr.write(`${name}: ${message}\n`);
  process.exit(2);
}

/** Reads the command line. From here on a signal ends the benchmark by `exit`, so that all it started ends with it. */
export function given<O extends Readonly<Record<string, Kind<unknown>>>>(options: O): Given<O> {
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const) {
    // Stays: Ctrl-C comes from the terminal and once more from who started us.
    process.on(signal, () => process.exit(code));
  }
  // What Ctrl-C ended first, before it came here, is no error.
  process.on('uncaughtException', (error) => {
    setTimeout(() => {
      console.error(error);
      process.exit(1);
    }, 200);
  });
  const { values, positionals } = parseArgs({
    strict: false,
    allowNegative: true,
    options: Object.fromEntries(
      Object.entries(options).map(([option, { takes }]) => [option, { type: takes ? 'string' : 'boolean' }]),
    ),
  });
  const known = Object.keys(options).map((option) => `--${option}`);
  const has = known.length > 0 ? `it has ${known.join(', ')}` : 'it has none';
  for (const option of Object.keys(values)) {
    if (!Object.hasOwn(options, option)) fail(`there is no option --${option}; ${has}`);
  }
  if (positionals.length > 0) fail(`"${positionals[0]}" is no option; ${has}`);
  const read = Object.entries(options).map(([option, kind]) => {
    const value = values[option];
    if (value === undefined) return [option, kind.otherwise];
    if (kind.takes === null) {
      if (typeof value === 'boolean') return [option, value];
      fail(`--${option} takes nothing, not "${value}"`);
    }
    const taken = typeof value === 'string' ? kind.read(value) : null;
    if (taken === null) {
      fail(`--${option} takes ${kind.takes}${typeof value === 'string' ? `, not "${value}"` : ''}`);
    }
    return [option, taken];
  });
  all = read.map(([option, value]) => `${option} ${value ?? '-'}`).join('; ');
  return Object.fromEntries(read) as Given<O>;
}
