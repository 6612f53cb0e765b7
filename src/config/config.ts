import path from 'node:path';
import { Block } from './block.ts';
import { Fault, type Findings, type Origin } from './diagnostic.ts';
import { directive } from './directives/index.ts';
import type { Disk } from './disk.ts';
import { DomainBlocks } from './domain-blocks.ts';
import { canonicalQueueDomain, type DomainPattern, DomainTable } from './domain-pattern.ts';
import { AddressList, type DomainKey, fillAddressList, type Lists, readLists, withOrigin } from './lists.ts';
import { Macros } from './macros.ts';
import { sparkpostPreset } from './presets.ts';
import { LayeredSettings, type Settings } from './settings.ts';
import { SourceBlocks } from './source-blocks.ts';
import {
  type AddressTest,
  type AliasFrom,
  type EnableSignals,
  type ListenerAddress,
  readListenerAddress,
} from './values/compound.ts';
import { type Cidr, canonicalDomain, formatAddress, type HostPort, readCidr } from './values/network.ts';
import { resolvePath } from './values/scalars.ts';

/** Queue domains whose settings are remembered by name; the oldest is forgotten first. */
const REMEMBERED = 200_000;

export interface Listener extends ListenerAddress {
  /** Name of the source that this listener binds. */
  readonly source: string | null;
  readonly settings: Settings<'smtp-listener'>;
  /** Null for the listener that exists when none is configured. */
  readonly origin: Origin | null;
}

export interface ApiListener extends ListenerAddress {
  readonly settings: Settings<'transmissions-api-listener'>;
  readonly origin: Origin;
}

export interface Spool {
  readonly dir: string;
  readonly settings: Settings<'spool'>;
  readonly origin: Origin;
}

export interface AcctFile {
  /** An absolute path, or `|` and a command line. */
  readonly target: string;
  readonly settings: Settings<'acct-file'>;
  readonly origin: Origin;
}

export interface SmtpUser {
  readonly name: string;
  readonly password: string | null;
  /** Name of the source whose settings apply after login. */
  readonly source: string;
  readonly settings: Settings<'smtp-user'>;
  readonly origin: Origin;
}

export interface SourceHost {
  readonly cidr: Cidr;
  readonly host: string;
  readonly origin: Origin;
}

export interface Pool {
  readonly name: string;
  /** Members as slots of the rotation: in order, a name as often as it was written. */
  readonly members: readonly string[];
  readonly settings: Settings<'virtual-mta-pool'>;
  readonly origin: Origin;
}

export interface Vmta {
  readonly name: string;
  /** The VMTA's own values, else those of its pools, else those of the file level. */
  readonly settings: Settings<'virtual-mta'>;
  /** The pool whose `<domain>` blocks apply to this VMTA. */
  readonly pool: Pool | null;
  /** Every pool it is a member of, in file order. */
  readonly pools: readonly Pool[];
  /** Addresses to send from with their names; empty when the operating system chooses. */
  readonly sourceHosts: readonly SourceHost[];
  /** The name in EHLO when the source address has none of its own. */
  readonly hostName: string;
  /** Null for `{default}`. */
  readonly origin: Origin | null;
}

export interface Proxy {
  readonly name: string;
  readonly server: HostPort;
  readonly client: { readonly ip: string; readonly port: number; readonly host: string };
  readonly origin: Origin;
}

export interface Alias {
  readonly from: AliasFrom;
  readonly to: readonly string[];
  readonly origin: Origin;
}

export interface Processor {
  readonly settings: Settings<'bounce-processor'>;
  /** Whether mail to this envelope recipient is to be examined. */
  matches(address: string): boolean;
  readonly bodyPatternFiles: readonly { readonly file: string; readonly origin: Origin }[];
  readonly logMatchInfo: boolean;
  readonly origin: Origin;
}

/** Blocks of a VMTA or pool with what `<domain>` they hold. */
interface VmtaBlocks {
  readonly block: Block | null;
  readonly pools: readonly Block[];
  readonly domains: DomainBlocks | null;
  readonly poolDomains: DomainBlocks | null;
}

