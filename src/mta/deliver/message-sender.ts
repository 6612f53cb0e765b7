/** Sends one message to those of its recipients that the scheduler gave, and records what became of each. */
import type { Resolver } from '../../dns/index.ts';
import { encodeVerp } from '../../mail/address.ts';
import type { MaybeLater, Notify, OutgoingMessage, SendResult } from '../../smtp/index.ts';
import { positive } from '../../smtp/index.ts';
import type { Spool } from '../../spool/spool.ts';
import type { Envelope } from '../../spool/stored-message.ts';
import type { Clock } from '../../system/clock.ts';
import type { Log } from '../../system/log.ts';
import type { TrafficMeter } from '../monitor/traffic.ts';
import type { QueuedRecipient } from '../queue/queue.ts';
import type { Scheduler } from '../queue/scheduler.ts';
import type { Connected, RunFacts } from './host-connector.ts';
import { checkOwnSpf } from './outbound-spf.ts';
import type { OutcomeWriter } from './outcome-writer.ts';
import type { Copy, Renderer, Rendering } from './render.ts';
import type { ReplyRules } from './reply-rules.ts';
import { localStatus, plainStatus } from './status.ts';
import type { RecipientResult } from './transaction.ts';
import { judge, type Leave, type Verdict } from './verdict.ts';

export interface MessageSenderDeps {
  readonly scheduler: Scheduler;
  readonly spool: Spool;
  readonly outcomes: OutcomeWriter;
  readonly renderer: Renderer;
  readonly resolver: () => Resolver;
  readonly traffic: TrafficMeter;
  readonly clock: Clock;
  readonly log: Log;
}

export interface Sent {
  /** The connection is to be left, and why. */
  readonly leave: Leave | null;
  /** The connection broke within the message. `final`: after all of it was sent. */
  readonly lost: { readonly error: string; readonly final: boolean } | null;
}

/** What one connection could do for one message. */
export interface SentMessage extends Sent {
  /** In the order they came; still taken, and without an outcome: this try says nothing about them. */
  readonly rest: readonly QueuedRecipient[];
}

const NOTHING: Sent = { leave: null, lost: null };

const NEEDS = {
  SMTPUTF8: ['5.6.7', 'the next host does not take internationalised addresses'],
  '8BITMIME': ['5.6.3', 'the next host does not take 8-bit content'],
  SIZE: ['5.3.4', 'message too big for system'],
} as const;

/** RFC 6531: what needs SMTPUTF8 is the local part, for a domain has an ASCII form. */
const BEYOND_ASCII = /[^\u0000-\u007f]/;

interface Message {
  readonly envelope: Envelope;
  readonly rendering: Rendering | null;
}

export class MessageSender {
  readonly #deps: MessageSenderDeps;
  readonly #run: RunFacts;
  readonly #rules: ReplyRules;
  readonly #connected: Connected;
  readonly #behindPix: boolean;
  /** Taken from the scheduler, and neither recorded nor put back. */
  readonly #open = new Set<QueuedRecipient>();
  #errors = 0;
  /** Recipients delivered over this connection. */
  delivered = 0;

  constructor(deps: MessageSenderDeps, run: RunFacts, rules: ReplyRules, connected: Connected) {
    this.#deps = deps;
    this.#run = run;
    this.#rules = rules;
    this.#connected = connected;
    const greeting = connected.client.facts.greeting?.lines.join(' ') ?? '';
    this.#behindPix = greeting.split('*').length > 10;
  }

