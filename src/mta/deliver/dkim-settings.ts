/** The twelve `dkim-…` and the twelve `second-dkim-…` directives of a queue as one kind of settings. */
import type { DkimIdentity, Settings } from '../../config/index.ts';
import type { DkimSettings } from '../../mail/dkim-sign.ts';

/** How one signature is made; which key makes it is chosen per message. */
export interface SignatureSettings {
  readonly sign: 'yes' | 'no' | 'if-x-dkim-options-present';
  readonly identity: DkimIdentity;
  readonly fallback: DkimIdentity | null;
  readonly form: Omit<DkimSettings, 'key' | 'domain' | 'selector' | 'identity'>;
}

export function firstSignature(queue: Settings<'domain'>): SignatureSettings {
  return {
    sign: queue.get('dkim-sign'),
    identity: queue.get('dkim-identity'),
    fallback: queue.get('dkim-identity-fallback'),
    form: {
      digest: digest(queue.get('dkim-algorithm')),
      headerCanonicalization: queue.get('dkim-headers-canon'),
      bodyCanonicalization: queue.get('dkim-body-canon'),
      addTimestamp: queue.get('dkim-add-timestamp'),
      expireAfter: seconds(queue.get('dkim-expire-after')),
      addBodyLength: queue.get('dkim-add-body-limit'),
      queryMethod: queue.get('dkim-query-method') ?? undefined,
      headers: queue.get('dkim-headers'),
      disallowAdding: queue.get('dkim-disallow-adding-headers'),
    },
  };
}

export function secondSignature(queue: Settings<'domain'>): SignatureSettings {
  return {
    sign: queue.get('second-dkim-sign'),
    identity: queue.get('second-dkim-identity'),
    fallback: queue.get('second-dkim-identity-fallback'),
    form: {
      digest: digest(queue.get('second-dkim-algorithm')),
      headerCanonicalization: queue.get('second-dkim-headers-canon'),
      bodyCanonicalization: queue.get('second-dkim-body-canon'),
      addTimestamp: queue.get('second-dkim-add-timestamp'),
      expireAfter: seconds(queue.get('second-dkim-expire-after')),
      addBodyLength: queue.get('second-dkim-add-body-limit'),
      queryMethod: queue.get('second-dkim-query-method') ?? undefined,
      headers: queue.get('second-dkim-headers'),
      disallowAdding: queue.get('second-dkim-disallow-adding-headers'),
    },
  };
}

function digest(algorithm: 'rsa-sha1' | 'rsa-sha256'): 'sha1' | 'sha256' {
  return algorithm === 'rsa-sha1' ? 'sha1' : 'sha256';
}

function seconds(ms: number): number | undefined {
  return Number.isFinite(ms) ? Math.floor(ms / 1000) : undefined;
}