/** A whole configuration, resolved. Nothing in it changes; a reload makes a new one. */
export class Config {
  readonly file: string;
  readonly files: readonly string[];
  readonly root: Block;
  readonly global: Settings<'global'>;
  readonly listeners: readonly Listener[];
  readonly apiListeners: readonly ApiListener[];
  readonly transmissionsApi: Settings<'transmissions-api'> | null;
  readonly dns: Settings<'dns'> | null;
  readonly spools: readonly Spool[];
  readonly acctFiles: readonly AcctFile[];
  readonly users: ReadonlyMap<string, SmtpUser>;
  readonly sourceGroups: ReadonlyMap<string, Settings<'source-group'>>;
  readonly vmtas: ReadonlyMap<string, Vmta>;
  readonly pools: ReadonlyMap<string, Pool>;
  readonly lists: Lists;
  readonly aliases: readonly Alias[];
  readonly proxies: ReadonlyMap<string, Proxy>;
  readonly signals: Settings<'signals'> | null;
  readonly bounceProcessor: Processor | null;
  readonly feedbackLoopProcessor: Processor | null;
  /** Names of this host: `host-name` at file level, else the machine's own. The first is the primary one. */
  readonly hostNames: readonly string[];
  readonly sources: SourceBlocks;

  readonly #vmtaBlocks = new Map<string, VmtaBlocks>();
  readonly #globalDomains: DomainBlocks;
  readonly #localNames: ReadonlySet<string>;
  readonly #relayDomains = new DomainTable<true>();
  readonly #relayAddresses: readonly AddressTest[];
  readonly #queues = new Map<string, Map<string, LayeredSettings<'domain'>>>();
  readonly #interned = new Map<string, LayeredSettings<'domain'>>();
  readonly #ids = new Map<Block, number>();
  #remembered = 0;

  constructor(
    root: Block,
    given: {
      file: string;
      files: readonly string[];
      disk: Disk;
      findings: Findings;
      hostName: string;
      defaultsFile: string;
    },
  ) {
    const { disk, findings } = given;
    this.file = given.file;
    this.files = given.files;
    this.root = root;
    const global = new LayeredSettings('global', [root], root);
    this.global = global;
    const settings = <S extends Block['scope']>(scope: S, block: Block) =>
      new LayeredSettings(scope, [block], root);

    const names = root.lines('host-name').map((l) => l.value as string);
    this.hostNames = names.length > 0 ? names : [given.hostName];
    this.#localNames = new Set([...names, given.hostName, ...this.#vmtaHostNames(root)]);
    this.lists = readLists(root, disk, findings, given.defaultsFile);
    this.listeners = readListeners(root, findings);
    this.apiListeners = root.blocksOf('transmissions-api-listener').flatMap((b) => {
      const address = readListenerAddress(b.argument);
      if (address instanceof Fault) {
        findings.error(b.origin, address.message, { text: b.argument });
        return [];
      }
      return [{ ...address, settings: settings('transmissions-api-listener', b), origin: b.origin }];
    });
    const one = <S extends Block['scope']>(scope: S): LayeredSettings<S> | null => {
      const block = root.blocksOf(scope)[0];
      return block ? settings(scope, block) : null;
    };
    this.transmissionsApi = one('transmissions-api');
    this.dns = one('dns');
    this.signals = one('signals');
    this.spools = readSpools(root, given.file);
    this.acctFiles = root.blocksOf('acct-file').map((b) => ({
      target: b.argument.startsWith('|')
        ? `|${b.argument.slice(1).trim()}`
        : resolvePath(b.argument, path.dirname(given.file)),
      settings: settings('acct-file', b),
      origin: b.origin,
    }));
    this.users = new Map(
      root.blocksOf('smtp-user').map((b) => {
        const user = settings('smtp-user', b);
        return [
          b.argument,
          {
            name: b.argument,
            password: user.get('password'),
            source: user.get('source'),
            settings: user,
            origin: b.origin,
          },
        ];
      }),
    );
    this.sourceGroups = new Map(
      root.blocksOf('source-group').map((b) => [b.argument.toLowerCase(), settings('source-group', b)]),
    );
    this.aliases = [root, ...root.blocksOf('aliases')].flatMap((b) =>
      withOrigin<{ from: AliasFrom; to: readonly string[] }>(b, 'alias'),
    );
    this.proxies = new Map(
      root.blocksOf('proxy').map((b) => {
        const proxy = settings('proxy', b);
        return [
          b.argument.toLowerCase(),
          { name: b.argument, server: proxy.get('server')!, client: proxy.get('client')!, origin: b.origin },
        ];
      }),
    );
    this.bounceProcessor = readProcessor('bounce-processor', root, disk, findings);
    this.feedbackLoopProcessor = readProcessor('feedback-loop-processor', root, disk, findings);
    for (const l of root.lines('relay-domain')) this.#relayDomains.set(l.value as DomainPattern, true);
    this.#relayAddresses = root.lines('relay-address').map((l) => l.value as AddressTest);
    this.sources = new SourceBlocks(root);

    const macros = new Macros(root, findings);
    this.#globalDomains = new DomainBlocks(root, macros, findings);
    const { pools, vmtas } = this.#readVmtas(root, macros, findings);
    this.pools = pools;
    this.vmtas = vmtas;
  }

