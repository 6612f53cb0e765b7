import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UserError } from '../../../system/user-error.ts';
import { ConfigsInUse } from './configs-in-use.ts';

const order = (config: number, text: string, others: Readonly<Record<string, string>> = {}) => ({
  kind: 'apply' as const,
  ask: 1,
  config,
  file: '/nowhere/config',
  texts: new Map(Object.entries({ '/nowhere/config': text, ...others })),
  refusal: null,
});

test('a configuration is kept while it is in force or a session has it, and then told to be unused', async () => {
  const unused: number[] = [];
  const configs = new ConfigsInUse((number) => unused.push(number));
  await configs.apply(order(1, 'host-id 1'), async () => {});
  const first = configs.inForce;
  const leave = configs.enter();
  await configs.apply(order(2, 'host-id 2'), async () => {});
  assert.equal(configs.numberOf(first), 1);
  assert.equal(configs.numberOf(configs.inForce), 2);
  assert.deepEqual(unused, []);
  leave();
  assert.deepEqual(unused, [1]);
  assert.throws(() => configs.numberOf(first), /nobody has/);
});

test('the first is in force while it is bound, a later one when it is; one that fails has changed nothing', async () => {
  const unused: number[] = [];
  const configs = new ConfigsInUse((number) => unused.push(number));
  await configs.apply(order(1, 'host-id 1'), async (config) => assert.ok(configs.inForce === config));
  const first = configs.inForce;
  const refused = configs.apply(order(2, 'host-id 2'), async () => {
    assert.ok(configs.inForce === first);
    throw new UserError('the port is taken');
  });
  await assert.rejects(refused, /the port is taken/);
  assert.ok(configs.inForce === first);
  assert.deepEqual(unused, [2]);
  // Known already: not read again.
  await configs.apply(order(1, 'no such directive'), async () => {});
  assert.ok(configs.inForce === first);
});

test('texts are taken as the main thread has read them; what differs from it is refused', async () => {
  const configs = new ConfigsInUse(() => {});
  await configs.apply(order(1, 'include other', { '/nowhere/other': 'host-id 7' }), async () => {});
  assert.equal(configs.inForce.global.get('host-id'), 7);
  await assert.rejects(
    configs.apply(order(2, 'host-id 1', { '/nowhere/other': '' }), async () => {}),
    {
      name: 'UserError',
      message: /^\/nowhere\/config: something that it names was changed while it was read; nothing/,
    },
  );
  await assert.rejects(
    configs.apply(order(3, 'include gone'), async () => {}),
    { name: 'UserError', message: /gone cannot be read/ },
  );
  assert.equal(configs.inForce.global.get('host-id'), 7);
});
