/** Which messages warm up a cold VMTA: the first of each day, as many as the plan says (delivery guide, section 6). */
import type { Config } from '../../config/index.ts';
import type { ColdCount, ColdCounts } from './cold-counts.ts';

export interface Diversion {
  /** The cold VMTA, as the configuration spells it. */
  readonly vmta: string;
  /** Resolves when the count is on disk. */
  readonly counted: Promise<void>;
  /** The message was not accepted after all. */
  undo(): void;
}

/** Calendar day in the server's local time, as a number that grows by one per day. */
export function localDay(now: number): number {
  const quarter = Math.floor(now / QUARTER_HOUR_MS);
  if (quarter !== lastQuarter) {
    const date = new Date(now);
    lastDay = Math.round(Date.UTC(date.getFullYear(), date.getMonth(), date.getDate()) / 86_400_000);
    lastQuarter = quarter;
  }
  return lastDay;
}

/** Every time zone begins its days at a quarter of an hour of UTC; each message asks. */
const QUARTER_HOUR_MS = 900_000;
let lastQuarter = Number.NaN;
let lastDay = 0;

/**
 * Counts one message for queue `domain/vmta` and says to which cold VMTA it goes; null when it stays. Cold VMTAs take
 * turns: the one that has had the fewest of this domain's messages today is next, so the turn survives a restart too.
 */
export function divertToCold(
  config: Config,
  counts: ColdCounts,
  domain: string,
  vmta: string,
  now: number,
): Diversion | null {
  const names = config.vmtas.get(vmta.toLowerCase())?.settings.get('cold-virtual-mta') ?? [];
  if (names.length === 0) return null;
  const plan = config.queue(domain, vmta).get('max-cold-virtual-mta-msg');
  if (plan.every((limit) => limit === 0)) return null;
  const day = localDay(now);
  let chosen: { key: string; vmta: string; before: ColdCount } | null = null;
  for (const name of new Set(names.map((one) => one.toLowerCase()))) {
    const cold = config.vmtas.get(name);
    // A cold VMTA that is not configured (the check warned of it) takes nothing.
    if (!cold || name === vmta.toLowerCase()) continue;
    const before = onDay(counts.get(name, domain), day, plan.length > 1);
    const limit = plan[Math.min(Math.max(0, day - before.first), plan.length - 1)] ?? 0;
    if (before.count < limit && (!chosen || before.count < chosen.before.count)) {
      chosen = { key: name, vmta: cold.name, before };
    }
    // A plan may begin with a day of none; that day counts as its first all the same.
    if (limit === 0 && plan.length > 1 && !counts.get(name, domain)) {
      counts.set(name, domain, before).catch(() => {});
    }
  }
  if (!chosen) return null;
  const { key, before } = chosen;
  const counted = counts.set(key, domain, { ...before, count: before.count + 1 });
  // Whoever awaits it hears of a failure; a message that is refused for another reason does not.
  counted.catch(() => {});
  return {
    vmta: chosen.vmta,
    counted,
    undo() {
      const now = counts.get(key, domain);
      if (!now || now.day !== day || now.count === 0) return;
      counts.set(key, domain, { ...now, count: now.count - 1 }).catch(() => {});
    },
  };
}

function onDay(known: ColdCount | undefined, day: number, steps: boolean): ColdCount {
  if (!known) return { first: day, day, count: 0, steps };
  return { ...known, day, count: known.day === day ? known.count : 0, steps };
}
