import { Fault } from '../../../config/diagnostic.ts';
import { compilePattern } from '../../../config/pattern/pattern.ts';
import { UserError } from '../../../system/user-error.ts';
import { type AcctRecord, fieldKey } from './read-records.ts';

export type RecordMatch = (record: AcctRecord) => boolean;

/**
 * A test of records from a pattern: a text that a field contains, in any case, or `m/regex/`. `fields` restricts it;
 * without them every field is looked at. Regular expressions run in time linear in the field (src/config/pattern).
 */
export function matchOf(pattern: string, fields: readonly string[]): RecordMatch {
  const test = textTest(pattern);
  if (fields.length === 0) return (record) => record.values.some(test);
  const keys = fields.map(fieldKey);
  return (record) => keys.some((key) => test(record.get(key)));
}

function textTest(pattern: string): (value: string) => boolean {
  const regex = /^m\/(.*)\/i?$/s.exec(pattern)?.[1];
  if (regex === undefined) {
    const wanted = pattern.toLowerCase();
    return (value) => value.toLowerCase().includes(wanted);
  }
  const compiled = compilePattern(regex);
  if (compiled instanceof Fault) {
    throw new UserError(`m/${regex}/: ${compiled.message}`, { exitCode: 2 });
  }
  return (value) => compiled.test(value);
}

/** `[f1,f2]PATTERN` or `PATTERN`. */
export function fieldsAndPattern(text: string): { readonly fields: string[]; readonly pattern: string } {
  const match = /^\[([\w:,\s-]+)\](.*)$/s.exec(text);
  if (!match) return { fields: [], pattern: text };
  return { fields: fieldList(match[1]!), pattern: match[2]! };
}

export function fieldList(text: string): string[] {
  return text
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
}
