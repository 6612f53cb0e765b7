import assert from 'node:assert/strict';
import { test } from 'node:test';
import { htmlLinks, isUnsubscribeLink } from './html-links.ts';

test('pictures and links in document order, references decoded', () => {
  const { images, links } = htmlLinks(
    '<BODY background="https://t/b.gif"><IMG SRC=https://t/1?a=1&amp;b=2 alt="<a href=no>">' +
      "<a class=x href='https://t/f/a/1' href=second>Read &amp; <b>more</b></a>" +
      '<map><area href="https://t/f/a/2"></map><p style="background:url(https://t/c.gif)">' +
      '<style>p{background:url("https://t/d.gif")}</style><img src="https://t/2">',
  );
  assert.deepEqual(images, [
    'https://t/b.gif',
    'https://t/1?a=1&b=2',
    'https://t/c.gif',
    'https://t/d.gif',
    'https://t/2',
  ]);
  assert.deepEqual(links, [
    { url: 'https://t/f/a/1', text: 'Read & more' },
    { url: 'https://t/f/a/2', text: '' },
  ]);
});

test('comments and raw text hold no links', () => {
  const { images, links } = htmlLinks(
    '<!-- <a href="https://x/1">1</a> --><script>"<img src=https://x/2>"</script><title><a href=https://x/3></title>',
  );
  assert.deepEqual([images, links], [[], []]);
});

test('damaged HTML ends the reading', () => {
  assert.deepEqual(htmlLinks('<a href="https://x/1">ok</a><a href="https://x/2').links.length, 1);
  assert.deepEqual(htmlLinks('1 < 2 <3 <a href="https://x/1">').links.length, 1);
});

test('no text makes the work grow with the square of its length', { timeout: 20_000 }, () => {
  const pieces = ['<a "', '<', '<a ', '<!--', '<script>', '</a', '&amp', "<img src='", 'url(', '<a href=x>'];
  for (const piece of pieces) {
    const { links } = htmlLinks(piece.repeat(200_000));
    assert.ok(links.length <= 500, piece);
  }
});

test('links that leave the list are known by text or address', () => {
  assert.equal(isUnsubscribeLink({ url: 'https://t/f/a/x', text: 'Unsubscribe' }), true);
  assert.equal(isUnsubscribeLink({ url: 'https://t/f/a/x', text: 'Newsletter abmelden' }), true);
  assert.equal(isUnsubscribeLink({ url: 'https://brand.test/unsubscribe?x', text: 'here' }), true);
  assert.equal(isUnsubscribeLink({ url: 'https://t/f/a/x', text: 'Subscribe now' }), false);
});
