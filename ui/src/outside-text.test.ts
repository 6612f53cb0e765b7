import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cut, pieces, visible } from './outside-text.ts';

test('controls, direction marks and what draws nothing are named', () => {
  assert.equal(visible('a\u202etxt.exe\u0007'), 'a[U+202E]txt.exe[U+0007]');
  assert.equal(visible('line\r\nbreak\tand\0'), 'line[CR][LF]break[TAB]and[NUL]');
  assert.equal(visible('zero\u200bwidth\u2066x\u2069'), 'zero[U+200B]width[U+2066]x[U+2069]');
  assert.equal(visible('\u{e0041}\ud800 \ufeff'), '[U+E0041][U+D800] [U+FEFF]');
});

test('honest text of any script stays as it is', () => {
  for (const text of ['Ёлка 50 % 🎄', 'مرحبا', '日本語', 'naïve <b>&amp;', '👍🏽'])
    assert.equal(visible(text), text);
});

test('pieces tell names from text that looks like one', () => {
  assert.deepEqual(pieces('[U+202E]\u202e'), [
    { text: '[U+202E]', hidden: false },
    { text: '[U+202E]', hidden: true },
  ]);
});

test('line ends can be kept', () => {
  assert.deepEqual(pieces('a\nb', '\n'), [{ text: 'a\nb', hidden: false }]);
});

test('cutting never halves a character', () => {
  assert.equal(cut('ab😀cd', 3), 'ab…');
  assert.equal(cut('ab😀cd', 4), 'ab😀…');
  assert.equal(cut('abc', 3), 'abc');
});
