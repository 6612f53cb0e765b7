/** Decides about SMTP sessions: who may connect, sign in, relay; hands accepted messages on. */
import { totalmem } from 'node:os';
import type { Config, Listener, Settings } from '../../config/index.ts';
import type { StatusFacts } from '../../events/outcome.ts';
import { parseAddress } from '../../mail/address.ts';
import { Header } from '../../mail/header.ts';
import type {
  Acceptance,
  Answer,
  CommandAnswer,
  Endpoints,
  Envelope,
  MailCommand,
  MaybeLater,
  RcptCommand,
  ReceivedMessage,
  Reply,
  SmtpServerHandlers,
  SmtpServerSession,
  SmtpServerTls,
} from '../../smtp/index.ts';
import { addressAsWritten, ContentRoom, isAddressFault, lastReply, reply } from '../../smtp/index.ts';
import { SpoolWriteError } from '../../spool/spool-write-error.ts';
import type { NotifyRequest } from '../../spool/stored-message.ts';
import type { Clock } from '../../system/clock.ts';
import type { Log } from '../../system/log.ts';
import { AuthFailures } from './auth-failures.ts';
import { hopsRefusal } from './hops.ts';
import { MailMergeSession, MERGE_BEGUN, type MergeVariables, SEND_PART } from './mail-merge-session.ts';
import { askChecks, type CheckedSession, type ReceptionCheck } from './reception-checks.ts';
import { bounceOf, qualified, type RecipientFault, recipientFault } from './recipient-rules.ts';
import { SessionLog } from './session-log.ts';
import { allowsMerge, sessionOptions } from './session-options.ts';
import { SourceGroups } from './source-groups.ts';
import {
  type ClientFacts,
  NO_VARIABLES,
  refused,
  type SubmittedPart,
  type SubmittedRecipient,
  type SubmittedSender,
  type TakeMessage,
  type Verdict,
} from './submission.ts';

const RECIPIENT_OK = reply(250, '2.1.5', 'Recipient OK');

/** Bytes of all messages on their way in: a quarter of the machine's memory, and the largest message in any case. */
const LEAST_ROOM = 640 * 1024 * 1024;

export interface ReceptionDeps {
  readonly config: () => Config;
  readonly takeMessage: TakeMessage;
  /** Why no message can be taken now (disk nearly full); null when all is well. */
  readonly spoolRefusal: () => string | null;
  /** SPF, reverse DNS and their like, in the order they are asked. */
  readonly checks?: readonly ReceptionCheck[];
  /** Told how long a message took that came in, in milliseconds. */
  readonly onTimed?: (took: { mailFrom: number; data: number; total: number }) => void;
  readonly hostName: string;
  readonly clock: Clock;
  readonly log: Log;
}

/** TLS of a listening address. */
export interface ListenerTls extends SmtpServerTls {
  /** Users who sign in by their certificate: its SHA-256 → their name. */
  readonly users: ReadonlyMap<string, string>;
}

const NO_LOGIN_NOW = reply(454, '4.7.0', 'too many failed logins, try again later');

/** What we remember about one session, in its `context`. */
interface SessionFacts {
  readonly config: Config;
  readonly listener: Listener;
  source: Settings<'source'>;
  /** When MAIL came, and how long its answer took. */
  mailAt: number;
  mailTook: number;
  merge: MailMergeSession;
  /** Fields that checks add to the message of the open transaction. */
  fields: string[];
  /** What recipients of the open transaction have beside their command. */
  details: Map<RcptCommand, { variables: MergeVariables; refusal: StatusFacts | null }>;
  /** A fault that fails the whole open transaction when its content is to come. */
  failure: Reply | null;
}

export class Reception {
  readonly #deps: ReceptionDeps;
  readonly #checks: readonly ReceptionCheck[];
  readonly #log: SessionLog;
  readonly #handlers: SmtpServerHandlers;
  readonly #groups = new SourceGroups();
  readonly #room = new ContentRoom(Math.max(LEAST_ROOM, totalmem() / 4));
  readonly #failures: AuthFailures;
  /** Sessions open now, all listeners together. */
  #open = 0;
  /** The most that were open at one time. */
  mostSessions = 0;

