import { ANY, type CharSet, contains, NEWLINE, negate, rangesOf, union, WORD } from './char-set.ts';
import type { Place, Regex } from './syntax.ts';

/** Steps of a compiled regex; a larger one is refused. */
export const MOST_STEPS = 5000;
/** States kept per regex; beyond, the cache begins anew, so memory is bounded and speed at worst linear. */
const MOST_STATES = 1000;

type Step =
  | { op: 'set'; set: CharSet }
  | { op: 'split'; to: number[] }
  | { op: 'at'; place: Place }
  | { op: 'match' };

/** What stands on one side of a place. */
const SIDE = { edge: 0, finalNewline: 1, newline: 2, word: 3, other: 4 } as const;
type Context = 0 | 1 | 2 | 3 | 4;

interface State {
  readonly steps: readonly number[];
  readonly before: Context;
  readonly next: (State | true | undefined)[];
}

class TooLarge extends Error {}

function compile(regex: Regex): Step[] {
  const steps: Step[] = [];
  const push = (step: Step): number => {
    if (steps.length >= MOST_STEPS) throw new TooLarge();
    return steps.push(step) - 1;
  };
  const emit = (node: Regex): void => {
    switch (node.kind) {
      case 'set':
        push({ op: 'set', set: node.set });
        return;
      case 'sequence':
        for (const item of node.items) emit(item);
        return;
      case 'capture':
        emit(node.item);
        return;
      case 'at':
        push({ op: 'at', place: node.place });
        return;
      case 'choice': {
        const split = push({ op: 'split', to: [] });
        const ends: number[] = [];
        const to: number[] = [];
        for (const item of node.items) {
          to.push(steps.length);
          emit(item);
          ends.push(push({ op: 'split', to: [] }));
        }
        steps[split] = { op: 'split', to };
        for (const end of ends) steps[end] = { op: 'split', to: [steps.length] };
        return;
      }
      case 'repeat': {
        for (let i = 0; i < node.least; i++) emit(node.item);
        if (node.most === Number.POSITIVE_INFINITY) {
          const split = push({ op: 'split', to: [] });
          emit(node.item);
          push({ op: 'split', to: [split] });
          steps[split] = { op: 'split', to: [split + 1, steps.length] };
          return;
        }
        const splits: number[] = [];
        for (let i = node.least; i < node.most; i++) {
          splits.push(push({ op: 'split', to: [] }));
          emit(node.item);
        }
        for (const split of splits) steps[split] = { op: 'split', to: [split + 1, steps.length] };
        return;
      }
      case 'look':
      case 'again':
        throw new Error(`${node.kind} is not regular`);
    }
  };
  emit(regex);
  push({ op: 'match' });
  return steps;
}

/** Whether a place holds between two contexts. */
function holds(place: Place, before: Context, after: Context): boolean {
  const { edge, finalNewline, newline, word } = SIDE;
  switch (place) {
    case 'start':
      return before === edge;
    case 'very-end':
      return after === edge;
    case 'end':
      return after === edge || after === finalNewline;
    case 'line-start':
      return before === edge || before === newline;
    case 'line-end':
      return after === edge || after === newline || after === finalNewline;
    case 'word':
      return (before === word) !== (after === word);
    case 'not-word':
      return (before === word) === (after === word);
  }
}

/** Whether a set has a character that is such a context. */
function mayBe(set: CharSet, context: Context): boolean {
  if (context === SIDE.edge) return false;
  if (context === SIDE.newline || context === SIDE.finalNewline) return contains(set, 0x0a);
  if (context === SIDE.word) return rangesOf(WORD).some(([from, to]) => overlaps(set, from, to));
  return rangesOf(negate(union(WORD, NEWLINE))).some(([from, to]) => overlaps(set, from, to));
}

const overlaps = (set: CharSet, from: number, to: number): boolean =>
  rangesOf(set).some(([a, b]) => a <= to && b >= from);

/**
 * Every code unit belongs to one class; within a class all sets of the regex agree, so the automaton's tables are as
 * wide as there are classes and not as there are characters.
 */
class Classes {
  /** One code unit of each class. */
  readonly samples: readonly number[];
  readonly contexts: readonly Context[];
  readonly #starts: readonly number[];
  readonly #numbers: readonly number[];
  readonly #ascii = new Uint16Array(128);

  constructor(steps: readonly Step[]) {
    const sets = [...new Set(steps.flatMap((s) => (s.op === 'set' ? [s.set] : [])))];
    const cuts = new Set<number>([0, 0x0a, 0x0b]);
    for (const set of [WORD, ...sets]) {
      for (const [from, to] of rangesOf(set)) cuts.add(from).add(to + 1);
    }
    const starts = [...cuts].filter((c) => c <= 0xffff).sort((a, b) => a - b);
    const signatures = new Map<string, number>();
    const samples: number[] = [];
    const numbers = starts.map((start) => {
      const inSets = sets.map((s) => (contains(s, start) ? 1 : 0)).join('');
      const signature = `${contains(WORD, start)} ${start === 0x0a} ${inSets}`;
      const known = signatures.get(signature);
      if (known !== undefined) return known;
      signatures.set(signature, samples.length);
      return samples.push(start) - 1;
    });
    this.samples = samples;
    this.contexts = samples.map((unit) =>
      unit === 0x0a ? SIDE.newline : contains(WORD, unit) ? SIDE.word : SIDE.other,
    );
    this.#starts = starts;
    this.#numbers = numbers;
    for (let unit = 0; unit < 128; unit++) this.#ascii[unit] = this.#search(unit);
  }

