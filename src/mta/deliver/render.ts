/**
 * Makes the bytes that go out from the stored message: headers taken out and added, links tracked, signed. The order
 * matters: what is added or taken out comes before the signature, and a signature is made of exactly what goes out.
 * Every byte that nothing asks to change stays, line ends and 8-bit octets too.
 */
import type { Config, Settings } from '../../config/index.ts';
import type { MessageFacts } from '../../events/outcome.ts';
import { SignableMessage } from '../../mail/dkim-sign.ts';
import { editHeaders, Header } from '../../mail/header.ts';
import type { MaybeLater } from '../../smtp/index.ts';
import { type Envelope, factsFor } from '../../spool/stored-message.ts';
import type { Clock } from '../../system/clock.ts';
import type { Log } from '../../system/log.ts';
import { addedWhenItGoes, mayAdd, type QueueName } from './added-headers.ts';
import type { DkimSigner } from './dkim-choice.ts';
import { type DkimRequest, DkimRequestReader, NOTHING_ASKED } from './dkim-request.ts';
import { mergedContent } from './merged-content.ts';
import type { Tracking } from './tracking.ts';

export interface RenderRequest {
  readonly envelope: Envelope;
  /** As it is stored. */
  readonly content: Buffer;
  readonly queue: QueueName;
  /** Of that queue. */
  readonly settings: Settings<'domain'>;
  readonly config: Config;
}

/** What goes out to one recipient or, of a message that is the same for all, to any of them. */
export type Copy =
  | {
      readonly kind: 'ready';
      readonly content: Buffer;
      /** The message's facts for this recipient, with the tracking that was really done. */
      readonly facts: MessageFacts;
    }
  /** Nothing can be made for this recipient, now or later. */
  | { readonly kind: 'impossible'; readonly status: string; readonly text: string };

/** One message on its way out through one queue. Work that is the same for all its recipients is done once. */
export interface Rendering {
  /** Each recipient gets content of its own, so that each needs a transaction of its own. */
  readonly perRecipient: boolean;
  /** `index` is the recipient's place in the envelope. Throws for faults of ours only. */
  copy(index: number): MaybeLater<Copy>;
}

/** What a reload replaces. */
interface InForce {
  readonly dkim: DkimSigner;
  readonly tracking: Tracking;
}

export class Renderer {
  readonly #inForce: () => InForce;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #requests = new DkimRequestReader();

  /** `inForce` is asked for each message: a reload brings other keys. */
  constructor(inForce: () => InForce, clock: Clock, log: Log) {
    this.#inForce = inForce;
    this.#clock = clock;
    this.#log = log;
  }

  /** The same message gives the same bytes on every attempt, times (Date, t=, x=) aside. */
  open(request: RenderRequest): Rendering {
    const { envelope, content } = request;
    const inForce = this.#inForce();
    if (envelope.template) return this.#merged(request, inForce);
    const edited = this.#edit(content, envelope.facts, request);
    const plan = inForce.tracking.planFor(
      request.config,
      envelope,
      envelope.facts,
      edited.raw,
      request.queue,
    );
    const facts = { ...envelope.facts, ...plan.flags };
    const ready = (raw: Buffer): MaybeLater<Copy> => {
      if (!signs(request)) return { kind: 'ready', content: raw, facts };
      const signed = this.#sign(raw, edited.asked, request, inForce);
      return signed.then((content): Copy => ({ kind: 'ready', content, facts }));
    };
    if (plan.isPerRecipient) return { perRecipient: true, copy: (index) => ready(plan.copy(index)) };
    let same: MaybeLater<Copy> | null = null;
    return {
      perRecipient: false,
      copy: () => {
        same ??= ready(edited.raw);
        return same;
      },
    };
  }

  /** Mail merge: each recipient's copy is a message of its own from the beginning (D17.6, D17.10). */
  #merged(request: RenderRequest, inForce: InForce): Rendering {
    const { envelope, content, config, queue } = request;
    return {
      perRecipient: true,
      copy: async (index) => {
        const merged = mergedContent(envelope, index, content);
        if (!merged) {
          return {
            kind: 'impossible',
            status: '5.6.0',
            text: 'the parts of the message cannot be put together',
          };
        }
        const facts = factsFor(envelope, index);
        const { raw, asked } = this.#edit(merged, facts, request);
        const plan = inForce.tracking.planFor(config, envelope, facts, raw, queue);
        const signed = await this.#sign(plan.copy(index), asked, request, inForce);
        return { kind: 'ready', content: signed, facts: { ...facts, ...plan.flags } };
      },
    };
  }

  /** Header fields taken out and added; what the message asks of its signature is read before that is taken out. */
  #edit(
    content: Buffer,
    facts: MessageFacts,
    { envelope, queue, settings }: RenderRequest,
  ): { raw: Buffer; asked: DkimRequest } {
    const mayAsk = settings.get('dkim-sign') !== 'no';
    const removes = envelope.removeHeaders.length + settings.get('remove-header').length > 0;
    // Most messages go out as they came in, and need not be read once more for that.
    if (!removes && !mayAsk && !mayAdd(envelope, settings)) return { raw: content, asked: NOTHING_ASKED };
    const remove = new Set<string>();
    for (const name of envelope.removeHeaders) remove.add(name.toLowerCase());
    for (const name of settings.get('remove-header')) remove.add(name.toLowerCase());
    const header = new Header(content);
    const now = this.#clock.now();
    const append = addedWhenItGoes({ header, remove, envelope, facts, queue, settings, now });
    const asked = mayAsk ? this.#requests.read(header, envelope) : NOTHING_ASKED;
    if (asked.fault !== '') {
      this.#log.warn(`message ${facts.spoolId} goes without its first DKIM signature: ${asked.fault}`);
    }
    // Most messages hold none of what may go.
    const goes = header.truncated || header.fields.some(({ key }) => remove.has(key));
    if (!goes && append.length === 0) return { raw: content, asked };
    return { raw: editHeaders(content, { remove, append }), asked };
  }

  async #sign(raw: Buffer, asked: DkimRequest, request: RenderRequest, { dkim }: InForce): Promise<Buffer> {
    if (!signs(request)) return raw;
    const { settings, queue } = request;
    const message = new SignableMessage(raw);
    const signatures = await dkim.signatures(message, settings, queue.vmta, this.#clock.now(), asked);
    return signatures.length > 0 ? Buffer.concat([Buffer.from(signatures.join('')), raw]) : raw;
  }
}

function signs({ settings }: RenderRequest): boolean {
  return settings.get('dkim-sign') !== 'no' || settings.get('second-dkim-sign') !== 'no';
}
