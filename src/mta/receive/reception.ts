/** Decides about SMTP sessions: who may connect, sign in, relay; hands accepted messages on. */
import type { Config, Listener, Settings, SmtpUser } from '../../config/index.ts';
import { parseAddress } from '../../mail/address.ts';
import type {
  Acceptance,
  Answer,
  Endpoints,
  MailCommand,
  RcptCommand,
  ReceivedMessage,
  SmtpServerHandlers,
  SmtpServerSession,
  SmtpServerTls,
} from '../../smtp/index.ts';
import { lastReply, reply } from '../../smtp/index.ts';
import { SpoolWriteError } from '../../spool/spool.ts';
import type { NotifyRequest } from '../../spool/stored-message.ts';
import type { Clock } from '../../system/clock.ts';
import type { Log } from '../../system/log.ts';
import { sessionOptions } from './session-options.ts';
import { NO_VARIABLES, type Submission, type TakeMessage } from './submission.ts';

export interface ReceptionDeps {
  readonly config: () => Config;
  readonly takeMessage: TakeMessage;
  /** Why no message can be taken now (disk nearly full); null when all is well. */
  readonly spoolRefusal: () => string | null;
  readonly hostName: string;
  readonly clock: Clock;
  readonly log: Log;
}

/** What we remember about one session, in its `context`. */
interface SessionFacts {
  readonly config: Config;
  readonly listener: Listener;
  source: Settings<'source'>;
}

export class Reception {
  readonly #deps: ReceptionDeps;
  readonly #handlers: SmtpServerHandlers;
  /** Sessions open now, all listeners together. */
  #open = 0;
  /** The most that were open at one time. */
  mostSessions = 0;

  constructor(deps: ReceptionDeps) {
    this.#deps = deps;
    this.#handlers = {
      passwordOf: (user, session) => facts(session).config.users.get(user)?.settings.get('password') ?? null,
      onAuth: ({ user }, session) => this.#signedIn(user, session),
      onMail: (mail, session) => this.#mail(mail, session),
      onRcpt: (rcpt, session) => this.#rcpt(rcpt, session),
      onMessage: (message, session) => this.#message(message, session),
      onClose: () => {
        this.#open--;
      },
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
  accept(endpoints: Endpoints, listener: Listener, tls: SmtpServerTls | undefined): Acceptance {
    const config = this.#deps.config();
    const source = config.sourceFor({ clientIp: endpoints.remoteAddress, listener });
    if (!source.get('smtp-service')) {
      return reply(554, '5.7.1', 'no SMTP service for your address');
    }
    const most = config.global.get('total-max-smtp-in');
    if (this.#open >= most) {
      this.#deps.log.warn('connection refused: total-max-smtp-in reached', {
        client: endpoints.remoteAddress,
        limit: most,
      });
      return lastReply(421, '4.7.0', 'too many connections, try again later');
    }
    this.#open++;
    this.mostSessions = Math.max(this.mostSessions, this.#open);
    const options = sessionOptions(source, listener, this.#deps.hostName, tls);
    const remembered: SessionFacts = { config, listener, source };
    return {
      options,
      handlers: {
        ...this.#handlers,
        onConnect: (session) => {
          session.context = remembered;
          return null;
        },
      },
    };
  }

  #signedIn(name: string, session: SmtpServerSession): Answer {
    const known = facts(session);
    const user = known.config.users.get(name) as SmtpUser;
    known.source = known.config.sourceFor({
      clientIp: session.remoteAddress,
      listener: known.listener,
      user,
    });
    const options = sessionOptions(known.source, known.listener, this.#deps.hostName, session.options.tls);
    session.configure(options);
    return null;
  }

  #mail(mail: MailCommand, session: SmtpServerSession): Answer {
    const refusal = this.#deps.spoolRefusal();
    if (refusal !== null) {
      this.#deps.log.warn(`mail refused: ${refusal}`, { client: session.remoteAddress });
      return reply(452, '4.3.1', 'insufficient system storage, try again later');
    }
    if (mail.address !== '' && mail.domain !== '' && !parseAddress(mail.address)) {
      return reply(553, '5.1.7', 'sender address is malformed');
    }
    return null;
  }

  #rcpt(rcpt: RcptCommand, session: SmtpServerSession): Answer {
    const { config, source } = facts(session);
    const address = parseAddress(qualified(rcpt.address, config));
    if (!address) return reply(553, '5.1.3', 'recipient address is malformed');
    if (config.isRelayAllowed(address, source)) return null;
    this.#deps.log.info('relaying denied', {
      client: session.remoteAddress,
      user: session.user,
      recipient: rcpt.address,
    });
    // relay-debug keeps a mistake in the rules from losing mail while they are tried out.
    return config.global.get('relay-debug')
      ? reply(450, '4.7.1', `relaying denied for <${rcpt.address}>`)
      : reply(550, '5.7.1', `relaying denied for <${rcpt.address}>`);
  }

  async #message(message: ReceivedMessage, session: SmtpServerSession): Promise<Answer> {
    const { config, source } = facts(session);
    try {
      return (await this.#deps.takeMessage(ordinarySubmission(message, session, source, config))).reply;
    } catch (error) {
      if (!(error instanceof SpoolWriteError)) throw error;
      this.#deps.log.error(`a message could not be stored: ${error.message}`, {
        client: session.remoteAddress,
      });
      return reply(452, '4.3.1', 'the message could not be stored, try again later');
    }
  }
}

function facts(session: SmtpServerSession): SessionFacts {
  return session.context as SessionFacts;
}

/** `user` alone gets the domain that the configuration gives to such addresses. */
export function qualified(address: string, config: Config): string {
  if (address === '' || address.includes('@')) return address;
  return `${address}@${config.global.get('domain-suffix') || config.hostNames[0]}`;
}

function ordinarySubmission(
  { envelope, content }: ReceivedMessage,
  session: SmtpServerSession,
  source: Settings<'source'>,
  config: Config,
): Submission {
  const { address, params } = envelope.from;
  return {
    origin: 'smtp',
    client: {
      heloName: session.heloName,
      remoteAddress: session.remoteAddress,
      localAddress: session.localAddress,
      user: session.user,
      tls: session.tls !== null,
      esmtp: session.esmtp,
    },
    source,
    config,
    sender: {
      address,
      envId: params.envid ?? '',
      returnContent: params.ret === 'FULL' ? 'full' : params.ret === 'HDRS' ? 'headers' : '',
      eightBit: params.body === '8BITMIME',
      smtpUtf8: params.smtputf8 ?? false,
      verp: false,
    },
    recipients: envelope.recipients.map((rcpt) => ({
      address: rcpt.address,
      originalRecipient: rcpt.params.orcpt?.address ?? '',
      notify: (rcpt.params.notify ?? []).map((word) => word.toLowerCase() as NotifyRequest['notify'][number]),
      variables: NO_VARIABLES,
      refusal: null,
    })),
    merge: false,
    parts: [{ number: 1, content }],
  };
}
