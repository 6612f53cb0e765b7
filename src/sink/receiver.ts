import { randomBytes } from 'node:crypto';
import { domainToAscii } from '../mail/address.ts';
import type {
  Answer,
  Envelope,
  RcptCommand,
  ReceivedMessage,
  Reply,
  SmtpServerHandlers,
  SmtpServerSession,
} from '../smtp/index.ts';
import { reply } from '../smtp/reply.ts';
import type { Clock } from '../system/clock.ts';
import type { Log } from '../system/log.ts';
import { draw } from './draw.ts';
import { headerRefusal } from './header-command.ts';
import type { Judge, Verdict } from './judge.ts';
import type { Ledger } from './ledger.ts';
import type { MailFiles } from './mail-files.ts';
import type { Rates } from './model.ts';
import { makePlan } from './plan.ts';
import { ReceivedMail } from './received.ts';
import type { Accepted, LedgerRecord, Refused } from './records.ts';
import { replyText } from './replies.ts';
import { type Selection, select } from './selection.ts';
import type { Tally } from './tally.ts';

export interface ReceiverOptions {
  /** Lower case; mail for it and every name below it is taken. */
  readonly domain: string;
  readonly seed: number;
  readonly rates: Rates;
  readonly timeScale: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly judge: Judge;
  readonly tally: Tally;
  readonly ledger: Ledger;
  readonly files: MailFiles;
  /** Obey `X-Bounce-Me` in messages. */
  readonly allowHeaderCommands: boolean;
  readonly mayFetch: (url: string) => boolean;
  /** A copy was accepted and its sender has (or will have) heard so. */
  readonly accepted: (record: Accepted, mail: ReceivedMail) => void;
}

/** How long `timeout` keeps silent: longer than any sender waits for the answer to the final dot (RFC 5321: 10 min). */
const SILENCE = 20 * 60_000;
/** How long `slow` takes over each answer, before scaling. */
const SLOWNESS = 1000;

interface Judged {
  readonly selection: Selection;
  readonly verdict: Verdict;
  /** Domain in lower case. */
  readonly address: string;
}

/** The sink's side of an SMTP conversation: asks the judge, writes the ledger, and only then answers. */
export function createReceiver(options: ReceiverOptions): SmtpServerHandlers & { release(): void } {
  const receiver = new Receiver(options);
  return {
    onRcpt: (rcpt, session) => receiver.onRcpt(rcpt, session),
    onData: (envelope, session) => receiver.onData(envelope, session),
    onMessage: (message, session) => receiver.onMessage(message, session),
    onClose: (_why, session) => receiver.onClose(session),
    /** Ends all waits, so that sessions kept waiting can close. */
    release: () => receiver.release(),
  };
}

class Receiver {
  readonly #options: ReceiverOptions;
  /** The verdict on each recipient of the transactions that are open now. */
  readonly #judged = new WeakMap<RcptCommand, Judged>();
  /** Ends the wait of a session that is being kept waiting. */
  readonly #waits = new Map<SmtpServerSession, () => void>();
  readonly #start = randomBytes(3).toString('hex');
  #count = 0;

  constructor(options: ReceiverOptions) {
    this.#options = options;
  }

  async onRcpt(rcpt: RcptCommand, session: SmtpServerSession): Promise<Answer> {
    const { domain, judge } = this.#options;
    const from = session.envelope?.from;
    const asked = domainToAscii(rcpt.domain) ?? '';
    if (asked !== domain && !asked.endsWith(`.${domain}`)) {
      return this.#denyRelay(rcpt, session);
    }
    const selection = select(rcpt.localPart, asked, domain);
    const address = `${rcpt.localPart}@${asked}`;
    const verdict = judge.judge({
      selection,
      from: from?.address ?? '',
      rcpt: address,
      envid: from?.params.envid ?? '',
      client: session.remoteAddress,
      helo: session.heloName,
      size: from?.params.size,
    });
    this.#judged.set(rcpt, { selection, verdict, address });
    if (selection.label === 'slow') await this.#wait(session, this.#scaled(SLOWNESS));
    if (verdict.kind === 'refuse' && verdict.stage === 'rcpt') {
      await this.#record([this.#refusal(verdict, rcpt, from?.address ?? '', session)]);
      return verdict.reply;
    }
    if (verdict.kind === 'drop' && verdict.stage === 'rcpt')
      return this.#drop('rcpt', [rcpt], from?.address ?? '', session);
    return null;
  }

  async onData(envelope: Envelope, session: SmtpServerSession): Promise<Answer> {
    return this.#answerAll('data', envelope, session);
  }

