import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { run } from '../../test/program.ts';

test('posthorn bounce classify names category, class and the rules that decided', async (t) => {
  const dir = mkdtempSync(path.join(tmpdir(), 'posthorn-test-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const file = path.join(dir, 'config');
  writeFileSync(
    file,
    '<bounce-category-patterns>\n  /try our shop/ in-the-shop\n</bounce-category-patterns>\n<smtp-pattern-list p>\n  reply /no such/ skip-mx\n</smtp-pattern-list>\n',
  );
  const classified = async (...args: string[]) => {
    const { code, stdout, stderr } = await run(['bounce', 'classify', ...args]);
    assert.equal(code, 0, stderr);
    return stdout;
  };
  const stock = await classified('550 5.1.1 no such user');
  assert.match(stock, /^category {2}bad-mailbox\n {10}stock table, row 8: \/no such/);
  assert.match(stock, /^class {5}10 Invalid Recipient \(Hard\)\n {10}no such recipient: "no such user"$/m);
  assert.equal(await classified('550 5.1.1 no such user', '--config', file), stock);
  const own = JSON.parse(await classified('550 please try our shop', '--config', file, '--json'));
  assert.equal(own.category, 'in-the-shop');
  assert.equal(own.rule, `${file}:2`);
  assert.equal(own.status, '5.0.0');
  const expired = JSON.parse(await classified('451 4.4.7 message expired', '--json'));
  assert.deepEqual([expired.category, expired.bounceClass], ['message-expired', 70]);
});

test('posthorn bounce without a reply says how it is used', async () => {
  const { code, stderr } = await run(['bounce', 'classify']);
  assert.equal(code, 2);
  assert.match(stderr, /usage: posthorn bounce classify/);
});
