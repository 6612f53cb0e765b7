/**
 * The rules of a queue's `smtp-pattern-list` (delivery guide, section 8): looks at what remote hosts say, and at the
 * words of socket errors. Switching the mode and disabling source addresses happens here; what concerns recipients and
 * the connection is told to the caller.
 */
import { actionsFor, type Config, type ReplyActions, type Settings } from '../../config/index.ts';
import type { StatusFacts } from '../../events/outcome.ts';
import { positive, replyText, type SmtpReply } from '../../smtp/index.ts';
import type { Clock } from '../../system/clock.ts';
import type { Log } from '../../system/log.ts';
import type { Queue } from '../queue/queue.ts';
import type { Scheduler } from '../queue/scheduler.ts';

/** What the caller has to do. */
export interface Effects {
  /** Give this host up, go to the next; who was refused stays queued. */
  readonly skipMx: boolean;
  readonly bounceQueue: boolean;
  /** Bounce the recipient whose RCPT this answered; only ever set for 4xx to RCPT. */
  readonly bounceRcpt: boolean;
  readonly deferQueue: boolean;
  /** The connection's own address may not be used any more. */
  readonly sourceLost: boolean;
}

export const NO_EFFECTS: Effects = {
  skipMx: false,
  bounceQueue: false,
  bounceRcpt: false,
  deferQueue: false,
  sourceLost: false,
};

/** Texts whose rules are remembered; hosts that say something new to every recipient make it begin anew. */
const MOST_REMEMBERED = 100;

export interface ReplyRulesDeps {
  readonly scheduler: Pick<Scheduler, 'setMode' | 'disableSource'>;
  readonly clock: Clock;
  readonly log: Log;
}

/** The rules of one queue, for the time of one run. */
export class ReplyRules {
  readonly #deps: ReplyRulesDeps;
  readonly #queue: Queue;
  readonly #settings: Settings<'domain'>;
  readonly #list: Parameters<typeof actionsFor>[0] | null;
  readonly #known = new Map<string, ReplyActions | null>();
  /** The local address of the present connection; '' when the system chose it. */
  source = '';

  constructor(deps: ReplyRulesDeps, queue: Queue, config: Config, settings: Settings<'domain'>) {
    this.#deps = deps;
    this.#queue = queue;
    this.#settings = settings;
    const name = settings.get('smtp-pattern-list');
    this.#list = (name && config.smtpPatternLists.get(name.toLowerCase())) || null;
  }

  /** Name of the list, for people; '' when the queue has none. */
  get name(): string {
    return this.#settings.get('smtp-pattern-list') ?? '';
  }

  /** A reply of the remote host. `toRcpt`: it answered RCPT. */
  ofReply(reply: SmtpReply, toRcpt: boolean): Effects {
    const text = replyText(reply);
    const actions = this.#actions(text);
    if (!actions) return NO_EFFECTS;
    if (positive(reply)) {
      // Words of consent hold ids that may look like anything: they can only end the backoff mode.
      if (actions.mode === 'normal') this.#switch('normal', text);
      return NO_EFFECTS;
    }
    return this.#apply(actions, text, toRcpt && reply.code < 500);
  }

  /** The words of a socket error: `connection refused`. */
  ofError(words: string): Effects {
    const actions = this.#actions(words);
    return actions ? this.#apply(actions, words, false) : NO_EFFECTS;
  }

  /** A status of those who bounce because a rule said so for the whole queue. */
  bouncedQueue(status: StatusFacts): StatusFacts {
    return { ...status, byRule: `queue bounced by smtp-pattern-list ${this.name}` };
  }

  /** The same for one recipient. */
  bounced(status: StatusFacts): StatusFacts {
    return { ...status, byRule: `bounced by smtp-pattern-list ${this.name}` };
  }

  #actions(text: string): ReplyActions | null {
    if (!this.#list) return null;
    let actions = this.#known.get(text);
    if (actions === undefined) {
      if (this.#known.size >= MOST_REMEMBERED) this.#known.clear();
      actions = actionsFor(this.#list, text);
      this.#known.set(text, actions);
    }
    return actions;
  }

  #apply(actions: ReplyActions, text: string, mayBounceRcpt: boolean): Effects {
    if (actions.mode) this.#switch(actions.mode, text);
    return {
      skipMx: actions.skipMx,
      bounceQueue: actions.bounceQueue,
      bounceRcpt: actions.bounceRcpt && mayBounceRcpt,
      deferQueue: actions.deferQueue,
      sourceLost: actions.disableSourceIp && this.#disable(actions.reenableAfter, text),
    };
  }

  #switch(mode: 'normal' | 'backoff', text: string): void {
    const { scheduler, clock } = this.#deps;
    scheduler.setMode(this.#queue, mode, this.#why(text), clock.now());
  }

  /** Whether the address of this connection was disabled. */
  #disable(reenableAfter: number | null, text: string): boolean {
    const { scheduler, clock, log } = this.#deps;
    if (this.source === '') {
      log.warn(`${this.#queue.name}: disable-source-ip without effect: the VMTA names no source address`);
      return false;
    }
    const now = clock.now();
    const after = reenableAfter ?? this.#settings.get('reenable-source-ip-after');
    const until = Number.isFinite(after) ? now + after : null;
    scheduler.disableSource(this.#queue, this.source, until, this.#why(text), now);
    return true;
  }

  #why(text: string): string {
    return `smtp-pattern-list ${this.name} matches "${text}"`;
  }
}
