/** Where `file-destination` leads for one recipient; nothing in an address can lead out of the folder it names. */
import { expandMacros, type MacroValues } from './macros.ts';

/**
 * The path, macros put in. In a value, `/` and `%` are written `%2F` and `%25`; a part of the path that comes out as
 * `.` or `..` has its first dot written `%2E`. Null when a part comes out empty: that would name the folder above.
 */
export function destinationPath(template: string, values: MacroValues): string | null {
  const safe = Object.fromEntries(
    Object.entries(values).map(([name, value]) => [
      name,
      value.replaceAll('%', '%25').replaceAll('/', '%2F'),
    ]),
  ) as MacroValues;
  const parts: string[] = [];
  for (const part of template.split('/')) {
    const made = expandMacros(part, safe);
    if (made === '' && part !== '') return null;
    parts.push(made !== part && /^\.\.?$/.test(made) ? `%2E${made.slice(1)}` : made);
  }
  return parts.join('/');
}

/** Whether every recipient's path is the same. */
export function hasMacros(template: string, values: MacroValues): boolean {
  return expandMacros(template, values) !== template;
}
