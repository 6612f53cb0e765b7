import type { Named } from './directives/index.ts';

const MS: readonly (readonly [string, number])[] = [
  ['w', 604_800_000],
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
];

function showInterval(ms: number): string {
  if (ms === Number.POSITIVE_INFINITY) return 'never';
  if (ms === 0) return '0';
  let rest = ms;
  let out = '';
  for (const [unit, size] of MS) {
    const count = Math.floor(rest / size);
    if (count > 0) out += `${count}${unit}`;
    rest -= count * size;
  }
  return out;
}

function showSize(bytes: number): string {
  if (bytes === Number.POSITIVE_INFINITY) return 'unlimited';
  if (bytes === 0) return '0';
  for (const [unit, factor] of [
    ['T', 1024 ** 4],
    ['G', 1024 ** 3],
    ['M', 1024 ** 2],
    ['K', 1024],
  ] as const) {
    if (bytes % factor === 0) return `${bytes / factor}${unit}`;
  }
  return `${bytes}b`;
}

function showRate(value: unknown): string {
  if (value === null) return 'unlimited';
  const { count, perMs } = value as { count: number; perMs: number };
  return `${count}/${showInterval(perMs).replace(/^1(?=[wdhms]$)/, '')}`;
}

/**
 * A value in the language, as a settings dump shows it: booleans as yes and no, nothing as `""`. Compound values are
 * shown by the text they were written in, which the caller passes.
 */
export function showValue(declaration: Named, value: unknown, text: string | null): string {
  const { kind, secret } = declaration.type;
  if (value === null && kind !== 'rate' && kind !== 'data-rate') return '""';
  if (secret) return '********';
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  switch (kind) {
    case 'interval':
      return showInterval(value as number);
    case 'boolean-or-interval':
      return value === 0 ? 'yes' : value === Number.POSITIVE_INFINITY ? 'no' : showInterval(value as number);
    case 'interval-list':
      return (value as number[]).map(showInterval).join(',');
    case 'size':
      return showSize(value as number);
    case 'rate':
    case 'data-rate':
      return showRate(value);
    default:
  }
  if (typeof value === 'number') return Number.isFinite(value) ? String(value) : 'unlimited';
  if (typeof value === 'string') return value === '' || /\s/.test(value) ? `"${value}"` : value;
  if (Array.isArray(value) && value.length === 0) return '""';
  if (Array.isArray(value) && value.every((v) => typeof v === 'string')) return value.join(',');
  return text ?? declaration.default ?? '""';
}
