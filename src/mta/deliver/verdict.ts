/** What the replies of one transaction, and the queue's rules about them, mean for each recipient and the connection. */
import type { Config, Settings } from '../../config/index.ts';
import type { StatusFacts } from '../../events/outcome.ts';
import { positive, type SendResult, type SmtpReply } from '../../smtp/index.ts';
import { type Effects, NO_EFFECTS, type ReplyRules } from './reply-rules.ts';
import { localStatus, statusOfReply } from './status.ts';
import type { RecipientResult } from './transaction.ts';

/** What becomes of the connection after a transaction, the gravest first. */
export type Leave =
  /** Everything in the queue bounces. */
  | { readonly kind: 'bounce-queue'; readonly status: StatusFacts }
  | {
      readonly kind: 'defer-queue';
      readonly status: StatusFacts;
      readonly error: string;
      /** The queue's other connections end too: a rule said so. */
      readonly stopOpen: boolean;
    }
  /** This host is given up, the next one may be better. */
  | { readonly kind: 'next-mx'; readonly status: StatusFacts; readonly error: string }
  /** The connection ends, without fault of the queue. */
  | { readonly kind: 'close' };

export interface Verdict {
  /** One for each recipient in order; `broken-off`: it stays queued, and this try says nothing about it. */
  readonly results: readonly RecipientResult[];
  /** Null: the connection may go on. */
  readonly leave: Leave | null;
}

const GRAVITY: readonly Leave['kind'][] = ['bounce-queue', 'defer-queue', 'next-mx', 'close'];

export interface VerdictContext {
  readonly rules: ReplyRules;
  readonly settings: Settings<'domain'>;
  readonly config: Config;
  /** The greeting had ten asterisks or more: a PIX firewall stands before the host. */
  readonly behindPix: boolean;
}

export function judge(sent: SendResult, context: VerdictContext): Verdict {
  return new Judgement(sent, context).verdict();
}

class Judgement {
  readonly #sent: SendResult;
  readonly #context: VerdictContext;
  /** Each reply is looked at once, however many recipients it decides about. */
  readonly #judged = new Map<SmtpReply, RecipientResult>();
  #leave: Leave | null = null;

  constructor(sent: SendResult, context: VerdictContext) {
    this.#sent = sent;
    this.#context = context;
  }

  verdict(): Verdict {
    const { mail, recipients, data, lost } = this.#sent;
    const unanswered = lost ? this.#ofLoss(lost) : ({ kind: 'broken-off' } as const);
    const results = recipients.map((rcpt): RecipientResult => {
      // What is neither 2xx nor 5xx promises nothing: a 3xx where none belongs is no delivery.
      const decisive = mail && !positive(mail) ? mail : rcpt && !positive(rcpt) ? rcpt : data;
      if (decisive) return this.#ofReply(decisive, decisive === rcpt);
      // A message whose transfer broke was under way only for those who had been accepted.
      return positive(rcpt) ? unanswered : { kind: 'broken-off' };
    });
    return { results, leave: this.#leave };
  }

  #ofReply(reply: SmtpReply, toRcpt: boolean): RecipientResult {
    let result = this.#judged.get(reply);
    if (!result) {
      result = this.#judgeReply(reply, toRcpt);
      this.#judged.set(reply, result);
    }
    return result;
  }

  #judgeReply(reply: SmtpReply, toRcpt: boolean): RecipientResult {
    const { rules, settings, config } = this.#context;
    const effects = rules.ofReply(reply, toRcpt);
    const status = statusOfReply(reply, config, {
      rcptOf553: toRcpt && settings.get('smtp-553-means-invalid-mailbox'),
      hide421: settings.get('replace-smtp-421-service-response'),
    });
    const gone = reply.code === 421 && settings.get('smtp-421-means-mx-unavailable');
    this.#note(gone ? { ...effects, skipMx: effects.skipMx || !effects.bounceQueue } : effects, status);
    if (positive(reply)) return { kind: 'delivered', status };
    if (effects.bounceQueue) return { kind: 'refused', status: rules.bouncedQueue(asPermanent(status)) };
    if (effects.bounceRcpt) return { kind: 'refused', status: rules.bounced(asPermanent(status)) };
    if (effects.skipMx || gone) return { kind: 'broken-off' };
    return { kind: reply.code < 500 ? 'deferred' : 'refused', status };
  }

  /** The connection was lost: what that means for recipients that were accepted and have no final reply. */
  #ofLoss(lost: NonNullable<SendResult['lost']>): RecipientResult {
    const { rules, settings, config, behindPix } = this.#context;
    const effects = rules.ofError(lost.error);
    const status = localStatus('4.4.2', 'bad connection', config);
    this.#note(effects, status, `${status.statusText}: ${lost.error}`);
    if (effects.bounceQueue) return { kind: 'refused', status: rules.bouncedQueue(asPermanent(status)) };
    if (lost.stage === 'final' && settings.get('assume-delivery-upon-data-termination-timeout')) {
      return {
        kind: 'delivered',
        status: localStatus('2.0.0', 'delivery assumed, the final reply is missing', config),
      };
    }
    const broke = lost.stage === 'content' || lost.stage === 'final';
    const bounces =
      settings.get('bounce-upon-transfer-failure') ||
      (behindPix && settings.get('bounce-upon-pix-transfer-failure'));
    if (!broke || !bounces) return { kind: 'broken-off' };
    return { kind: 'refused', status: localStatus('5.4.2', 'bad connection', config) };
  }

  #note(effects: Effects, status: StatusFacts, words = status.statusText): void {
    if (effects === NO_EFFECTS) return;
    const error = status.diagnostic.replace(/^smtp;/, '') || words;
    if (effects.bounceQueue) {
      const bounced = this.#context.rules.bouncedQueue(asPermanent(status));
      this.#keep({ kind: 'bounce-queue', status: bounced });
    }
    if (effects.deferQueue) {
      this.#keep({ kind: 'defer-queue', status: asTemporary(status), error, stopOpen: true });
    }
    if (effects.skipMx) this.#keep({ kind: 'next-mx', status: asTemporary(status), error });
    if (effects.sourceLost) this.#keep({ kind: 'close' });
  }

  #keep(leave: Leave): void {
    if (this.#leave && GRAVITY.indexOf(this.#leave.kind) <= GRAVITY.indexOf(leave.kind)) return;
    this.#leave = leave;
  }
}

/** The same words with the class of a failure that is final. */
export function asPermanent(status: StatusFacts): StatusFacts {
  return { ...status, status: status.status.replace(/^[234]/, '5') };
}

/** The same words with the class of a failure that may pass. */
export function asTemporary(status: StatusFacts): StatusFacts {
  return { ...status, status: status.status.replace(/^[235]/, '4') };
}
