/** Connections through a proxy that speaks the PROXY protocol, version 1 (delivery guide, section 21). */
import { connect as connectTcp, isIPv6 } from 'node:net';
import type { OutboundProxy } from '../../config/index.ts';
import { type ConnectOptions, type ConnectResult, connectSmtp } from '../../smtp/index.ts';

/** The proxies that can speak for a host of this address: those whose own address is of the same family. */
export function proxiesFor(proxies: readonly OutboundProxy[], address: string): readonly OutboundProxy[] {
  return proxies.filter(({ client }) => isIPv6(client.ip) === isIPv6(address));
}

/** The line that tells a proxy where to go, and as whom. */
export function proxyLine({ client }: OutboundProxy, address: string, port: number): string {
  const family = isIPv6(address) ? 'TCP6' : 'TCP4';
  return `PROXY ${family} ${client.ip} ${address} ${client.port} ${port}\r\n`;
}

/**
 * Connects through the first proxy that takes the connection; the next one is tried only when one cannot be reached.
 * `options` name the mail host.
 */
export async function connectThrough(
  proxies: readonly OutboundProxy[],
  options: ConnectOptions,
): Promise<{ readonly result: ConnectResult; readonly proxy: OutboundProxy }> {
  for (const [i, proxy] of proxies.entries()) {
    const { host, port } = proxy.server;
    const result = await connectSmtp({
      ...options,
      heloName: proxy.client.host,
      preamble: proxyLine(proxy, options.host, options.port),
      openSocket: ({ localAddress }) => connectTcp({ host, port, localAddress, noDelay: true }),
    });
    if (result.ok || result.stage !== 'connect' || i === proxies.length - 1) {
      const error = `through proxy ${proxy.name}: ${result.ok ? '' : result.error}`;
      return { result: result.ok || result.reply ? result : { ...result, error }, proxy };
    }
  }
  throw new Error('connecting through no proxy');
}