  get patternLists(): Lists['patternLists'] {
    return this.lists.patternLists;
  }

  get smtpPatternLists(): Lists['smtpPatternLists'] {
    return this.lists.smtpPatternLists;
  }

  get rewriteLists(): Lists['rewriteLists'] {
    return this.lists.rewriteLists;
  }

  get addressLists(): Lists['addressLists'] {
    return this.lists.addressLists;
  }

  get domainKeyLists(): Lists['domainKeyLists'] {
    return this.lists.domainKeyLists;
  }

  get bounceCategories(): Lists['bounceCategories'] {
    return this.lists.bounceCategories;
  }

  get mxRollups(): Lists['mxRollups'] {
    return this.lists.mxRollups;
  }

  /** Settings that govern a session or a submission (config language 8). */
  sourceFor(query: {
    readonly clientIp: string | null;
    readonly listener?: Listener | undefined;
    readonly user?: SmtpUser | undefined;
    readonly reserved?: '{pickup}' | '{transmissions-api}' | undefined;
  }): Settings<'source'> {
    return this.sources.settings({
      clientIp: query.clientIp,
      listenerSource: query.listener?.source ?? null,
      userSource: query.user?.source ?? null,
      ...(query.reserved ? { reserved: query.reserved } : {}),
    });
  }

  /** Settings of the queue `domain/vmta` (config language 9). An unknown VMTA has those of `{default}`. */
  queue(domain: string, vmta: string): Settings<'domain'> {
    return this.queueLayers(domain, vmta);
  }

  /** As `queue`, with the blocks the values come from. */
  queueLayers(domain: string, vmta: string): LayeredSettings<'domain'> {
    const known = this.#queues.get(vmta)?.get(domain);
    if (known) return known;
    const blocks = this.#domainBlocks(canonicalQueueDomain(domain), vmta.toLowerCase());
    // Most domains match only `*`: they share one object.
    const key = blocks.map((b) => this.#id(b)).join(' ');
    let settings = this.#interned.get(key);
    if (!settings) {
      settings = new LayeredSettings('domain', blocks, this.root);
      this.#interned.set(key, settings);
    }
    this.#remember(domain, vmta, settings);
    return settings;
  }

  /** Whether mail for this domain is ours: a `host-name`, or the machine's own name. */
  isLocalDomain(domain: string): boolean {
    const name = canonicalDomain(domain);
    return name !== null && this.#localNames.has(name);
  }

  /** Whether a recipient may be accepted from this source. */
  isRelayAllowed(
    address: { readonly local: string; readonly domain: string },
    source: Settings<'source'>,
  ): boolean {
    if (source.get('always-allow-relaying') || this.isLocalDomain(address.domain)) return true;
    if (this.#relayDomains.best(canonicalQueueDomain(address.domain))) return true;
    const whole = formatAddress({ local: address.local, domain: canonicalQueueDomain(address.domain) });
    return this.#relayAddresses.some((test) => {
      if (test.kind === 'regex') return test.pattern.test(whole);
      return test.kind === 'address' && test.address.toLowerCase() === whole.toLowerCase();
    });
  }

