import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { setImmediate as turn, setTimeout as wait } from 'node:timers/promises';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import type { Clock } from '../system/clock.ts';
import { systemClock } from '../system/clock.ts';
import { silentLog } from '../system/log.ts';
import { ReplyReader, replyText, type SmtpReply } from './reply-reader.ts';
import { createSmtpServer, type SmtpServer } from './server.ts';
import type { ReceivedMessage, SmtpServerHandlers, SmtpServerOptions } from './server-types.ts';
import { smtpServerOptions } from './server-types.ts';

/** The two ends that the tests of this room talk to: a real server of ours, and a peer that says what it is told. */

export interface TestServer {
  readonly port: number;
  readonly server: SmtpServer;
  /** Messages taken, in order. */
  readonly messages: ReceivedMessage[];
}

/** A server of this room on a free port, closed when the test ends. */
export async function startServer(
  t: TestContext,
  options: Partial<SmtpServerOptions> = {},
  handlers: Partial<SmtpServerHandlers> = {},
  clock: Clock = systemClock,
  host = '127.0.0.1',
): Promise<TestServer> {
  const messages: ReceivedMessage[] = [];
  const all: SmtpServerHandlers = {
    onMessage(message) {
      messages.push(message);
      return null;
    },
    ...handlers,
  };
  const server = createSmtpServer(
    () => ({ options: smtpServerOptions({ hostName: 'mx.test', ...options }), handlers: all }),
    { clock, log: silentLog },
  );
  const port = await server.listen(host, 0, 'a test');
  t.after(async () => {
    for (const session of server.sessions) session.destroy();
    await server.close(0);
  });
  return { port, server, messages };
}

/**
 * Long enough for what was written to have arrived at the other end, in this process too. On a machine that stood still
 * meanwhile the time is up before anything was read, so the sockets are looked at some more times.
 */
export async function settled(): Promise<void> {
  await wait(20);
  for (let i = 0; i < 5; i++) await turn();
}

/** A raw client: writes what it is told, reads replies. */
export class Peer {
  socket: Socket;
  readonly reader = new ReplyReader();
  closed = false;
  #woken: () => void = () => {};

  constructor(socket: Socket) {
    this.socket = socket;
    this.#listen(socket);
  }

  static async open(t: TestContext, port: number): Promise<Peer> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    t.after(() => socket.destroy());
    const peer = new Peer(socket);
    await once(socket, 'connect');
    return peer;
  }

  #listen(socket: Socket): void {
    socket.on('data', (piece) => {
      assert.equal(this.reader.push(piece), null);
      this.#woken();
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      this.closed = true;
      this.#woken();
    });
  }

  write(text: string | Buffer): void {
    this.socket.write(typeof text === 'string' ? Buffer.from(text, 'utf8') : text);
  }

  /** One byte at a time, each in a packet of its own as far as the system lets it. */
  async drip(text: string | Buffer): Promise<void> {
    for (const byte of typeof text === 'string' ? Buffer.from(text, 'utf8') : text) {
      this.socket.write(Buffer.from([byte]));
      await turn();
    }
  }

  async #wake(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#woken = resolve;
    });
  }

  /** The next reply; throws when the connection ends before it. */
  async reply(): Promise<SmtpReply> {
    for (;;) {
      const reply = this.reader.replies.shift();
      if (reply) return reply;
      if (this.closed) throw new Error('the connection was closed before the reply');
      await this.#wake();
    }
  }

  async text(): Promise<string> {
    return replyText(await this.reply());
  }

  /** Writes one line and reads one reply. */
  async ask(line: string): Promise<string> {
    this.write(`${line}\r\n`);
    return await this.text();
  }

  async end(): Promise<void> {
    while (!this.closed) await this.#wake();
  }

  /** Puts TLS over the connection. */
  async secure(options: ConnectionOptions = {}): Promise<void> {
    const raw = this.socket;
    raw.removeAllListeners('data');
    raw.removeAllListeners('close');
    const secured = connectTls({ socket: raw, rejectUnauthorized: false, ...options });
    this.socket = secured;
    this.#listen(secured);
    await once(secured, 'secureConnect');
  }
}

/** A server that is no SMTP server of ours: `serve` says everything itself. Closed when the test ends. */
export async function startPeer(t: TestContext, serve: (socket: Socket) => void): Promise<number> {
  const open = new Set<Socket>();
  const server: Server = createServer((socket) => {
    open.add(socket);
    socket.on('error', () => {});
    serve(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    for (const socket of open) socket.destroy();
  });
  return (server.address() as AddressInfo).port;
}

/**
 * A scripted server: sends the greeting, then `answers[n]` for the nth line that comes. `null` closes the connection
 * instead; after the script it says nothing.
 */
export function scripted(greeting: string, answers: readonly (string | null)[]): (socket: Socket) => void {
  return (socket) => {
    let n = 0;
    let pending = '';
    socket.write(greeting);
    socket.on('data', (piece) => {
      pending += piece.toString('latin1');
      for (let end = pending.indexOf('\n'); end !== -1 && n < answers.length; end = pending.indexOf('\n')) {
        pending = pending.slice(end + 1);
        const answer = answers[n++];
        if (answer === null) socket.end();
        else if (answer) socket.write(answer);
      }
    });
  };
}
