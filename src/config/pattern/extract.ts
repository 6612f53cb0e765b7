import { Fault } from '../diagnostic.ts';
import { needsBacktracking } from './backtracking.ts';
import { type CharSet, contains, WORD } from './char-set.ts';
import { compilePattern, LONGEST_TEXT, type Pattern } from './pattern.ts';
import { type Place, parseRegex, type Regex } from './syntax.ts';

/** A regex whose named groups are asked for. */
export interface Extractor {
  readonly source: string;
  /** Names of its groups. */
  readonly names: readonly string[];
  /**
   * What its groups matched, by name, '' for those that took no part; null when it does not match, or when finding
   * out took more than `MOST_WORK` steps. Only the first 16,384 characters are looked at.
   */
  extract(subject: string): ReadonlyMap<string, string> | null;
}

/** Steps of instructions; a longer one is refused. Each character may cost as many. */
const MOST_INSTRUCTIONS = 1000;
/** Instructions run for one text: some tenth of a second. */
const MOST_WORK = 4_000_000;

type Instruction =
  | { readonly op: 'set'; readonly set: CharSet }
  | { readonly op: 'split'; to: readonly number[] }
  | { readonly op: 'at'; readonly place: Place }
  | { readonly op: 'save'; readonly slot: number }
  | { readonly op: 'match' };

/**
 * Compiles the text of a regex with named groups. All ways through it are followed at once, the preferred first, so
 * that no text makes it go back; look-around and back references are refused.
 */
export function compileExtractor(source: string): Extractor | Fault {
  const regex = parseRegex(source);
  if (regex instanceof Fault) return regex;
  if (needsBacktracking(regex)) {
    return new Fault('a pattern with named groups must do without look-around and back references', {
      text: source,
    });
  }
  // The automaton without groups is fast: it tells whether the slower one is needed at all.
  const quick = compilePattern(source);
  if (quick instanceof Fault) return quick;
  const names: string[] = [];
  const program: Instruction[] = [];
  if (!emit(regex, program, names)) {
    return new Fault('regex is too large', {
      text: source,
      hint: `more than ${MOST_INSTRUCTIONS} steps when expanded`,
    });
  }
  program.push({ op: 'match' });
  return { source, names, extract: (subject) => extract(program, names, quick, subject) };
}

/** Appends a tree's instructions; false when there are too many. */
function emit(node: Regex, program: Instruction[], names: string[]): boolean {
  if (program.length >= MOST_INSTRUCTIONS) return false;
  const split = () => {
    const instruction = { op: 'split' as const, to: [] as readonly number[] };
    program.push(instruction);
    return instruction;
  };
  switch (node.kind) {
    case 'set':
      program.push({ op: 'set', set: node.set });
      return true;
    case 'at':
      program.push({ op: 'at', place: node.place });
      return true;
    case 'sequence':
      return node.items.every((item) => emit(item, program, names));
    case 'capture': {
      if (node.name === null) return emit(node.item, program, names);
      if (!names.includes(node.name)) names.push(node.name);
      const slot = names.indexOf(node.name) * 2;
      program.push({ op: 'save', slot });
      if (!emit(node.item, program, names)) return false;
      program.push({ op: 'save', slot: slot + 1 });
      return true;
    }
    case 'choice': {
      const choose = split();
      const starts: number[] = [];
      const ends: ReturnType<typeof split>[] = [];
      for (const item of node.items) {
        starts.push(program.length);
        if (!emit(item, program, names)) return false;
        ends.push(split());
      }
      choose.to = starts;
      for (const end of ends) end.to = [program.length];
      return true;
    }
    case 'repeat': {
      for (let i = 0; i < node.least; i++) if (!emit(node.item, program, names)) return false;
      const prefer = (more: number, out: number) => (node.lazy ? [out, more] : [more, out]);
      if (node.most === Number.POSITIVE_INFINITY) {
        const at = program.length;
        const loop = split();
        if (!emit(node.item, program, names)) return false;
        split().to = [at];
        loop.to = prefer(at + 1, program.length);
        return true;
      }
      const optional: { instruction: ReturnType<typeof split>; at: number }[] = [];
      for (let i = node.least; i < node.most; i++) {
        optional.push({ at: program.length, instruction: split() });
        if (!emit(node.item, program, names)) return false;
      }
      for (const { instruction, at } of optional) instruction.to = prefer(at + 1, program.length);
      return true;
    }
    case 'look':
    case 'again':
      throw new Error(`${node.kind} is not regular`);
  }
}

interface Thread {
  readonly at: number;
  /** Where each group begins and ends; shared between threads, copied on change. */
  readonly slots: readonly number[];
}

function extract(
  program: readonly Instruction[],
  names: readonly string[],
  quick: Pattern,
  subject: string,
): ReadonlyMap<string, string> | null {
  const text = subject.slice(0, LONGEST_TEXT);
  if (!quick.test(text)) return null;
  const seen = new Int32Array(program.length).fill(-1);
  const unset: readonly number[] = names.flatMap(() => [-1, -1]);
  let work = 0;
  let best: readonly number[] | null = null;
  let current: Thread[] = [];
  for (let i = 0; i <= text.length && (current.length > 0 || best === null); i++) {
    // A later start is the last choice, and none once something has matched.
    if (best === null) current.push({ at: 0, slots: unset });
    const next: Thread[] = [];
    for (const thread of current) {
      let matched = false;
      const stack: Thread[] = [thread];
      while (stack.length > 0) {
        const { at, slots } = stack.pop()!;
        if (seen[at] === i) continue;
        seen[at] = i;
        if (++work > MOST_WORK) return null;
        const step = program[at]!;
        if (step.op === 'match') {
          best = slots;
          matched = true;
          break;
        }
        if (step.op === 'split') {
          for (let n = step.to.length - 1; n >= 0; n--) stack.push({ at: step.to[n]!, slots });
        } else if (step.op === 'save') stack.push({ at: at + 1, slots: slots.with(step.slot, i) });
        else if (step.op === 'at') {
          if (holds(step.place, text, i)) stack.push({ at: at + 1, slots });
        } else if (i < text.length && contains(step.set, text.charCodeAt(i)))
          next.push({ at: at + 1, slots });
      }
      // What comes after is less preferred.
      if (matched) break;
    }
    current = next;
  }
  if (best === null) return null;
  const found = best;
  return new Map(
    names.map((name, n) => {
      const [from, to] = [found[n * 2]!, found[n * 2 + 1]!];
      return [name, from >= 0 && to >= from ? text.slice(from, to) : ''];
    }),
  );
}

function holds(place: Place, text: string, i: number): boolean {
  const end = text.length;
  switch (place) {
    case 'start':
      return i === 0;
    case 'very-end':
      return i === end;
    case 'end':
      return i === end || (i === end - 1 && text[i] === '\n');
    case 'line-start':
      return i === 0 || text[i - 1] === '\n';
    case 'line-end':
      return i === end || text[i] === '\n';
    case 'word':
      return isWord(text, i - 1) !== isWord(text, i);
    case 'not-word':
      return isWord(text, i - 1) === isWord(text, i);
  }
}

function isWord(text: string, i: number): boolean {
  return i >= 0 && i < text.length && contains(WORD, text.charCodeAt(i));
}
