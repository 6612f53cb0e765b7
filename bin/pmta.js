#!/usr/bin/env node
// The management command under the name that operators' scripts call. See bin/posthorn.js for the two layouts.
import './compile-cache.js';
import { existsSync } from 'node:fs';

const source = new URL('../src/cli/pmta.ts', import.meta.url);
const { main } = await import(
  existsSync(source) ? source.href : new URL('../dist/cli/pmta.js', import.meta.url).href
);
await main(process.argv.slice(2));
