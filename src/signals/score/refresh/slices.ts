/** A range of a 64-bit hash, as parameters of a statement: `BETWEEN {low:UInt64} AND {high:UInt64}`. */
export interface Slice {
  readonly low: string;
  readonly high: string;
}

const ROWS_PER_SLICE = 400_000;
const ALL = 2n ** 64n;

/**
 * Equal ranges of hashes, so many that each holds some hundred thousand of `rows` rows: a statement per slice needs
 * the memory of a slice, whatever the size of the day.
 */
export function slicesOf(rows: number, rowsPerSlice = ROWS_PER_SLICE): Slice[] {
  const n = BigInt(Math.max(1, Math.ceil(rows / rowsPerSlice)));
  const slices: Slice[] = [];
  for (let i = 0n; i < n; i++) {
    slices.push({ low: String((ALL * i) / n), high: String((ALL * (i + 1n)) / n - 1n) });
  }
  return slices;
}

/** SQL: whether a column lies in the slice. */
export function inSlice(column: string): string {
  return `${column} BETWEEN {low:UInt64} AND {high:UInt64}`;
}
