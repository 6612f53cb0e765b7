/** A small authoritative DNS server over UDP and TCP: the pretend internet's, and the tests'. */
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { createServer, type Server, type Socket } from 'node:net';
import dnsPacket, { type Answer, type Packet, type RecordType } from 'dns-packet';
import { bindFailure, listen } from '../system/listen.ts';
import { UserError } from '../system/user-error.ts';

export interface DnsQuestion {
  /** As asked, without the final dot. */
  readonly name: string;
  readonly type: RecordType;
}

export interface DnsReply {
  readonly code: 'NOERROR' | 'FORMERR' | 'NXDOMAIN' | 'SERVFAIL' | 'REFUSED';
  readonly answers: readonly Answer[];
  /** The zone's SOA, where there is no answer: how long "no" holds. */
  readonly authorities?: readonly Answer[];
  /** Say that the answer is validated. */
  readonly authenticated?: boolean;
}

export interface DnsServerOptions {
  /** The reply to one question; 'silent' gives none. A throw, or records that can not be encoded, is SERVFAIL. */
  readonly answer: (question: DnsQuestion) => DnsReply | 'silent';
  /** TCP connections at a time; default 100. */
  readonly maxConnections?: number;
}

export interface DnsServer {
  /** Binds UDP and TCP to one port (0: any) and resolves with it. */
  listen(host: string, port: number, purpose: string): Promise<number>;
  close(): Promise<void>;
}

const RCODES = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, REFUSED: 5 } as const;
/** What a client without EDNS takes over UDP (RFC 1035 section 4.2.1), and the most that is sent to any. */
const PLAIN_UDP = 512;
const MOST_UDP = 4096;
const LARGEST_QUERY = 4096;
const LARGEST_REPLY = 65_535;
const IDLE_MS = 10_000;
/** A free port for TCP may be taken for UDP; another one will do. */
const PORTS_TRIED = 10;

export function createDnsServer(options: DnsServerOptions): DnsServer {
  const open = new Set<Socket>();
  let udp: UdpSocket | null = null;
  let tcp: Server | null = null;
  const listenTcp = async (host: string, port: number, purpose: string) => {
    const server = createServer((socket) => {
      open.add(socket);
      socket.on('close', () => open.delete(socket));
      serveTcp(socket, options);
    });
    server.maxConnections = options.maxConnections ?? 100;
    const bound = await listen(server, host, port, purpose);
    server.on('error', () => {});
    return { server, bound };
  };
  return {
    async listen(host, port, purpose) {
      for (let tried = 1; ; tried++) {
        const { server, bound } = await listenTcp(host, port, purpose);
        const socket = await bindUdp(host, bound, options);
        if (!(socket instanceof Error)) {
          udp = socket;
          tcp = server;
          return bound;
        }
        await new Promise((resolve) => server.close(resolve));
        if (port === 0 && socket.code === 'EADDRINUSE' && tried < PORTS_TRIED) continue;
        throw new UserError(bindFailure(socket, host, bound, purpose));
      }
    },
    async close() {
      await Promise.all([
        new Promise<void>((resolve) => (udp ? udp.close(() => resolve()) : resolve())),
        new Promise<void>((resolve) => {
          if (tcp) tcp.close(() => resolve());
          else resolve();
          for (const socket of open) socket.destroy();
        }),
      ]);
      udp = null;
      tcp = null;
    },
  };
}

async function bindUdp(
  host: string,
  port: number,
  options: DnsServerOptions,
): Promise<UdpSocket | NodeJS.ErrnoException> {
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
  const error = await new Promise<NodeJS.ErrnoException | null>((resolve) => {
    socket.once('error', resolve);
    socket.bind({ address: host, port, exclusive: true }, () => resolve(null));
  });
  if (error) {
    socket.close();
    return error;
  }
  socket.removeAllListeners('error');
  socket.on('error', () => {});
  socket.on('message', (bytes, from) => {
    const reply = respond(bytes, options, true);
    if (reply) socket.send(reply, from.port, from.address);
  });
  return socket;
}

function serveTcp(socket: Socket, options: DnsServerOptions): void {
  socket.setTimeout(IDLE_MS, () => socket.destroy());
  socket.on('error', () => {});
  let received = Buffer.alloc(0);
  socket.on('data', (chunk) => {
    received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
    while (received.length >= 2) {
      const length = received.readUInt16BE(0);
      if (length > LARGEST_QUERY) return socket.destroy();
      if (received.length < 2 + length) return;
      const reply = respond(received.subarray(2, 2 + length), options, false);
      received = received.subarray(2 + length);
      if (!reply) return socket.destroy();
      const size = Buffer.alloc(2);
      size.writeUInt16BE(reply.length);
      // A client that asks and never reads is not worth the memory.
      if (socket.writableLength > LARGEST_REPLY * 2) return socket.destroy();
      socket.write(Buffer.concat([size, reply]));
    }
  });
}

function respond(bytes: Buffer, { answer }: DnsServerOptions, overUdp: boolean): Buffer | null {
  let query: ReturnType<typeof dnsPacket.decode>;
  try {
    query = dnsPacket.decode(bytes);
  } catch {
    return null;
  }
  const [question] = query.questions ?? [];
  if (query.type !== 'query' || !question) return null;
  let reply: DnsReply | 'silent';
  try {
    reply = answer({ name: question.name.replace(/\.$/, ''), type: question.type });
  } catch {
    reply = SERVFAIL;
  }
  if (reply === 'silent') return null;
  const edns = query.additionals?.find((record) => record.type === 'OPT');
  const room =
    edns?.type === 'OPT' ? Math.min(MOST_UDP, Math.max(PLAIN_UDP, edns.udpPayloadSize)) : PLAIN_UDP;
  const most = overUdp ? room : LARGEST_REPLY;
  return encode(query, reply, most) ?? encode(query, SERVFAIL, most);
}

const SERVFAIL: DnsReply = { code: 'SERVFAIL', answers: [] };

/** Null when there is no way to write this reply. */
function encode(query: Packet & { flag_rd: boolean }, reply: DnsReply, most: number): Buffer | null {
  const flags =
    dnsPacket.AUTHORITATIVE_ANSWER |
    (query.flag_rd ? dnsPacket.RECURSION_DESIRED : 0) |
    (reply.authenticated ? dnsPacket.AUTHENTIC_DATA : 0) |
    RCODES[reply.code];
  const packet: Packet = {
    type: 'response',
    id: query.id ?? 0,
    flags,
    questions: query.questions!.slice(0, 1),
    answers: [...reply.answers],
    authorities: [...(reply.authorities ?? [])],
  };
  try {
    const encoded = dnsPacket.encode(packet);
    if (encoded.length <= most) return encoded;
    const truncated = {
      ...packet,
      flags: flags | dnsPacket.TRUNCATED_RESPONSE,
      answers: [],
      authorities: [],
    };
    return dnsPacket.encode(truncated);
  } catch {
    return null;
  }
}
