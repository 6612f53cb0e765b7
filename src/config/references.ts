import type { Block, Line } from './block.ts';
import type { Config } from './config.ts';
import type { Findings } from './diagnostic.ts';
import { nearest } from './nearest.ts';
import type { EnableSignals } from './values/compound.ts';
import type { PatternRuleHead } from './values/rules.ts';
import { allLines } from './walk.ts';

/** Values of `default-virtual-mta` and the like that name no VMTA. */
const RESERVED_VMTAS: ReadonlySet<string> = new Set(['{default}', 'by-smtp-source-ip']);

/** What a reference names, in words; whether it may dangle; and the names there are (lower case to spelling). */
interface Target {
  readonly what: string;
  readonly mayDangle: boolean;
  readonly names: ReadonlyMap<string, unknown>;
}

/** Names a line refers to, and what kind they are of. */
function* referencesOf(line: Line, refersTo: string | undefined): Generator<{ kind: string; name: string }> {
  if (refersTo === 'signals-filter') {
    const value = line.value as EnableSignals;
    if (value.kind === 'filter') yield { kind: refersTo, name: value.filter };
  } else if (refersTo && line.value !== null) {
    for (const name of [line.value].flat() as string[]) yield { kind: refersTo, name };
  }
  const head = line.value as Partial<PatternRuleHead> | null;
  const result = typeof head === 'object' ? head?.result : undefined;
  if (result?.vmta) yield { kind: 'virtual-mta-or-pool', name: result.vmta };
  if (result?.callTo) yield { kind: 'pattern-list', name: result.callTo };
}

/** Reports every name that leads nowhere (config language 6). Returns the VMTAs and pools that are referred to. */
export function checkReferences(config: Config, findings: Findings): ReadonlySet<string> {
  const { lists } = config;
  const sources = new Map(config.sources.names().map((n) => [n.toLowerCase(), n]));
  const vmtasAndPools = new Map<string, unknown>([...config.vmtas, ...config.pools]);
  const targets: Readonly<Record<string, Target>> = {
    'pattern-list': { what: 'pattern-list', mayDangle: false, names: lists.patternLists },
    'smtp-pattern-list': { what: 'smtp-pattern-list', mayDangle: false, names: lists.smtpPatternLists },
    'rewrite-list': { what: 'rewrite-list', mayDangle: false, names: lists.rewriteLists },
    'address-list': { what: 'address-list', mayDangle: false, names: lists.addressLists },
    'signals-filter': { what: 'signals-filter', mayDangle: false, names: lists.signalsFilters },
    proxy: { what: 'proxy', mayDangle: false, names: config.proxies },
    'pool-member': { what: 'virtual-mta', mayDangle: false, names: config.vmtas },
    'virtual-mta': { what: 'virtual-mta', mayDangle: true, names: config.vmtas },
    'virtual-mta-or-pool': { what: 'virtual-mta or pool', mayDangle: true, names: vmtasAndPools },
    source: { what: 'source', mayDangle: true, names: sources },
    'source-group': { what: 'source-group', mayDangle: true, names: config.sourceGroups },
  };
  const used = new Set<string>();
  for (const { block, declaration, line } of allLines(config.root)) {
    for (const { kind, name } of referencesOf(line, declaration.type.refersTo)) {
      const target = targets[kind]!;
      const key = name.toLowerCase();
      if (kind.startsWith('virtual-mta') || kind === 'pool-member') used.add(key);
      if (target.names.has(key)) {
        if (declaration.name === 'pattern-list') checkOrder(config.root, block, line, key, findings);
        continue;
      }
      if (kind.startsWith('virtual-mta') && RESERVED_VMTAS.has(key)) continue;
      if (kind === 'source' && key === '{auth}') continue;
      const isPool = config.pools.has(key);
      const meant = nearest(name, target.names.keys());
      const message = isPool
        ? `${line.written}: ${name} is a pool, and only a VMTA may stand here`
        : `${line.written}: ${target.what} ${name} is not defined`;
      const more = { text: name, ...(meant && !isPool ? { hint: `did you mean ${meant}?` } : {}) };
      if (target.mayDangle) findings.warn(line.origin, message, more);
      else findings.error(line.origin, message, more);
    }
  }
  for (const listener of config.listeners) {
    const name = listener.source;
    if (
      name &&
      listener.origin &&
      !sources.has(name.toLowerCase()) &&
      config.root.lines('smtp-listener').some((l) => l.origin === listener.origin)
    ) {
      findings.warn(listener.origin, `smtp-listener: source ${name} is not defined`, { text: name });
    }
  }
  for (const [key, pool] of config.pools) {
    const vmta = config.vmtas.get(key);
    if (!vmta) continue;
    findings.error(pool.origin, `the name ${pool.name} belongs to a VMTA already`, {
      text: pool.name,
      ...(vmta.origin ? { hint: `defined in line ${vmta.origin.line} of ${vmta.origin.file}` } : {}),
    });
  }
  return used;
}

/** PowerMTA wants a pattern list before the source that uses it; both orders work here. */
function checkOrder(root: Block, block: Block, line: Line, key: string, findings: Findings): void {
  if (block.scope !== 'source') return;
  const list = root.blocksOf('pattern-list').find((b) => b.argument.toLowerCase() === key);
  if (list && list.origin.file === line.origin.file && list.origin.line > line.origin.line) {
    findings.warn(line.origin, `pattern-list ${list.argument} is defined further down`, {
      text: list.argument,
      hint: `PowerMTA wants it before the source; it is in line ${list.origin.line}`,
    });
  }
}