  /** `items`: recipients of one message, taken. On return each has an outcome or is among `rest`. */
  async send(items: readonly QueuedRecipient[]): Promise<SentMessage> {
    const { scheduler, spool, outcomes, clock, log } = this.#deps;
    const { queue } = this.#run.grant;
    for (const item of items) this.#open.add(item);
    try {
      const { spoolId } = items[0]!;
      const envelope = spool.envelope(spoolId);
      const content = spool.content(spoolId);
      if (!envelope || !content) {
        log.error('a queued message is not in the spool; its recipients are dropped', { id: spoolId });
        const status = localStatus('5.3.0', 'mail system-related failure', this.#run.config);
        outcomes.bounced(queue, this.#close(items), null, status);
        return { ...NOTHING, rest: [] };
      }
      const opening = this.#rendering(envelope, content);
      const rendering = opening instanceof Promise ? await opening : opening;
      const message = { envelope, rendering };
      const sent = await this.#sendMessage(message, items);
      return { ...sent, rest: items.filter((item) => this.#open.delete(item)) };
    } catch (error) {
      // A fault of ours: none of them may stay "in delivery" for ever.
      const rest = items.filter((item) => this.#open.delete(item));
      if (rest.length > 0) scheduler.putBack(queue, rest, clock.now());
      throw error;
    }
  }

  /** Says that these are about to be recorded. */
  #close(items: readonly QueuedRecipient[]): readonly QueuedRecipient[] {
    for (const item of items) this.#open.delete(item);
    return items;
  }

  #rendering(envelope: Envelope, content: Buffer): MaybeLater<Rendering | null> {
    const { settings, config, grant } = this.#run;
    const failed = (error: unknown) => {
      this.#logFault(envelope, error);
      return null;
    };
    try {
      const opening = this.#deps.renderer.open({ envelope, content, queue: grant.queue, settings, config });
      return opening instanceof Promise ? opening.catch(failed) : opening;
    } catch (error) {
      return failed(error);
    }
  }

  #logFault({ facts }: Envelope, error: unknown): void {
    const stack = error instanceof Error ? error.stack : String(error);
    this.#deps.log.error(`message ${facts.spoolId} could not be prepared: ${stack}`);
  }

  async #sendMessage(message: Message, items: readonly QueuedRecipient[]): Promise<Sent> {
    const { envelope, rendering } = message;
    // One transaction for all, unless each recipient gets content or a return path of its own.
    const alone = rendering?.perRecipient || envelope.verp === true;
    for (const group of alone ? items.map((item) => [item]) : [items]) {
      if (!this.#connected.client.usable) return NOTHING;
      const sent = await this.#transaction(message, this.#withoutUnreachable(envelope, group));
      if (sent.leave || sent.lost) return sent;
    }
    return NOTHING;
  }

  /** Bounces those whose address the host cannot take; the others are not kept from the message by it. */
  #withoutUnreachable(envelope: Envelope, group: readonly QueuedRecipient[]): readonly QueuedRecipient[] {
    if (this.#connected.client.offers('SMTPUTF8')) return group;
    const { recipients } = envelope;
    const needs = ({ index }: QueuedRecipient) => {
      const { address } = recipients[index]!;
      return BEYOND_ASCII.test(address.slice(0, address.lastIndexOf('@')));
    };
    const bounced = group.filter(needs);
    if (bounced.length === 0) return group;
    this.#bounce(bounced, NEEDS.SMTPUTF8);
    return group.filter((item) => !needs(item));
  }

  #bounce(items: readonly QueuedRecipient[], [status, text]: readonly [string, string]): void {
    const { grant, config } = this.#run;
    const result = localStatus(status, text, config);
    this.#deps.outcomes.bounced(grant.queue, this.#close(items), this.#connected.attempt, result);
  }

  async #transaction(message: Message, group: readonly QueuedRecipient[]): Promise<Sent> {
    const { envelope } = message;
    const { client } = this.#connected;
    const first = group[0];
    if (!first) return NOTHING;
    const making = this.#copy(message, first);
    const copy = making instanceof Promise ? await making : making;
    if (copy === null) {
      // The message stays; a fault of ours is no reason to lose it.
      this.#defer(envelope, group, '4.3.0', 'mail system-related failure');
      return NOTHING;
    }
    if (copy.kind === 'impossible') {
      this.#bounce(group, [copy.status, copy.text]);
      return NOTHING;
    }
    const out = this.#outgoing(envelope, copy, group);
    if (this.#run.settings.get('check-spf-outbound')) {
      if (!(await this.#maySend(envelope, out.from, group))) return NOTHING;
    }
    if (!client.usable) return NOTHING;
    const sent = await client.send(out);
    // Nothing is known of the host or the recipients by that: they go back as if untried.
    if (sent.lost?.code === 'EINTERRUPTED') return { leave: { kind: 'close' }, lost: null };
    if (sent.needs) {
      this.#bounce(group, NEEDS[sent.needs]);
      return NOTHING;
    }
    return this.#record({ ...envelope, facts: copy.facts }, group, sent, copy.content.length);
  }

  #copy({ envelope, rendering }: Message, item: QueuedRecipient): MaybeLater<Copy | null> {
    if (!rendering) return null;
    const failed = (error: unknown) => {
      this.#logFault(envelope, error);
      return null;
    };
    try {
      const copy = rendering.copy(item.index);
      return copy instanceof Promise ? copy.catch(failed) : copy;
    } catch (error) {
      return failed(error);
    }
  }

  #outgoing(
    envelope: Envelope,
    { content, facts }: Extract<Copy, { kind: 'ready' }>,
    group: readonly QueuedRecipient[],
  ): OutgoingMessage {
    const recipients = group.map(({ index }) => envelope.recipients[index]!);
    const verp =
      envelope.verp && facts.sender !== '' ? encodeVerp(facts.sender, recipients[0]!.address) : null;
    const ret = { '': undefined, full: 'FULL', headers: 'HDRS' } as const;
    return {
      from: verp ?? facts.sender,
      params: {
        ...(envelope.eightBit ? { body: '8BITMIME' as const } : {}),
        ...(envelope.smtpUtf8 ? { smtputf8: true } : {}),
        ...(envelope.returnContent ? { ret: ret[envelope.returnContent] } : {}),
        ...(facts.envId ? { envid: facts.envId } : {}),
        size: content.length,
      },
      recipients: recipients.map(({ address, notify, originalRecipient }) => ({
        address,
        params: {
          ...(notify.length > 0 ? { notify: notify.map((word) => word.toUpperCase() as Notify) } : {}),
          ...(originalRecipient ? { orcpt: orcptOf(originalRecipient) } : {}),
        },
      })),
      content,
      separateDot: this.#behindPix && this.#run.settings.get('pix-bug-workaround'),
    };
  }

