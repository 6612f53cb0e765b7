import path from 'node:path';
import type { Block } from './block.ts';
import type { Findings, Origin } from './diagnostic.ts';
import type { Disk } from './disk.ts';
import { DomainTable } from './domain-pattern.ts';
import type { Pattern } from './pattern/pattern.ts';
import type { AddressTest } from './values/compound.ts';
import { canonicalDomain } from './values/network.ts';
import type {
  BounceRule,
  FromDomainRewrite,
  MailFromRewrite,
  MxRollup,
  PatternResult,
  PatternRuleHead,
  PatternSubject,
  ReplyActions,
  SignalsRule,
} from './values/rules.ts';

/** A rule of a pattern list: a result, or a list to go on with. */
export interface PatternRule {
  readonly subject: PatternSubject;
  /** Null for the catch-all `*`. */
  readonly pattern: Pattern | null;
  readonly result: PatternResult | null;
  readonly nested: readonly PatternRule[] | null;
  readonly origin: Origin;
}

export interface PatternList {
  readonly name: string;
  readonly rules: readonly PatternRule[];
  readonly origin: Origin;
}

export interface SmtpPatternList {
  readonly name: string;
  readonly rules: readonly {
    readonly pattern: Pattern;
    readonly actions: ReplyActions;
    readonly origin: Origin;
  }[];
  readonly origin: Origin;
}

export interface RewriteList {
  readonly name: string;
  readonly mailFrom: readonly (MailFromRewrite & { readonly origin: Origin })[];
  readonly fromDomain: readonly (FromDomainRewrite & { readonly origin: Origin })[];
  readonly origin: Origin;
}

export interface DomainKey {
  readonly selector: string;
  /** The domain that signs, or `*` for whichever the identity has. */
  readonly domain: string;
  readonly file: string;
  readonly origin: Origin;
}

export interface DomainKeyList {
  readonly name: string;
  readonly keys: readonly DomainKey[];
  readonly origin: Origin;
}

/** Whether mail of a `Sender`/`From` domain is reported, and for which subaccount. */
export interface SignalsFilter {
  readonly name: string;
  readonly rules: DomainTable<SignalsRule & { readonly origin: Origin }>;
  readonly origin: Origin;
}

/** What an address file holds; the lists that name it share it. */
interface FileEntries {
  readonly addresses: Set<string>;
  readonly locals: Set<string>;
}

/** Files as they were read last: one with a million addresses is not read at every reload. */
const filesRead = new Map<string, { readonly stamp: string; readonly entries: FileEntries }>();
const MOST_FILES = 200;

/** A set of addresses, local parts, domains and regexes. */
export class AddressList {
  readonly name: string;
  readonly origin: Origin;
  readonly #addresses = new Set<string>();
  readonly #locals = new Set<string>();
  readonly #domains = new Set<string>();
  readonly #patterns: Pattern[] = [];
  readonly #files: FileEntries[] = [];

  constructor(name: string, origin: Origin) {
    this.name = name;
    this.origin = origin;
  }

  /** Adds all that an address file holds. */
  addFile(entries: FileEntries): void {
    if (entries.addresses.size + entries.locals.size > 0) this.#files.push(entries);
  }

