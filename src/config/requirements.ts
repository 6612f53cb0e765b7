import type { Block } from './block.ts';
import type { Config } from './config.ts';
import type { Findings, Origin } from './diagnostic.ts';
import type { Disk } from './disk.ts';
import { readDomainPattern } from './domain-pattern.ts';
import { usesMacro } from './macros.ts';
import { allLines } from './walk.ts';

/** Directives whose file must be there when the configuration is loaded. */
const NEEDED_FILES: ReadonlySet<string> = new Set([
  'domain-key',
  'smtp-server-tls-certificate',
  'smtp-server-tls-ca-file',
  'tls-certificate',
  'tls-ca-file',
  'smtp-tls-ca-file',
  'smtp-client-certificate',
  'http-tls-ca-file',
  'include-headers-from',
  'body-pattern-file',
  'http-delivery-extra-headers',
  'precached-domains-file',
]);

/** Reports directives that need others, and files that are missing. */
export function checkRequirements(
  config: Config,
  disk: Disk,
  findings: Findings,
  missingFiles: 'error' | 'warn',
): void {
  const { root } = config;
  const needs = (block: Block, name: string, why = '') => {
    if (block.lines(name).length > 0 || block.refused.has(name)) return;
    const tag = block.argument ? `<${block.scope} ${block.argument}>` : `<${block.scope}>`;
    findings.error(block.origin, `${name} is missing in ${tag}`, {
      text: tag,
      ...(why ? { hint: why } : {}),
    });
  };
  for (const block of root.blocksOf('proxy')) {
    needs(block, 'server');
    needs(block, 'client');
  }
  for (const block of root.blocksOf('transmissions-api-listener')) needs(block, 'tls-certificate');
  for (const block of root.blocksOf('signals')) {
    needs(block, 'api-key');
    if (config.signals?.get('engagement-tracking') === 'sparkpost') {
      needs(block, 'customer-id', 'engagement-tracking sparkpost puts it into links');
      needs(block, 'tracking-domain', 'without it links would lead to a foreign service');
    }
  }
  checkAcctFiles(config, findings);
  checkDelivery(config, findings);
  const checked = new Set<string>();
  for (const { declaration, line } of allLines(root)) {
    if (!NEEDED_FILES.has(declaration.name) || line.value === null) continue;
    const value = line.value as string | { readonly file: string };
    const file = typeof value === 'string' ? value : value.file;
    if (checked.has(file)) continue;
    checked.add(file);
    if (disk.exists(file)) continue;
    const message = `${line.written}: there is no file ${file}`;
    if (missingFiles === 'warn') findings.warn(line.origin, message, { text: file });
    else findings.error(line.origin, message, { text: file });
  }
}

/** Two blocks that write one file would write over each other. Programs may be fed twice: each is started for itself. */
function checkAcctFiles({ acctFiles }: Config, findings: Findings): void {
  const first = new Map<string, Origin>();
  for (const { target, origin } of acctFiles) {
    if (target.startsWith('|')) continue;
    const before = first.get(target);
    first.set(target, before ?? origin);
    if (before === undefined) continue;
    findings.error(origin, `<acct-file ${target}> stands twice; give this one another name`, {
      text: target,
      hint: `the other is in line ${before.line} of ${before.file}`,
    });
  }
}

/** A pipe needs its program and HTTP delivery its URL, from whichever block gives it. */
function checkDelivery(config: Config, findings: Findings): void {
  const check = (parent: Block, vmta: string) => {
    for (const block of parent.blocksOf('domain')) {
      const type = block.lines('type').at(-1);
      const needed =
        type?.value === 'pipe' ? 'command' : type?.value === 'http-delivery' ? 'http-delivery-url' : null;
      if (!type || !needed || block.lines(needed).length > 0 || usesMacro(block.argument)) continue;
      const pattern = readDomainPattern(block.argument);
      const sample =
        'domain' in pattern
          ? pattern.kind === 'below'
            ? `x.${pattern.domain}`
            : pattern.domain
          : block.argument === '*'
            ? 'x.invalid'
            : block.argument;
      if (config.queue(sample, vmta).get(needed) === null) {
        findings.error(type.origin, `type ${type.text.trim()} needs ${needed}`, { text: type.text });
      }
    }
  };
  check(config.root, '{default}');
  for (const block of config.root.blocksOf('virtual-mta')) check(block, block.argument);
  for (const block of config.root.blocksOf('virtual-mta-pool')) {
    const member = config.pools.get(block.argument.toLowerCase())?.members[0];
    if (member) check(block, member);
  }
}

/**
 * What keeps a configuration that loads from being started: PowerMTA says `No logging file specified` at start, not on
 * a test.
 */
export function startProblems(
  config: Config,
): { readonly message: string; readonly origin: Origin | null }[] {
  const problems: { message: string; origin: Origin | null }[] = [];
  if (config.global.get('log-file') === null) {
    problems.push({ message: 'No logging file specified; add log-file', origin: null });
  }
  if (config.spools.length === 0) {
    problems.push({ message: 'No spool directory specified; add <spool DIR>', origin: null });
  }
  return problems;
}