  async onMessage(message: ReceivedMessage, session: SmtpServerSession): Promise<Answer> {
    const { recipients } = message.envelope;
    const answer = await this.#answerAll('dot', message.envelope, session);
    if (answer) return answer;
    if (recipients.some((rcpt) => this.#judged.get(rcpt)?.selection.label === 'slow')) {
      await this.#wait(session, this.#scaled(SLOWNESS));
    }
    if (this.#has(recipients, (verdict) => verdict.kind === 'hang')) {
      await this.#drop('dot', recipients, message.envelope.from.address, session);
      await this.#wait(session, SILENCE);
      return 'drop';
    }
    const mail = new ReceivedMail(message.content);
    return (
      (await this.#answerByHeader(mail, message.envelope, session)) ?? this.#take(mail, message, session)
    );
  }

  onClose(session: SmtpServerSession): void {
    this.#waits.get(session)?.();
  }

  release(): void {
    for (const end of [...this.#waits.values()]) end();
  }

  /** A header speaks for the message, so it hits every recipient of the transaction. */
  async #answerByHeader(mail: ReceivedMail, envelope: Envelope, session: SmtpServerSession): Promise<Answer> {
    const { allowHeaderCommands, seed, tally } = this.#options;
    if (!allowHeaderCommands) return null;
    const from = envelope.from.address;
    const attempt = Math.max(
      ...envelope.recipients.map((rcpt) => tally.attemptsBy(from, this.#judgedOf(rcpt).address)),
    );
    const refusal = headerRefusal(mail.header, () =>
      draw(seed, `${mail.messageId}\0${attempt}`, 'x-bounce-me'),
    );
    if (!refusal) return null;
    const verdict = { stage: 'dot', reply: refusal, attempt } as const;
    await this.#record(envelope.recipients.map((rcpt) => this.#refusal(verdict, rcpt, from, session)));
    return refusal;
  }

  async #take(mail: ReceivedMail, message: ReceivedMessage, session: SmtpServerSession): Promise<Answer> {
    const { tally, files, log } = this.#options;
    const { recipients } = message.envelope;
    const transaction = this.#name();
    const ok = reply(250, '2.0.0', `Ok: taken as ${transaction}`);
    // The sender of `drop-dot` hears nothing the first time, so that it sends the same message again.
    const silent =
      this.#has(recipients, (verdict) => verdict.kind === 'drop' && verdict.stage === 'dot') &&
      recipients.some((rcpt) => !tally.wasAccepted(mail.messageId, this.#judged.get(rcpt)?.address ?? ''));
    const claimed: string[] = [];
    const records = recipients.map((rcpt, n) => {
      const judged = this.#judgedOf(rcpt);
      const first = tally.claim(mail.messageId, judged.address);
      if (first) claimed.push(judged.address);
      return this.#acceptance(mail, message, session, judged, {
        id: `${transaction}.${n + 1}`,
        first,
        reply: silent ? '' : replyText(ok),
        orcpt: rcpt.params.orcpt?.address ?? '',
      });
    });
    try {
      for (const record of records) {
        if (record.plan.some((action) => action.url === ''))
          await files.keepOriginal(record.id, mail.content);
      }
      await files.keep(transaction, mail.content);
      await this.#record(records);
    } catch (error) {
      for (const address of claimed) tally.unclaim(mail.messageId, address);
      log.error('a message could not be stored', { reason: (error as Error).message });
      return reply(452, '4.3.1', 'The sink can not write to its disk, try again later');
    }
    for (const record of records) this.#options.accepted(record, mail);
    return silent ? 'drop' : ok;
  }

  #acceptance(
    mail: ReceivedMail,
    message: ReceivedMessage,
    session: SmtpServerSession,
    { selection, address }: Judged,
    given: { id: string; first: boolean; reply: string; orcpt: string },
  ): Accepted {
    const { clock, seed, rates, timeScale, mayFetch } = this.#options;
    const now = clock.now();
    const from = message.envelope.from.address;
    const plan = given.first
      ? makePlan({
          selection,
          rates,
          seed,
          fingerprint: `${mail.messageId}\0${address}`,
          html: () => mail.links(),
          oneClick: mail.oneClick,
          mayFetch,
          now,
          timeScale,
        })
      : { actions: [], trap: false, foreignImages: 0, foreignLinks: 0 };
    // Nobody answers the null sender or a machine: that is how mail loops begin (RFC 5321 section 4.5.5, RFC 3834).
    const actions =
      from === '' || mail.isAutomatic ? plan.actions.filter((action) => action.url !== '') : plan.actions;
    return {
      k: 'accepted',
      id: given.id,
      at: now,
      mid: mail.messageId,
      rcpt: address,
      from,
      client: session.remoteAddress,
      label: selection.label,
      provider: selection.provider,
      reply: given.reply,
      size: mail.content.length,
      envid: message.envelope.from.params.envid ?? '',
      orcpt: given.orcpt,
      tls: session.tls?.protocol ?? '',
      tag: selection.commands.tag,
      dup: !given.first,
      trap: plan.trap,
      foreignImages: plan.foreignImages,
      foreignLinks: plan.foreignLinks,
      plan: actions,
    };
  }

  /** A refusal or cut that one recipient asks for at this stage hits all of the transaction. */
  async #answerAll(stage: 'data' | 'dot', envelope: Envelope, session: SmtpServerSession): Promise<Answer> {
    const { recipients } = envelope;
    const from = envelope.from.address;
    for (const rcpt of recipients) {
      const { verdict } = this.#judgedOf(rcpt);
      if (verdict.kind === 'refuse' && verdict.stage === stage) {
        await this.#record(recipients.map((hit) => this.#refusal(verdict, hit, from, session)));
        return verdict.reply;
      }
      if (verdict.kind === 'drop' && verdict.stage === 'data' && stage === 'data') {
        return this.#drop('data', recipients, from, session);
      }
    }
    return null;
  }

  async #drop(
    stage: 'rcpt' | 'data' | 'dot',
    recipients: readonly RcptCommand[],
    from: string,
    session: SmtpServerSession,
  ): Promise<Answer> {
    await this.#record(
      recipients.map((rcpt) => {
        const { selection, address } = this.#judgedOf(rcpt);
        return {
          k: 'dropped',
          at: this.#options.clock.now(),
          stage,
          rcpt: address,
          from,
          client: session.remoteAddress,
          label: selection.label,
        };
      }),
    );
    return 'drop';
  }

