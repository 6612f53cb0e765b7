/**
 * How long a very large configuration takes to load: 10,000 VMTAs with a `<domain>` block of 500 domains each (by
 * macro), 50,000 lines. Bounds: 3 s and 500 MB. Run alone on the machine: `node bench/config-load.ts`.
 */
import { loadConfig } from '../src/config/index.ts';
import { Report } from './harness/report.ts';

const VMTAS = 10_000;
const DOMAINS = 500;

function text(): string {
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
  for (let v = 0; v < VMTAS; v++) {
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

const file = '/bench/pmta.conf';
const source = text();
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

const LOOKUPS = 200_000;
let sum = 0;
const look = () => {
  for (let i = 0; i < LOOKUPS; i++) {
    sum += config.queue(`d${i % DOMAINS}.provider${i % 20}.example`, `v${i % VMTAS}`).get('max-smtp-out');
  }
};
const first = performance.now();
look();
const again = performance.now();
look();
const done = performance.now();

if (sum !== 3 * 2 * LOOKUPS) throw new Error('a look-up found another limit than the configuration has');
const report = new Report('config-load', {
  lines: source.split('\n').length,
  vmtas: config.vmtas.size - 1,
  domainBlocks: `${VMTAS} of ${DOMAINS} domains each`,
});
const loadMs = report.figure('reading the configuration', 'posthorn', 'ms', [loaded - startedAt]);
report.ratio('  to 3 s', loadMs / 3000, 'at most 1');
const memory = report.figure('most memory', 'posthorn', 'MiB', [process.resourceUsage().maxRSS / 1024]);
report.ratio('  to 500 MB', memory / (500e6 / 2 ** 20), 'at most 1');
report.figure('a look-up, the first time', 'posthorn', 'µs', [((again - first) * 1000) / LOOKUPS]);
report.figure('a look-up, again', 'posthorn', 'µs', [((done - again) * 1000) / LOOKUPS]);
report.save('var/bench');
