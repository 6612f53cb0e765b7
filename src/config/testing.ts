import assert from 'node:assert/strict';
import { type Config, type Diagnostic, formatDiagnostic, type LoadOptions, loadConfig } from './index.ts';

/** A disk of texts by absolute name, for tests of the language. */
export function diskOf(files: Readonly<Record<string, string>>): LoadOptions {
  return {
    readFile(name) {
      const text = files[name];
      if (text === undefined) throw Object.assign(new Error('no such file'), { code: 'ENOENT' });
      return text;
    },
    exists: (name) => name in files || name.endsWith('.pem'),
    list: (folder) =>
      Object.keys(files)
        .filter((f) => f.startsWith(`${folder}/`))
        .map((f) => f.slice(folder.length + 1).split('/')[0]!),
    hostName: 'machine.example',
  };
}

export const MAIN = '/etc/pmta/config';

/** Loads a text as the main file, with others beside it. */
export function load(text: string, others: Readonly<Record<string, string>> = {}) {
  return loadConfig(MAIN, diskOf({ [MAIN]: text, ...others }));
}

/** A configuration that must load. */
export function good(text: string, others: Readonly<Record<string, string>> = {}): Config {
  const { config, diagnostics } = load(text, others);
  if (!config) assert.fail(diagnostics.map(formatDiagnostic).join('\n'));
  return config;
}

/** The errors of a configuration that must not load. */
export function errors(text: string, others: Readonly<Record<string, string>> = {}): readonly Diagnostic[] {
  const { config, diagnostics } = load(text, others);
  assert.equal(config, null, `loads, but must not:\n${text}`);
  return diagnostics.filter((d) => d.severity === 'error');
}

/** Messages of the warnings. */
export function warnings(text: string, others: Readonly<Record<string, string>> = {}): string[] {
  return load(text, others)
    .diagnostics.filter((d) => d.severity === 'warning')
    .map((d) => d.message);
}
