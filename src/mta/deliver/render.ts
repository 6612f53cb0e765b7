/**
 * Makes the bytes that go out from the stored message: headers taken out and added, links tracked, signed. The order
 * matters: what is added or taken out comes before the signature, and a signature is made of exactly what goes out.
 * Every byte that nothing asks to change stays, line ends and 8-bit octets too.
 */
import type { Config, Settings } from '../../config/index.ts';
import type { MessageFacts } from '../../events/outcome.ts';
import type { DkimSettings } from '../../mail/dkim-sign.ts';
import { editHeaders, Header } from '../../mail/header.ts';
import type { MaybeLater } from '../../smtp/index.ts';
import { type Envelope, factsFor } from '../../spool/stored-message.ts';
import type { Clock } from '../../system/clock.ts';
import type { Log } from '../../system/log.ts';
import type { ContentWork, CopyOrder, MadeCopy } from '../content/index.ts';
import { addedWhenItGoes, mayAdd, type QueueName } from './added-headers.ts';
import type { DkimSigner } from './dkim-choice.ts';
import { type DkimRequest, DkimRequestReader, NOTHING_ASKED } from './dkim-request.ts';
import { mergedContent } from './merged-content.ts';
import type { QueueTracking, Tracking } from './tracking.ts';

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
  readonly #work: ContentWork;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #requests = new DkimRequestReader();

  /** `inForce` is asked for each message: a reload brings other keys. */
  constructor(inForce: () => InForce, work: ContentWork, clock: Clock, log: Log) {
    this.#inForce = inForce;
    this.#work = work;
    this.#clock = clock;
    this.#log = log;
  }

  /** The same message gives the same bytes on every attempt, times (Date, t=, x=) aside. */
  open(request: RenderRequest): MaybeLater<Rendering> {
    const { envelope, content, config, queue } = request;
    const inForce = this.#inForce();
    if (envelope.template) return this.#merged(request, inForce);
    const edited = this.#edit(content, envelope.facts, request);
    const planning = inForce.tracking.planFor(config, envelope, envelope.facts, edited.raw, queue);
    const ordinary = (plan: QueueTracking) => this.#ordinary(request, edited, plan, inForce);
    return planning instanceof Promise ? planning.then(ordinary) : ordinary(planning);
  }

  #ordinary(request: RenderRequest, edited: Edited, plan: QueueTracking, { dkim }: InForce): Rendering {
    const facts = { ...request.envelope.facts, ...plan.flags };
    const signatures = signaturesFor(edited, request, dkim);
    const copy = (index: number): MaybeLater<Copy> => {
      const making = this.#make(edited.raw, { tracking: plan.order(index), signatures }, facts);
      if (making instanceof Promise)
        return making.then((made): Copy => ({ kind: 'ready', content: made, facts }));
      return { kind: 'ready', content: making, facts };
    };
    if (plan.isPerRecipient) return { perRecipient: true, copy };
    let same: MaybeLater<Copy> | null = null;
    return {
      perRecipient: false,
      copy: () => {
        same ??= copy(0);
        return same;
      },
    };
  }

  /** Mail merge: each recipient's copy is a message of its own from the beginning (D17.6, D17.10). */
  #merged(request: RenderRequest, inForce: InForce): Rendering {
    const { envelope, content: stored, config, queue } = request;
    return {
      perRecipient: true,
      copy: async (index) => {
        const merged = mergedContent(envelope, index, stored);
        if (!merged) {
          return {
            kind: 'impossible',
            status: '5.6.0',
            text: 'the parts of the message cannot be put together',
          };
        }
        const facts = factsFor(envelope, index);
        const edited = this.#edit(merged, facts, request);
        const plan = await inForce.tracking.planFor(config, envelope, facts, edited.raw, queue);
        const signatures = signaturesFor(edited, request, inForce.dkim);
        const content = await this.#make(edited.raw, { tracking: plan.order(index), signatures }, facts);
        return { kind: 'ready', content, facts: { ...facts, ...plan.flags } };
      },
    };
  }

  /** Header fields taken out and added; what the message asks of its signature is read before that is taken out. */
  #edit(content: Buffer, facts: MessageFacts, { envelope, queue, settings }: RenderRequest): Edited {
    const mayAsk = settings.get('dkim-sign') !== 'no';
    const removes = envelope.removeHeaders.length + settings.get('remove-header').length > 0;
    // Most messages go out as they came in, and need not be read once more for that.
    if (!removes && !mayAsk && !mayAdd(envelope, settings))
      return { raw: content, asked: NOTHING_ASKED, header: null };
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
    if (!goes && append.length === 0) return { raw: content, asked, header };
    return { raw: editHeaders(content, { remove, append }), asked, header: null };
  }

  #make(raw: Buffer, order: Omit<CopyOrder, 'now'>, facts: MessageFacts): MaybeLater<Buffer> {
    if (!order.tracking && order.signatures.length === 0) return raw;
    const made = ({ content, faults }: MadeCopy) => {
      for (const { key, error } of faults) {
        this.#log.error(`message ${facts.spoolId} goes without the DKIM signature ${key}: ${error}`);
      }
      return content;
    };
    const making = this.#work.make(raw, { ...order, now: this.#clock.now() });
    return making instanceof Promise ? making.then(made) : made(making);
  }
}

/** The message as everybody gets it, before links and signatures. */
interface Edited {
  readonly raw: Buffer;
  readonly asked: DkimRequest;
  /** Of `raw`; null where it has not been read. */
  readonly header: Header | null;
}

function signaturesFor(
  { raw, asked, header }: Edited,
  request: RenderRequest,
  dkim: DkimSigner,
): DkimSettings[] {
  if (!signs(request)) return [];
  return dkim.choose(header ?? new Header(raw), request.settings, request.queue.vmta, asked);
}

function signs({ settings }: RenderRequest): boolean {
  return settings.get('dkim-sign') !== 'no' || settings.get('second-dkim-sign') !== 'no';
}