  constructor(deps: ReceptionDeps) {
    this.#deps = deps;
    this.#checks = deps.checks ?? [];
    this.#failures = new AuthFailures(deps.clock);
    this.#log = new SessionLog(deps.log, (session) => facts(session).source);
    this.#handlers = {
      onTls: (session) => this.#secured(session),
      onAuthBegin: (session) => (this.#isLocked(session) ? NO_LOGIN_NOW : null),
      passwordOf: (user, session) => this.#passwordOf(user, session),
      onAuthFailed: (_, session) =>
        this.#failures.failed(session.remoteAddress, facts(session).source.get('smtp-max-auth-failure-rate')),
      onAuth: ({ user }, session) => this.#signedIn(user, session),
      onMail: (mail, session) => this.#timedMail(mail, session),
      onRcpt: (rcpt, session) => this.#rcpt(rcpt, session),
      onRcptFault: (fault, argument, session) => this.#rcptFault(fault, argument, session),
      onData: (_, session) => this.#data(session),
      onCommand: (verb, argument, session) => this.#command(verb, argument, session),
      onMessage: (message, session) => this.#message(message, session),
      onAbandoned: (_, session) => forget(facts(session)),
    };
  }

  get openSessions(): number {
    return this.#open;
  }

  /** Whether a peer is a proxy whose PROXY header names the client; the header is required of it. */
  isProxy(peer: Endpoints, listener: Listener): boolean {
    const source = this.#deps.config().sourceFor({ clientIp: peer.remoteAddress, listener });
    return source.get('accept-proxy-header');
  }