  /** `check-spf-outbound`: false when the message may not go out now; its recipients have their outcome then. */
  async #maySend(envelope: Envelope, from: string, group: readonly QueuedRecipient[]): Promise<boolean> {
    const { source, attempt, heloName } = this.#connected;
    if (source === null) {
      const { name } = this.#run.grant.queue;
      this.#deps.log.error(`${name}: check-spf-outbound needs smtp-source-host in its VMTA`);
      this.#defer(envelope, group, '4.3.5', 'system incorrectly configured');
      return false;
    }
    const verdict = await checkOwnSpf(this.#deps.resolver(), from, attempt.sourceIp, heloName);
    if (verdict.kind === 'send') return true;
    if (verdict.kind === 'later') this.#defer(envelope, group, '4.7.24', verdict.text);
    else this.#bounce(group, ['5.7.23', verdict.text]);
    return false;
  }

  #defer(envelope: Envelope, items: readonly QueuedRecipient[], status: string, text: string): void {
    const { grant, config } = this.#run;
    const result: RecipientResult = { kind: 'deferred', status: localStatus(status, text, config) };
    const tried = this.#close(items).map((item) => ({ item, result }));
    this.#deps.outcomes.attempted(grant.queue, envelope, tried, this.#connected.attempt, 0);
  }

  /** The remote host has answered: from here on nothing may keep the answer from being written down. */
  #record(envelope: Envelope, group: readonly QueuedRecipient[], sent: SendResult, size: number): Sent {
    const { outcomes, traffic, scheduler, clock, log } = this.#deps;
    const { grant, settings } = this.#run;
    const { results, leave } = this.#judged(sent);
    const tried = group.map((item, n) => ({ item, result: results[n]! }));
    const answered = tried.filter(({ result }) => result.kind !== 'broken-off');
    const taken = answered.filter(({ result }) => result.kind === 'delivered').length;
    if (answered.length > 0) {
      this.#close(answered.map(({ item }) => item));
      outcomes.attempted(grant.queue, envelope, answered, this.#connected.attempt, size);
    }
    if (taken > 0) {
      this.delivered += taken;
      traffic.add('out', taken, sent.bytes, clock.now());
      scheduler.transferred(grant.id, sent.bytes, clock.now());
    }
    const { lost } = sent;
    if (lost && settings.get('log-transfer-failures') && lost.stage !== 'mail' && lost.stage !== 'rcpt') {
      log.warn(`${grant.queue.name}: transfer of message ${envelope.facts.spoolId} broke: ${lost.error}`);
    }
    this.#errors += sent.recipients.filter((reply) => reply && !positive(reply)).length;
    const enough = this.#errors >= settings.get('max-errors-per-connection');
    // A break that decided about each of them (a bounce, an assumed delivery) is told by that, and is no failure of
    // the queue besides.
    const broke = lost?.stage === 'content' || lost?.stage === 'final';
    const told = broke && answered.length === tried.length;
    return {
      leave: leave ?? (enough || told ? { kind: 'close' } : null),
      lost: lost && { error: lost.error, final: lost.stage === 'final' },
    };
  }

  #judged(sent: SendResult): Verdict {
    const { settings, config } = this.#run;
    try {
      return judge(sent, { rules: this.#rules, settings, config, behindPix: this.#behindPix });
    } catch (error) {
      // A fault of ours must not make a message that was taken go out again.
      this.#deps.log.error(`replies could not be judged: ${(error as Error).stack ?? error}`);
      const results = sent.recipients.map((rcpt): RecipientResult => {
        if (!positive(sent.mail) || !positive(rcpt) || !positive(sent.data)) return { kind: 'broken-off' };
        return { kind: 'delivered', status: plainStatus(sent.data!) };
      });
      const status = localStatus('4.3.0', 'mail system-related failure', config);
      return {
        results,
        leave: { kind: 'defer-queue', status, error: 'internal fault, see the log', stopOpen: false },
      };
    }
  }
}

/** Kept without its type, which the address shows: `rfc822` nearly always. */
function orcptOf(original: string): { type: string; address: string } {
  const typed = /^(utf-8);(.*)$/is.exec(original);
  if (typed) return { type: typed[1]!, address: typed[2]! };
  return {
    type: /[^\u0000-\u007f]|\\x\{[0-9A-F]+\}/i.test(original) ? 'utf-8' : 'rfc822',
    address: original,
  };
}
