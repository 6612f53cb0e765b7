import { domainToAscii } from '../../mail/address.ts';
import type { Queue } from '../queue/queue.ts';
import type { Scheduler } from '../queue/scheduler.ts';

/**
 * Tells the queues that `DOMAIN[/VMTA]` names; `*` stands for any text in either part, and a part that is missing
 * for everything (management guide, queue arguments). Names are compared in any case.
 */
export function queuePattern(pattern: string): (domain: string, vmta: string) => boolean {
  const slash = pattern.lastIndexOf('/');
  const domain = domainGlob(slash < 0 ? pattern : pattern.slice(0, slash));
  const vmta = glob(slash < 0 ? '*' : pattern.slice(slash + 1));
  return (d, v) => domain(d) && vmta(v);
}

/** `[*.]d` is the domain and all below it, as in the configuration. */
function domainGlob(pattern: string): (domain: string) => boolean {
  const whole = glob(inALabels(pattern.replace(/^\[\*\.\]/, '')));
  if (!pattern.startsWith('[*.]')) return whole;
  const below = glob(inALabels(`*.${pattern.slice(4)}`));
  return (domain) => whole(domain) || below(domain);
}

/** The queue `DOMAIN/VMTA`; a name without a slash names none. */
export function namedQueue(scheduler: Scheduler, name: string): Queue | undefined {
  const slash = name.lastIndexOf('/');
  return slash < 0
    ? undefined
    : scheduler.find(inALabels(name.slice(0, slash)).toLowerCase(), name.slice(slash + 1));
}

/** Queues are named in A-labels; an operator may write the others. Labels with a star stay as they are. */
function inALabels(domain: string): string {
  return domain
    .split('.')
    .map((label) => (label.includes('*') ? label : (domainToAscii(label) ?? label)))
    .join('.');
}

/** Pieces between stars are sought from left to right: no backtracking, whatever the pattern. */
function glob(pattern: string): (text: string) => boolean {
  const pieces = (pattern || '*').toLowerCase().split('*');
  const first = pieces[0]!;
  const last = pieces.at(-1)!;
  return (name) => {
    const text = name.toLowerCase();
    if (pieces.length === 1) return text === first;
    if (text.length < first.length + last.length || !text.startsWith(first) || !text.endsWith(last))
      return false;
    let at = first.length;
    for (const piece of pieces.slice(1, -1)) {
      const found = text.indexOf(piece, at);
      if (found < 0) return false;
      at = found + piece.length;
    }
    return at <= text.length - last.length;
  };
}
