import { createHash } from 'node:crypto';

/**
 * A random number in [0, 1) that is the same whenever the same question is asked again: order of arrival, concurrency
 * and restarts do not change what happens to a message. The purpose names the question, so that a new question asked
 * about a message does not change the answers to the old ones.
 */
export function draw(seed: number, fingerprint: string, purpose: string): number {
  const digest = createHash('sha1').update(`${seed}\0${purpose}\0${fingerprint}`).digest();
  return (digest.readUInt32BE(0) * 2 ** 21 + (digest.readUInt32BE(4) >>> 11)) / 2 ** 53;
}

/** One of `items`, each as likely as its weight says. Weights are not negative and not all zero. */
export function weighted<T extends { readonly weight: number }>(items: readonly T[], at: number): T {
  let rest = at * items.reduce((sum, item) => sum + item.weight, 0);
  for (const item of items) {
    rest -= item.weight;
    if (rest < 0) return item;
  }
  const last = items.at(-1);
  if (!last) throw new Error('nothing to choose from');
  return last;
}

/**
 * A waiting time around `median`, spread as people's are: log-normal, so that a few are very late and none is negative.
 * `at` is a draw in [0, 1); `sigma` the spread in natural logarithms.
 */
export function logNormal(median: number, sigma: number, at: number): number {
  return median * Math.exp(sigma * normalQuantile(at));
}

/** Inverse of the normal distribution by the logistic approximation: good to 2 %, ample for pretended waiting. */
function normalQuantile(at: number): number {
  const p = Math.min(0.999, Math.max(0.001, at));
  return Math.log(p / (1 - p)) / 1.702;
}
