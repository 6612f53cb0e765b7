import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Attached } from './attached.ts';
import { heldBuffers } from './collection-testing.ts';

test('what is attached to an object goes with it, also when it points back to it', () => {
  const plans = new Attached<Buffer, { readonly raw: Buffer; readonly name: string }>();
  const others = new Attached<Buffer, string>();
  const open = new Map<string, { content: Buffer | null }>();
  const left = heldBuffers(
    (id, content) => {
      plans.set(content, { raw: content, name: '' });
      plans.set(content, { raw: content, name: id });
      open.set(id, { content });
    },
    (id) => {
      const one = open.get(id)!;
      assert.equal(plans.get(one.content!)?.name, id);
      assert.equal(others.get(one.content!), undefined);
      one.content = null;
      open.delete(id);
    },
  );
  assert.ok(left < 300, `${left} contents are held`);
});