  /** Keys in the order they are searched: of the VMTA, of its pools, of the file level. */
  domainKeys(vmta: string): readonly DomainKey[] {
    const own = this.#vmtaBlocks.get(vmta.toLowerCase());
    return [...(own?.block ? [own.block] : []), ...(own?.pools ?? []), this.root].flatMap((b) =>
      withOrigin<Omit<DomainKey, 'origin'>>(b, 'domain-key'),
    );
  }

  /** Files of header lines to insert: those of the file level, of the pools and of the VMTA; all apply. */
  includeHeaderFiles(vmta: string): readonly { readonly file: string; readonly origin: Origin }[] {
    const own = this.#vmtaBlocks.get(vmta.toLowerCase());
    return [this.root, ...(own?.pools ?? []), ...(own?.block ? [own.block] : [])].flatMap((b) =>
      b.lines('include-headers-from').map((l) => ({ file: l.value as string, origin: l.origin })),
    );
  }

  /** Whether an event of this VMTA is reported, for mail of this Sender-or-From domain (signals 2, steps 1 to 5). */
  signalsDecision(vmta: string, senderDomain: string): { send: boolean; subaccount: number | null } {
    const drop = { send: false, subaccount: null };
    if (!this.signals) return drop;
    const value = this.#enableSignals(vmta);
    if (value === null) return { send: true, subaccount: null };
    if (value.kind === 'drop') return drop;
    if (value.kind === 'send') return { send: true, subaccount: value.subaccount };
    const rule = this.lists.signalsFilters
      .get(value.filter.toLowerCase())
      ?.rules.best(canonicalQueueDomain(senderDomain));
    return rule?.send ? { send: true, subaccount: rule.subaccount } : drop;
  }

  /** Tracking switches for one message: VMTA, pool, domain, source, file level, in this order. */
  tracking(message: {
    readonly vmta: string;
    readonly domain: string;
    readonly source: Settings<'source'> | null;
  }): Settings<'virtual-mta'> {
    const own = this.#vmtaBlocks.get(message.vmta.toLowerCase());
    const source = message.source instanceof LayeredSettings ? message.source.layers : [this.root];
    return new LayeredSettings(
      'virtual-mta',
      [
        ...(own?.block ? [own.block] : []),
        ...(own?.pools ?? []),
        ...this.queueLayers(message.domain, message.vmta).layers,
        ...source,
      ],
      this.root,
    );
  }

  #enableSignals(vmta: string): EnableSignals | null {
    const found = this.vmtas.get(vmta.toLowerCase()) ?? this.vmtas.get('{default}')!;
    return found.settings.get('enable-signals');
  }

  #vmtaHostNames(root: Block): string[] {
    return root.blocksOf('virtual-mta').flatMap((b) => b.lines('host-name').map((l) => l.value as string));
  }

  #id(block: Block): number {
    const known = this.#ids.get(block);
    if (known !== undefined) return known;
    this.#ids.set(block, this.#ids.size);
    return this.#ids.size - 1;
  }

  #remember(domain: string, vmta: string, settings: LayeredSettings<'domain'>): void {
    // Recipient domains come from outside: what is remembered of them is bounded.
    if (this.#remembered >= REMEMBERED) {
      this.#queues.clear();
      this.#remembered = 0;
    }
    let byDomain = this.#queues.get(vmta);
    if (!byDomain) {
      byDomain = new Map();
      this.#queues.set(vmta, byDomain);
    }
    byDomain.set(domain, settings);
    this.#remembered++;
  }

  #domainBlocks(domain: string, vmta: string): Block[] {
    const local = this.#localNames.has(domain);
    const own = this.#vmtaBlocks.get(vmta);
    return [
      ...(own?.domains?.matching(domain, local) ?? []),
      ...(own?.poolDomains?.matching(domain, local) ?? []),
      ...this.#globalDomains.matching(domain, local),
      ...(domain === '{sparkpost}' ? [sparkpostPreset] : []),
    ];
  }

  #readVmtas(root: Block, macros: Macros, findings: Findings) {
    addColdVmtas(root);
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
      this.#vmtaBlocks.set(key, {
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
        hostName: settings.get('host-name')[0] ?? this.hostNames[0]!,
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
    return { pools, vmtas };
  }
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

