/** Makes the bytes that go out from the stored message: headers taken out, links tracked, signed. */
import type { Config, Settings } from '../../config/index.ts';
import { editHeaders } from '../../mail/header.ts';
import type { Envelope } from '../../spool/stored-message.ts';
import type { Clock } from '../../system/clock.ts';
import type { Queue } from '../queue/queue.ts';
import type { DkimSigner } from './dkim-choice.ts';
import type { Tracking } from './tracking.ts';

export interface RenderRequest {
  readonly envelope: Envelope;
  readonly content: Buffer;
  /** The recipient, when content is per recipient; else the first of the transaction. */
  readonly index: number;
  readonly queue: Queue;
  readonly settings: Settings<'domain'>;
  readonly config: Config;
}

export class Renderer {
  readonly #inForce: () => { readonly dkim: DkimSigner; readonly tracking: Tracking };
  readonly #clock: Clock;
  readonly #edited = new WeakMap<Buffer, Buffer>();

  /** `inForce` is asked for each message: a reload brings other keys. */
  constructor(inForce: () => { readonly dkim: DkimSigner; readonly tracking: Tracking }, clock: Clock) {
    this.#inForce = inForce;
    this.#clock = clock;
  }

  /** Whether each recipient gets content of its own, so that each needs a transaction of its own. */
  isPerRecipient(envelope: Envelope): boolean {
    return envelope.facts.openTracking || envelope.facts.clickTracking;
  }

  /**
   * The order matters: what is added or taken out comes before the signature, and a signature is made of exactly
   * what goes out. The same message gives the same bytes on every attempt, times in signatures aside.
   */
  async render({ envelope, content, index, queue, settings, config }: RenderRequest): Promise<Buffer> {
    const { dkim, tracking } = this.#inForce();
    let raw = this.#withoutHeaders(content, [...envelope.removeHeaders, ...settings.get('remove-header')]);
    if (this.isPerRecipient(envelope)) raw = tracking.apply(raw, config, envelope, index, queue.domain);
    const signatures = await dkim.signatures(raw, config, settings, queue.vmta, this.#clock.now());
    return signatures.length > 0 ? Buffer.concat([Buffer.from(signatures.join('')), raw]) : raw;
  }

  /** The same for all recipients of one reading of the message, so it is made once. */
  #withoutHeaders(content: Buffer, remove: readonly string[]): Buffer {
    if (remove.length === 0) return content;
    let edited = this.#edited.get(content);
    if (!edited) {
      edited = editHeaders(content, { remove });
      this.#edited.set(content, edited);
    }
    return edited;
  }
}
