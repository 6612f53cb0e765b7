/** Traffic of one direction or the other: recipients, messages (transactions on the way out) and bytes. */
export interface Traffic {
  rcp: number;
  msg: number;
  bytes: number;
}

type Direction = 'in' | 'out';

const STEP_MS = 5_000;
const STEPS_PER_HOUR = 720;
const STEPS_PER_MINUTE = 12;

/** Rolling counts of the last minute and hour in steps of five seconds, the totals, and the highest of each. */
export class TrafficMeter {
  readonly #steps = {
    in: Array.from({ length: STEPS_PER_HOUR }, empty),
    out: Array.from({ length: STEPS_PER_HOUR }, empty),
  };
  readonly total = { in: empty(), out: empty() };
  readonly topPerHour = { in: empty(), out: empty() };
  readonly topPerMinute = { in: empty(), out: empty() };
  #step: number;

  constructor(now: number) {
    this.#step = Math.floor(now / STEP_MS);
  }

  add(direction: Direction, rcp: number, bytes: number, now: number): void {
    this.#turn(now);
    for (const traffic of [this.#steps[direction][this.#step % STEPS_PER_HOUR]!, this.total[direction]]) {
      traffic.rcp += rcp;
      traffic.msg += 1;
      traffic.bytes += bytes;
    }
  }

  /** `reset counters`: everything is counted from nothing. */
  reset(): void {
    for (const direction of ['in', 'out'] as const) {
      for (const step of this.#steps[direction]) Object.assign(step, empty());
      for (const sum of [this.total, this.topPerHour, this.topPerMinute])
        Object.assign(sum[direction], empty());
    }
  }

  lastHour(direction: Direction, now: number): Traffic {
    this.#turn(now);
    return this.#sum(direction, STEPS_PER_HOUR);
  }

  lastMinute(direction: Direction, now: number): Traffic {
    this.#turn(now);
    return this.#sum(direction, STEPS_PER_MINUTE);
  }

  /** Clears the steps that have become too old, at most an hour of them. */
  #turn(now: number): void {
    const step = Math.floor(now / STEP_MS);
    if (step <= this.#step) return;
    for (const direction of ['in', 'out'] as const) {
      raise(this.topPerMinute[direction], this.#sum(direction, STEPS_PER_MINUTE));
      raise(this.topPerHour[direction], this.#sum(direction, STEPS_PER_HOUR));
      for (let old = Math.max(this.#step + 1, step - STEPS_PER_HOUR + 1); old <= step; old++) {
        this.#steps[direction][old % STEPS_PER_HOUR] = empty();
      }
    }
    this.#step = step;
  }

  #sum(direction: Direction, steps: number): Traffic {
    const sum = empty();
    for (let i = 0; i < steps; i++) {
      const step = this.#steps[direction][(this.#step - i + STEPS_PER_HOUR * 2) % STEPS_PER_HOUR]!;
      sum.rcp += step.rcp;
      sum.msg += step.msg;
      sum.bytes += step.bytes;
    }
    return sum;
  }
}

function empty(): Traffic {
  return { rcp: 0, msg: 0, bytes: 0 };
}

function raise(top: Traffic, seen: Traffic): void {
  top.rcp = Math.max(top.rcp, seen.rcp);
  top.msg = Math.max(top.msg, seen.msg);
  top.bytes = Math.max(top.bytes, seen.bytes);
}