function readListeners(root: Block, findings: Findings): Listener[] {
  const none = (origin: Origin) => new Block('smtp-listener', '', origin, root);
  const found: Listener[] = [];
  type Line = ListenerAddress & { source: string | null };
  for (const { origin, ...line } of withOrigin<Line>(root, 'smtp-listener')) {
    const settings = new LayeredSettings('smtp-listener', [none(origin)], root);
    found.push({ ...line, settings, origin });
  }
  for (const block of root.blocksOf('smtp-listener')) {
    const address = readListenerAddress(block.argument);
    if (address instanceof Fault) {
      findings.error(block.origin, `<smtp-listener>: ${address.message}`, {
        text: block.argument,
        ...(address.hint ? { hint: address.hint } : {}),
      });
      continue;
    }
    const settings = new LayeredSettings('smtp-listener', [block], root);
    found.push({ ...address, source: settings.get('source'), settings, origin: block.origin });
  }
  if (found.length > 0) return found.sort(byLine);
  const port = root.lines('smtp-port').at(-1);
  const ips = root.lines('smtp-ip');
  const implicit = (address: string, origin: Origin | null): Listener => ({
    address,
    port: (port?.value as number | undefined) ?? 25,
    source: null,
    settings: new LayeredSettings('smtp-listener', [], root),
    origin: origin ?? port?.origin ?? null,
  });
  return ips.length > 0 ? ips.map((l) => implicit(l.value as string, l.origin)) : [implicit('0.0.0.0', null)];
}

const byLine = (a: Listener, b: Listener): number =>
  a.origin && b.origin && a.origin.file === b.origin.file ? a.origin.line - b.origin.line : 0;

function readSpools(root: Block, file: string): Spool[] {
  const old = root.lines('spool').map((l) => ({ dir: l.value as string, block: null, origin: l.origin }));
  const blocks = root
    .blocksOf('spool')
    .map((b) => ({ dir: resolvePath(b.argument, path.dirname(file)), block: b, origin: b.origin }));
  // spool-min-free-space counts megabytes and holds for every spool that has no value of its own.
  const floor = root.lines('spool-min-free-space').at(-1);
  const general = new Block('spool', '', floor?.origin ?? { file, line: 0 }, root);
  if (floor) {
    general.settings.set('min-free-space', {
      declaration: directive('spool', 'min-free-space')!,
      lines: [{ ...floor, value: (floor.value as number) * 1024 * 1024 }],
    });
  }
  return [...old, ...blocks].map(({ dir, block, origin }) => ({
    dir,
    settings: new LayeredSettings('spool', block ? [block, general] : [general], root),
    origin,
  }));
}

/** The two processors have the same directives, so one type serves both. */
function readProcessor(
  scope: 'bounce-processor' | 'feedback-loop-processor',
  root: Block,
  disk: Disk,
  findings: Findings,
): Processor | null {
  const block = root.blocksOf(scope)[0];
  if (!block) return null;
  const list = new AddressList('', block.origin);
  for (const b of block.blocksOf('address-list')) fillAddressList(list, b, disk, findings);
  const patterns = block.blocksOf('email-patterns');
  return {
    settings: new LayeredSettings('bounce-processor', [block], root),
    matches: (address) => list.matches(address),
    bodyPatternFiles: patterns.flatMap((b) =>
      b.lines('body-pattern-file').map((l) => ({ file: l.value as string, origin: l.origin })),
    ),
    logMatchInfo: patterns.some((b) => b.lines('log-match-info').at(-1)?.value === true),
    origin: block.origin,
  };
}
