import { qualityFault } from './quality/list-quality.ts';
import { trapKinds } from './traps/trap-kind.ts';
import type { Traps } from './traps/traps.ts';

/**
 * What the scores must know of an event beyond its columns, as bits of `marks` in the table of events. They are told
 * once, when the event comes, because afterwards the address may be gone and the list of traps another. Search never
 * shows them.
 */
export const mark = {
  openTracking: 1,
  clickTracking: 2,
  /** The address is known in clear, so the patterns of list quality could be tried on all of it. */
  clearAddress: 4,
  listQuality: 8,
  /** Stopped by a suppression list. */
  suppressed: 16,
  /** Two bits: 0 no trap, else 1 + the place of its kind in `trapKinds`. */
  trap: 32,
} as const;

const TRAP_BITS = mark.trap * 3;

const stopped = new Set(['bounce', 'policy_rejection', 'generation_rejection']);

/** The marks of an event in the form that search shows; `sha1` of the recipient in hexadecimal, '' if not known. */
export function marksOf(shown: Readonly<Record<string, unknown>>, sha1: string, traps: Traps): number {
  const { type } = shown;
  if (type === 'injection') {
    const domain = textOf(shown.recipient_domain);
    const address = textOf(shown.rcpt_to);
    const local = address.slice(0, Math.max(0, address.lastIndexOf('@')));
    const trap = traps.kindOf(address, sha1, domain);
    return (
      (shown.open_tracking === true ? mark.openTracking : 0) |
      (shown.click_tracking === true ? mark.clickTracking : 0) |
      (local === '' ? 0 : mark.clearAddress) |
      (qualityFault(local, domain) === null ? 0 : mark.listQuality) |
      (trap === null ? 0 : mark.trap * (1 + trapKinds.indexOf(trap)))
    );
  }
  if (stopped.has(type as string) && namesSuppression(shown)) return mark.suppressed;
  return 0;
}

/** SQL on the column `marks`: whether it tells this kind of trap. */
export function isTrapSql(kind: (typeof trapKinds)[number]): string {
  return `bitAnd(marks, ${TRAP_BITS}) = ${mark.trap * (1 + trapKinds.indexOf(kind))}`;
}

/** SQL on the column `marks`: whether this bit is set. */
export function isMarkedSql(bit: Exclude<keyof typeof mark, 'trap'>): string {
  return `bitAnd(marks, ${mark[bit]}) != 0`;
}

/** Every sender says "suppressed" or "suppression list" in its reply: PowerMTA, SparkPost, Momentum, ours. */
function namesSuppression(shown: Readonly<Record<string, unknown>>): boolean {
  return [shown.reason, shown.raw_reason].some((text) => typeof text === 'string' && /suppress/i.test(text));
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
