/**
 * How the management interface is reached: `http-mgmt-port`, which speaks HTTP and HTTPS (the first byte tells), and a
 * socket in the state folder that only this user can open. `pmta` takes the socket, so it works whatever
 * `http-access` says and when the port is off, as PowerMTA's private channel does.
 */
import { chmodSync, readFileSync, unlinkSync } from 'node:fs';
import {
  createServer as createHttpServer,
  type IncomingMessage,
  type RequestListener,
  type ServerResponse,
} from 'node:http';
import { createServer as createHttpsServer, type Server, type ServerOptions } from 'node:https';
import { createServer, type Socket } from 'node:net';
import path from 'node:path';
import type { TLSSocket } from 'node:tls';
import type { Config } from '../../config/index.ts';
import { makeSelfSignedCertificate } from '../../smtp/index.ts';
import { reason, writeFileDurably } from '../../system/durable-file.ts';
import { listen } from '../../system/listen.ts';
import type { Log } from '../../system/log.ts';
import { UserError } from '../../system/user-error.ts';

export type Channel = 'http' | 'https' | 'control';
export type Handle = (request: IncomingMessage, response: ServerResponse, channel: Channel) => void;

export interface Channels {
  /** null when `http-mgmt-port` is 0. */
  readonly port: number | null;
  close(): Promise<void>;
}

const CONTROL_SOCKET = 'control.sock';
/** The longest path that a socket's address has room for (sun_path on Linux, without the final NUL). */
const LONGEST_SOCKET_PATH = 107;
const TLS_HANDSHAKE = 0x16;
/** A visitor who says nothing is not waited for longer. */
const FIRST_BYTE_MS = 10_000;

/** Where `pmta` finds the server of this configuration; null when the path is too long for a socket. */
export function controlSocketPath(stateDir: string): string | null {
  const file = path.resolve(stateDir, CONTROL_SOCKET);
  return Buffer.byteLength(file) <= LONGEST_SOCKET_PATH ? file : null;
}

export interface ChannelTools {
  /** In force now. */
  readonly config: () => Config;
  readonly log: Log;
}

/** What one client may take of us. The times are looked at once in `connectionsCheckingInterval`. */
const LIMITS = {
  maxHeaderSize: 16 * 1024,
  requestTimeout: 60_000,
  headersTimeout: 10_000,
  connectionsCheckingInterval: 5_000,
  handshakeTimeout: 10_000,
};
const MOST_CONNECTIONS = 1_000;

/** `config`: what the port and its TLS are opened with; a change needs a restart. */
export async function openChannels(
  config: Config,
  tools: ChannelTools,
  handle: Handle,
  limits: typeof LIMITS = LIMITS,
): Promise<Channels> {
  const http = createHttpServer(limits, (request, response) => handle(request, response, 'http'));
  const control = createHttpServer(limits, (request, response) => handle(request, response, 'control'));
  const port = config.global.get('http-mgmt-port');
  const https =
    port === 0
      ? null
      : openHttps(config, { ...limits, ...(await certificate(config)) }, (request, response) =>
          handle(request, response, 'https'),
        );
  if (https) logTls(https, tools);
  // A server that is handed its connections never listens, and Node would watch over no time limit of theirs.
  for (const server of [http, https]) server?.emit('listening');
  const sockets = new Set<Socket>();
  const front = createServer((socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    socket.setTimeout(FIRST_BYTE_MS, () => socket.destroy());
    socket.once('data', (first) => {
      socket.setTimeout(0);
      socket.removeAllListeners('timeout');
      socket.pause();
      socket.unshift(first);
      const server = first[0] === TLS_HANDSHAKE ? https! : http;
      server.emit('connection', socket);
      process.nextTick(() => socket.resume());
    });
  });
  front.maxConnections = MOST_CONNECTIONS;
  let bound: number | null = null;
  if (port !== 0) {
    const origin = config.global.origin('http-mgmt-port');
    const where = origin ? `${origin.file}:${origin.line}` : 'default';
    // Every interface, as PowerMTA does; `http-access` decides who is answered, and its default is nobody.
    const host = loopbackOnly(config) ? '127.0.0.1' : '0.0.0.0';
    bound = await listen(front, host, port, `http-mgmt-port, ${where}`);
  }
  const socketPath = controlSocketPath(config.global.get('state-dir'));
  if (socketPath !== null) await listenOnSocket(control, socketPath);
  return {
    port: bound,
    async close() {
      for (const socket of sockets) socket.destroy();
      // They do not listen, so this says so; it ends their watching.
      for (const server of [http, https]) server?.close(() => {});
      control.closeAllConnections();
      await Promise.all([
        bound === null ? undefined : new Promise<void>((resolve) => front.close(() => resolve())),
        socketPath === null ? undefined : new Promise<void>((resolve) => control.close(() => resolve())),
      ]);
    },
  };
}

