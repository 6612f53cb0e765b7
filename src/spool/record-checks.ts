/**
 * Whether what was read is what was written. A record of another shape is as good as none: it is set aside, and
 * nothing is delivered by guess. Each check answers what is wrong, null when nothing is.
 */
import type { Envelope, PendingRecipient } from './stored-message.ts';

type PendingValue = Omit<PendingRecipient, 'spoolId' | 'index'>;

export function pendingFault(value: unknown): string | null {
  if (!isObject(value)) return 'is no record';
  const { domain, vmta, receivedAt, attempts, holdUntil, priority } = value as Partial<PendingValue>;
  if (typeof domain !== 'string' || typeof vmta !== 'string') return 'names no queue';
  for (const number of [receivedAt, attempts, holdUntil, priority]) {
    if (typeof number !== 'number' || Number.isNaN(number)) return 'lacks a number';
  }
  return null;
}

export function envelopeFault(value: unknown, spoolId: string): string | null {
  if (!isObject(value)) return 'is no record';
  const { facts, recipients } = value as Partial<Envelope>;
  if (!isObject(facts) || (facts as { spoolId?: unknown }).spoolId !== spoolId)
    return 'is not of this message';
  if (!Array.isArray(recipients)) return 'has no recipients';
  return null;
}

export function outcomesFault(value: unknown): string | null {
  const outcomes: readonly unknown[] = Array.isArray(value) ? value : [value];
  if (outcomes.length === 0) return 'is empty';
  return outcomes.every(isOutcome) ? null : 'holds what is no outcome';
}

function isOutcome(value: unknown): boolean {
  return isObject(value) && typeof (value as { kind?: unknown }).kind === 'string';
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
