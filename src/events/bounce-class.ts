import { bounceRules } from './bounce-class-rules.ts';

export interface BounceClassification {
  /** SparkPost's code; 1 when nothing tells, 0 for success. */
  readonly code: number;
  /** The rule that decided, in words for an operator. */
  readonly explain: string;
}

/** A failure as a record has it. */
export interface Failure {
  /** Enhanced status code alone, `5.1.1`; '' when there is none. */
  readonly status: string;
  /** The reply as received, with or without `smtp;`; '' when no host replied. */
  readonly diagnostic: string;
  /** This host's own words for the status; used when there is no reply. */
  readonly statusText?: string;
}

/** Receivers say what they mean at the beginning; the rest are links and tickets. */
const LONGEST = 2000;

/** The parts of a reply: `smtp;550-5.1.1 text` → 550, 5.1.1, text. Zero and '' where it has none. */
export function replyParts(diagnostic: string): { code: number; status: string; text: string } {
  const reply = diagnostic.slice(0, LONGEST).replace(/^\s*[\w-]{1,20}\s*;\s*/, '');
  const match = /^(?:([2-5]\d\d)(?:[ -]|$))?\s*(?:([245]\.\d{1,3}\.\d{1,3})(?:[ :]|$))?\s*/.exec(reply);
  return {
    code: Number(match?.[1] ?? 0),
    status: match?.[2] ?? '',
    text: reply.slice(match?.[0].length ?? 0),
  };
}

/**
 * The bounce class of a failure. The reply's basic code says whether it is temporary; where there was no reply, the
 * status does. See bounce-class-rules.ts for the order of belief.
 */
export function bounceClassOf(failure: Failure): BounceClassification {
  const reply = replyParts(failure.diagnostic);
  const local = failure.diagnostic.trim() === '';
  const text = (local ? (failure.statusText ?? '') : reply.text).toLowerCase().slice(0, LONGEST);
  const status = reply.status || failure.status;
  const digit = reply.code > 0 ? Math.floor(reply.code / 100) : Number(status.charAt(0) || 0);
  if (digit === 2 && !local) return { code: 0, explain: 'the reply says success' };
  const kind = digit === 4 || digit === 5 ? digit : 0;
  for (const rule of bounceRules) {
    if (rule.kind !== undefined && rule.kind !== kind) continue;
    if (rule.local !== undefined && rule.local !== local) continue;
    if (rule.status && !rule.status.test(status)) continue;
    if (rule.words && !rule.words.test(text)) continue;
    return { code: rule.class, explain: explained(rule.name, kind, status, rule.words?.exec(text)?.[0]) };
  }
  return { code: 1, explain: 'no rule: neither a reply code nor known words' };
}

function explained(name: string, kind: number, status: string, found: string | undefined): string {
  if (found !== undefined) return `${name}: "${found.slice(0, 60)}"`;
  if (status !== '') return `${name}: ${status}`;
  return kind === 4 ? `${name}: 4xx` : `${name}: 5xx`;
}
