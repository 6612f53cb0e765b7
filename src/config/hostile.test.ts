import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { loadConfig } from './index.ts';
import { diskOf, load, MAIN } from './testing.ts';
import { printTree } from './tree.ts';

const SAMPLE = `# a configuration with a bit of everything
log-file /var/log/pmta/log
smtp-listener 0/0:2525 source=gate
domain-macro eu de, fr,
   it
<source gate>
    always-allow-relaying yes   # inside
    pattern-list route
</source>
<pattern-list route>
    mail-from /@a\\.example$/ <pattern-list>
        * virtual-mta=v1
    </pattern-list>
</pattern-list>
<virtual-mta v1>
    smtp-source-host 192.0.2.1 v1.example
    <domain x.$eu>
        max-smtp-out 2
        retry-after 5m, 10m
    </domain>
</virtual-mta>
<smtp-pattern-list p>
    reply /^4\\d\\d .*(try|slow)/ mode=backoff,defer-queue
</smtp-pattern-list>
<acct-file "|/bin/cat -n">
    records d,b
</acct-file>
`;

/** A small generator of numbers that gives the same ones each time. */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return (state >> 8) % below;
  };
}

/** Loads, and holds what must be true of any input: nothing thrown, errors with a place, the text kept. */
function survive(text: string): void {
  const { config, diagnostics, trees } = load(text);
  const errors = diagnostics.filter((d) => d.severity === 'error');
  assert.equal(config === null, errors.length > 0);
  for (const d of diagnostics)
    assert.ok(d.line >= 1 && d.column >= 1 && d.file && d.message, JSON.stringify(d));
  assert.equal(printTree(trees.get(MAIN)!), text);
}

test('a file with flipped bytes, lost pieces or shuffled words never breaks the reader', () => {
  const pick = numbers(11);
  const junk = [
    '<',
    '>',
    '</',
    '"',
    '\\',
    '/',
    '#',
    '$',
    '\0',
    '\ufeff',
    '\r\n',
    '\n',
    ' ',
    '<pattern-list>',
    'é',
    '\ufffd',
    '{',
    '(',
    '*',
    ',',
  ];
  survive(SAMPLE);
  for (let i = 0; i < 250; i++) {
    let text = SAMPLE;
    for (let j = 0; j <= pick(4); j++) {
      const at = pick(text.length);
      switch (pick(4)) {
        case 0:
          text = text.slice(0, at) + junk[pick(junk.length)] + text.slice(at);
          break;
        case 1:
          text = text.slice(0, at) + text.slice(at + pick(40));
          break;
        case 2:
          text = text.slice(0, Math.max(1, at));
          break;
        default: {
          const words = text.split(' ');
          const [a, b] = [pick(words.length), pick(words.length)];
          [words[a], words[b]] = [words[b]!, words[a]!];
          text = words.join(' ');
        }
      }
    }
    survive(text);
  }
});

test('endless lines, deep nesting and rubbish are told with their place', () => {
  survive(`host-id ${'7'.repeat(3_000_000)}`);
  survive('x'.repeat(3_000_000));
  survive('<pattern-list a>\n'.repeat(5000));
  survive('* <pattern-list>\n'.repeat(5000));
  survive('</domain>\n'.repeat(5000));
  survive(`domain-macro a ${'b,\n'.repeat(20_000)}`);
  survive('\0\n'.repeat(5000));
  const [nul] = load('host-id 7\0').diagnostics;
  assert.match(nul!.message, /NUL/);
});

test('a file too large to be a configuration is refused unread', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'posthorn-config-'));
  try {
    const file = path.join(folder, 'config');
    writeFileSync(file, 'host-id 1\n');
    truncateSync(file, 65 * 1024 * 1024);
    const { config, diagnostics } = loadConfig(file);
    assert.equal(config, null);
    assert.match(diagnostics[0]!.message, /larger than/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('devices, pipes and folders are no configuration; a pipe from the shell is', { timeout: 30_000 }, () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'posthorn-config-'));
  try {
    const pipe = path.join(folder, 'pipe');
    assert.equal(spawnSync('mkfifo', [pipe]).status, 0);
    for (const [file, why] of [
      ['/dev/zero', /not a regular file/],
      [pipe, /not a regular file/],
      [folder, /a folder/],
    ] as const) {
      const { diagnostics } = loadConfig('/main', {
        texts: new Map([['/main', `host-id 1\ninclude ${file}\n`]]),
      });
      const [found] = diagnostics.filter(
        ({ severity, message }) => severity === 'error' && why.test(message),
      );
      assert.equal(found?.line, 2, JSON.stringify(diagnostics));
    }
    const script = `import(${JSON.stringify(new URL('./index.ts', import.meta.url).href)}).then(({ loadConfig }) =>
      console.log(loadConfig('/dev/stdin').root.lines('host-id').length))`;
    const shell = spawnSync(
      'sh',
      ['-c', 'printf "host-id 7\\n" | "$0" --eval "$1"', process.execPath, script],
      { encoding: 'utf8' },
    );
    assert.equal(shell.stdout.trim(), '1', shell.stderr);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('includes that multiply are cut off', () => {
  const files = Object.fromEntries(
    Array.from({ length: 15 }, (_, i) => [`/etc/pmta/${i}`, `include ${i + 1}\n`.repeat(10)]),
  );
  const { config, diagnostics } = loadConfig(
    MAIN,
    diskOf({ [MAIN]: 'include 0', '/etc/pmta/15': '', ...files }),
  );
  assert.equal(config, null);
  assert.match(diagnostics.map((d) => d.message).join('\n'), /more than 20000 includes/);
});
