import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import {
  createSecureContext,
  type SecureContext,
  type SecureContextOptions,
  type SecureVersion,
} from 'node:tls';
import type { Clock } from '../system/clock.ts';
import { listen } from '../system/listen.ts';
import { readProxyHeader } from './proxy-header.ts';
import { formatReply, type Reply } from './reply.ts';
import { createSmtpSession, type Endpoints, plainAddress, type SmtpServerSession } from './server-session.ts';
import type { SmtpServerHandlers, SmtpServerOptions, SmtpSessionTools } from './server-types.ts';

/** How a new connection is served; a Reply (a 421 or 554) turns it away in one line, `drop` without a word. */
export type Acceptance =
  | { readonly options: SmtpServerOptions; readonly handlers: SmtpServerHandlers }
  | Reply
  | 'drop';

export interface SmtpServer {
  /** Resolves with the port; a `UserError` when the address can not be bound. `purpose` names the listener in it. */
  listen(host: string, port: number, purpose: string): Promise<number>;
  /** Open sessions. */
  readonly sessions: ReadonlySet<SmtpServerSession>;
  /**
   * Takes no more connections, sends 421 to sessions as they become idle, and cuts what is left after `graceMs`.
   * Resolves when all are gone.
   */
  close(graceMs: number): Promise<void>;
}

/** Connections of proxies that have not named their client, at one address. */
const MOST_UNNAMED = 1_000;
/** How long a proxy has to say for whom it connects. */
const PROXY_HEADER_MS = 5_000;
/** How long a client that is refused has to hang up. */
const TURNED_AWAY_MS = 5_000;

/**
 * A listening SMTP server: sessions by `accept`, which decides by the client's address. `fromProxy` tells whether a
 * peer is a proxy that names the client in a PROXY header; `accept` is then asked about that client.
 */
export function createSmtpServer(
  accept: (endpoints: Endpoints) => Acceptance,
  tools: SmtpSessionTools,
  fromProxy: (peer: Endpoints) => boolean = () => false,
): SmtpServer {
  const sessions = new Set<SmtpServerSession>();
  /** Connections of proxies that have not said for whom they are. */
  const unnamed = new Set<Socket>();
  /** Where it listens, if that is one address: then it is that of every connection. */
  let bound: AddressInfo | null = null;
  let closing = false;
  let whenEmpty: (() => void) | null = null;
  const gone = (session: SmtpServerSession) => {
    sessions.delete(session);
    if (sessions.size === 0) whenEmpty?.();
  };
  const connected = (socket: Socket) => {
    const peer = endpointsOf(socket, bound);
    if (!fromProxy(peer)) {
      serve(socket, peer);
      return;
    }
    if (unnamed.size >= MOST_UNNAMED) {
      tools.log.warn(`connection cut: ${MOST_UNNAMED} others wait for their PROXY header`, {
        proxy: peer.remoteAddress,
      });
      socket.on('error', () => {});
      socket.destroy();
      return;
    }
    unnamed.add(socket);
    readProxyHeader(socket, { clock: tools.clock, timeoutMs: PROXY_HEADER_MS }, (greeting) => {
      unnamed.delete(socket);
      if (typeof greeting === 'string') {
        tools.log.warn(`connection cut: ${greeting}`, { proxy: peer.remoteAddress });
        // Nobody is left to listen for the error that cutting a connection may bring.
        socket.on('error', () => {});
        socket.destroy();
      } else if (closing) socket.destroy();
      else serve(socket, greeting.client ?? peer);
    });
  };
  const serve = (socket: Socket, endpoints: Endpoints) => {
    const acceptance = accept(endpoints);
    if (acceptance === 'drop') socket.destroy();
    else if ('code' in acceptance) turnAway(socket, acceptance, tools.clock);
    else {
      const session = createSmtpSession(socket, acceptance.options, acceptance.handlers, {
        ...tools,
        endpoints,
      });
      sessions.add(session);
      socket.once('close', () => gone(session));
    }
  };
  // Half-open: a client that sends everything and shuts its side down still gets its replies.
  const server: Server = createServer({ allowHalfOpen: true, noDelay: true }, connected);
  server.on('error', (error) => tools.log.error('accepting connections failed', { reason: error.message }));
  return {
    sessions,
    async listen(host, port, purpose) {
      const listening = await listen(server, host, port, purpose);
      const own = server.address();
      if (typeof own === 'object' && own && !EVERY_ADDRESS.has(own.address)) bound = own;
      return listening;
    },
    async close(graceMs) {
      const closed = new Promise<void>((resolve) => {
        server.close(() => resolve());
      });
      closing = true;
      for (const socket of [...unnamed]) socket.destroy();
      for (const session of [...sessions]) session.stop();
      if (sessions.size > 0) {
        const empty = new Promise<void>((resolve) => {
          whenEmpty = resolve;
        });
        const cancel = tools.clock.after(graceMs, () => {
          for (const session of [...sessions]) session.destroy();
        });
        await empty;
        cancel();
      }
      await closed;
    },
  };
}

const EVERY_ADDRESS: ReadonlySet<string> = new Set(['0.0.0.0', '::']);

/** The local half is asked of the system only where it is not known, for that is a call for each connection. */
function endpointsOf(socket: Socket, bound: AddressInfo | null): Endpoints {
  return {
    remoteAddress: plainAddress(socket.remoteAddress),
    remotePort: socket.remotePort ?? 0,
    localAddress: plainAddress(bound ? bound.address : socket.localAddress),
    localPort: bound ? bound.port : (socket.localPort ?? 0),
  };
}

function turnAway(socket: Socket, reply: Reply, clock: Clock): void {
  socket.on('error', () => {});
  socket.end(formatReply(reply, true));
  socket.resume();
  // A client that never hangs up must not hold the socket, silent or not: these connections are counted nowhere.
  const cancel = clock.after(TURNED_AWAY_MS, () => socket.destroy());
  socket.once('close', cancel);
}

/**
 * Certificate, key and versions for a server session. TLS 1.2 and later unless told otherwise. Throws when the
 * certificate or key can not be read; the caller knows the file's name and says so.
 */
export function createSmtpSecureContext(
  given: SecureContextOptions & { minVersion?: SecureVersion },
): SecureContext {
  return createSecureContext({ minVersion: 'TLSv1.2', ...given });
}
