/** Mail merge at reception: the parts as one template, and the variables of each recipient (section 17). */
import { dateHeader } from '../../mail/header.ts';
import { type MergePart, mergedLength, namesIn, partsIn } from '../../mail/mail-merge.ts';
import type { SubmittedPart } from './submission.ts';

/** Parts in ascending order, one after the other, and where each stands. */
export interface Template {
  readonly raw: Buffer;
  readonly parts: readonly MergePart[];
  /** Variables that it mentions; null when there are too many to list. */
  readonly names: ReadonlySet<string> | null;
  readonly expandUndefined: boolean;
}

export function joinParts(given: readonly SubmittedPart[], expandUndefined: boolean): Template {
  const sorted = [...given].sort((a, b) => a.number - b.number);
  const raw = Buffer.concat(sorted.map(({ content }) => content));
  const parts: MergePart[] = [];
  let at = 0;
  for (const { number, content } of sorted) {
    parts.push({ number, start: at, end: at + content.length });
    at += content.length;
  }
  return { raw, parts, names: namesIn(raw), expandUndefined };
}

/** Text as variables hold it: one character per octet of its UTF-8. */
export function octets(text: string): string {
  return Buffer.from(text).toString('latin1');
}

/** The text of a variable's octets: UTF-8 where they are that. */
export function textOf(value: string): string {
  const bytes = Buffer.from(value, 'latin1');
  const text = bytes.toString();
  return text.includes('\ufffd') ? value : text;
}

/** What the reserved variables of one recipient stand for in its text. */
export interface ReservedValues {
  readonly from: string;
  readonly to: string;
  readonly at: number;
  readonly envId: string;
  readonly vmta: string;
  readonly jobId: string;
  readonly priority: number;
}

/** All variables of one recipient: what was defined for it, and the reserved ones as they came out. */
export function mergeValues(given: ReadonlyMap<string, string>, known: ReservedValues): Map<string, string> {
  const values = new Map(given);
  const set = (name: string, text: string) => values.set(name, octets(text));
  set('*from', known.from);
  set('*to', known.to);
  set('*date', dateHeader(known.at));
  set('*vmta', known.vmta);
  set('*priority', String(known.priority));
  if (known.envId !== '') set('*envid', known.envId);
  if (known.jobId !== '') set('*jobid', known.jobId);
  return values;
}

/** Those that the template mentions: what a recipient need not have is not stored fifty thousand times. */
export function usedValues(values: ReadonlyMap<string, string>, template: Template): [string, string][] {
  const { names } = template;
  return [...values].filter(([name]) => names === null || names.has(name));
}

/** Octets of one recipient's message, our own header fields aside; null when it asks for a part that there is not. */
export function lengthFor(
  template: Template,
  order: readonly number[] | null,
  values: ReadonlyMap<string, string>,
): number | null {
  const parts = partsIn(template.parts, order);
  if (!parts) return null;
  let length = 0;
  for (const { start, end } of parts) {
    length += mergedLength(template.raw.subarray(start, end), values, template.expandUndefined);
  }
  return length;
}

/** A bound of the length that is quick to have for many recipients; see `lengthFor` for the exact one. */
export function mayExceed(
  template: Template,
  values: readonly (readonly [string, string])[],
  limit: number,
): boolean {
  // Every name takes three octets at least, so no value stands more often than that.
  const most = Math.ceil(template.raw.length / 3);
  let longest = 0;
  for (const [, value] of values) longest = Math.max(longest, value.length);
  return template.raw.length + most * longest > limit;
}
