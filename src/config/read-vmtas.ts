import { Block } from './block.ts';
import type { Findings } from './diagnostic.ts';
import { directive } from './directives/index.ts';
import { DomainBlocks } from './domain-blocks.ts';
import type { Macros } from './macros.ts';
import type { Pool, Vmta } from './parts.ts';
import { LayeredSettings } from './settings.ts';
import { readCidr } from './values/network.ts';

/** Blocks of a VMTA or pool with what `<domain>` they hold. */
export interface VmtaBlocks {
  readonly block: Block | null;
  readonly pools: readonly Block[];
  readonly domains: DomainBlocks | null;
  readonly poolDomains: DomainBlocks | null;
}

/** VMTAs and pools by name in lower case, `{default}` among them. */
export interface Vmtas {
  readonly pools: ReadonlyMap<string, Pool>;
  readonly vmtas: ReadonlyMap<string, Vmta>;
  readonly blocks: ReadonlyMap<string, VmtaBlocks>;
}

/** Reads VMTAs and pools and which belongs to which. `hostName` is the name of those that have none. */
export function readVmtas(root: Block, macros: Macros, findings: Findings, hostName: string): Vmtas {
  addColdVmtas(root);
  const blocks = new Map<string, VmtaBlocks>();
  const pools = new Map<string, Pool>();
  const poolsOf = new Map<string, { pool: Pool; block: Block; domains: DomainBlocks }[]>();
  for (const block of root.blocksOf('virtual-mta-pool')) {
    const pool: Pool = {
      name: block.argument,
      members: block.lines('virtual-mta').map((l) => l.value as string),
      settings: new LayeredSettings('virtual-mta-pool', [block, root], root),
      origin: block.origin,
    };
    pools.set(block.argument.toLowerCase(), pool);
    const domains = new DomainBlocks(block, macros, findings);
    for (const member of new Set(pool.members.map((m) => m.toLowerCase()))) {
      const list = poolsOf.get(member) ?? [];
      list.push({ pool, block, domains });
      poolsOf.set(member, list);
    }
  }
  const vmtas = new Map<string, Vmta>();
  const add = (name: string, block: Block | null) => {
    const key = name.toLowerCase();
    const memberships = block ? (poolsOf.get(key) ?? []) : [];
    const withDomains = memberships.filter((m) => !m.domains.isEmpty);
    if (withDomains.length > 1) {
      findings.error(withDomains[1]!.block.origin, `VMTA ${name} is in two pools with <domain> blocks`, {
        text: name,
        hint: `${withDomains.map((m) => m.pool.name).join(' and ')}; put the blocks in one of them`,
      });
    }
    const layers = [...(block ? [block] : []), ...memberships.map((m) => m.block), root];
    const domains = block ? new DomainBlocks(block, macros, findings) : null;
    blocks.set(key, {
      block,
      pools: memberships.map((m) => m.block),
      domains: domains?.isEmpty === false ? domains : null,
      poolDomains: withDomains[0]?.domains ?? null,
    });
    const settings = new LayeredSettings('virtual-mta', layers, root);
    vmtas.set(key, {
      name,
      settings,
      pool: withDomains[0]?.pool ?? null,
      pools: memberships.map((m) => m.pool),
      sourceHosts: settings.get('smtp-source-host'),
      hostName: settings.get('host-name')[0] ?? hostName,
      origin: block?.origin ?? null,
    });
  };
  add('{default}', null);
  for (const block of root.blocksOf('virtual-mta')) {
    if (block.argument.toLowerCase() === '{default}') {
      findings.error(block.origin, 'the name {default} is reserved', {
        text: block.argument,
        hint: 'it has the values of the file level',
      });
    } else add(block.argument, block);
  }
  return { pools, vmtas, blocks };
}

/** `auto-cold-virtual-mta IP HOST` in a VMTA stands for a second VMTA with that address, being warmed up. */
function addColdVmtas(root: Block): void {
  const names = new Set(root.blocksOf('virtual-mta').map((b) => b.argument.toLowerCase()));
  for (const warm of root.blocksOf('virtual-mta')) {
    const line = warm.lines('auto-cold-virtual-mta').at(-1);
    if (!line) continue;
    const name = `${warm.argument}-cold`;
    if (names.has(name.toLowerCase())) continue;
    const { ip, host } = line.value as { ip: string; host: string };
    const cold = new Block('virtual-mta', name, line.origin, root);
    const cidr = readCidr(ip);
    const source = { ...line, value: { cidr, host } };
    cold.settings.set('smtp-source-host', {
      declaration: directive('virtual-mta', 'smtp-source-host')!,
      lines: [source],
    });
    root.blocks.push(cold);
    const known = warm.settings.get('cold-virtual-mta');
    const more = { ...line, value: name };
    if (known) known.lines.push(more);
    else {
      const declaration = directive('virtual-mta', 'cold-virtual-mta')!;
      warm.settings.set('cold-virtual-mta', { declaration, lines: [more] });
    }
  }
}
