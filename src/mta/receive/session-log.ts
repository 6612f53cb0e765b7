import type { Settings } from '../../config/index.ts';
import { Header } from '../../mail/header.ts';
import type { CloseReason, SmtpServerHandlers, SmtpServerSession } from '../../smtp/index.ts';
import type { Log } from '../../system/log.ts';

/** Octets of one message's content that `log-data` writes; what follows is only counted. */
const MOST_DATA = 64 * 1024;
const MOST_LINE = 1000;

/**
 * What of a session is logged under its source's `log-connections`, `log-commands`, `log-tls` and `log-data`. The log
 * escapes what clients send; responses to AUTH are blotted out before they come here.
 */
export class SessionLog {
  readonly #log: Log;
  readonly #source: (session: SmtpServerSession) => Settings<'source'>;

  constructor(log: Log, source: (session: SmtpServerSession) => Settings<'source'>) {
    this.#log = log;
    this.#source = source;
  }

  opened(session: SmtpServerSession): void {
    if (!this.#source(session).get('log-connections')) return;
    const { remoteAddress, remotePort, localAddress, localPort } = session;
    this.#log.info('connection opened', {
      client: remoteAddress,
      port: remotePort,
      local: `${localAddress}:${localPort}`,
    });
  }

  closed(why: CloseReason, session: SmtpServerSession): void {
    if (!this.#source(session).get('log-connections')) return;
    this.#log.info('connection closed', { client: session.remoteAddress, port: session.remotePort, why });
  }

  secured(session: SmtpServerSession): void {
    if (!this.#source(session).get('log-tls')) return;
    const { remoteAddress, remotePort, tls } = session;
    this.#log.info('TLS on', {
      client: remoteAddress,
      port: remotePort,
      protocol: tls?.protocol ?? '',
      cipher: tls?.cipher ?? '',
    });
  }

  /** For sources that log the conversation; null for others, so that they pay nothing for it. */
  lineHandler(source: Settings<'source'>): Pick<SmtpServerHandlers, 'onLine'> {
    if (!source.get('log-commands') && !source.get('log-data')) return {};
    return {
      onLine: (direction, line, session) => {
        const { remoteAddress: client, remotePort: port } = session;
        this.#log.info(direction === 'in' ? 'client says' : 'we say', {
          client,
          port,
          line: line.slice(0, MOST_LINE),
        });
      },
    };
  }

  content(content: Buffer, session: SmtpServerSession): void {
    if (!this.#source(session).get('log-data')) return;
    const { remoteAddress: client, remotePort: port } = session;
    const lines = withoutKey(content).toString('latin1', 0, MOST_DATA).split('\r\n');
    for (const line of lines)
      this.#log.info('client sends', { client, port, line: line.slice(0, MOST_LINE) });
    if (content.length > MOST_DATA) {
      this.#log.info('client sends more, not logged', { client, port, bytes: content.length - MOST_DATA });
    }
  }
}

/** A private key in the header is nothing for a log. */
function withoutKey(content: Buffer): Buffer {
  const key = new Header(content).all('x-dkim-key');
  let out = content;
  for (const { valueStart, end } of key) {
    if (out === content) out = Buffer.from(content);
    out.fill('*', valueStart, Math.max(valueStart, end - 2));
  }
  return out;
}
