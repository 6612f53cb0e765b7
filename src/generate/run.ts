import type { SmtpClient } from '../smtp/client.ts';
import type { ConnectOptions } from '../smtp/client-types.ts';
import { positive } from '../smtp/client-types.ts';
import { connectSmtp } from '../smtp/connect.ts';
import { replyText, type SmtpReply } from '../smtp/reply-reader.ts';
import type { Clock } from '../system/clock.ts';
import type { Log } from '../system/log.ts';
import { Histogram } from './histogram.ts';
import { type GeneratedMessage, type MessageSource, makeMessage } from './message.ts';
import type { LedgerLine, MessageOutcome } from './run-ledger.ts';
import { type Job, Schedule } from './schedule.ts';

export interface RunOptions {
  readonly source: MessageSource;
  /** Where to submit, and how: address, TLS, user. */
  readonly server: ConnectOptions;
  readonly connections: number;
  readonly messagesPerConnection: number;
  /** Messages to submit; Infinity for no end. */
  readonly total: number;
  /** Messages a second; 0 is as fast as the connections allow. */
  readonly rate: number;
  /**
   * Submit again what was answered 4xx, could not be submitted, or got no answer, until it is accepted, refused for
   * good, or `giveUpAfter` has passed. Without it each message is tried once.
   */
  readonly retryLost: boolean;
  /** Milliseconds from a message's first attempt to its last. */
  readonly giveUpAfter: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly onOutcome: (line: LedgerLine) => void;
}

/** Counts of a run so far. Messages; recipients are counted apart. */
export interface Progress {
  readonly run: string;
  /** Messages whose first attempt has begun. */
  readonly submitted: number;
  readonly accepted: number;
  readonly rejected: number;
  readonly deferred: number;
  readonly lost: number;
  readonly unsent: number;
  /** Submissions after an answer was lost: the server may have two copies. */
  readonly resubmittedAfterLoss: number;
  /** Submissions after a 4xx or a failed connection: no copy can be there from before. */
  readonly retried: number;
  readonly recipients: { readonly submitted: number; readonly accepted: number; readonly rejected: number };
  readonly rejectedByCode: Readonly<Record<string, number>>;
  readonly bytes: number;
  readonly connections: number;
  readonly done: boolean;
}

export interface RunResult extends Progress {
  /** Milliseconds behind the plan at the first attempt. */
  readonly lateness: ReturnType<Histogram['summary']>;
  /** Milliseconds from the beginning of a transaction to its last reply. */
  readonly response: ReturnType<Histogram['summary']>;
  readonly seconds: number;
  /** Why the server refused the user, or was not trusted; '' if neither. The run ends with it. */
  readonly refusal: string;
}

/** The server is asked again after this long (ms), doubling up to the longest. */
const FIRST_RETRY = 200;
const LONGEST_RETRY = 5_000;

