/** What a message itself asks about its first signature, as far as its source lets it (delivery guide, section 15). */
import { hash } from 'node:crypto';
import { readSigningKey, type SigningKey } from '../../mail/dkim-key.ts';
import { type DkimOptions, parseDkimOptions } from '../../mail/dkim-options.ts';
import type { Header } from '../../mail/header.ts';
import type { Envelope } from '../../spool/stored-message.ts';

export interface DkimRequest {
  /** X-DKIM-Options stands in the message, whether it may say anything or not. */
  readonly optionsPresent: boolean;
  readonly options: DkimOptions | null;
  /** The key of X-DKIM-Key; null when there is none to use. */
  readonly key: SigningKey | null;
  /** Why the first signature cannot be made as asked; '' when it can. Never holds any of a key. */
  readonly fault: string;
}

export const NOTHING_ASKED: DkimRequest = { optionsPresent: false, options: null, key: null, fault: '' };

/** Keys out of headers that are remembered: a campaign brings the same one with each of its messages. */
const MOST_KEYS = 100;

export class DkimRequestReader {
  readonly #keys = new Map<string, SigningKey | string>();

  /**
   * `header` is that of the message before anything is taken out of it. What the envelope keeps of its control fields
   * says that they count; with mail merge they may hold variables, and then the merged ones are read.
   */
  read(header: Header, envelope: Envelope): DkimRequest {
    const processed = (name: string, kept: string | undefined): string | null =>
      kept === undefined ? null : envelope.template ? header.get(name) : kept;
    const field = processed('x-dkim-options', envelope.dkimOptions);
    const optionsPresent = field !== null || header.find('x-dkim-options') !== undefined;
    let options: DkimOptions | null = null;
    const faulty = (fault: string): DkimRequest => ({ optionsPresent, options, key: null, fault });
    if (field !== null) {
      const read = parseDkimOptions(field);
      if (typeof read === 'string') return faulty(`X-DKIM-Options cannot be used: ${read}`);
      options = read;
    }
    const pem = processed('x-dkim-key', envelope.dkimKey);
    if (pem === null) return { optionsPresent, options, key: null, fault: '' };
    if (!options?.selector) return faulty('X-DKIM-Key needs a selector: X-DKIM-Options with s=, processed');
    const key = this.#key(pem);
    if (typeof key === 'string') return faulty(`the key in X-DKIM-Key cannot be used: ${key}`);
    return { optionsPresent, options, key, fault: '' };
  }

  #key(pem: string): SigningKey | string {
    const id = hash('sha256', pem);
    let key = this.#keys.get(id);
    if (key !== undefined) this.#keys.delete(id);
    else key = readSigningKey(pem);
    // Set anew, it is the one used last; the first is the one not used for longest.
    this.#keys.set(id, key);
    if (this.#keys.size > MOST_KEYS) this.#keys.delete(this.#keys.keys().next().value!);
    return key;
  }
}
