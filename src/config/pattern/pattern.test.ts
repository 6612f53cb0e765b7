import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Fault } from '../diagnostic.ts';
import { compilePattern, type Pattern } from './pattern.ts';

function pattern(source: string): Pattern {
  const compiled = compilePattern(source);
  if (compiled instanceof Fault) assert.fail(compiled.message);
  return compiled;
}

const matches = (source: string, subject: string): boolean => pattern(source).test(subject);

/** A small generator of numbers that gives the same ones each time. */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return (state >> 8) % below;
  };
}

test('C4.2 constructs of PCRE that occur in the field', () => {
  assert.ok(matches('\\bquota\\b', 'over quota now'));
  assert.ok(!matches('\\bquota\\b', 'quotas'));
  assert.ok(matches('mailbox +is +full', 'Mailbox  is full'));
  assert.ok(matches('\\x23 4', '# 4'));
  assert.ok(matches('a{2,3}b', 'xaaab'));
  assert.ok(!matches('^a{2,3}b', 'aaaab'));
  assert.ok(matches('(?<user>\\w+)@(?:a|b)\\.example$', 'x@b.example'));
  assert.ok(matches('[[:digit:]]+[^[:space:]]', '12x'));
  assert.ok(matches('\\Qa.b\\E', 'A.B'));
  assert.ok(!matches('\\Qa.b\\E', 'axb'));
  assert.ok(matches('a++b', 'aab'));
  assert.ok(matches('(?>a|ab)c', 'abc'), 'atomic groups are read as plain ones');
  assert.ok(matches('^5\\d\\d(?# comment)[ -]', '550 no'));
  assert.ok(matches('[]x]', ']'));
  assert.ok(matches('{a}', '{a}'));
  assert.ok(matches('ä', 'Ä'));
});

test('C4.3 C4.4 case counts only after (?-i)', () => {
  assert.ok(matches('throttled', 'THROTTLED'));
  assert.ok(matches('(?-i)ZX7', 'a ZX7'));
  assert.ok(!matches('(?-i)ZX7', 'zx7'));
  assert.ok(matches('ab(?-i:C)d', 'ABCD'));
  assert.ok(!matches('ab(?-i:C)d', 'ABcD'));
  assert.ok(matches('(?-i)[a-c]x|(?i)y', 'Y'));
  assert.ok(matches('[^a]', 'b') && !matches('^[^a]$', 'A'));
});

test('C4.5 C4.6 a regex is searched for, and the empty one is everywhere', () => {
  assert.ok(matches('news', 'my-news@a.example'));
  assert.ok(matches('', 'anything'));
  assert.ok(matches('', ''));
});

test('$ is also before a final newline, \\z only at the end', () => {
  assert.ok(matches('b$', 'ab\n'));
  assert.ok(!matches('b$', 'b\nc'));
  assert.ok(!matches('b\\z', 'ab\n'));
  assert.ok(matches('(?m)^b$', 'a\nb\nc'));
  assert.ok(!matches('a.b', 'a\nb'));
  assert.ok(matches('(?s)a.b', 'a\nb'));
});

test('C4.10 what does not compile is told with its place', () => {
  for (const source of [
    '(',
    'a)',
    '[a',
    '*',
    'a**',
    'a{3,2}',
    '[z-a]',
    '\\',
    'a{1001}',
    '(?x)a',
    '\\y',
    '(?<1>a)',
  ]) {
    const compiled = compilePattern(source);
    assert.ok(compiled instanceof Fault, source);
    assert.match(compiled.message, /does not compile: .* at character \d+/, source);
  }
});

test('look-around and back references run on a bounded text, and only in tame forms', () => {
  assert.ok(matches('^(?!.*internal).*@x', 'a@x'));
  assert.ok(!matches('^(?!.*internal).*@x', 'internal a@x'));
  assert.ok(matches('(a)\\1', 'AA'));
  assert.ok(matches('(?<n>b)\\k<n>', 'bb'));
  assert.ok(matches('(?<=\\d)x$', '1x'));
  for (const source of ['(a+)+(?=b)', '(?=(a|aa)+$)(x*)*', '.*.*.*(?!a)', '(\\1|a*){9}']) {
    assert.ok(compilePattern(source) instanceof Fault, source);
  }
});

test('patterns that stall a backtracking engine finish', () => {
  const hostile = `${'a'.repeat(16_000)}!`;
  for (const source of [
    '(a+)+$',
    '(a|aa)+$',
    '(.*a){12}b',
    '(a*)*b',
    '(?:a?){300}a{300}b',
    '(x+x+)+y',
    '^(([a-z])+.)+[A-Z]([a-z])+$',
  ]) {
    assert.equal(matches(source, hostile), false, source);
  }
  const blowUp = numbers(3);
  const bits = Array.from({ length: 16_000 }, () => (blowUp(2) ? 'a' : 'b')).join('');
  assert.equal(matches('^(?:a|b)*a(?:a|b){14}c', bits), false);
});

test('what is too large is refused', () => {
  assert.match((compilePattern('((a{1000}){1000}){1000}') as Fault).message, /too large/);
  assert.match((compilePattern('a'.repeat(10_001)) as Fault).message, /too long/);
  assert.match((compilePattern('('.repeat(200)) as Fault).message, /too deeply/);
});

test('agrees with another engine on random expressions', () => {
  const pick = numbers(7);
  const atoms = [
    'a',
    'b',
    '[ab]',
    '[^a]',
    '.',
    '\\w',
    '\\W',
    '\\b',
    '\\B',
    '^',
    '$',
    ' ',
    '(?:a|b)',
    '(?:ab|c|)',
  ];
  const repeats = ['', '', '', '*', '+', '?', '{1,2}', '{2}', '*?'];
  const term = (depth: number): string => {
    const atom = depth > 0 && pick(3) === 0 ? `(?:${expression(depth - 1)})` : atoms[pick(atoms.length)]!;
    return /^(\\[bB]|\^|\$)$/.test(atom) ? atom : atom + repeats[pick(repeats.length)]!;
  };
  const expression = (depth: number): string => {
    const branch = () => Array.from({ length: 1 + pick(4) }, () => term(depth)).join('');
    return pick(4) === 0 ? `${branch()}|${branch()}` : branch();
  };
  for (let i = 0; i < 800; i++) {
    const source = expression(2);
    const ours = pattern(source);
    const theirs = new RegExp(source, 'i');
    for (let j = 0; j < 10; j++) {
      const subject = Array.from({ length: pick(7) }, () => 'aAbBc '[pick(6)]).join('');
      assert.equal(ours.test(subject), theirs.test(subject), `/${source}/ on "${subject}"`);
    }
  }
});