/** Submits messages by a plan over a pool of connections, and counts what becomes of each. */
export class Run {
  readonly #options: RunOptions;
  readonly #schedule: Schedule;
  readonly #lateness = new Histogram();
  readonly #response = new Histogram();
  readonly #abort = new AbortController();
  readonly #startedAt: number;
  readonly #outcomes: Record<MessageOutcome, number> = {
    accepted: 0,
    rejected: 0,
    deferred: 0,
    lost: 0,
    unsent: 0,
  };
  readonly #codes = new Map<string, number>();
  #resubmitted = 0;
  #retried = 0;
  #recipients = { submitted: 0, accepted: 0, rejected: 0 };
  #bytes = 0;
  #connections = 0;
  /** Connections that failed one after the other. */
  #failures = 0;
  /** When a connection was made last. */
  #lastThere: number;
  #stopped = false;
  #refusal = '';
  #done = false;

  constructor(options: RunOptions) {
    this.#options = options;
    this.#startedAt = options.clock.now();
    this.#lastThere = this.#startedAt;
    this.#schedule = new Schedule({
      clock: options.clock,
      total: options.total,
      rate: options.rate,
      onLate: (ms) => this.#lateness.add(ms),
    });
  }

  /** Runs to the end of the plan or until `stop`; resolves when every message begun has its outcome. */
  async run(): Promise<RunResult> {
    const workers = Array.from({ length: this.#options.connections }, () => this.#work());
    await Promise.all(workers);
    this.#done = true;
    return this.result();
  }

  /** No new messages; those under way finish, those waiting for another try end as they are. */
  stop(): void {
    this.#stopped = true;
    for (const job of this.#schedule.stop()) {
      this.#settle(job, this.#unfinished(job), makeMessage(this.#options.source, job.n, job.date));
    }
  }

  /** Cuts all connections: what is under way is lost. */
  abort(): void {
    this.stop();
    this.#abort.abort();
  }

  progress(): Progress {
    return {
      run: this.#options.source.run,
      submitted: this.#schedule.started,
      ...this.#outcomes,
      resubmittedAfterLoss: this.#resubmitted,
      retried: this.#retried,
      recipients: { ...this.#recipients },
      rejectedByCode: Object.fromEntries(this.#codes),
      bytes: this.#bytes,
      connections: this.#connections,
      done: this.#done,
    };
  }

  result(): RunResult {
    return {
      ...this.progress(),
      lateness: this.#lateness.summary(),
      response: this.#response.summary(),
      seconds: (this.#options.clock.now() - this.#startedAt) / 1000,
      refusal: this.#refusal,
    };
  }

  /** One connection's life, and the next one's after it. */
  async #work(): Promise<void> {
    let client: SmtpClient | null = null;
    for (;;) {
      const job = await this.#schedule.take();
      if (!job) break;
      const message = makeMessage(this.#options.source, job.n, job.date);
      if (job.attempts === 0) {
        job.open = message.recipients.map(({ address }) => address);
        this.#recipients.submitted += job.open.length;
      }
      if (client && (!client.usable || client.transactions >= this.#options.messagesPerConnection)) {
        await client.quit();
        client = null;
      }
      client ??= await this.#connect(job);
      if (client) await this.#submit(client, job, message);
      else this.#again(job, 'unsent', message);
    }
    await client?.quit();
  }

  async #connect(job: Job): Promise<SmtpClient | null> {
    const result = await connectSmtp({ ...this.#options.server, signal: this.#abort.signal });
    if (result.ok) {
      this.#failures = 0;
      this.#lastThere = this.#options.clock.now();
      this.#connections++;
      return result.client;
    }
    this.#failures++;
    const why = result.reply ? replyText(result.reply) : result.error;
    job.lastReply = `${result.stage}: ${why}`;
    if ((result.stage === 'auth' && (result.reply?.code ?? 0) >= 500) || needsAPerson(result.code)) {
      // Asking again changes nothing: a person has to.
      this.#refusal ||= job.lastReply;
      this.stop();
      return null;
    }
    if (this.#failures === 1)
      this.#options.log.warn('the server can not be used', { stage: result.stage, reason: why });
    // All connections wait, so that a server that is away is asked once in a while and not by everyone.
    if (!this.#hasGivenUp) this.#schedule.hold(this.#wait(this.#failures));
    return null;
  }

  async #submit(client: SmtpClient, job: Job, message: GeneratedMessage): Promise<void> {
    const { clock } = this.#options;
    if (job.attempts > 0) {
      if (job.inDoubt > 0) this.#resubmitted++;
      else this.#retried++;
    }
    job.attempts++;
    const before = clock.now();
    const tried = job.open;
    const result = await client.send({
      from: message.mailFrom,
      params: message.eightBit ? { body: '8BITMIME' } : {},
      recipients: tried.map((address) => ({ address })),
      content: message.content,
    });
    this.#response.add(clock.now() - before);
    this.#bytes += result.bytes;
    if (result.lost) {
      job.lastReply = `${result.lost.stage}: ${result.lost.error}`;
      // Refusals that came before the loss are final whatever became of the rest.
      const maybe = tried.filter((address, i) => !this.#refused(job, address, result.recipients[i]));
      job.open = maybe;
      if (maybe.length === 0) return this.#end(job, 'rejected', message);
      // Who was put off before cannot have been taken with the content.
      // Even when our side had not seen all of the content leave, the server may have got and kept it; a small
      // message goes together with its envelope, so then a loss at any stage leaves it open.
      const inDoubt = result.bytes > 0 && tried.some((_, i) => (result.recipients[i]?.code ?? 250) < 300);
      if (inDoubt) job.inDoubt++;
      return this.#again(job, inDoubt ? 'lost' : 'unsent', message);
    }
    if (result.needs) {
      job.lastReply = `the server does not offer ${result.needs}`;
      job.rejected.push(...job.open.splice(0).map((address) => ({ address, reply: job.lastReply })));
      return this.#end(job, 'rejected', message);
    }
    const open: string[] = [];
    tried.forEach((address, i) => {
      const rcpt = result.recipients[i] ?? null;
      const decisive = positive(result.mail) ? (positive(rcpt) ? result.data : rcpt) : result.mail;
      if (decisive) job.lastReply = replyText(decisive);
      if (positive(decisive)) job.accepted.push(address);
      else if (!this.#refused(job, address, decisive)) open.push(address);
    });
    job.open = open;
    if (open.length > 0) return this.#again(job, 'deferred', message);
    this.#end(job, job.accepted.length > 0 ? 'accepted' : 'rejected', message);
  }

  /** Notes a refusal for good; false for every other reply. */
  #refused(job: Job, address: string, reply: SmtpReply | null | undefined): boolean {
    if (!reply || reply.code < 500) return false;
    job.rejected.push({ address, reply: replyText(reply) });
    const code = String(reply.code);
    this.#codes.set(code, (this.#codes.get(code) ?? 0) + 1);
    return true;
  }

  /** Another try, or the end if there is to be none. */
  #again(job: Job, otherwise: MessageOutcome, message: GeneratedMessage): void {
    const { clock, retryLost, giveUpAfter } = this.#options;
    if (!retryLost || this.#stopped || this.#hasGivenUp || clock.now() - job.firstAt >= giveUpAfter) {
      this.#end(job, job.inDoubt > 0 ? 'lost' : otherwise, message);
    } else {
      this.#schedule.retry(job, this.#wait(job.attempts));
    }
  }

  /** The server was not there for as long as one message may wait: the rest would only wait as long each. */
  get #hasGivenUp(): boolean {
    return this.#failures > 0 && this.#options.clock.now() - this.#lastThere >= this.#options.giveUpAfter;
  }

  #wait(times: number): number {
    return Math.min(LONGEST_RETRY, FIRST_RETRY * 2 ** Math.min(10, Math.max(0, times - 1)));
  }

  #unfinished(job: Job): MessageOutcome {
    if (job.inDoubt > 0) return 'lost';
    return job.lastReply.startsWith('4') ? 'deferred' : 'unsent';
  }

  #end(job: Job, outcome: MessageOutcome, message: GeneratedMessage): void {
    this.#settle(job, outcome, message);
    this.#schedule.finish();
  }

  #settle(job: Job, outcome: MessageOutcome, message: GeneratedMessage): void {
    const { source, onOutcome } = this.#options;
    this.#outcomes[outcome]++;
    this.#recipients.accepted += job.accepted.length;
    this.#recipients.rejected += job.rejected.length;
    onOutcome({
      run: source.run,
      n: job.n,
      id: message.id,
      time: job.date.toISOString(),
      recipients: message.recipients.map(({ address }) => address),
      stream: message.campaign.stream,
      campaign: message.campaign.name,
      job: message.job,
      subaccount: message.campaign.subaccount,
      structure: message.structure,
      size: message.content.length,
      outcome,
      reply: job.lastReply,
      rejected: job.rejected,
      open: job.open,
      attempts: job.attempts,
      inDoubt: job.inDoubt,
    });
  }
}

/** Our client's names for what only a person can mend: a certificate not trusted, no TLS, no common AUTH mechanism. */
function needsAPerson(code: string): boolean {
  return code === 'ECERTIFICATE' || code === 'ENOTLS' || code === 'ENOAUTH';
}
