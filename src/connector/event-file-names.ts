import { readdir } from 'node:fs/promises';

/** Names of event files as PowerMTA's operators know them: `sp1-`, 16 upper-case hexadecimal digits, `.json`. */
const CLOSED = /^sp1-([0-9A-F]{16})\.json$/;
const PART = /^sp1-([0-9A-F]{16})\.json\.part$/;

export function closedName(number: number): string {
  return `sp1-${number.toString(16).toUpperCase().padStart(16, '0')}.json`;
}

export function partName(number: number): string {
  return `${closedName(number)}.part`;
}

/** The number in a name, `null` for any other name (and for numbers that a program never counts up to). */
export function numberIn(name: string, form: 'closed' | 'part'): number | null {
  const digits = (form === 'closed' ? CLOSED : PART).exec(name)?.[1];
  if (digits === undefined) return null;
  const number = Number.parseInt(digits, 16);
  return Number.isSafeInteger(number) ? number : null;
}

/** Numbers of the closed and of the unfinished event files in a folder, each in ascending order. */
export async function listEventFiles(dir: string): Promise<{ closed: number[]; parts: number[] }> {
  const closed: number[] = [];
  const parts: number[] = [];
  for (const name of await readdir(dir)) {
    const done = numberIn(name, 'closed');
    if (done !== null) closed.push(done);
    const open = numberIn(name, 'part');
    if (open !== null) parts.push(open);
  }
  const ascending = (a: number, b: number) => a - b;
  return { closed: closed.sort(ascending), parts: parts.sort(ascending) };
}
