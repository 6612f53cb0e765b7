import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readCommands } from './commands.ts';
import { select } from './selection.ts';

const at = (address: string) => {
  const i = address.lastIndexOf('@');
  const { label, provider, deferrals } = select(address.slice(0, i), address.slice(i + 1), 'sink.test');
  return { label, provider, deferrals };
};
const plain = { provider: 'generic', deferrals: 0 };

test('the label directly behind @ decides', () => {
  assert.deepEqual(at('x@bounce.sink.test'), { label: 'bounce', ...plain });
  assert.deepEqual(at('x@hard.sink.test'), { label: 'bounce', ...plain });
  assert.deepEqual(at('x@fbl.a.b.sink.test'), { label: 'fbl', ...plain });
  assert.deepEqual(at('x@DROP-DOT.Sink.Test'), { label: 'drop-dot', ...plain });
  assert.deepEqual(at('x@defer.sink.test'), { label: 'defer', provider: 'generic', deferrals: Infinity });
  assert.deepEqual(at('x@defer12.sink.test'), { label: 'defer', provider: 'generic', deferrals: 12 });
});

test('no or an unknown label is the statistical mix', () => {
  assert.deepEqual(at('x@sink.test'), { label: 'mix', ...plain });
  assert.deepEqual(at('x@somewhere.sink.test'), { label: 'mix', ...plain });
  assert.deepEqual(at('x@defer0.sink.test'), { label: 'mix', ...plain });
  assert.deepEqual(at('x@defer100.sink.test'), { label: 'mix', ...plain });
});

test('a provider may be the label or stand behind it', () => {
  assert.deepEqual(at('x@gmail.sink.test'), { label: 'mix', provider: 'gmail', deferrals: 0 });
  assert.deepEqual(at('x@not-hotmail.co.uk.sink.test'), {
    label: 'mix',
    provider: 'microsoft',
    deferrals: 0,
  });
  assert.deepEqual(at('x@oob.yahoo.sink.test'), { label: 'oob', provider: 'yahoo', deferrals: 0 });
});

test('commands in the local part', () => {
  const c = readCommands('ana+c550-5.1.1_at=dot_p=40_n=3_t=not%20you-again_open=2_click=1_tag=T1_seed=7');
  assert.equal(c.code, 550);
  assert.equal(c.enhanced, '5.1.1');
  assert.equal(c.stage, 'dot');
  assert.equal(c.percent, 40);
  assert.equal(c.attempts, 3);
  assert.equal(c.text, 'not you again');
  assert.deepEqual([c.opens, c.clicks, c.tag, c.seed, c.ignored], [2, 1, 'T1', '7', 0]);
  assert.equal(readCommands('x+after=90s').after, 90_000);
  assert.equal(readCommands('x+after=2h').after, 7_200_000);
  assert.equal(readCommands('x+oob=5.2.2_fbl=fraud').oob, '5.2.2');
  assert.equal(readCommands('x+fbl=fraud').fbl, 'fraud');
});

test('what is no command is counted and changes nothing', () => {
  const c = readCommands('ana+newsletter_c750_p=120_fbl=because_t=%zz_open=-1');
  assert.deepEqual({ ...c, ignored: 0 }, { ...readCommands('ana') });
  assert.equal(c.ignored, 6);
  assert.equal(readCommands('x+open=9999').opens, 20, 'repeats are bounded');
});