  /** How a new connection to a listener is served. */
  accept(endpoints: Endpoints, listener: Listener, tls: ListenerTls | undefined): Acceptance {
    const config = this.#deps.config();
    const source = config.sourceFor({ clientIp: endpoints.remoteAddress, listener });
    if (!source.get('smtp-service')) {
      return reply(554, '5.7.1', 'no SMTP service for your address');
    }
    const most = config.global.get('total-max-smtp-in');
    const group = source.get('source-group');
    const reserved = this.#groups.reservedForOthers(group ?? '', config);
    if (this.#open + reserved >= most) {
      this.#deps.log.warn('connection refused: total-max-smtp-in reached', {
        client: endpoints.remoteAddress,
        limit: most,
        ...(reserved > 0 ? { reserved } : {}),
      });
      return lastReply(421, '4.7.0', 'too many connections, try again later');
    }
    const leave = group ? this.#groups.enter(group, config) : () => {};
    if (!leave) {
      this.#deps.log.warn('connection refused: max-smtp-in of the source group reached', {
        client: endpoints.remoteAddress,
        group,
      });
      return lastReply(421, '4.7.0', 'too many connections, try again later');
    }
    this.#open++;
    this.mostSessions = Math.max(this.mostSessions, this.#open);
    const options = {
      ...sessionOptions(source, listener, this.#deps.hostName, tls),
      contentRoom: this.#room,
    };
    const remembered: SessionFacts = {
      config,
      listener,
      source,
      mailAt: 0,
      mailTook: 0,
      merge: new MailMergeSession(source.get('max-message-size')),
      fields: [],
      details: new Map(),
      failure: null,
    };
    return {
      options,
      handlers: {
        ...this.#handlers,
        ...this.#log.lineHandler(source),
        onConnect: (session) => {
          session.context = remembered;
          this.#log.opened(session);
          if (session.tls) this.#log.secured(session);
          if (session.user !== null) this.#applySource(session);
          return null;
        },
        onClose: (why, session) => {
          this.#open--;
          leave();
          if (session.context) this.#log.closed(why, session);
        },
      },
    };
  }

  #isLocked(session: SmtpServerSession): boolean {
    const rate = facts(session).source.get('smtp-max-auth-failure-rate');
    return this.#failures.isLocked(session.remoteAddress, rate);
  }

  /** Null for users who sign in otherwise, too; and while an address may not, so that many sessions guess no more. */
  #passwordOf(name: string, session: SmtpServerSession): string | null {
    const user = facts(session).config.users.get(name);
    if (user?.settings.get('authentication-method') !== 'password' || this.#isLocked(session)) return null;
    return user.settings.get('password');
  }

  /** What was known in clear counts no more (RFC 3207 section 4.2); a certificate may sign the client in. */
  #secured(session: SmtpServerSession): void {
    const known = session.context as SessionFacts | undefined;
    const certificate = session.clientCertificate;
    const user =
      certificate && (session.options.tls as ListenerTls | undefined)?.users.get(certificate.fingerprint);
    if (user !== undefined && user !== null) session.user = user;
    // With TLS from the first byte on, the session's facts come with its greeting.
    if (!known) return;
    this.#log.secured(session);
    this.#applySource(session);
  }

  #signedIn(name: string, session: SmtpServerSession): Answer {
    this.#applySource(session, name);
    return null;
  }

  #applySource(session: SmtpServerSession, name = session.user): void {
    const known = facts(session);
    const user = name === null ? undefined : known.config.users.get(name);
    known.source = known.config.sourceFor({
      clientIp: session.remoteAddress,
      listener: known.listener,
      ...(user ? { user } : {}),
    });
    const options = sessionOptions(known.source, known.listener, this.#deps.hostName, session.options.tls);
    session.configure(options);
    const { acknowledge } = known.merge;
    known.merge = new MailMergeSession(known.source.get('max-message-size'));
    known.merge.acknowledge = acknowledge;
  }

  #timedMail(mail: MailCommand, session: SmtpServerSession): MaybeLater<Answer> {
    const known = facts(session);
    const { clock } = this.#deps;
    known.mailAt = clock.now();
    const answer = this.#mail(mail, session);
    const answered = () => {
      known.mailTook = clock.now() - known.mailAt;
    };
    if (answer instanceof Promise) return answer.finally(answered);
    answered();
    return answer;
  }

  #mail(mail: MailCommand, session: SmtpServerSession): MaybeLater<Answer> {
    const known = facts(session);
    forget(known);
    const refusal = this.#deps.spoolRefusal();
    if (refusal !== null) {
      this.#deps.log.warn(`mail refused: ${refusal}`, { client: session.remoteAddress });
      return reply(452, '4.3.1', 'insufficient system storage, try again later');
    }
    if (
      mail.address !== '' &&
      mail.domain !== '' &&
      !parseAddress(qualified(mail.address, known.config, known.source))
    ) {
      return reply(553, '5.1.7', 'sender address is malformed');
    }
    if (this.#checks.length === 0) return null;
    const at = checked(session, mail.address);
    return askChecks(this.#checks, (check) => check.atMail?.(at), known.fields);
  }

  #rcpt(rcpt: RcptCommand, session: SmtpServerSession): MaybeLater<Answer> {
    const known = facts(session);
    const variables = known.merge.takeVariables();
    const fault = recipientFault(rcpt.address, known.config, known.source);
    if (fault) return this.#faulty(fault, rcpt, variables, session);
    known.details.set(rcpt, { variables, refusal: null });
    const answer = known.merge.answer(RECIPIENT_OK, true);
    if (this.#checks.length === 0) return answer;
    const at = checked(session);
    const said = (refusal: Reply | null) => {
      if (!refusal) return answer;
      known.details.delete(rcpt);
      return known.merge.answer(refusal, true);
    };
    const refusal = askChecks(this.#checks, (check) => check.atRcpt?.(at, rcpt.address), known.fields);
    return refusal instanceof Promise ? refusal.then(said) : said(refusal);
  }

  /** Refused, or taken only to be bounced: under `accept-invalid-recipients` and under XACK OFF. */
  #faulty(
    fault: RecipientFault,
    rcpt: RcptCommand,
    variables: MergeVariables,
    session: SmtpServerSession,
  ): Answer {
    const { config, source, merge, details } = facts(session);
    this.#deps.log.info(fault.why === 'relaying' ? 'relaying denied' : `recipient is ${fault.why}`, {
      client: session.remoteAddress,
      user: session.user,
      recipient: rcpt.address,
    });
    // A bounce about a relaying attempt would go to whoever the client claims to be: that is refused in any case.
    if (fault.why === 'relaying' || (merge.acknowledge && !source.get('accept-invalid-recipients'))) {
      return merge.answer(fault.reply, true);
    }
    details.set(rcpt, { variables, refusal: bounceOf(fault, config) });
    return merge.answer(RECIPIENT_OK, true);
  }

  /** A RCPT that the protocol refuses; a malformed address may still become a bounce. */
  #rcptFault(fault: Reply, argument: string, session: SmtpServerSession): Answer {
    const known = facts(session);
    const { merge } = known;
    const variables = merge.takeVariables();
    const { envelope } = session;
    if (envelope && isAddressFault(fault)) {
      const address = addressAsWritten(argument);
      const rcpt: RcptCommand = { address, localPart: '', domain: '', internationalized: false, params: {} };
      const answer = this.#faulty({ why: 'malformed', reply: fault }, rcpt, variables, session);
      if (!known.details.has(rcpt)) return answer === 'silent' ? answer : null;
      envelope.recipients.push(rcpt);
      return answer;
    }
    if (envelope && fault.code === 452 && known.source.get('too-many-rcpts-fails-message')) {
      known.failure ??= fault;
    }
    const answer = merge.answer(fault, envelope !== null);
    // The session's own words, and its count of errors.
    return answer === 'silent' ? answer : null;
  }

  #data(session: SmtpServerSession): MaybeLater<Answer> {
    const known = facts(session);
    const failure = known.merge.keptError ?? known.failure;
    if (failure) return this.#cancel(failure, session);
    if (known.merge.merging) return reply(503, '5.5.1', 'a merge submission sends its content with XPRT');
    if (this.#checks.length === 0) return null;
    const at = checked(session);
    return askChecks(this.#checks, (check) => check.atData?.(at), known.fields);
  }

  #cancel(why: Reply, session: SmtpServerSession): Reply {
    session.endTransaction();
    forget(facts(session));
    return why;
  }

  // Mail merge

  #command(verb: string, argument: string, session: SmtpServerSession): CommandAnswer {
    const { merge, source } = facts(session);
    if (!allowsMerge(source)) return 'unknown';
    switch (verb) {
      case 'XACK':
        return merge.xack(argument);
      case 'XMRG':
        return {
          treatAs: 'MAIL',
          argument,
          success: MERGE_BEGUN,
          accepted: () => facts(session).merge.begin(true),
        };
      case 'XDFN':
        return merge.answer(merge.xdfn(argument), session.envelope !== null);
      case 'XPRT':
        return this.#part(argument, session);
      default:
        return 'unknown';
    }
  }

  #part(argument: string, session: SmtpServerSession): CommandAnswer {
    const { merge, failure } = facts(session);
    const failed = merge.keptError ?? failure;
    if (failed) return this.#cancel(failed, session);
    if (session.envelope && session.envelope.recipients.length === 0) {
      return reply(554, '5.5.1', 'no valid recipients');
    }
    const start = merge.xprt(argument);
    if ('code' in start) return start;
    return {
      start: SEND_PART,
      // A copy: what came over the wire holds the whole buffer that it came in.
      collected: async (content) => {
        const answer = merge.takePart(start, Buffer.from(content));
        if (answer.code >= 400) return this.#cancel(answer, session);
        if (!start.last) return answer;
        const { envelope } = session;
        const { parts } = merge;
        session.endTransaction();
        const verdict = await this.#take(envelope!, parts, true, session);
        return verdict.accepted
          ? reply(250, '2.6.0', `message received, id ${verdict.spoolId}`)
          : verdict.reply;
      },
    };
  }

  #message({ envelope, content }: ReceivedMessage, session: SmtpServerSession): Promise<Answer> {
    const { clock, onTimed } = this.#deps;
    const { mailAt, mailTook } = facts(session);
    const contentAt = clock.now();
    return this.#take(envelope, [{ number: 1, content }], false, session).then((verdict) => {
      const now = clock.now();
      onTimed?.({ mailFrom: mailTook, data: now - contentAt, total: now - mailAt });
      return verdict.reply;
    });
  }

  /** The content is here whole: it is checked and handed on, and the transaction forgotten. */
  async #take(
    envelope: Envelope,
    parts: readonly SubmittedPart[],
    merge: boolean,
    session: SmtpServerSession,
  ): Promise<Verdict> {
    const known = facts(session);
    const { details, fields } = known;
    let taken = parts;
    for (const { content } of parts) this.#log.content(content, session);
    try {
      const looking = this.#checks.filter(
        (check) => check.atContent && (check.wantsContent?.(known.source) ?? true),
      );
      if (looking.length > 0) {
        const content = parts.length === 1 ? parts[0]!.content : Buffer.concat(parts.map((p) => p.content));
        // What will be refused anyway is not worth a check.
        const looping = hopsRefusal(new Header(content), known.source);
        if (looping) return refused(looping);
        const at = checked(session, envelope.from.address);
        const ask = async (check: ReceptionCheck) => {
          const result = (await check.atContent?.(at, content)) ?? null;
          if (result?.content && !merge) taken = [{ number: 1, content: result.content }];
          return result;
        };
        const refusal = await askChecks(looking, ask, fields);
        if (refusal) return refused(refusal);
      }
      return await this.#deps.takeMessage({
        origin: 'smtp',
        client: clientOf(session),
        listener: known.listener,
        source: known.source,
        config: known.config,
        sender: submittedSender(envelope),
        recipients: envelope.recipients.map((rcpt) => submittedRecipient(rcpt, details.get(rcpt))),
        merge,
        parts: taken,
        addedFields: fields,
      });
    } catch (error) {
      if (!(error instanceof SpoolWriteError)) throw error;
      this.#deps.log.error(`a message could not be stored: ${error.message}`, {
        client: session.remoteAddress,
      });
      return refused(reply(452, '4.3.1', 'the message could not be stored, try again later'));
    } finally {
      forget(known);
    }
  }
}

