import { createHmac } from 'node:crypto';
import { replaceWord } from '../../events/mask.ts';
import { sipHash24 } from './siphash.ts';
import type { RecipientCover } from './values.ts';

/** `privacy-policy` of an accounting file: what stands for a recipient's local part. */
export type PrivacyPolicy =
  | { readonly mode: 'retain' }
  | { readonly mode: 'redact'; readonly text: string }
  | { readonly mode: 'siphash' | 'hmac-sha256'; readonly key: Uint8Array };

/**
 * The cover for a policy, `null` for `retain`. Digests are of the local part in lower case, in upper-case
 * hexadecimal as `pmta digest` prints them; SipHash-2-4 with its eight bytes in little-endian order, key padded with
 * zeros to 16 bytes.
 */
export function recipientCover(policy: PrivacyPolicy): RecipientCover | null {
  if (policy.mode === 'retain') return null;
  const digest = (local: string) => {
    const lower = local.toLowerCase();
    if (policy.mode === 'redact') return policy.text;
    if (policy.mode === 'siphash')
      return sipHash24(policy.key, Buffer.from(lower)).toString('hex').toUpperCase();
    return createHmac('sha256', policy.key).update(lower).digest('hex').toUpperCase();
  };
  return {
    address(address) {
      const at = address.lastIndexOf('@');
      return at < 0 ? digest(address) : digest(address.slice(0, at)) + address.slice(at);
    },
    text(text, recipient) {
      const at = recipient.lastIndexOf('@');
      const local = at < 0 ? recipient : recipient.slice(0, at);
      return local === '' ? text : replaceWord(text, local, digest(local));
    },
  };
}