  /** Adds an address or a local part. */
  addEntry(entry: string): void {
    (entry.includes('@') ? this.#addresses : this.#locals).add(foldAddress(entry));
  }

  addTest(test: AddressTest): void {
    if (test.kind === 'regex') this.#patterns.push(test.pattern);
    else this.addEntry(test.kind === 'address' ? test.address : test.local);
  }

  addDomain(domain: string): void {
    this.#domains.add(domain);
  }

  get isEmpty(): boolean {
    const own = this.#addresses.size + this.#locals.size + this.#domains.size + this.#patterns.length;
    return own + this.#files.length === 0;
  }

  /** Whether `local@domain` is in the list, in any case. */
  matches(address: string): boolean {
    const folded = foldAddress(address);
    const at = folded.lastIndexOf('@');
    const local = at < 0 ? folded : folded.slice(0, at);
    return (
      this.#addresses.has(folded) ||
      this.#domains.has(folded.slice(at + 1)) ||
      this.#locals.has(local) ||
      this.#files.some(({ addresses, locals }) => addresses.has(folded) || locals.has(local)) ||
      this.#patterns.some((p) => p.test(address))
    );
  }
}

/** An address that is in that spelling already: lists may hold a million of them. */
const FOLDED = /^[^A-Z\u0080-\uffff]+@[a-z0-9-]+(?:\.[a-z0-9-]+)*$/;

/** An address in the spelling that lists are compared in. */
function foldAddress(address: string): string {
  if (FOLDED.test(address)) return address;
  const at = address.lastIndexOf('@');
  if (at < 0) return address.toLowerCase();
  const domain = address.slice(at + 1);
  return `${address.slice(0, at).toLowerCase()}@${canonicalDomain(domain) ?? domain.toLowerCase()}`;
}

/** Lines of an address file without blanks, empty ones and comments; one at a time, for there may be a million. */
function* entriesOf(text: string): Generator<string> {
  for (let at = 0; at < text.length; ) {
    const lf = text.indexOf('\n', at);
    const end = lf < 0 ? text.length : lf;
    const entry = text.slice(at, end).trim();
    if (entry !== '' && !entry.startsWith('#')) yield entry;
    at = end + 1;
  }
}

function fileEntries(file: string, disk: Disk): FileEntries {
  const stamp = disk.stamp?.(file) ?? null;
  const known = filesRead.get(file);
  if (known && known.stamp === stamp) return known.entries;
  const entries: FileEntries = { addresses: new Set(), locals: new Set() };
  for (const entry of entriesOf(disk.readFile(file))) {
    (entry.includes('@') ? entries.addresses : entries.locals).add(foldAddress(entry));
  }
  filesRead.delete(file);
  // Stamped before it was read: what changed meanwhile has another stamp.
  if (stamp !== null && filesRead.size < MOST_FILES) filesRead.set(file, { stamp, entries });
  return entries;
}

/** Reads the lines of an `<address-list>` into `list`. */
export function fillAddressList(list: AddressList, block: Block, disk: Disk, findings: Findings): void {
  for (const { name, line } of block.rules) {
    if (name === 'address') list.addTest(line.value as AddressTest);
    else if (name === 'domain') list.addDomain(line.value as string);
    else if (name === 'address-file') {
      const file = line.value as string;
      try {
        list.addFile(fileEntries(file, disk));
      } catch (error) {
        findings.error(line.origin, `address-file: ${file} cannot be read: ${(error as Error).message}`, {
          text: path.basename(file),
        });
      }
    }
  }
}

export function readPatternRules(block: Block): PatternRule[] {
  return block.rules.map(({ line }) => {
    const head = line.value as PatternRuleHead;
    return { ...head, nested: line.nested ? readPatternRules(line.nested) : null, origin: line.origin };
  });
}

/** Lines of one directive as objects with their origin. */
export function withOrigin<T extends object>(
  block: Block,
  name: string,
): (T & { readonly origin: Origin })[] {
  return block.lines(name).map((l) => ({ ...(l.value as T), origin: l.origin }));
}

/** Named blocks of the file level as a map whose keys are in lower case. */
function byName<T>(
  root: Block,
  scope: Parameters<Block['blocksOf']>[0],
  read: (block: Block) => T,
): Map<string, T> {
  return new Map(root.blocksOf(scope).map((b) => [b.argument.toLowerCase(), read(b)]));
}

/** Every list that can be named, keyed by name in lower case. */
export interface Lists {
  readonly patternLists: ReadonlyMap<string, PatternList>;
  readonly smtpPatternLists: ReadonlyMap<string, SmtpPatternList>;
  readonly rewriteLists: ReadonlyMap<string, RewriteList>;
  readonly addressLists: ReadonlyMap<string, AddressList>;
  readonly domainKeyLists: ReadonlyMap<string, DomainKeyList>;
  readonly signalsFilters: ReadonlyMap<string, SignalsFilter>;
  /** In the order of search: the operator's own, then the stock table. */
  readonly bounceCategories: readonly (BounceRule & { readonly origin: Origin })[];
  readonly mxRollups: readonly (MxRollup & { readonly origin: Origin })[];
}

export function readLists(root: Block, disk: Disk, findings: Findings, defaultsFile: string): Lists {
  const categories = root
    .blocksOf('bounce-category-patterns')
    .flatMap((b) => withOrigin<BounceRule>(b, '/regex/'));
  const isStock = (rule: { origin: Origin }) => rule.origin.file === defaultsFile;
  return {
    patternLists: byName(root, 'pattern-list', (b) => ({
      name: b.argument,
      rules: readPatternRules(b),
      origin: b.origin,
    })),
    smtpPatternLists: byName(root, 'smtp-pattern-list', (b) => ({
      name: b.argument,
      rules: withOrigin<{ pattern: Pattern; actions: ReplyActions }>(b, 'reply'),
      origin: b.origin,
    })),
    rewriteLists: byName(root, 'rewrite-list', (b) => ({
      name: b.argument,
      mailFrom: withOrigin<MailFromRewrite>(b, 'mail-from'),
      fromDomain: withOrigin<FromDomainRewrite>(b, 'from-domain'),
      origin: b.origin,
    })),
    addressLists: byName(root, 'address-list', (b) => {
      const list = new AddressList(b.argument, b.origin);
      fillAddressList(list, b, disk, findings);
      return list;
    }),
    domainKeyLists: byName(root, 'domain-key-list', (b) => ({
      name: b.argument,
      keys: withOrigin<DomainKey>(b, 'domain-key'),
      origin: b.origin,
    })),
    signalsFilters: byName(root, 'signals-filter', (b) => {
      const rules = new DomainTable<SignalsRule & { origin: Origin }>();
      for (const rule of withOrigin<SignalsRule>(b, 'sender-or-from')) {
        if (!rules.at(rule.pattern)) rules.set(rule.pattern, rule);
      }
      return { name: b.argument, rules, origin: b.origin };
    }),
    bounceCategories: [...categories.filter((r) => !isStock(r)), ...categories.filter(isStock)],
    mxRollups: root.blocksOf('mx-rollup-list').flatMap((b) => withOrigin<MxRollup>(b, 'mx')),
  };
}
