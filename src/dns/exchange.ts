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
/** Records in one message. Decoding is done at one go, so a message made of nothing but records would hold up all else. */
const MOST_RECORDS = 2048;
const WITHOUT_EDNS: ReadonlySet<string> = new Set(['FORMERR', 'NOTIMP', 'BADVERS']);
const CLOSED = 'the resolver was closed';

export interface ExchangeTools {
  /** For each way of asking. */
  readonly timeoutMs: number;
  readonly clock: Clock;
  /** Gives up at once when it fires. */
  readonly signal: AbortSignal;
  /** Asks in letters of random case, which a forger must guess too; needs servers that repeat the question exactly. */
  readonly mixCase?: boolean;
  /** Over TCP from the first. */
  readonly tcp?: boolean;
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
    // Recursion, and "authentic data" to be told whether the answer was validated (RFC 6840 section 5.7); some servers
    // tell only those who say that they understand DNSSEC ("DNSSEC OK", RFC 3225), so that is said below too.
    flags: dnsPacket.RECURSION_DESIRED | dnsPacket.AUTHENTIC_DATA,
    questions: [{ name: tools.mixCase ? mixedCase(name) : name, type, class: 'IN' }],
    additionals: [
      {
        type: 'OPT',
        name: '.',
        udpPayloadSize: UDP_PAYLOAD,
        extendedRcode: 0,
        ednsVersion: 0,
        flags: dnsPacket.DNSSEC_OK,
        flag_do: true,
        options: [],
      },
    ],
  };
  let reply = await (tools.tcp ? askTcp : askUdp)(server, query, tools);
  if (typeof reply !== 'string' && WITHOUT_EDNS.has(reply.rcode)) {
    // A server that does not know EDNS answers a question without it (RFC 6891 section 7).
    query.additionals = [];
    query.id = randomInt(65_536);
    reply = await (tools.tcp ? askTcp : askUdp)(server, query, tools);
  }
  if (typeof reply !== 'string' && reply.flag_tc) {
    reply = await askTcp(server, query, tools);
    // What is missing must not be taken for what does not exist.
    if (typeof reply !== 'string' && reply.flag_tc)
      return `${server.address} cut its answer short over TCP too`;
  }
  // Who does not know EDNS does not know DNSSEC: that bit means nothing then.
  if (typeof reply !== 'string' && query.additionals?.length === 0) return { ...reply, flag_ad: false };
  return reply;
}

/** Letters in upper or lower case by chance (draft-vixie-dnsext-dns0x20). */
function mixedCase(name: string): string {
  return name.replace(/[a-z]/g, (letter) => (randomInt(2) === 0 ? letter : letter.toUpperCase()));
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

/** The reply in these bytes if it answers this query, letter for letter; null when it is something else. */
function readReply(bytes: Buffer, query: Packet): Reply | null {
  let reply: Reply;
  if (bytes.length < 12) return null;
  if (bytes.readUInt16BE(6) + bytes.readUInt16BE(8) + bytes.readUInt16BE(10) > MOST_RECORDS) return null;
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
    (echoed.name === asked!.name ||
      (asked!.name === asked!.name.toLowerCase() && echoed.name.toLowerCase() === asked!.name));
  if (reply.type !== 'response' || reply.id !== query.id || !same) return null;
  const edns = reply.additionals?.find((record) => record.type === 'OPT');
  // The upper bits of the response code are there (RFC 6891 section 6.1.3); all codes that need them are failures.
  const extended = edns?.type === 'OPT' ? edns.extendedRcode : 0;
  return extended === 0
    ? reply
    : {
        ...reply,
        rcode: extended === 1 && reply.rcode === 'NOERROR' ? 'BADVERS' : `code ${extended << 4} and more`,
      };
}
