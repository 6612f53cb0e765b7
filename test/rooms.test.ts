import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

/**
 * Which room may import which (docs/architecture.md, "Rooms"). A room is a folder of `src`; it may always import
 * itself. Nothing here names a room above it, so there are no cycles.
 */
const mayImport: Record<string, readonly string[]> = {
  system: [],
  mail: ['system'],
  config: ['system', 'mail'],
  smtp: ['system', 'mail'],
  dns: ['system', 'mail'],
  events: ['system', 'mail'],
  spool: ['system', 'events'],
  connector: ['system', 'events'],
  tracking: ['system', 'mail', 'events', 'connector'],
  mta: ['system', 'mail', 'config', 'smtp', 'dns', 'events', 'spool', 'connector', 'tracking'],
  signals: ['system', 'mail', 'dns', 'events'],
  sink: ['system', 'mail', 'smtp', 'dns', 'events'],
  generate: ['system', 'mail', 'smtp', 'events'],
  agent: ['system', 'mail', 'events', 'connector'],
  migrate: ['system', 'mail', 'config', 'events'],
};
mayImport.up = ['system', 'mail', 'smtp', 'events'];
mayImport.cli = Object.keys(mayImport);

/** Doors inside the big rooms that must stay shut too: `mta/queue` is a pure machine. */
const mayImportWithin: Record<string, readonly string[]> = {
  'mta/queue': ['system', 'config', 'events', 'mta/queue'],
};

const src = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../src');

function* sources(dir: string): Generator<string> {
  for (const entry of readdirSync(dir)) {
    const file = path.join(dir, entry);
    if (statSync(file).isDirectory()) yield* sources(file);
    else if (/\.tsx?$/.test(entry)) yield file;
  }
}

function imports(text: string): string[] {
  const found = text.matchAll(
    /(?:^|[;\n])\s*(?:import|export)\b[^'";]*?from\s*'([^']+)'|import\(\s*'([^']+)'|(?:^|\n)import\s*'([^']+)'/g,
  );
  return [...found].map((m) => (m[1] ?? m[2] ?? m[3])!);
}

function violations(): string[] {
  const wrong: string[] = [];
  for (const file of sources(src)) {
    const from = path.relative(src, file);
    const room = from.split(path.sep)[0]!;
    const inner = from.split(path.sep).slice(0, 2).join('/');
    const isTest = file.endsWith('.test.ts');
    for (const specifier of imports(readFileSync(file, 'utf8'))) {
      if (!specifier.startsWith('.')) continue;
      const to = path.relative(src, path.resolve(path.dirname(file), specifier));
      if (to.startsWith('..')) {
        if (!isTest) wrong.push(`src/${from}: imports ${specifier}, outside src`);
        continue;
      }
      const target = to.split(path.sep)[0]!;
      const allowed = mayImport[room];
      if (!allowed) wrong.push(`src/${from}: "${room}" is no room of docs/architecture.md`);
      else if (target !== room && !allowed.includes(target)) {
        wrong.push(`src/${from}: imports ${specifier}, but ${room} may not import ${target}`);
      }
      const innerAllowed = mayImportWithin[inner];
      const targetInner = to.split(path.sep).slice(0, 2).join('/');
      if (innerAllowed && !innerAllowed.includes(target) && !innerAllowed.includes(targetInner)) {
        wrong.push(`src/${from}: imports ${specifier}, but ${inner} may not import ${targetInner}`);
      }
    }
  }
  return wrong;
}

test('every import goes to a room below', () => {
  const wrong = violations();
  assert.equal(wrong.length, 0, `\n${wrong.join('\n')}`);
});

test('the check reads every form of import', () => {
  const forms = [
    `import a from '../x/a.ts';`,
    `import { a,\n  b } from '../x/b.ts';`,
    `import type { T } from '../x/c.ts';`,
    `export * from '../x/d.ts';`,
    `const e = await import('../x/e.ts');`,
    `import '../x/f.ts';`,
  ];
  assert.deepEqual(
    imports(forms.join('\n')),
    ['a', 'b', 'c', 'd', 'e', 'f'].map((n) => `../x/${n}.ts`),
  );
});
