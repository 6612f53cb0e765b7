#!/usr/bin/env node
// The published package holds compiled files in dist/; a checkout runs its TypeScript sources as they are.
import './compile-cache.js';
import { existsSync } from 'node:fs';

const source = new URL('../src/cli/main.ts', import.meta.url);
const { main } = await import(
  existsSync(source) ? source.href : new URL('../dist/cli/main.js', import.meta.url).href
);
await main(process.argv.slice(2));