  async #denyRelay(rcpt: RcptCommand, session: SmtpServerSession): Promise<Answer> {
    const denied = reply(550, '5.7.1', `<${rcpt.address}>: relaying denied`);
    await this.#record([
      {
        k: 'refused',
        at: this.#options.clock.now(),
        stage: 'rcpt',
        rcpt: rcpt.address,
        from: session.envelope?.from.address ?? '',
        client: session.remoteAddress,
        label: 'relay',
        provider: '',
        code: denied.code,
        reply: replyText(denied),
        attempt: 1,
        tag: '',
      },
    ]);
    return denied;
  }

  #refusal(
    verdict: { readonly stage: Refused['stage']; readonly reply: Reply; readonly attempt: number },
    rcpt: RcptCommand,
    from: string,
    session: SmtpServerSession,
  ): Refused {
    const { selection, address } = this.#judgedOf(rcpt);
    return {
      k: 'refused',
      at: this.#options.clock.now(),
      stage: verdict.stage,
      rcpt: address,
      from,
      client: session.remoteAddress,
      label: selection.label,
      provider: selection.provider,
      code: verdict.reply.code,
      reply: replyText(verdict.reply),
      attempt: verdict.attempt,
      tag: selection.commands.tag,
    };
  }

  async #record(records: readonly LedgerRecord[]): Promise<void> {
    await Promise.all(records.map((record) => this.#options.ledger.append(record)));
  }

  #has(recipients: readonly RcptCommand[], what: (verdict: Verdict) => boolean): boolean {
    return recipients.some((rcpt) => what(this.#judgedOf(rcpt).verdict));
  }

  #judgedOf(rcpt: RcptCommand): Judged {
    const judged = this.#judged.get(rcpt);
    if (!judged) throw new Error(`no verdict on ${rcpt.address}`);
    return judged;
  }

  /** Time in base 36, start of the program, running number: unique, and in order of time. */
  #name(): string {
    const time = this.#options.clock.now().toString(36).padStart(9, '0');
    this.#count++;
    return `${time}-${this.#start}-${this.#count.toString(36)}`;
  }

  #scaled(ms: number): number {
    return this.#options.timeScale > 0 ? ms / this.#options.timeScale : 0;
  }

  #wait(session: SmtpServerSession, ms: number): Promise<void> {
    if (ms <= 0 || session.closed) return Promise.resolve();
    return new Promise((resolve) => {
      const end = () => {
        cancel();
        this.#waits.delete(session);
        resolve();
      };
      const cancel = this.#options.clock.after(ms, end);
      this.#waits.set(session, end);
    });
  }
}
