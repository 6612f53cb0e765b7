/**
 * What the log says that the store does not have: after a start all of it is moved into the store, in one transaction,
 * and the log begins anew.
 */
import type { Outcome } from '../events/outcome.ts';
import type { ReadSegment } from './log-records.ts';
import type { Envelope, PendingRecipient } from './stored-message.ts';

/** Texts of the log's records. */
export type LogEntry =
  | {
      readonly kind: 'store';
      /** With the checksum of the content. */
      readonly envelope: Envelope;
      readonly waiting: readonly PendingRecipient[];
      /** Number of the first of the outcomes. */
      readonly first: number;
      readonly outcomes: readonly Outcome[];
    }
  | {
      readonly kind: 'settle';
      readonly done: readonly (readonly [spoolId: string, index: number])[];
      /** What is delivered was to be kept in mind for reports. */
      readonly remembered: boolean;
      readonly first: number;
      readonly outcomes: readonly Outcome[];
    };

/** `outcomes`: the JSON of each. */
export function storeText(
  envelope: Envelope,
  waiting: readonly PendingRecipient[],
  first: number,
  outcomes: readonly string[],
): string {
  const parts = `"envelope":${JSON.stringify(envelope)},"waiting":${JSON.stringify(waiting)}`;
  return `{"kind":"store",${parts},"first":${first},"outcomes":[${outcomes.join()}]}`;
}

export function settleText(
  done: readonly { readonly spoolId: string; readonly index: number }[],
  remembered: boolean,
  first: number,
  outcomes: readonly string[],
): string {
  const list = JSON.stringify(done.map(({ spoolId, index }) => [spoolId, index]));
  return `{"kind":"settle","done":${list},"remembered":${remembered},"first":${first},"outcomes":[${outcomes.join()}]}`;
}

export interface LeftMessage {
  readonly envelope: Envelope;
  readonly content: Buffer;
  readonly waiting: Map<number, PendingRecipient>;
}

export interface LeftInLog {
  readonly messages: readonly LeftMessage[];
  /** In the order of their numbers; each array was one transaction's, `first` the number of its first. */
  readonly outcomes: readonly { readonly first: number; readonly outcomes: readonly Outcome[] }[];
  /** Of those that were delivered, the ones to keep in mind. */
  readonly remembered: readonly Outcome[];
}

/** `segments` in order; `wasMoved`: whether the store has had this message since. */
export function leftInLog(
  segments: readonly ReadSegment[],
  wasMoved: (spoolId: string) => boolean,
): LeftInLog {
  const messages = new Map<string, LeftMessage>();
  const outcomes: { first: number; outcomes: readonly Outcome[] }[] = [];
  const remembered: Outcome[] = [];
  for (const { text, content } of segments.flatMap(({ records }) => records)) {
    const entry = JSON.parse(text) as LogEntry;
    if (entry.outcomes.length > 0) outcomes.push({ first: entry.first, outcomes: entry.outcomes });
    if (entry.kind === 'store') {
      const { spoolId } = entry.envelope.facts;
      const waiting = new Map(entry.waiting.map((recipient) => [recipient.index, recipient]));
      if (!wasMoved(spoolId)) messages.set(spoolId, { envelope: entry.envelope, content, waiting });
      continue;
    }
    if (entry.remembered) remembered.push(...entry.outcomes);
    for (const [spoolId, index] of entry.done) {
      const message = messages.get(spoolId);
      message?.waiting.delete(index);
      if (message?.waiting.size === 0) messages.delete(spoolId);
    }
  }
  return { messages: [...messages.values()], outcomes, remembered };
}
