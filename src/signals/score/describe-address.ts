import { qualityFault } from './quality/list-quality.ts';
import type { Traps } from './traps/traps.ts';

const qualities = {
  role: 'a role, not a person (list quality)',
  placeholder: 'something typed to fill a field (list quality)',
  random: 'a random string (list quality)',
  disposable: 'a disposable mailbox (list quality)',
} as const;

/** What the scores make of an address or domain, in words. */
export function describeAddress(text: string, traps: Traps): string {
  const address = text.toLowerCase();
  const at = address.lastIndexOf('@');
  const domain = address.slice(at + 1);
  const trap = traps.kindOf(at < 0 ? '' : address, '', domain);
  const fault = qualityFault(address.slice(0, Math.max(0, at)), domain);
  const found = [
    ...(trap === null ? [] : [`spam trap, ${trap}`]),
    ...(fault === null ? [] : [qualities[fault]]),
  ];
  return found.length > 0 ? found.join('; ') : 'nothing against it';
}
