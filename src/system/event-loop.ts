/**
 * When to wake others. Whoever writes to a socket or syncs a file wakes another process, a thread or the disk, and to wake
 * a processor that sleeps costs more than the write, on virtual machines many times more. So what a turn of the event loop
 * has to say goes out at its end, and what can wait a little waits until there is little else to do: the busier the
 * server, the more is done together, and an idle one does it at once.
 */
import { performance } from 'node:perf_hooks';

let waiting: (() => void)[] = [];

/** Calls back when all input of this turn has been dealt with, in the order of the calls. */
export function atTurnEnd(then: () => void): void {
  if (waiting.length === 0) setImmediate(turnEnds);
  waiting.push(then);
}

function turnEnds(): void {
  const now = waiting;
  waiting = [];
  for (const then of now) then();
}

/** A turn with no more events than this has left nothing to wait for: threads that are done count too. */
const FEW_EVENTS = 2;
const LONGEST_MS = 4;

/** Calls back after the first turn of the event loop in which hardly anything came, or after `longestMs`. */
export function whenQuiet(then: () => void, longestMs = LONGEST_MS): void {
  const end = performance.now() + longestMs;
  let before = 0;
  const look = () => {
    const events = eventsSoFar();
    if (events - before <= FEW_EVENTS || performance.now() >= end) then();
    else {
      before = events;
      setImmediate(look);
    }
  };
  setImmediate(() => {
    before = eventsSoFar();
    setImmediate(look);
  });
}

function eventsSoFar(): number {
  return performance.nodeTiming.uvMetricsInfo.events;
}
