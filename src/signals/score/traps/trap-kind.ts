/** What a trap address is (SparkPost, Spam trap monitoring). The number is how `marks` of an event keeps it. */
export const trapKinds = ['recycled', 'typo', 'parked'] as const;
export type TrapKind = (typeof trapKinds)[number];

export function isTrapKind(text: string): text is TrapKind {
  return (trapKinds as readonly string[]).includes(text);
}
