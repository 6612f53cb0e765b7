import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';
import { UserError } from '../system/user-error.ts';

type Address = ipaddr.IPv4 | ipaddr.IPv6;

/** Proxies whose word about the client counts. */
export class TrustedProxies {
  readonly #networks: readonly (readonly [Address, number])[];

  /** Takes networks (`10.0.0.0/8`) and single addresses; `UserError` for anything else. */
  constructor(networks: readonly string[]) {
    this.#networks = networks.map((text) => {
      try {
        if (isIP(text) !== 0) {
          const address = ipaddr.process(text);
          return [address, address.kind() === 'ipv4' ? 32 : 128];
        }
        if (isIP(text.slice(0, text.indexOf('/'))) !== 0) return ipaddr.parseCIDR(text);
      } catch {
        // Said below.
      }
      throw new UserError(`the trusted proxy "${text}" is no address or network such as 10.0.0.0/8`, {
        exitCode: 2,
      });
    });
  }

  trusts(address: string): boolean {
    if (this.#networks.length === 0 || isIP(address) === 0) return false;
    const parsed = ipaddr.process(address);
    return this.#networks.some(
      ([network, bits]) => network.kind() === parsed.kind() && parsed.match(network as ipaddr.IPv4, bits),
    );
  }

  /**
   * The client of a request: the peer; behind a trusted proxy the right-most address of `X-Forwarded-For` that is not
   * itself trusted, else `X-Real-IP`. A header that cannot be read counts for nothing. IPv4 within IPv6 is given as
   * IPv4.
   */
  clientOf(request: IncomingMessage): string {
    const peer = plainAddress(request.socket.remoteAddress ?? '') ?? '';
    if (!this.trusts(peer)) return peer;
    const forwarded = request.headers['x-forwarded-for'];
    if (typeof forwarded === 'string') {
      for (const entry of forwarded.split(',').reverse()) {
        const address = plainAddress(entry.trim());
        if (address === null) return peer;
        if (!this.trusts(address)) return address;
      }
    }
    const real = request.headers['x-real-ip'];
    return (typeof real === 'string' && plainAddress(real.trim())) || peer;
  }
}

/** Whether the request comes from this host itself, not through a proxy on it. */
export function isLocal(request: IncomingMessage): boolean {
  if (request.headers['x-forwarded-for'] !== undefined || request.headers['x-real-ip'] !== undefined) {
    return false;
  }
  const peer = plainAddress(request.socket.remoteAddress ?? '');
  return peer !== null && ipaddr.process(peer).range() === 'loopback';
}

/** An address as events give it, `null` if the text is none; some proxies add the port. */
function plainAddress(text: string): string | null {
  const bare =
    /^\[([0-9a-f:.]{2,45})\](?::\d{1,5})?$/i.exec(text)?.[1] ??
    /^([\d.]{7,15}):\d{1,5}$/.exec(text)?.[1] ??
    // The zone of a link-local address means something on this host only.
    text.split('%', 1)[0]!;
  const version = isIP(bare);
  if (version === 0) return null;
  return version === 4 ? bare : ipaddr.process(bare).toString();
}
