/**
 * A value as RFC 4180 writes it, quoted only where that is required: readers in the field split on bare commas.
 * Values are not changed otherwise (no defence against spreadsheet formulas), because programs compare them.
 */
export function csvValue(value: string): string {
  return /[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value;
}

/** One record without its line end. */
export function csvRow(values: readonly string[]): string {
  return values.map(csvValue).join(',');
}
