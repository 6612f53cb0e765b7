/** Traffic of one direction or the other: recipients, messages (transactions on the way out) and bytes. */
export interface Traffic {
  rcp: number;
  msg: number;
  bytes: number;
}

/** Reports of other hosts that were read. */
export interface Processed {
  bounces: number;
  complaints: number;
}

/** How long messages took to come in, added up: milliseconds. */
export interface Timings {
  count: number;
  /** From MAIL to its answer. */
  mailFrom: number;
  /** From the end of the content to its answer: until the message is on disk. */
  data: number;
  /** From MAIL to the answer to the content. */
  total: number;
}

type Direction = 'in' | 'out';

const STEP_MS = 5_000;
const STEPS_PER_HOUR = 720;
const STEPS_PER_MINUTE = 12;

/** Rolling sums of a few figures over the last minute and hour in steps of five seconds, and the highest of each. */
class Rolling<T extends object> {
  readonly #empty: () => T;
  readonly #steps: T[];
  total: T;
  topPerHour: T;
  topPerMinute: T;
  #step: number;

  constructor(empty: () => T, now: number) {
    this.#empty = empty;
    this.#steps = Array.from({ length: STEPS_PER_HOUR }, empty);
    this.total = empty();
    this.topPerHour = empty();
    this.topPerMinute = empty();
    this.#step = Math.floor(now / STEP_MS);
  }

  add(figures: T, now: number): void {
    this.#turn(now);
    plus(this.#steps[this.#step % STEPS_PER_HOUR]!, figures);
    plus(this.total, figures);
  }

  reset(): void {
    for (const step of this.#steps) Object.assign(step, this.#empty());
    for (const sum of [this.total, this.topPerHour, this.topPerMinute]) Object.assign(sum, this.#empty());
  }

  lastHour(now: number): T {
    this.#turn(now);
    return this.#sum(0, STEPS_PER_HOUR);
  }

  lastMinute(now: number): T {
    this.#turn(now);
    return this.#sum(0, STEPS_PER_MINUTE);
  }

  /** The last hour minute by minute, the oldest first. */
  minutes(now: number): T[] {
    this.#turn(now);
    return Array.from({ length: 60 }, (_, i) => this.#sum((59 - i) * STEPS_PER_MINUTE, STEPS_PER_MINUTE));
  }

  /** Clears the steps that have become too old, at most an hour of them. */
  #turn(now: number): void {
    const step = Math.floor(now / STEP_MS);
    if (step <= this.#step) return;
    raise(this.topPerMinute, this.#sum(0, STEPS_PER_MINUTE));
    raise(this.topPerHour, this.#sum(0, STEPS_PER_HOUR));
    for (let old = Math.max(this.#step + 1, step - STEPS_PER_HOUR + 1); old <= step; old++) {
      this.#steps[old % STEPS_PER_HOUR] = this.#empty();
    }
    this.#step = step;
  }

  /** Of `count` steps, the newest of them `ago` steps back. */
  #sum(ago: number, count: number): T {
    const sum = this.#empty();
    for (let i = ago; i < ago + count; i++) {
      plus(sum, this.#steps[(this.#step - i + STEPS_PER_HOUR * 2) % STEPS_PER_HOUR]!);
    }
    return sum;
  }
}

/** Rolling counts of what comes in, goes out and is reported, the totals, and the highest of each. */
export class TrafficMeter {
  readonly #in: Rolling<Traffic>;
  readonly #out: Rolling<Traffic>;
  readonly processed: Rolling<Processed>;
  readonly timings: Rolling<Timings>;

  constructor(now: number) {
    this.#in = new Rolling(empty, now);
    this.#out = new Rolling(empty, now);
    this.processed = new Rolling(() => ({ bounces: 0, complaints: 0 }), now);
    this.timings = new Rolling(() => ({ count: 0, mailFrom: 0, data: 0, total: 0 }), now);
  }

  get total() {
    return { in: this.#in.total, out: this.#out.total };
  }

  get topPerHour() {
    return { in: this.#in.topPerHour, out: this.#out.topPerHour };
  }

  get topPerMinute() {
    return { in: this.#in.topPerMinute, out: this.#out.topPerMinute };
  }

  add(direction: Direction, rcp: number, bytes: number, now: number): void {
    this.#of(direction).add({ rcp, msg: 1, bytes }, now);
  }

  /** `reset counters`: everything is counted from nothing. */
  reset(): void {
    for (const rolling of [this.#in, this.#out, this.processed, this.timings]) rolling.reset();
  }

  lastHour(direction: Direction, now: number): Traffic {
    return this.#of(direction).lastHour(now);
  }

  lastMinute(direction: Direction, now: number): Traffic {
    return this.#of(direction).lastMinute(now);
  }

  minutes(direction: Direction, now: number): Traffic[] {
    return this.#of(direction).minutes(now);
  }

  #of(direction: Direction): Rolling<Traffic> {
    return direction === 'in' ? this.#in : this.#out;
  }
}

function empty(): Traffic {
  return { rcp: 0, msg: 0, bytes: 0 };
}

type Figures = Record<string, number>;

function plus(sum: object, figures: object): void {
  for (const name in figures) (sum as Figures)[name]! += (figures as Figures)[name]!;
}

function raise(top: object, seen: object): void {
  for (const [name, value] of Object.entries(seen as Figures)) {
    (top as Figures)[name] = Math.max((top as Figures)[name]!, value);
  }
}
