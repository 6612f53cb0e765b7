/** Chooses the keys that sign a message for a queue, and how they sign (delivery guide, section 15). */
import type { Config, DkimIdentity, DomainKey, Settings } from '../../config/index.ts';
import { domainToAscii } from '../../mail/address.ts';
import { loadSigningKey, type SigningKey } from '../../mail/dkim-key.ts';
import type { DkimOptions } from '../../mail/dkim-options.ts';
import type { DkimSettings } from '../../mail/dkim-sign.ts';
import type { Header } from '../../mail/header.ts';
import { firstAddress } from '../../mail/header-text.ts';
import { type DkimRequest, NOTHING_ASKED } from './dkim-request.ts';
import { firstSignature, type SignatureSettings, secondSignature } from './dkim-settings.ts';

/** A key that may sign: from the configuration, or out of the message. `domain` is `*` for any. */
interface Candidate {
  readonly selector: string;
  readonly domain: string;
  readonly key: SigningKey;
}

/** Who signs, and for whom. */
interface Choice extends Candidate {
  readonly identity: string;
}

export class DkimSigner {
  /** In the order they are searched, by VMTA and by `<domain-key-list>`, names in lower case. */
  readonly #ofVmta = new Map<string, readonly Candidate[]>();
  readonly #ofList = new Map<string, readonly Candidate[]>();

  private constructor(config: Config, keys: ReadonlyMap<string, SigningKey>) {
    const candidates = (from: readonly DomainKey[]) =>
      from.map(({ selector, domain, file }) => ({ selector, domain, key: keys.get(file)! }));
    for (const { name } of config.vmtas.values()) {
      this.#ofVmta.set(name.toLowerCase(), candidates(config.domainKeys(name)));
    }
    for (const [name, list] of config.domainKeyLists) {
      this.#ofList.set(name.toLowerCase(), candidates(list.keys));
    }
  }

  /** Loads every key that the configuration names; UserError with file and line when one cannot be used. */
  static async load(config: Config): Promise<DkimSigner> {
    const keys = new Map<string, SigningKey>();
    const named = [
      ...[...config.vmtas.values()].flatMap(({ name }) => config.domainKeys(name)),
      ...[...config.domainKeyLists.values()].flatMap((list) => list.keys),
    ];
    for (const { file, origin } of named) {
      if (!keys.has(file)) keys.set(file, await loadSigningKey(file, `${origin.file}:${origin.line}`));
    }
    return new DkimSigner(config, keys);
  }

  /**
   * The signatures of a message with this header, none when nothing asks for one or no key fits. Names are told one by
   * one where the configuration has patterns: the work is then anybody's who has the message.
   */
  choose(
    header: Header,
    queue: Settings<'domain'>,
    vmta: string,
    request: DkimRequest = NOTHING_ASKED,
  ): DkimSettings[] {
    const known = this.#ofVmta.get(vmta.toLowerCase()) ?? [];
    const chosen: DkimSettings[] = [];
    const add = (choice: Choice | null, { form }: SignatureSettings, queryMethod?: string) => {
      if (!choice) return;
      const headers = named(form.headers ?? [], header);
      chosen.push({ ...form, ...choice, headers, queryMethod: queryMethod || form.queryMethod });
    };
    if (queue.get('dkim-sign') !== 'no') {
      const settings = firstSignature(queue);
      const choice = this.#chooseFirst(header, settings, known, request);
      add(choice, settings, request.options?.queryMethod);
    }
    // X-DKIM-Options is nothing to the second signature, so its presence cannot ask for one either.
    if (queue.get('second-dkim-sign') === 'yes') {
      const settings = secondSignature(queue);
      add(choose(header, settings, known, null), settings);
    }
    return chosen;
  }

  #chooseFirst(
    header: Header,
    settings: SignatureSettings,
    known: readonly Candidate[],
    request: DkimRequest,
  ): Choice | null {
    if (settings.sign === 'if-x-dkim-options-present' && !request.optionsPresent) return null;
    if (request.fault !== '') return null;
    const { options, key } = request;
    if (!options) return choose(header, settings, known, null);
    if (key) {
      const own = { selector: options.selector, domain: options.domain || '*', key };
      return choose(header, settings, [own], options);
    }
    const candidates =
      options.keyList === '' ? known : (this.#ofList.get(options.keyList.toLowerCase()) ?? []);
    return choose(header, settings, candidates, options);
  }
}

/** The field that tracking may add to a message after this. */
const ADDED_LATER = 'list-unsubscribe-post';

/** Names for patterns of names: those of the fields that are there, or may be. */
function named(headers: NonNullable<DkimSettings['headers']>, header: Header): string[] {
  const names = new Set<string>();
  for (const item of headers) {
    if (typeof item === 'string') names.add(item);
    else {
      for (const { name } of header.fields) if (item.test(name)) names.add(name);
      if (item.test(ADDED_LATER)) names.add(ADDED_LATER);
    }
  }
  return [...names];
}

/** The first key that fits the identity, else the first that fits the fallback. */
function choose(
  header: Header,
  settings: SignatureSettings,
  candidates: readonly Candidate[],
  options: DkimOptions | null,
): Choice | null {
  const fitting = options ? candidates.filter((key) => isAsked(key, options)) : candidates;
  if (fitting.length === 0) return null;
  if (options?.identity) {
    const found = keyFor(options.identity, false, fitting, options.domain);
    if (found) return found;
  } else {
    const exact = settings.identity.kind === 'strict-from';
    const found = keyFor(identityOf(header, settings.identity), exact, fitting, options?.domain ?? '');
    if (found) return found;
  }
  if (!settings.fallback) return null;
  return keyFor(identityOf(header, settings.fallback), false, fitting, options?.domain ?? '');
}

/** Whether a key is what X-DKIM-Options asks for by s= and d=. */
function isAsked(key: Candidate, { selector, domain }: DkimOptions): boolean {
  if (selector !== '' && key.selector.toLowerCase() !== selector.toLowerCase()) return false;
  return domain === '' || key.domain === domain || key.domain === '*';
}

/**
 * A key whose domain is the identity's, or its parent unless `exact`, or any. `asked` is d= of X-DKIM-Options: a
 * domain that is asked for signs whatever the identity, which is then not named if it lies elsewhere.
 */
function keyFor(
  identity: string,
  exact: boolean,
  candidates: readonly Candidate[],
  asked: string,
): Choice | null {
  const domain = domainToAscii(identity.slice(identity.lastIndexOf('@') + 1)) ?? '';
  if (asked !== '' && asked !== '*') return { ...candidates[0]!, domain: asked, identity };
  // An address literal has no keys.
  if (domain === '' || domain.startsWith('[')) return null;
  const key = candidates.find(
    (candidate) =>
      candidate.domain === '*' ||
      candidate.domain === domain ||
      (!exact && domain.endsWith(`.${candidate.domain}`)),
  );
  return key ? { ...key, domain: key.domain === '*' ? domain : key.domain, identity } : null;
}

/** The address (or `@domain`) that a signature speaks for; '' when the message names none. */
function identityOf(header: Header, wanted: DkimIdentity): string {
  const from = () => firstAddress(header.get('from') ?? '')?.address ?? '';
  switch (wanted.kind) {
    case 'fixed':
      return wanted.identity;
    case 'strict-from':
      return from();
    case 'sender-or-from':
      return (firstAddress(header.get('sender') ?? '')?.address ?? '') || from();
  }
}