function openHttps(config: Config, options: ServerOptions, handle: RequestListener): Server {
  try {
    return createHttpsServer(options, handle);
  } catch (error) {
    const origin = config.global.origin('http-tls-ciphers');
    const where = origin ? `${origin.file}:${origin.line}: ` : '';
    throw new UserError(
      `${where}the management port cannot speak TLS: ${reason(error)}; look at http-tls-ciphers and at webmon.pem in the state-dir`,
      { cause: error },
    );
  }
}

function logTls(server: Server, { config, log }: ChannelTools): void {
  const wanted = () => config().global.get('http-log-tls');
  server.on('secureConnection', (socket: TLSSocket) => {
    if (!wanted()) return;
    const { remoteAddress: client } = socket;
    log.info('TLS on', { client, protocol: socket.getProtocol(), cipher: socket.getCipher()?.name });
  });
  server.on('tlsClientError', (error, socket) => {
    if (wanted()) log.info(`TLS failed: ${error.message}`, { client: socket.remoteAddress });
  });
}

async function listenOnSocket(server: ReturnType<typeof createHttpServer>, file: string): Promise<void> {
  // The folder's lock is ours, so a socket that lies here is one that a killed server left behind.
  try {
    unlinkSync(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
      throw new UserError(`${file} cannot be replaced: ${reason(error)}`, { cause: error });
    }
  }
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(new UserError(`${file} cannot be opened: ${reason(error)}`)));
    server.listen(file, () => resolve());
  });
  chmodSync(file, 0o600);
}

/** `webmon.pem` in the state folder: an operator's own, or one that we sign ourselves the first time. */
async function certificate(
  config: Config,
): Promise<{ key: string; cert: string; ciphers: string; minVersion: 'TLSv1.1' | 'TLSv1.2' | 'TLSv1.3' }> {
  const file = path.join(config.global.get('state-dir'), 'webmon.pem');
  let pem: string;
  try {
    pem = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
      throw new UserError(`${file} cannot be read: ${reason(error)}`, { cause: error });
    }
    const names = [config.hostNames[0]!, 'localhost', '127.0.0.1'];
    const made = await makeSelfSignedCertificate({ names, days: 3650 });
    pem = made.key + made.cert;
    await writeFileDurably(file, pem, 0o600);
  }
  const { global } = config;
  const minVersion = global.get('http-tls-allow-tlsv1.1')
    ? 'TLSv1.1'
    : global.get('http-tls-allow-tlsv1.2')
      ? 'TLSv1.2'
      : 'TLSv1.3';
  return { key: pem, cert: pem, minVersion, ciphers: global.get('http-tls-ciphers') };
}

function loopbackOnly(config: Config): boolean {
  return config.global
    .get('http-access')
    .every(
      ({ access, cidr }) =>
        access === 'none' || (cidr.bytes.length === 4 && cidr.bytes[0] === 127 && cidr.bits >= 8),
    );
}
