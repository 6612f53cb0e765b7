import { readFileSync, statSync } from 'node:fs';

/** The version in package.json, two folders up in a checkout and in the published package alike. */
export function version(): string {
  const file = new URL('../../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}

/** When the package was made, as nearly as the files tell. */
export function builtAt(): number {
  return Math.round(statSync(new URL('../../package.json', import.meta.url)).mtimeMs);
}
