import { createSocket, type RemoteInfo, type Socket as UdpSocket } from 'node:dgram';
import { createServer, type Server, type Socket } from 'node:net';
import packet, { type Answer, type DecodedPacket, type Packet } from 'dns-packet';
import { bindFailure, listen } from '../system/listen.ts';
import type { Log } from '../system/log.ts';
import { UserError } from '../system/user-error.ts';
import type { Zone, ZoneRecord } from './zone.ts';

export interface SinkDns {
  readonly port: number;
  close(): Promise<void>;
}

const TTL = 60;
const AUTHORITATIVE = packet.AUTHORITATIVE_ANSWER;
/** Without EDNS an answer over UDP has at most this many octets (RFC 1035 section 2.3.4). */
const PLAIN_UDP = 512;
const MOST_UDP = 1232;
const IDLE = 5_000;
const MOST_CONNECTIONS = 100;
/** RFC 1035 and RFC 8020. */
const RCODES = { NOERROR: 0, SERVFAIL: 2, NXDOMAIN: 3, REFUSED: 5 } as const;
/** A port that the system chose for TCP may be taken for UDP: then another is tried. */
const MOST_TRIES = 10;

/** Answers for the zone over UDP and TCP on one port. */
export async function startSinkDns(
  zone: Zone,
  at: { host: string; port: number },
  log: Log,
): Promise<SinkDns> {
  for (let tries = 1; ; tries++) {
    const tcp = createTcp(zone);
    const port = await listen(tcp, at.host, at.port, 'DNS of the sink, TCP');
    const udp = createSocket(at.host.includes(':') ? 'udp6' : 'udp4');
    const failure = await bindUdp(udp, at.host, port);
    if (!failure) {
      serveUdp(udp, zone, log);
      return { port, close: () => close(tcp, udp) };
    }
    await close(tcp, udp);
    if (at.port !== 0 || tries === MOST_TRIES) {
      throw new UserError(bindFailure(failure, at.host, port, 'DNS of the sink, UDP'));
    }
  }
}

function bindUdp(udp: UdpSocket, host: string, port: number): Promise<NodeJS.ErrnoException | null> {
  return new Promise((resolve) => {
    udp.once('error', resolve);
    udp.bind(port, host, () => {
      udp.removeListener('error', resolve);
      resolve(null);
    });
  });
}

function serveUdp(udp: UdpSocket, zone: Zone, log: Log): void {
  udp.on('error', (error) => log.warn('DNS over UDP failed', { reason: error.message }));
  udp.on('message', (bytes: Buffer, from: RemoteInfo) => {
    const query = decode(bytes);
    if (!query) return;
    const edns = query.additionals?.find((record) => record.type === 'OPT');
    const room = edns && 'udpPayloadSize' in edns ? Math.max(PLAIN_UDP, edns.udpPayloadSize) : PLAIN_UDP;
    let reply = encode(answer(zone, query));
    if (reply.length > Math.min(room, MOST_UDP)) {
      // The asker comes again over TCP.
      const whole = answer(zone, query);
      reply = encode({ ...whole, flags: (whole.flags ?? 0) | packet.TRUNCATED_RESPONSE, answers: [] });
    }
    udp.send(reply, from.port, from.address, () => {});
  });
}

function createTcp(zone: Zone): Server {
  const server = createServer((socket: Socket) => {
    let input = Buffer.alloc(0);
    socket.setTimeout(IDLE, () => socket.destroy());
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk: Buffer) => {
      input = Buffer.concat([input, chunk]);
      while (input.length >= 2 && input.length >= 2 + input.readUInt16BE(0)) {
        const end = 2 + input.readUInt16BE(0);
        const query = decode(input.subarray(2, end));
        input = input.subarray(end);
        if (!query) return void socket.destroy();
        const reply = encode(answer(zone, query));
        const length = Buffer.alloc(2);
        length.writeUInt16BE(reply.length);
        socket.write(Buffer.concat([length, reply]));
      }
    });
  });
  server.maxConnections = MOST_CONNECTIONS;
  return server;
}

function close(tcp: Server, udp: UdpSocket): Promise<void> {
  return new Promise((resolve) => {
    udp.close(() => tcp.close(() => resolve()));
  });
}

/** A query that can be answered; null for everything else, which gets no answer at all. */
function decode(bytes: Buffer): DecodedPacket | null {
  try {
    const query = packet.decode(bytes);
    return query.type === 'query' && query.questions?.length === 1 ? query : null;
  } catch {
    return null;
  }
}

function encode(reply: Packet): Buffer {
  return packet.encode(reply);
}

function answer(zone: Zone, query: DecodedPacket): Packet {
  const question = query.questions![0]!;
  const { code, records } =
    question.class === 'IN'
      ? zone.answer(question.name, question.type)
      : { code: 'REFUSED' as const, records: [] };
  const desired = (query.flags ?? 0) & packet.RECURSION_DESIRED;
  return {
    id: query.id ?? 0,
    type: 'response',
    flags: AUTHORITATIVE | desired | RCODES[code],
    questions: [question],
    answers: records.map((record) => resourceRecord(question.name, record)),
  };
}

function resourceRecord(name: string, record: ZoneRecord): Answer {
  const common = { name, ttl: TTL, class: 'IN' as const };
  switch (record.type) {
    case 'MX':
      return { ...common, type: 'MX', data: { preference: record.preference, exchange: record.exchange } };
    case 'TXT':
      return { ...common, type: 'TXT', data: pieces(record.data) };
    default:
      return { ...common, type: record.type, data: record.data };
  }
}

/** A TXT record is made of strings of at most 255 octets (RFC 1035 section 3.3.14). */
function pieces(text: string): Buffer[] {
  const bytes = Buffer.from(text);
  const parts: Buffer[] = [];
  for (let at = 0; at < bytes.length || at === 0; at += 255) parts.push(bytes.subarray(at, at + 255));
  return parts;
}
