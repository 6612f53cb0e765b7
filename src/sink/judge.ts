import { createHash } from 'node:crypto';
import type { Reply } from '../smtp/reply.ts';
import type { Clock } from '../system/clock.ts';
import { draw } from './draw.ts';
import { decideAtRcpt, type Rates } from './model.ts';
import { fillReply, pickReply, type ReplyFacts } from './replies.ts';
import type { Selection } from './selection.ts';
import type { Tally } from './tally.ts';

/** What the sink does with a recipient when the sender asks. */
export type Verdict =
  | { readonly kind: 'take' }
  | {
      readonly kind: 'refuse';
      readonly stage: 'rcpt' | 'data' | 'dot';
      readonly reply: Reply;
      readonly attempt: number;
    }
  | { readonly kind: 'drop'; readonly stage: 'rcpt' | 'data' | 'dot' }
  /** Take the content and never answer the final dot. */
  | { readonly kind: 'hang' };

export interface JudgeOptions {
  readonly seed: number;
  readonly rates: Rates;
  readonly timeScale: number;
  readonly clock: Clock;
  /** Milliseconds (before scaling) for which a greylisted sender must wait. */
  readonly greylistDelay: number;
  /** Messages a minute that `ratelimit` takes from one client. */
  readonly perMinute: number;
}

export interface RcptFacts {
  readonly selection: Selection;
  readonly from: string;
  readonly rcpt: string;
  readonly envid: string;
  readonly client: string;
  readonly helo: string;
  /** Bytes announced with SIZE, if any. */
  readonly size: number | undefined;
}

const TAKE: Verdict = { kind: 'take' };
const MOST_GREYLISTED = 100_000;
const MOST_CLIENTS = 10_000;

/** Decides at RCPT, by label, command or chance, what happens to a recipient. */
export class Judge {
  readonly #options: JudgeOptions;
  readonly #tally: Tally;
  readonly #greylist = new Map<string, number>();
  readonly #minutes = new Map<string, { minute: number; taken: number }>();

  constructor(options: JudgeOptions, tally: Tally) {
    this.#options = options;
    this.#tally = tally;
  }

  judge(facts: RcptFacts): Verdict {
    const { selection, from, rcpt } = facts;
    const attempt = this.#tally.attempted(from, rcpt);
    const refuse = (code: number, enhanced: string, text: string, stage: 'rcpt' | 'data' | 'dot' = 'rcpt') =>
      ({
        kind: 'refuse',
        stage,
        reply: fillReply(code, enhanced, text, replyFacts(facts)),
        attempt,
      }) satisfies Verdict;
    const question = (purpose: string) =>
      draw(
        this.#options.seed,
        selection.commands.seed || `${facts.envid}\0${from}\0${rcpt}\0${attempt}`,
        purpose,
      );

    const { commands } = selection;
    if (commands.code > 0) {
      const inTime = commands.attempts === 0 || attempt <= commands.attempts;
      if (inTime && question('command') * 100 < commands.percent) {
        const temporary = commands.code < 500;
        return refuse(
          commands.code,
          commands.enhanced || (temporary ? '4.2.0' : '5.2.0'),
          commands.text || (temporary ? 'Deferred as asked for' : 'Refused as asked for'),
          commands.stage,
        );
      }
    }
    switch (selection.label) {
      case 'bounce':
        return refuse(550, '5.1.1', '<{{to}}>: recipient address rejected: user unknown');
      case 'block':
        return refuse(554, '5.7.1', 'Message from {{ip}} blocked: it looks like spam to our policy');
      case 'full':
        return refuse(552, '5.2.2', '<{{to}}>: mailbox full, over quota');
      case 'toolarge':
        return refuse(
          552,
          '5.3.4',
          'Message too large: it exceeds the size limit of this mailbox',
          facts.size === undefined ? 'dot' : 'rcpt',
        );
      case 'defer':
        return attempt <= selection.deferrals
          ? refuse(451, '4.7.1', '<{{to}}>: deferred, try again later')
          : TAKE;
      case 'greylist':
        return this.#isGreylisted(facts)
          ? refuse(451, '4.7.1', '<{{to}}>: greylisted, try again later')
          : TAKE;
      case 'ratelimit':
        return this.#isOverRate(facts.client)
          ? refuse(421, '4.7.0', 'Too many messages from {{ip}}, try again later')
          : TAKE;
      case 'drop-rcpt':
        return { kind: 'drop', stage: 'rcpt' };
      case 'drop-data':
        return { kind: 'drop', stage: 'data' };
      case 'drop-dot':
        return { kind: 'drop', stage: 'dot' };
      case 'timeout':
        return { kind: 'hang' };
      case 'mix': {
        const chance = decideAtRcpt(this.#options.rates, question);
        if (chance === 'take') return TAKE;
        const entry = pickReply(selection.provider, chance, question('reply'));
        return refuse(entry.code, entry.enhanced, entry.text);
      }
      default:
        return TAKE;
    }
  }

  reset(): void {
    this.#greylist.clear();
    this.#minutes.clear();
  }

  #isGreylisted({ client, from, rcpt }: RcptFacts): boolean {
    const { clock, timeScale, greylistDelay } = this.#options;
    const net = client.includes(':')
      ? client.split(':').slice(0, 4).join(':')
      : client.split('.').slice(0, 3).join('.');
    const key = `${net}\0${from}\0${rcpt}`;
    const first = this.#greylist.get(key);
    if (first === undefined) {
      this.#greylist.set(key, clock.now());
      for (const oldest of this.#greylist.keys()) {
        if (this.#greylist.size <= MOST_GREYLISTED) break;
        this.#greylist.delete(oldest);
      }
      return true;
    }
    return clock.now() < first + (timeScale > 0 ? greylistDelay / timeScale : 0);
  }

  #isOverRate(client: string): boolean {
    const minute = Math.floor(this.#options.clock.now() / 60_000);
    const known = this.#minutes.get(client);
    if (known?.minute === minute) return ++known.taken > this.#options.perMinute;
    this.#minutes.delete(client);
    this.#minutes.set(client, { minute, taken: 1 });
    for (const oldest of this.#minutes.keys()) {
      if (this.#minutes.size <= MOST_CLIENTS) break;
      this.#minutes.delete(oldest);
    }
    return false;
  }
}

function replyFacts({ rcpt, from, client, helo }: RcptFacts): ReplyFacts {
  const token = createHash('sha1').update(`${from}\0${rcpt}`).digest('hex').slice(0, 16);
  return { to: rcpt, from, ip: client, helo, token };
}
