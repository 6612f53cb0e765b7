import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MailMergeSession, readPartList } from './mail-merge-session.ts';

function merging(mostBytes = 1_000_000): MailMergeSession {
  const session = new MailMergeSession(mostBytes);
  session.begin(true);
  return session;
}

test('D17.1 names are a letter, then letters, digits, underscores, in any case; reserved ones begin with *', () => {
  const session = merging();
  assert.equal(session.xdfn('FName=Kim b_2=x *JobID=j1').code, 250);
  assert.deepEqual(
    [...session.takeVariables()],
    [
      ['fname', 'Kim'],
      ['b_2', 'x'],
      ['*jobid', 'j1'],
    ],
  );
  for (const bad of [
    '1a=x',
    'a-b=x',
    '=x',
    '**jobid=x',
    '_a=x',
    'novalue',
    '',
    'ä=x',
    '*nosuch=1',
    '*to=a',
    '*date=b',
  ]) {
    assert.equal(session.xdfn(bad).code, 501, bad);
  }
  assert.equal(session.takeVariables().size, 0);
});

test('D17.2 values with blanks stand in double quotes; several XDFN lines add up for one recipient', () => {
  const session = merging();
  session.xdfn('a="two words" b=');
  session.xdfn('  c=x=y "');
  assert.equal(session.xdfn('d="open').code, 501);
  assert.equal(session.xdfn('d="a"b').code, 501);
  session.xdfn('d=5"');
  assert.deepEqual(
    [...session.takeVariables()],
    [
      ['a', 'two words'],
      ['b', ''],
      ['d', '5"'],
    ],
  );
  assert.equal(session.takeVariables().size, 0, 'spent by the first RCPT');
});

test('D17.3 a name may be defined once per recipient', () => {
  const session = merging();
  session.xdfn('a=1');
  assert.equal(session.xdfn('b=2 A=2').code, 501);
  assert.equal(session.xdfn('c=1 C=2').code, 501);
  assert.deepEqual([...session.takeVariables()], [['a', '1']]);
  assert.equal(session.xdfn('a=2').code, 250, 'anew for the next recipient');
});

test('D17.7 *parts is a list of numbers and ranges in output order', () => {
  assert.deepEqual(readPartList('1,3,2'), [1, 3, 2]);
  assert.deepEqual(readPartList('5-7, 1'), [5, 6, 7, 1]);
  for (const bad of ['', '0', 'a', '1,', '3-1', '1-999999', '-1', '1'.repeat(20_000)])
    assert.equal(readPartList(bad), null, bad);
  assert.equal(merging().xdfn('*parts=x').code, 501);
});

test('D17.9 part numbers are positive and unique; XPRT 1 twice is refused', () => {
  const session = merging();
  for (const bad of ['', '0', '-1', 'x', '1 LATER', '1 LAST x', '99999999999']) {
    const start = session.xprt(bad);
    assert.equal('code' in start && start.code, 501, bad);
  }
  const second = session.xprt('2');
  assert.ok('number' in second && !second.last);
  assert.equal(session.takePart(second, Buffer.from('b')).text, 'part ok');
  const again = session.xprt('2');
  assert.equal('code' in again && again.code, 501);
  const first = session.xprt('1 last');
  assert.ok('number' in first && first.last);
  assert.equal(session.takePart(first, Buffer.from('a')).text, 'message received');
  assert.deepEqual(
    session.parts.map(({ number }) => number),
    [1, 2],
  );
});

test('D17 the merge verbs need XMRG; *priority is from 1 to 100', () => {
  const session = new MailMergeSession(100);
  session.begin(false);
  assert.equal(session.xdfn('a=1').code, 503);
  const part = session.xprt('1');
  assert.equal('code' in part && part.code, 503);
  session.begin(true);
  for (const bad of ['0', '101', 'x', '']) assert.equal(session.xdfn(`*priority=${bad}`).code, 501);
  assert.equal(session.xdfn('*priority=100').code, 250);
});

test('D17 XACK OFF: no replies to RCPT and XDFN; the first error inside a submission is kept, one outside is dropped', () => {
  const session = new MailMergeSession(100);
  assert.equal(session.xack('maybe').code, 501);
  assert.equal(session.xack('off').code, 250);
  assert.equal(session.answer(session.xdfn('a=1'), false), 'silent');
  const kept = (): number | undefined => session.keptError?.code;
  assert.equal(kept(), undefined);
  session.begin(true);
  assert.equal(session.answer(session.xdfn('1=1'), true), 'silent');
  assert.equal(session.answer(session.xdfn('a="'), true), 'silent');
  assert.equal(kept(), 501);
  session.reset();
  assert.equal(kept(), undefined);
  assert.equal(session.acknowledge, false, 'until the connection ends');
});

test('D17 hostile: variables and parts are bounded', () => {
  const session = merging(10);
  const many = Array.from({ length: 1_001 }, (_, i) => `v${i}=x`).join(' ');
  assert.equal(session.xdfn(many).code, 501);
  assert.equal(session.xdfn(`a=${'x'.repeat(300_000)}`).code, 552);
  assert.equal(session.xdfn(`${'n'.repeat(65)}=x`).code, 501);
  assert.equal(session.xdfn('__proto__=x').code, 501);
  assert.equal(session.xdfn('constructor=x').code, 250);
  const start = session.xprt('1');
  assert.ok('number' in start);
  assert.equal(session.takePart(start, Buffer.alloc(11)).code, 552);
});

test('variables of one submission have a bound together, whoever they are for; the next submission begins anew', () => {
  const session = merging();
  const large = `a=${'x'.repeat(32_000)}`;
  let taken = 0;
  for (; taken < 50_000 && session.xdfn(large).code === 250; taken++) session.takeVariables();
  assert.ok(taken > 1_000 && taken < 2_200, `${taken}`);
  assert.equal(session.xdfn(large).code, 552);
  session.begin(true);
  assert.equal(session.xdfn(large).code, 250);
});

test('part lists count as the numbers they stand for', () => {
  const session = merging();
  let taken = 0;
  for (; taken < 50_000 && session.xdfn('*parts=1-9999').code === 250; taken++) session.takeVariables();
  assert.ok(taken < 1_000, `${taken}`);
});
