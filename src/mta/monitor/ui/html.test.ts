import assert from 'node:assert/strict';
import { test } from 'node:test';
import { exactly, html } from './html.ts';

test('what is put in is text, unless it is HTML itself', () => {
  const evil = `<b title="x" class='y'>&amp;`;
  const inside = html`<i>${evil}</i>`;
  assert.equal(inside.text, '<i>&lt;b title=&quot;x&quot; class=&#39;y&#39;&gt;&amp;amp;</i>');
  assert.equal(html`${inside}${[inside, 'a']}${null}${false}${0}`.text, `${inside.text}${inside.text}a0`);
});

test('controls and directions are shown, lines stay; what is sent back to us keeps each character', () => {
  const text = 'a\u202eb\u0007c\r\nd\te\u2028';
  assert.equal(html`${text}`.text, 'a\\u202eb\\x07c\r\nd\te\\u2028');
  assert.equal(exactly(`${text}<`).text, `${text}&lt;`);
});
