import { rangesOf } from './char-set.ts';
import type { Regex } from './syntax.ts';

/** Whether the tree needs an engine that goes back: look-around or a back reference. */
export function needsBacktracking(regex: Regex): boolean {
  return some(regex, (node) => node.kind === 'look' || node.kind === 'again');
}

function childrenOf(regex: Regex): readonly Regex[] {
  switch (regex.kind) {
    case 'sequence':
    case 'choice':
      return regex.items;
    case 'repeat':
    case 'capture':
    case 'look':
      return [regex.item];
    default:
      return [];
  }
}

function some(regex: Regex, test: (node: Regex) => boolean): boolean {
  return test(regex) || childrenOf(regex).some((c) => some(c, test));
}

/** Repeats with more ways than this count as unbounded. */
const FEW = 4;

const isOpen = (node: Regex): boolean => node.kind === 'repeat' && node.most - node.least > FEW;

/** How many open repeats a match may go through, and whether any of them lies within a repeat. */
function openRepeats(regex: Regex): { count: number; nested: boolean } {
  let count = isOpen(regex) ? 1 : 0;
  let nested = false;
  for (const child of childrenOf(regex)) {
    const inner = openRepeats(child);
    count += inner.count;
    nested ||= inner.nested || (regex.kind === 'repeat' && regex.most > 1 && inner.count > 0);
  }
  return { count, nested };
}

/**
 * Whether going back stays cheap: no repeat that may vary within another repeat, and at most two of them in all. With
 * subjects cut to `LONGEST_SUBJECT` the worst case is then some hundred million steps of the simplest kind.
 */
export function isTame(regex: Regex): boolean {
  const { count, nested } = openRepeats(regex);
  return !nested && count <= 2 && !some(regex, (n) => n.kind === 'repeat' && n.least > 100);
}

/** Longest text that such a regex is run on; what comes after is not looked at. */
export const LONGEST_SUBJECT = 1000;

const unit = (code: number): string => `\\u${code.toString(16).padStart(4, '0')}`;

/** The tree in JavaScript's notation. Case is already in the sets. */
export function toJavaScript(regex: Regex): string {
  switch (regex.kind) {
    case 'set': {
      const parts = rangesOf(regex.set).map(([a, b]) => (a === b ? unit(a) : `${unit(a)}-${unit(b)}`));
      return parts.length > 0 ? `[${parts.join('')}]` : '[]';
    }
    case 'sequence':
      return regex.items.map(toJavaScript).join('');
    case 'choice':
      return `(?:${regex.items.map(toJavaScript).join('|')})`;
    case 'repeat': {
      const most = Number.isFinite(regex.most) ? regex.most : '';
      const item =
        regex.item.kind === 'capture' ? toJavaScript(regex.item) : `(?:${toJavaScript(regex.item)})`;
      return `${item}{${regex.least},${most}}${regex.lazy ? '?' : ''}`;
    }
    case 'capture':
      return regex.name ? `(?<${regex.name}>${toJavaScript(regex.item)})` : `(${toJavaScript(regex.item)})`;
    case 'look':
      return `(?${regex.behind ? '<' : ''}${regex.negative ? '!' : '='}${toJavaScript(regex.item)})`;
    case 'again':
      return /^\d/.test(regex.group) ? `(?:\\${regex.group})` : `\\k<${regex.group}>`;
    case 'at':
      return {
        start: '^',
        end: '(?=\\n?$(?![^]))',
        'very-end': '$',
        'line-start': '(?:^|(?<=\\n))',
        'line-end': '(?=\\n|$)',
        word: '\\b',
        'not-word': '\\B',
      }[regex.place];
  }
}