  of(unit: number): number {
    return unit < 128 ? this.#ascii[unit]! : this.#search(unit);
  }

  #search(unit: number): number {
    let low = 0;
    let high = this.#starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#starts[middle]! <= unit) low = middle;
      else high = middle - 1;
    }
    return this.#numbers[low]!;
  }
}

/**
 * Finds whether a regex matches anywhere in a text, in one pass and without going back: a deterministic automaton
 * that is built as far as texts need it. No subject can make it slow, whatever the regex.
 */
export class Machine {
  readonly #steps: readonly Step[];
  #classes: Classes | null = null;
  #states = new Map<string, State>();

  private constructor(steps: readonly Step[]) {
    this.#steps = steps;
  }

  /** Null when the regex is too large; it must be regular (no look-around, no back reference). */
  static of(regex: Regex): Machine | null {
    try {
      return new Machine(compile(regex));
    } catch (error) {
      if (error instanceof TooLarge) return null;
      throw error;
    }
  }

  test(subject: string): boolean {
    // Made when first needed: most patterns of a large configuration wait long for their first text.
    this.#classes ??= new Classes(this.#steps);
    const classes = this.#classes;
    // Two classes beyond the real ones: the end, and a newline that is the last character.
    const end = classes.samples.length;
    const last = subject.length - 1;
    let state = this.#state([0], SIDE.edge);
    for (let i = 0; i <= subject.length; i++) {
      const unit = i <= last ? subject.charCodeAt(i) : 0;
      const kind = i > last ? end : i === last && unit === 0x0a ? end + 1 : classes.of(unit);
      const next = state.next[kind] ?? this.#advance(state, kind, classes);
      if (next === true) return true;
      state = next;
    }
    return false;
  }

  /** Whether there is any text that matches: a walk over steps and what may stand on both sides of them. */
  canMatch(): boolean {
    const after = [SIDE.edge, SIDE.finalNewline, SIDE.newline, SIDE.word, SIDE.other] as const;
    const before = [SIDE.edge, SIDE.newline, SIDE.word, SIDE.other] as const;
    const work = before.flatMap((b) => after.map((a): [number, Context, Context] => [0, b, a]));
    const seen = new Set<number>();
    while (work.length > 0) {
      const [at, left, right] = work.pop()!;
      const key = (at * 5 + left) * 5 + right;
      if (seen.has(key)) continue;
      seen.add(key);
      const step = this.#steps[at]!;
      if (step.op === 'match') return true;
      if (step.op === 'split') for (const to of step.to) work.push([to, left, right]);
      else if (step.op === 'at') {
        if (holds(step.place, left, right)) work.push([at + 1, left, right]);
      } else if (mayBe(step.set, right)) {
        if (right === SIDE.finalNewline) work.push([at + 1, SIDE.newline, SIDE.edge]);
        else for (const next of after) work.push([at + 1, right, next]);
      }
    }
    return false;
  }

  #state(steps: readonly number[], before: Context): State {
    const key = `${before}:${steps.join(',')}`;
    const known = this.#states.get(key);
    if (known) return known;
    if (this.#states.size >= MOST_STATES) this.#states = new Map();
    const state: State = { steps, before, next: [] };
    this.#states.set(key, state);
    return state;
  }

  /** Where one more character of a class leads, or `true` when the regex has matched before it. */
  #advance(state: State, kind: number, classes: Classes): State | true {
    const end = classes.samples.length;
    const after: Context =
      kind === end ? SIDE.edge : kind === end + 1 ? SIDE.finalNewline : classes.contexts[kind]!;
    const unit = kind === end + 1 ? 0x0a : classes.samples[kind];
    const seen = new Uint8Array(this.#steps.length);
    const work = state.steps.toReversed();
    // The search may begin anywhere: the first step is always among the next ones.
    const ahead = new Set<number>([0]);
    while (work.length > 0) {
      const at = work.pop()!;
      if (seen[at]) continue;
      seen[at] = 1;
      const step = this.#steps[at]!;
      if (step.op === 'match') {
        state.next[kind] = true;
        return true;
      }
      if (step.op === 'split') work.push(...step.to);
      else if (step.op === 'at') {
        if (holds(step.place, state.before, after)) work.push(at + 1);
      } else if (unit !== undefined && (step.set === ANY || contains(step.set, unit))) ahead.add(at + 1);
    }
    const next = this.#state(
      [...ahead].sort((a, b) => a - b),
      after === SIDE.finalNewline ? SIDE.newline : after,
    );
    state.next[kind] = next;
    return next;
  }
}
