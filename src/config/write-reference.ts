import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { coverage, referencePage } from './reference.ts';

/** Writes docs/reference/directives.md anew, and prints how many directives do what. */
const page = fileURLToPath(new URL('../../docs/reference/directives.md', import.meta.url));
mkdirSync(fileURLToPath(new URL('.', new URL('../../docs/reference/directives.md', import.meta.url))), {
  recursive: true,
});
writeFileSync(page, referencePage());
console.table(coverage());
