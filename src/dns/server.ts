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
  readonly code: 'NOERROR' | 'NXDOMAIN' | 'SERVFAIL' | 'REFUSED';
  readonly answers: readonly Answer[];
  /** Say that the answer is validated. */
  readonly authenticated?: boolean;
}

export interface DnsServerOptions {
  /** The reply to one question; 'silent' gives none. */
  readonly answer: (question: DnsQuestion) => DnsReply | 'silent';
  /** TCP connections at a time; default 100. */
  readonly maxConnections?: number;
}

export interface DnsServer {
  /** Binds UDP and TCP to one port (0: any) and resolves with it. */
  listen(host: string, port: number, purpose: string): Promise<number>;
  close(): Promise<void>;
}

const RCODES = { NOERROR: 0, SERVFAIL: 2, NXDOMAIN: 3, REFUSED: 5 } as const;
/** What a client without EDNS takes over UDP (RFC 1035 section 4.2.1). */
const PLAIN_UDP = 512;
const LARGEST_QUERY = 4096;
const IDLE_MS = 10_000;

export function createDnsServer(options: DnsServerOptions): DnsServer {
  let udp: UdpSocket | null = null;
  const tcp: Server = createServer((socket) => serveTcp(socket, options));
  tcp.maxConnections = options.maxConnections ?? 100;
  return {
    async listen(host, port, purpose) {
      const bound = await listen(tcp, host, port, purpose);
      udp = createSocket(host.includes(':') ? 'udp6' : 'udp4');
      const socket = udp;
      socket.on('message', (bytes, from) => {
        const reply = respond(bytes, options, true);
        if (reply) socket.send(reply, from.port, from.address);
      });
      await new Promise<void>((resolve, reject) => {
        socket.once('error', (error: NodeJS.ErrnoException) => {
          reject(new UserError(bindFailure(error, host, bound, purpose)));
        });
        socket.bind({ address: host, port: bound, exclusive: true }, resolve);
      });
      socket.removeAllListeners('error');
      socket.on('error', () => {});
      return bound;
    },
    async close() {
      await Promise.all([
        new Promise<void>((resolve) => (udp ? udp.close(() => resolve()) : resolve())),
        new Promise<void>((resolve) => {
          tcp.close(() => resolve());
          for (const socket of open) socket.destroy();
        }),
      ]);
    },
  };
}

const open = new Set<Socket>();

function serveTcp(socket: Socket, options: DnsServerOptions): void {
  open.add(socket);
  socket.setTimeout(IDLE_MS, () => socket.destroy());
  socket.on('error', () => {});
  socket.on('close', () => open.delete(socket));
  let received = Buffer.alloc(0);
  socket.on('data', (chunk) => {
    received = Buffer.concat([received, chunk]);
    while (received.length >= 2) {
      const length = received.readUInt16BE(0);
      if (length > LARGEST_QUERY) return socket.destroy();
      if (received.length < 2 + length) return;
      const reply = respond(received.subarray(2, 2 + length), options, false);
      received = received.subarray(2 + length);
      if (!reply) return socket.destroy();
      const size = Buffer.alloc(2);
      size.writeUInt16BE(reply.length);
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
  const reply = answer({ name: question.name.replace(/\.$/, ''), type: question.type });
  if (reply === 'silent') return null;
  const edns = query.additionals?.find((record) => record.type === 'OPT');
  const packet: Packet = {
    type: 'response',
    id: query.id ?? 0,
    flags:
      dnsPacket.AUTHORITATIVE_ANSWER |
      (query.flag_rd ? dnsPacket.RECURSION_DESIRED : 0) |
      (reply.authenticated ? dnsPacket.AUTHENTIC_DATA : 0) |
      RCODES[reply.code],
    questions: [question],
    answers: [...reply.answers],
  };
  const encoded = dnsPacket.encode(packet);
  const room = edns?.type === 'OPT' ? Math.max(PLAIN_UDP, edns.udpPayloadSize) : PLAIN_UDP;
  if (!overUdp || encoded.length <= room) return encoded;
  return dnsPacket.encode({ ...packet, flags: packet.flags! | dnsPacket.TRUNCATED_RESPONSE, answers: [] });
}