function facts(session: SmtpServerSession): SessionFacts {
  return session.context as SessionFacts;
}

/** The open transaction is over. */
function forget(known: SessionFacts): void {
  known.merge.reset();
  known.fields = [];
  known.details = new Map();
  known.failure = null;
}

function clientOf(session: SmtpServerSession): ClientFacts {
  return {
    heloName: session.heloName,
    remoteAddress: session.remoteAddress,
    localAddress: session.localAddress,
    user: session.user,
    tls: session.tls !== null,
    esmtp: session.esmtp,
  };
}

function checked(session: SmtpServerSession, sender = session.envelope?.from.address ?? ''): CheckedSession {
  const { source, config } = facts(session);
  return { client: clientOf(session), source, config, sender };
}

function submittedSender({ from: { address, params } }: Envelope): SubmittedSender {
  return {
    address,
    envId: params.envid ?? '',
    returnContent: params.ret === 'FULL' ? 'full' : params.ret === 'HDRS' ? 'headers' : '',
    eightBit: params.body === '8BITMIME',
    smtpUtf8: params.smtputf8 ?? false,
    verp: params.extra?.has('VERP') ?? false,
  };
}

function submittedRecipient(
  { address, params }: RcptCommand,
  details: { variables: MergeVariables; refusal: StatusFacts | null } | undefined,
): SubmittedRecipient {
  return {
    address,
    originalRecipient: params.orcpt?.address ?? '',
    notify: (params.notify ?? []).map((word) => word.toLowerCase() as NotifyRequest['notify'][number]),
    variables: details?.variables ?? NO_VARIABLES,
    refusal: details?.refusal ?? null,
  };
}
