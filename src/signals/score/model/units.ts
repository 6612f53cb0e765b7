/**
 * Scores, weights and rates are decimals with ten digits after the point, kept as whole numbers of 0.0000000001, so
 * that sums are exact and anybody who recomputes them gets the same digits.
 */
export type Units = bigint;

export const ONE: Units = 10_000_000_000n;

/** The unit nearest to `numerator / denominator`; halves go away from zero. */
export function nearest(numerator: bigint, denominator: bigint): bigint {
  const negative = numerator < 0n !== denominator < 0n;
  const n = numerator < 0n ? -numerator : numerator;
  const d = denominator < 0n ? -denominator : denominator;
  const result = (2n * n + d) / (2n * d);
  return negative ? -result : result;
}

/** A number as a decimal of ten digits. */
export function unitsOf(value: number): Units {
  return BigInt(Math.round(value * 1e10));
}

/** Share of two counts, at most 1. */
export function rateOf(part: number, whole: number): Units {
  const rate = nearest(BigInt(part) * ONE, BigInt(whole));
  return rate > ONE ? ONE : rate;
}

/** `0.8412700000`. */
export function textOf(units: Units): string {
  const negative = units < 0n;
  const digits = (negative ? -units : units).toString().padStart(11, '0');
  return `${negative ? '-' : ''}${digits.slice(0, -10)}.${digits.slice(-10)}`;
}
