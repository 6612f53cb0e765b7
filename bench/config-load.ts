/**
 * How long a very large configuration takes to load: 10,000 VMTAs with a `<domain>` block of 500 domains each (by
 * macro), 50,000 lines. Bounds: 3 s and 500 MB. Run alone on the machine: `node bench/config-load.ts`.
 */
import { loadConfig } from '../src/config/index.ts';

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

const result = {
  lines: source.split('\n').length,
  vmtas: config.vmtas.size - 1,
  domainBlocks: VMTAS * DOMAINS,
  loadMs: Math.round(loaded - startedAt),
  memoryMb: Math.round(process.resourceUsage().maxRSS / 1024),
  firstLookupUs: ((again - first) * 1000) / LOOKUPS,
  nextLookupUs: ((done - again) * 1000) / LOOKUPS,
  averageLimit: sum / LOOKUPS / 2,
};
console.log(JSON.stringify(result, null, 2));
if (result.loadMs > 3000 || result.memoryMb > 500) process.exitCode = 1;
