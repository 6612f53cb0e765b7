/**
 * The end of a turn of the event loop, for what is cheaper done together. To write to a socket may wake another process,
 * and to wake a processor that sleeps costs more than the write: what all connections have to say goes out in one go.
 */

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
