import type { Header } from '../mail/header.ts';
import { type Reply, reply } from '../smtp/reply.ts';

const LONGEST_TEXT = 500;

/**
 * The order of a header-driven sink: `X-Bounce-Me: CODE [x.y.z] [text]` asks for a refusal after the final dot, and
 * `X-Bounce-Percentage` in how many percent of the attempts (`0` is never; missing is always). A code that is no
 * 4xx or 5xx accepts. null when the message is to be taken. `at` is a draw in [0, 1).
 */
export function headerRefusal(header: Header, at: () => number): Reply | null {
  const order = header.get('x-bounce-me');
  if (order === null) return null;
  const parts = /^(\d{3})\s?([245]\.\d{1,3}\.\d{1,3})?\s?(.*)$/.exec(order.slice(0, LONGEST_TEXT));
  const code = Number(parts?.[1]);
  if (!parts || !(code >= 400 && code <= 599)) return null;
  const given = header.get('x-bounce-percentage');
  if (given !== null) {
    const percent = Number(given);
    if (!(percent >= 0 && percent <= 100) || percent <= at() * 100) return null;
  }
  // The reference says 4.3.2 where none is given; a 5xx needs a class of its own to be a valid reply.
  const enhanced = parts[2] ?? (code < 500 ? '4.3.2' : '5.3.2');
  return reply(
    code,
    enhanced,
    (parts[3] ?? '').replace(/[^\x20-\x7e]/g, '?') || 'Refused as the header asks',
  );
}
