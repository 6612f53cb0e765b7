#!/usr/bin/env node
// A report of accounting files under the name that operators' scripts call. See bin/posthorn.js for the two layouts.
import { existsSync } from 'node:fs';

const source = new URL('../src/cli/acct.ts', import.meta.url);
const { mainFind } = await import(
  existsSync(source) ? source.href : new URL('../dist/cli/acct.js', import.meta.url).href
);
await mainFind(process.argv.slice(2));
