/** One question to one DNS server: over UDP, and over TCP when the answer was too long for that (RFC 1035, 7766). */
import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { connect, isIPv6 } from 'node:net';
import dnsPacket, { type DecodedPacket, type Packet, type RecordType } from 'dns-packet';
import type { Clock } from '../system/clock.ts';

export interface DnsServerAddress {
  readonly address: string;
  readonly port: number;
}

/** A decoded reply; dns-packet's types leave out the response code that it decodes. */
export type Reply = DecodedPacket & { readonly rcode: string };

/** A reply whose id and question are those that were asked; text says why there is none. */
export type Exchange = Reply | string;

/** What we say we can take over UDP (DNS flag day 2020). */
const UDP_PAYLOAD = 1232;
const LARGEST_MESSAGE = 65_535;
const CLOSED = 'the resolver was closed';

export interface ExchangeTools {
  /** For each way of asking. */
  readonly timeoutMs: number;
  readonly clock: Clock;
  /** Gives up at once when it fires. */
  readonly signal: AbortSignal;
}

/** `name` must be made of labels of 1 to 63 ASCII characters: the encoder does not check. */
export async function exchange(
  server: DnsServerAddress,
  name: string,
  type: RecordType,
  tools: ExchangeTools,
): Promise<Exchange> {
  const query: Packet = {
    type: 'query',
    id: randomInt(65_536),
    // Recursion, and "authentic data" to be told whether the answer was validated (RFC 6840 section 5.7).
    flags: dnsPacket.RECURSION_DESIRED | dnsPacket.AUTHENTIC_DATA,
    questions: [{ name, type, class: 'IN' }],
    additionals: [
      {
        type: 'OPT',
        name: '.',
        udpPayloadSize: UDP_PAYLOAD,
        extendedRcode: 0,
        ednsVersion: 0,
        flags: 0,
        flag_do: false,
        options: [],
      },
    ],
  };
  let reply = await askUdp(server, query, tools);
  if (typeof reply !== 'string' && (reply.rcode === 'FORMERR' || reply.rcode === 'NOTIMP')) {
    // A server that does not know EDNS answers a question without it (RFC 6891 section 7).
    query.additionals = [];
    query.id = randomInt(65_536);
    reply = await askUdp(server, query, tools);
  }
  if (typeof reply === 'string' || !reply.flag_tc) return reply;
  return await askTcp(server, query, tools);
}

/** Every question has a socket, and so a source port, of its own: a forger must guess the port as well as the id. */
function askUdp(server: DnsServerAddress, query: Packet, tools: ExchangeTools): Promise<Exchange> {
  const { timeoutMs, clock, signal } = tools;
  return new Promise((resolve) => {
    const socket = createSocket(isIPv6(server.address) ? 'udp6' : 'udp4');
    let over = false;
    const end = (result: Exchange) => {
      if (over) return;
      over = true;
      cancel();
      signal.removeEventListener('abort', aborted);
      socket.removeAllListeners();
      socket.on('error', () => {});
      socket.close();
      resolve(result);
    };
    const aborted = () => end(CLOSED);
    const cancel = clock.after(timeoutMs, () =>
      end(`no answer from ${server.address} in ${timeoutMs / 1000} s`),
    );
    signal.addEventListener('abort', aborted);
    if (signal.aborted) return aborted();
    socket.on('error', (error) => end(`${server.address}: ${error.message}`));
    socket.on('message', (bytes) => {
      const reply = readReply(bytes, query);
      // Anything else that comes to this port is not our answer; the right one may follow.
      if (reply) end(reply);
    });
    // Connected, so that the system passes on only what this server sends, and tells when nobody listens there.
    socket.connect(server.port, server.address, (error?: Error) => {
      if (error) end(`${server.address}: ${error.message}`);
      else if (!over) socket.send(dnsPacket.encode(query));
    });
  });
}

function askTcp(server: DnsServerAddress, query: Packet, tools: ExchangeTools): Promise<Exchange> {
  const { timeoutMs, clock, signal } = tools;
  return new Promise((resolve) => {
    const socket = connect({ host: server.address, port: server.port });
    let received = Buffer.alloc(0);
    const end = (result: Exchange) => {
      cancel();
      signal.removeEventListener('abort', aborted);
      socket.removeAllListeners();
      socket.on('error', () => {});
      socket.destroy();
      resolve(result);
    };
    const aborted = () => end(CLOSED);
    const cancel = clock.after(timeoutMs, () => end(`no answer from ${server.address} over TCP`));
    signal.addEventListener('abort', aborted);
    if (signal.aborted) return aborted();
    socket.on('error', (error) => end(`${server.address} over TCP: ${error.message}`));
    socket.on('end', () => end(`${server.address} closed the TCP connection before its answer`));
    socket.on('connect', () => socket.write(dnsPacket.streamEncode(query)));
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk]);
      if (received.length > LARGEST_MESSAGE + 2) return end(`${server.address} sent more than one answer`);
      if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return;
      end(
        readReply(received.subarray(2, 2 + received.readUInt16BE(0)), query) ??
          `${server.address} sent no valid answer`,
      );
    });
  });
}

/** The reply in these bytes if it answers this query; null when it is something else. */
function readReply(bytes: Buffer, query: Packet): Reply | null {
  let reply: Reply;
  try {
    reply = dnsPacket.decode(bytes) as Reply;
    // The decoder reads what is missing at the end as undefined.
    if (dnsPacket.decode.bytes > bytes.length) return null;
  } catch {
    return null;
  }
  const [asked] = query.questions!;
  const [echoed] = reply.questions ?? [];
  const same =
    echoed?.type === asked!.type &&
    echoed.class === 'IN' &&
    echoed.name.toLowerCase() === asked!.name.toLowerCase();
  return reply.type === 'response' && reply.id === query.id && same ? reply : null;
}
