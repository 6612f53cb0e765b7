import path from 'node:path';
import type { Block } from './block.ts';
import { Fault, type Findings, type Origin } from './diagnostic.ts';
import type { Disk } from './disk.ts';
import { DomainBlocks } from './domain-blocks.ts';
import { canonicalQueueDomain, type DomainPattern, DomainTable } from './domain-pattern.ts';
import { type DomainKey, type Lists, readLists, withOrigin } from './lists.ts';
import { Macros } from './macros.ts';
import type {
  AcctFile,
  Alias,
  ApiListener,
  Listener,
  OutboundProxy,
  Pool,
  Processor,
  SmtpUser,
  Spool,
  Vmta,
} from './parts.ts';
import { sparkpostPreset } from './presets.ts';
import { readListeners, readProcessor, readSpools } from './read-parts.ts';
import { readVmtas, type VmtaBlocks } from './read-vmtas.ts';
import { LayeredSettings, type Settings } from './settings.ts';
import { SourceBlocks } from './source-blocks.ts';
import { type SourceTracking, sourceTrackingBlock } from './source-tracking.ts';
import {
  type AddressTest,
  type AliasFrom,
  type EnableSignals,
  readListenerAddress,
} from './values/compound.ts';
import { canonicalDomain, formatAddress } from './values/network.ts';
import { resolvePath } from './values/scalars.ts';

/** Queue domains whose settings are remembered by name; beyond, they are forgotten together. */
const REMEMBERED = 200_000;

/** A whole configuration, resolved. Nothing in it changes; a reload makes a new one. */
export class Config {
  readonly file: string;
  /** What stood in it and in each file that it includes, in the order they were read. */
  readonly texts: ReadonlyMap<string, string>;
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
  readonly proxies: ReadonlyMap<string, OutboundProxy>;
  readonly signals: Settings<'signals'> | null;
  readonly bounceProcessor: Processor | null;
  readonly feedbackLoopProcessor: Processor | null;
  /** Names of this host: `host-name` at file level, else the machine's own. The first is the primary one. */
  readonly hostNames: readonly string[];
  readonly sources: SourceBlocks;

  readonly #vmtaBlocks: ReadonlyMap<string, VmtaBlocks>;
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
      texts: ReadonlyMap<string, string>;
      disk: Disk;
      findings: Findings;
      hostName: string;
      defaultsFile: string;
    },
  ) {
    const { disk, findings } = given;
    this.file = given.file;
    this.texts = given.texts;
    this.root = root;
    const global = new LayeredSettings('global', [root], root);
    this.global = global;
    const settings = <S extends Block['scope']>(scope: S, ...blocks: readonly Block[]) =>
      new LayeredSettings(scope, blocks, root);

    const names = root.lines('host-name').map((l) => l.value as string);
    this.hostNames = names.length > 0 ? names : [given.hostName];
    this.#localNames = new Set([...names, given.hostName, ...this.#vmtaHostNames(root)]);
    this.lists = readLists(root, disk, findings, given.defaultsFile);
    this.listeners = readListeners(root, findings);
    // `tls-ca-file` in <transmissions-api> (§10.19.2) holds for each of its addresses that names none.
    const api = root.blocksOf('transmissions-api')[0];
    this.apiListeners = root.blocksOf('transmissions-api-listener').flatMap((b) => {
      const address = readListenerAddress(b.argument);
      if (address instanceof Fault) {
        findings.error(b.origin, address.message, { text: b.argument });
        return [];
      }
      return [
        {
          ...address,
          settings: settings('transmissions-api-listener', b, ...(api ? [api] : [])),
          origin: b.origin,
        },
      ];
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
    const { pools, vmtas, blocks } = readVmtas(root, macros, findings, this.hostNames[0]!);
    this.pools = pools;
    this.vmtas = vmtas;
    this.#vmtaBlocks = blocks;
  }

  /** Where it stands: the main file, then what that includes, in the order they were read. */
  get files(): readonly string[] {
    return [...this.texts.keys()];
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
    readonly listener?: Pick<Listener, 'source'> | undefined;
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

  /**
   * Tracking switches for one message: VMTA, pool, domain, source, file level, in this order. To be asked for
   * directives that all of these know (`track-…`, `tracking-…`, `add-list-unsubscribe`) and for no others.
   */
  tracking(message: {
    readonly vmta: string;
    readonly domain: string;
    /** As it is at reception, or as `sourceTracking` has kept it. */
    readonly source: Settings<'source'> | SourceTracking | null;
  }): Settings<'virtual-mta'> {
    const own = this.#vmtaBlocks.get(message.vmta.toLowerCase());
    const source =
      message.source instanceof LayeredSettings
        ? message.source.layers
        : Array.isArray(message.source) && message.source.length > 0
          ? [sourceTrackingBlock(message.source), this.root]
          : [this.root];
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
}
