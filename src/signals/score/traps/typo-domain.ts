import data from './typo-domains.json' with { type: 'json' };

/**
 * Whether a domain is a misspelling of a large mailbox provider's. One slip of a typist, no more: a letter left out,
 * doubled or swapped with the next, or the key beside it, and never in the first letter, because a wrong first letter
 * is mostly another company (`mail.com`, `ymail.com`). Names shorter than five letters are too close to everything,
 * so of those only the ending is looked at.
 */
export function isTypoDomain(domain: string): boolean {
  if (domain.length > 80 || real.has(domain) || providers.has(domain)) return false;
  if (known.has(domain)) return true;
  const dot = domain.indexOf('.');
  if (dot < 2) return false;
  const name = domain.slice(0, dot);
  const ending = domain.slice(dot + 1);
  if (slipped.has(domain)) return true;
  for (const target of byEnding.get(ending) ?? []) {
    if (isOneSlip(name, target)) return true;
  }
  return false;
}

const real = new Set(data.real);
const known = new Set(data.known);
const providers = new Set(data.providers);
/** Ending → names under it that are long enough to be compared. */
const byEnding = new Map<string, string[]>();
/** Right name, slip in the ending. */
const slipped = new Set<string>();
const slips = new Map(Object.entries(data.slips));
for (const provider of data.providers) {
  const dot = provider.indexOf('.');
  const name = provider.slice(0, dot);
  const ending = provider.slice(dot + 1);
  if (name.length >= data.shortestName) byEnding.set(ending, [...(byEnding.get(ending) ?? []), name]);
  for (const slip of slips.get(ending) ?? []) slipped.add(`${name}.${slip}`);
}

const keyboard = ['1234567890', 'qwertyuiop', 'asdfghjkl', 'zxcvbnm'];
const near = new Set<string>(['l1', '1l', 'i1', '1i', 'li', 'il', 'o0', '0o', 'yz', 'zy', '-_', '_-']);
for (const [row, keys] of keyboard.entries()) {
  for (let i = 0; i < keys.length; i++) {
    const beside = [keys[i + 1], keyboard[row + 1]?.[i], keyboard[row + 1]?.[i - 1]];
    for (const other of beside) {
      if (other !== undefined) near.add(keys[i]! + other).add(other + keys[i]!);
    }
  }
}

/** Whether `typed` is `meant` with exactly one slip. */
function isOneSlip(typed: string, meant: string): boolean {
  if (typed[0] !== meant[0] || typed === meant) return false;
  const more = typed.length - meant.length;
  if (more < -1 || more > 1) return false;
  let i = 0;
  while (i < typed.length && i < meant.length && typed[i] === meant[i]) i++;
  if (more === 0) {
    if (typed.slice(i + 1) === meant.slice(i + 1)) return near.has(typed[i]! + meant[i]!);
    return (
      typed[i] === meant[i + 1] && typed[i + 1] === meant[i] && typed.slice(i + 2) === meant.slice(i + 2)
    );
  }
  if (more === -1) return typed.slice(i) === meant.slice(i + 1);
  // One letter too many: a neighbour said twice, or the key beside one of its neighbours hit along.
  if (typed.slice(i + 1) !== meant.slice(i)) return false;
  const extra = typed[i]!;
  return [typed[i - 1], typed[i + 1]].some((c) => c !== undefined && (c === extra || near.has(c + extra)));
}
