/** Chooses the keys that sign a message for a queue (delivery guide, section 15) and signs. */
import type { Config, DkimIdentity, DomainKey, Settings } from '../../config/index.ts';
import { domainToAscii } from '../../mail/address.ts';
import { loadSigningKey, type SigningKey } from '../../mail/dkim-key.ts';
import { type DkimSettings, SignableMessage } from '../../mail/dkim-sign.ts';
import { Header } from '../../mail/header.ts';
import { firstAddress } from '../../mail/header-text.ts';

export class DkimSigner {
  readonly #keys: ReadonlyMap<string, SigningKey>;

  constructor(keys: ReadonlyMap<string, SigningKey>) {
    this.#keys = keys;
  }

  /** Loads every key that the configuration names; UserError with file and line when one cannot be used. */
  static async load(config: Config): Promise<DkimSigner> {
    const keys = new Map<string, SigningKey>();
    for (const vmta of config.vmtas.values()) {
      for (const { file, origin } of config.domainKeys(vmta.name)) {
        if (!keys.has(file)) keys.set(file, await loadSigningKey(file, `${origin.file}:${origin.line}`));
      }
    }
    return new DkimSigner(keys);
  }

  /** DKIM-Signature fields for this message, none when nothing asks for one or no key fits. */
  async signatures(
    raw: Buffer,
    config: Config,
    queue: Settings<'domain'>,
    vmta: string,
    now: number,
  ): Promise<string[]> {
    if (queue.get('dkim-sign') !== 'yes') return [];
    const header = new Header(raw);
    const chosen =
      this.#choose(header, queue.get('dkim-identity'), config.domainKeys(vmta)) ??
      this.#choose(header, queue.get('dkim-identity-fallback'), config.domainKeys(vmta));
    if (!chosen) return [];
    const { key, domain, identity } = chosen;
    const expires = queue.get('dkim-expire-after');
    const settings: DkimSettings = {
      key: this.#keys.get(key.file)!,
      domain,
      selector: key.selector,
      identity,
      digest: queue.get('dkim-algorithm') === 'rsa-sha1' ? 'sha1' : 'sha256',
      headerCanonicalization: queue.get('dkim-headers-canon'),
      bodyCanonicalization: queue.get('dkim-body-canon'),
      addTimestamp: queue.get('dkim-add-timestamp'),
      expireAfter: Number.isFinite(expires) ? expires / 1000 : undefined,
      addBodyLength: queue.get('dkim-add-body-limit'),
      queryMethod: queue.get('dkim-query-method') ?? undefined,
      headers: queue.get('dkim-headers'),
      disallowAdding: queue.get('dkim-disallow-adding-headers'),
    };
    const signature = await new SignableMessage(raw).signAsync(settings, now);
    return signature === null ? [] : [signature];
  }

  #choose(
    header: Header,
    wanted: DkimIdentity | null,
    candidates: readonly DomainKey[],
  ): { key: DomainKey; domain: string; identity: string } | null {
    if (!wanted) return null;
    const identity = identityOf(header, wanted);
    const domain = identity && domainToAscii(identity.slice(identity.lastIndexOf('@') + 1));
    if (!identity || !domain) return null;
    const key = candidates.find((candidate) => {
      if (!this.#keys.has(candidate.file)) return false;
      if (candidate.domain === '*') return true;
      if (wanted.kind === 'strict-from') return candidate.domain === domain;
      return domain === candidate.domain || domain.endsWith(`.${candidate.domain}`);
    });
    return key ? { key, domain: key.domain === '*' ? domain : key.domain, identity } : null;
  }
}

/** The address (or `@domain`) that a signature speaks for; null when the message names none. */
function identityOf(header: Header, wanted: DkimIdentity): string | null {
  const from = () => firstAddress(header.get('from') ?? '')?.address ?? null;
  switch (wanted.kind) {
    case 'fixed':
      return wanted.identity;
    case 'strict-from':
      return from();
    case 'sender-or-from':
      return firstAddress(header.get('sender') ?? '')?.address ?? from();
  }
}
