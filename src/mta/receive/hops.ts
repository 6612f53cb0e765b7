import type { Settings } from '../../config/index.ts';
import type { Header } from '../../mail/header.ts';
import { type Reply, reply } from '../../smtp/index.ts';

/** The refusal of a message that has passed more hosts than `max-message-hops` allows; null for others. */
export function hopsRefusal(header: Header, source: Settings<'source'>): Reply | null {
  const hops = header.all('received').length;
  if (hops <= source.get('max-message-hops')) return null;
  return reply(554, '5.4.6', `routing loop: the message has passed ${hops} hosts`);
}
