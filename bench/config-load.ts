/**
 * How long a very large configuration takes to load: 10,000 VMTAs with a `<domain>` block of 500 domains each (by
 * macro), 60,000 lines. Bounds: 3 s and 500 MB. Each repetition is a process of its own.
 *
 *   npm run bench -- config-load [--vmtas 10000] [--repeat 3]
 */
import { loadConfig } from '../src/config/index.ts';
import { fail, given, number } from './harness/given.ts';
import { answer, askedFor, repeated } from './harness/repeated.ts';
import { Report } from './harness/report.ts';

const DOMAINS = 500;

interface Measured {
  readonly lines: number;
  readonly loadMs: number;
  readonly memoryMiB: number;
  /** Microseconds. */
  readonly firstLookUp: number;
  readonly laterLookUp: number;
}

const file = '/bench/pmta.conf';
const LOOKUPS = 200_000;
const vmtasAsked = askedFor<number>();
if (vmtasAsked !== null) await answer(measure(vmtasAsked));
else await main();

function text(vmtas: number): string {
  const lines = [
    'log-file /tmp/pmta.log',
    'spool /tmp/spool',
    '<source {auth}>',
    'process-x-virtual-mta yes',
    '</source>',
  ];
  for (let m = 0; m < 20; m++) {
    const names = Array.from({ length: DOMAINS }, (_, i) => `d${i}.provider${m}.example`);
    lines.push(`domain-macro provider${m} ${names.join(', ')}`);
  }
  for (let v = 0; v < vmtas; v++) {
    lines.push(
      `<virtual-mta v${v}>`,
      `smtp-source-host 10.${v >> 16}.${(v >> 8) & 255}.${v & 255} v${v}.mail.example`,
      `<domain $provider${v % 20}>  max-smtp-out 3`.replace('>  ', '>\n'),
      '</domain>',
      '</virtual-mta>',
    );
  }
  return lines.join('\n');
}

function measure(vmtas: number): Measured {
  const source = text(vmtas);
  const disk = {
    readFile: (name: string) => {
      if (name === file) return source;
      throw Object.assign(new Error('no such file'), { code: 'ENOENT' });
    },
  };
  const startedAt = performance.now();
  const { config, diagnostics } = loadConfig(file, disk);
  const loaded = performance.now();
  if (!config) throw new Error(diagnostics[0]?.message);
  if (config.vmtas.size - 1 !== vmtas)
    throw new Error(`the configuration has ${config.vmtas.size - 1} VMTAs`);
  let sum = 0;
  const look = () => {
    for (let i = 0; i < LOOKUPS; i++) {
      const domain = `d${i % DOMAINS}.provider${i % 20}.example`;
      sum += config.queue(domain, `v${i % vmtas}`).get('max-smtp-out');
    }
  };
  const first = performance.now();
  look();
  const again = performance.now();
  look();
  const done = performance.now();
  if (sum !== 3 * 2 * LOOKUPS) throw new Error('a look-up found another limit than the configuration has');
  return {
    lines: source.split('\n').length,
    loadMs: loaded - startedAt,
    memoryMiB: process.resourceUsage().maxRSS / 1024,
    firstLookUp: ((again - first) * 1000) / LOOKUPS,
    laterLookUp: ((done - again) * 1000) / LOOKUPS,
  };
}

async function main(): Promise<void> {
  // By twenties: a VMTA has the limits of one provider in twenty, and each look-up below finds one.
  const { vmtas, repeat } = given({ vmtas: number(10_000, 20), repeat: number(3) });
  if (vmtas % 20 !== 0) fail('--vmtas takes a multiple of 20');
  const report = new Report('config-load', {
    vmtas,
    'domain blocks': `one a VMTA, of ${DOMAINS} domains`,
    repetitions: repeat,
  });
  const runs = await repeated<Measured>(import.meta.filename, vmtas, repeat);
  const tell = (what: string, unit: string, of: keyof Measured) =>
    report.figure(
      what,
      'posthorn',
      unit,
      runs.map((run) => run[of]),
    );
  const loadMs = tell(`reading the configuration, ${runs[0]!.lines} lines`, 'ms', 'loadMs');
  report.ratio('  to 3 s', loadMs / 3000, 'at most 1');
  const memory = tell('most memory', 'MiB', 'memoryMiB');
  report.ratio('  to 500 MB', memory / (500e6 / 2 ** 20), 'at most 1');
  tell('a look-up, the first time', 'µs', 'firstLookUp');
  tell('a look-up, again', 'µs', 'laterLookUp');
  report.save();
}
