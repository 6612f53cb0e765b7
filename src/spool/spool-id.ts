import { randomInt } from 'node:crypto';

/**
 * Makes ids for stored messages: 16 hexadecimal digits, 11 of the time in milliseconds and 5 of a counter that
 * starts at random. They sort by age, so the newest messages lie side by side in the store, and two servers that
 * exchange logs do not meet on one id by counting from the same start.
 */
export function spoolIdMaker(now: () => number, random: (below: number) => number = randomInt): () => string {
  const counters = 1 << 20;
  let counter = random(counters);
  let last = 0;
  let sinceTick = 0;
  let written = -1;
  let digits = '';
  return () => {
    const time = Math.max(now(), last);
    sinceTick = time === last ? sinceTick + 1 : 0;
    // A clock that stands still (a test's) may not make the counter meet its own tail.
    last = sinceTick >= counters ? time + 1 : time;
    counter = (counter + 1) % counters;
    if (last !== written) {
      digits = last.toString(16).padStart(11, '0');
      written = last;
    }
    // The digit in front keeps the zeros that come first.
    return digits + (counter + counters).toString(16).slice(1);
  };
}
