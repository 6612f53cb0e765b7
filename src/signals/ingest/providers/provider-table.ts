import { readFileSync } from 'node:fs';
import { reason } from '../../../system/durable-file.ts';
import { UserError } from '../../../system/user-error.ts';

/** Who runs a mailbox. */
export interface Provider {
  /** As events, search and metrics show it; '' where it is not known. */
  readonly name: string;
  /** As alert filters and the older signals know it; `other` for all that have no key of their own. */
  readonly key: string;
  /** '' where it is not known. */
  readonly region: string;
}

/** What says whose a domain is. */
export interface Decision {
  readonly provider: Provider;
  /** The rule, as `mx google.com`. */
  readonly rule: string;
  readonly file: string;
  readonly line: number;
}

export const unknownProvider: Provider = { name: '', key: 'other', region: '' };

/** The keys there are (SparkPost's signals, mailbox providers). */
export const providerKeys = [
  'apple',
  'gmail',
  'google_apps',
  'microsoft',
  'verizon_media',
  'yahoo_uk',
  'us_broadband',
  'uk_providers',
  'italian_providers',
  'russian_providers',
  'french_providers',
  'chinese_providers',
  'german_providers',
  'canadian_providers',
  'japanese_providers',
  'other_european_providers',
  'other',
] as const;

const kinds = ['domain', 'under', 'mx'] as const;
type Kind = (typeof kinds)[number];

/** The list that comes with the program. */
export const builtInFile = new URL('./mailbox-providers.txt', import.meta.url);

/** The rules of one or more files; what each line means stands at the head of `mailbox-providers.txt`. */
export class ProviderTable {
  readonly #rules: Readonly<Record<Kind, Map<string, Decision>>> = {
    domain: new Map(),
    under: new Map(),
    mx: new Map(),
  };

  /** The built-in list, and the operator's own after it. Throws `UserError` for a file that cannot be read. */
  static load(own?: string): ProviderTable {
    const table = new ProviderTable();
    table.add(readFileSync(builtInFile, 'utf8'), 'mailbox-providers.txt');
    if (own !== undefined) {
      let text: string;
      try {
        text = readFileSync(own, 'utf8');
      } catch (error) {
        throw new UserError(`${own} (mailbox providers, --providers) cannot be read: ${reason(error)}`, {
          cause: error,
        });
      }
      table.add(text, own);
    }
    return table;
  }

  /** Adds the rules of a file; those of a later one win. Throws `UserError` that names the line. */
  add(text: string, file: string): void {
    let provider: Provider | null = null;
    for (const [i, whole] of text.split('\n').entries()) {
      const line = i + 1;
      const fault = (what: string) =>
        new UserError(
          `${file}:${line}: ${what}; a provider is "name | key | region", below it indented rules`,
        );
      const content = whole.replace(/(?:^|\s)#.*$/, '').trimEnd();
      if (content.trim() === '') continue;
      if (!/^\s/.test(content)) {
        const [name = '', key = '', region = '', ...more] = content.split('|').map((part) => part.trim());
        if (name === '' || region === '' || more.length > 0) throw fault('this is no provider');
        if (!(providerKeys as readonly string[]).includes(key)) {
          throw fault(`there is no key "${key}" (there are ${providerKeys.join(', ')})`);
        }
        provider = { name, key, region };
        continue;
      }
      const [kind = '', ...names] = content.trim().toLowerCase().split(/\s+/);
      if (!(kinds as readonly string[]).includes(kind)) throw fault(`"${kind}" is no rule`);
      if (!provider) throw fault('a rule stands before the first provider');
      if (names.length === 0) throw fault(`"${kind}" names nothing`);
      for (const name of names) {
        if (!/^[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_-]+)*$/.test(name))
          throw fault(`"${name}" is no domain`);
        this.#rules[kind as Kind].set(name, { provider, rule: `${kind} ${name}`, file, line });
      }
    }
  }

  /** What the domain's name alone tells; lower case, without a final dot. */
  ofDomain(domain: string): Decision | null {
    return this.#rules.domain.get(domain) ?? ending(this.#rules.under, parentOf(domain));
  }

  /** What the name of its first mail host tells. */
  ofMailHost(host: string): Decision | null {
    return ending(this.#rules.mx, host);
  }
}

function parentOf(name: string): string {
  const dot = name.indexOf('.');
  return dot < 0 ? '' : name.slice(dot + 1);
}

/** The rule of the longest ending, whole labels, of a name. */
function ending(rules: ReadonlyMap<string, Decision>, name: string): Decision | null {
  for (let rest = name; rest !== ''; rest = parentOf(rest)) {
    const found = rules.get(rest);
    if (found) return found;
  }
  return null;
}
