/**
 * The header that a proxy puts before the client's first byte to say who the client is: the PROXY protocol, versions
 * 1 (a line of text) and 2 (binary), https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt. Whoever may send it
 * can claim any address, so it is asked of named proxies only, and of those it is required.
 */
import { isIPv4, isIPv6, type Socket } from 'node:net';
import type { Clock } from '../system/clock.ts';
import { type Endpoints, plainAddress } from './server-session.ts';

/** Section 2.1: the longest line of version 1, its CRLF included. */
const LONGEST_LINE = 107;
/** Bytes after the fixed part of version 2. The format allows 65,535; addresses and a certificate's names need less. */
const LONGEST_REST = 4096;
const FIXED_PART = 16;
const SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
const V1_START = Buffer.from('PROXY ', 'latin1');

export type ProxyHeader =
  /** Complete: `length` bytes long. `client` null: the proxy speaks for itself (LOCAL, UNKNOWN), as in a health check. */
  | { readonly kind: 'header'; readonly length: number; readonly client: Endpoints | null }
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'bad'; readonly reason: string };

const INCOMPLETE: ProxyHeader = { kind: 'incomplete' };
const bad = (reason: string): ProxyHeader => ({ kind: 'bad', reason });

/** Reads a header at the beginning of `bytes`. */
export function parseProxyHeader(bytes: Buffer): ProxyHeader {
  if (startsLike(bytes, SIGNATURE)) return bytes.length < FIXED_PART ? INCOMPLETE : version2(bytes);
  if (startsLike(bytes, V1_START)) return version1(bytes);
  return bad('the connection does not begin with a PROXY header');
}

/** Whether `bytes` are the beginning of `start`, or begin with it. */
function startsLike(bytes: Buffer, start: Buffer): boolean {
  const length = Math.min(bytes.length, start.length);
  return bytes.subarray(0, length).equals(start.subarray(0, length));
}

function version1(bytes: Buffer): ProxyHeader {
  const line = bytes.subarray(0, LONGEST_LINE);
  const end = line.indexOf('\r\n');
  if (end < 0) {
    return bytes.length < LONGEST_LINE ? INCOMPLETE : bad('a PROXY line of more than 107 bytes');
  }
  const length = end + 2;
  const words = line.toString('latin1', 0, end).split(' ');
  if (words[1] === 'UNKNOWN') return { kind: 'header', length, client: null };
  const [, family, remote = '', local = '', remotePort = '', localPort = ''] = words;
  const isAddress = family === 'TCP4' ? isIPv4 : family === 'TCP6' ? isPlainIPv6 : null;
  if (!isAddress || words.length !== 6) return bad('the PROXY line is malformed');
  if (!isAddress(remote) || !isAddress(local)) return bad('the PROXY line has an address that is none');
  if (!isPort(remotePort) || !isPort(localPort)) return bad('the PROXY line has a port that is none');
  return {
    kind: 'header',
    length,
    client: {
      remoteAddress: plainAddress(remote.toLowerCase()),
      remotePort: Number(remotePort),
      localAddress: plainAddress(local.toLowerCase()),
      localPort: Number(localPort),
    },
  };
}

function isPlainIPv6(text: string): boolean {
  return isIPv6(text) && !text.includes('%');
}

function isPort(text: string): boolean {
  return /^(?:0|[1-9]\d{0,4})$/.test(text) && Number(text) <= 65_535;
}

const LOCAL = 0x20;
const PROXY = 0x21;
const UNSPECIFIED = 0x00;
const TCP_IPV4 = 0x11;
const TCP_IPV6 = 0x21;

/** Section 2.2. What follows the addresses (TLVs) is passed over. */
function version2(bytes: Buffer): ProxyHeader {
  const command = bytes[12]!;
  const family = bytes[13]!;
  const rest = bytes.readUInt16BE(14);
  if (command !== LOCAL && command !== PROXY)
    return bad('the PROXY header is of an unknown version or command');
  if (rest > LONGEST_REST) return bad(`a PROXY header of more than ${FIXED_PART + LONGEST_REST} bytes`);
  const length = FIXED_PART + rest;
  if (command === PROXY && family !== UNSPECIFIED && family !== TCP_IPV4 && family !== TCP_IPV6) {
    return bad('the PROXY header speaks of something other than TCP over IPv4 or IPv6');
  }
  if (bytes.length < length) return INCOMPLETE;
  if (command === LOCAL || family === UNSPECIFIED) return { kind: 'header', length, client: null };
  const size = family === TCP_IPV4 ? 4 : 16;
  if (rest < 2 * size + 4) return bad('the PROXY header is too short for its addresses');
  const address = (at: number) => addressText(bytes.subarray(at, at + size));
  return {
    kind: 'header',
    length,
    client: {
      remoteAddress: address(FIXED_PART),
      localAddress: address(FIXED_PART + size),
      remotePort: bytes.readUInt16BE(FIXED_PART + 2 * size),
      localPort: bytes.readUInt16BE(FIXED_PART + 2 * size + 2),
    },
  };
}

/** One spelling per address (RFC 5952), as sockets give it. */
function addressText(bytes: Buffer): string {
  if (bytes.length === 4) return bytes.join('.');
  const groups: string[] = [];
  for (let i = 0; i < 16; i += 2) groups.push(bytes.readUInt16BE(i).toString(16));
  // The platform's URL parser knows the shortest form.
  return plainAddress(mapped(bytes) ?? new URL(`http://[${groups.join(':')}]/`).hostname.slice(1, -1));
}

/** `::ffff:192.0.2.1`, null when the address is not of that kind. */
function mapped(bytes: Buffer): string | null {
  const prefix = Buffer.from('00000000000000000000ffff', 'hex');
  return bytes.subarray(0, 12).equals(prefix) ? `::ffff:${bytes.subarray(12).join('.')}` : null;
}

/** What a connection began with: the client's endpoints, null for the proxy's own, or text: why there is no header. */
export type ProxyGreeting = { readonly client: Endpoints | null } | string;

/**
 * Takes the header off a new connection and leaves every byte after it unread, so that SMTP or TLS begins there.
 * Calls `then` once; the connection is still open unless the text says otherwise.
 */
export function readProxyHeader(
  socket: Socket,
  { clock, timeoutMs }: { readonly clock: Clock; readonly timeoutMs: number },
  then: (greeting: ProxyGreeting) => void,
): void {
  let seen: Buffer = Buffer.alloc(0);
  const finish = (greeting: ProxyGreeting) => {
    cancel();
    socket.removeListener('readable', read);
    socket.removeListener('end', ended);
    socket.removeListener('close', ended);
    socket.removeListener('error', failed);
    then(greeting);
  };
  const cancel = clock.after(timeoutMs, () => finish(`no PROXY header within ${timeoutMs / 1000} s`));
  const ended = () => finish('the connection was closed before a whole PROXY header came');
  const failed = (error: Error) => finish(`the connection failed: ${error.message}`);
  const read = () => {
    const piece: Buffer | null = socket.read();
    if (piece === null) return;
    seen = seen.length === 0 ? piece : Buffer.concat([seen, piece]);
    const header = parseProxyHeader(seen);
    if (header.kind === 'incomplete') return;
    if (header.kind === 'bad') return finish(header.reason);
    if (seen.length > header.length) socket.unshift(seen.subarray(header.length));
    finish({ client: header.client });
  };
  socket.on('readable', read);
  socket.on('end', ended);
  socket.on('close', ended);
  socket.on('error', failed);
}
