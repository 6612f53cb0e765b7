// What the rules of a queue's smtp-pattern-list do with what remote hosts say.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { good } from '../../config/testing.ts';
import type { SmtpReply } from '../../smtp/index.ts';
import { silentLog } from '../../system/log.ts';
import { TestClock } from '../../system/testing.ts';
import type { Queue } from '../queue/queue.ts';
import { deliveryTo, remoteHost } from './remote-host.testing.ts';
import { ReplyRules } from './reply-rules.ts';

const reply = (text: string): SmtpReply => ({
  code: Number(text.slice(0, 3)),
  enhanced: '',
  lines: text.slice(4).split(' / '),
});

/** Rules, and what they told the scheduler. */
function rulesOf(list: string, settings = '') {
  const config = good(
    `<smtp-pattern-list l>\n${list}\n</smtp-pattern-list>\n<domain *>\nsmtp-pattern-list l\n${settings}\n</domain>`,
  );
  const told: string[] = [];
  const clock = new TestClock();
  const scheduler = {
    setMode: (_: unknown, mode: string) => void told.push(`mode ${mode}`),
    disableSource: (_: unknown, address: string, until: number | null) => {
      told.push(
        `disable ${address} ${until === null ? 'for good' : `for ${(until - clock.now()) / 60_000}m`}`,
      );
    },
  };
  const queue = { name: 'a.test/{default}' } as Queue;
  const rules = new ReplyRules(
    { scheduler, clock, log: silentLog },
    queue,
    config,
    config.queue('a.test', '{default}'),
  );
  rules.source = '192.0.2.1';
  return { rules, told };
}

test('D8.10 two rules that disagree: the first wins', () => {
  const { rules, told } = rulesOf('reply /slow/ mode=backoff\nreply /slow down/ mode=normal');
  rules.ofReply(reply('421 slow down'), false);
  assert.deepEqual(told, ['mode backoff']);
});

test('D8.11 two rules that agree: both apply', () => {
  const { rules, told } = rulesOf('reply /slow/ mode=backoff\nreply /down/ skip-mx');
  const effects = rules.ofReply(reply('421 slow down'), false);
  assert.deepEqual(told, ['mode backoff']);
  assert.equal(effects.skipMx, true);
});

test('D8.14 one rule, three actions; D8.15 reenable-source-ip-after where the rule says nothing', () => {
  const first = rulesOf('reply /x1/ mode=backoff,disable-source-ip,reenable-after=2h');
  assert.equal(first.rules.ofReply(reply('550 x1'), false).sourceLost, true);
  assert.deepEqual(first.told, ['mode backoff', 'disable 192.0.2.1 for 120m']);
  const second = rulesOf('reply /x1/ disable-source-ip', 'reenable-source-ip-after 10m');
  second.rules.ofReply(reply('550 x1'), false);
  assert.deepEqual(second.told, ['disable 192.0.2.1 for 10m']);
  const third = rulesOf('reply /x1/ disable-source-ip');
  third.rules.ofReply(reply('550 x1'), false);
  assert.deepEqual(third.told, ['disable 192.0.2.1 for good']);
});

test('without a source address of its own a connection cannot have it disabled', () => {
  const { rules, told } = rulesOf('reply /x1/ disable-source-ip');
  rules.source = '';
  assert.equal(rules.ofReply(reply('550 x1'), false).sourceLost, false);
  assert.deepEqual(told, []);
});

test('the text begins with the code, lines are joined by one blank, socket errors are matched too', () => {
  const { rules } = rulesOf(
    'reply /^421 4\\.7\\.0 one two$/ skip-mx\nreply /^connection refused$/ defer-queue',
  );
  assert.equal(rules.ofReply(reply('421 4.7.0 one / two'), false).skipMx, true);
  assert.equal(rules.ofReply(reply('450 4.7.0 one / two'), false).skipMx, false);
  assert.equal(rules.ofError('connection refused').deferQueue, true);
});

test('words of consent only end the backoff mode: their ids may look like anything', () => {
  const { rules, told } = rulesOf('reply /421/ mode=backoff,bounce-queue\nreply /queued/ mode=normal');
  const effects = rules.ofReply(reply('250 queued as 4A421C'), false);
  assert.equal(effects.bounceQueue, false);
  assert.deepEqual(told, [], 'the first rule that matches says backoff');
  rules.ofReply(reply('250 queued as 4A7C'), false);
  assert.deepEqual(told, ['mode normal']);
});

const LIST = (rule: string) => `<smtp-pattern-list l>\nreply ${rule}\n</smtp-pattern-list>`;

for (const [what, at, answer, story] of [
  [
    'D8.12 bounce-rcpt: a 4xx to RCPT bounces that recipient',
    'RCPT',
    '452 4.2.2 full',
    'bounced kim@a.test 5.2.2',
  ],
  ['D8.13 bounce-rcpt is nothing to the content: 552', '.', '552 5.2.2 full', 'bounced kim@a.test 5.2.2'],
  ['D8.13 bounce-rcpt is nothing to the content: 452', '.', '452 4.2.2 full', 'deferred kim@a.test 4.2.2'],
] as const) {
  test(what, async (t) => {
    const remote = await remoteHost(t, { answer: (verb) => (verb === at ? answer : null) });
    const mta = await deliveryTo(t, [remote], {
      config: LIST('/full/ bounce-rcpt'),
      settings: 'smtp-pattern-list l',
    });
    await mta.submit(['kim@a.test']);
    await mta.quiet();
    assert.deepEqual(mta.story(), [story]);
    const last = mta.journal().at(-1);
    const byRule = last && 'result' in last ? last.result.byRule : undefined;
    assert.equal(byRule, at === 'RCPT' ? 'bounced by smtp-pattern-list l' : undefined);
  });
}

for (const [at, answer] of [
  ['MAIL', '550 5.7.1 go away'],
  ['RCPT', '550 5.7.1 go away'],
  ['.', '554 5.7.1 go away'],
  ['RCPT', '450 4.7.1 go away'],
] as const) {
  test(`skip-mx: ${answer} to ${at}: the next host gets the mail, nobody bounces`, async (t) => {
    const first = await remoteHost(t, { answer: (verb) => (verb === at ? answer : null) });
    const second = await remoteHost(t);
    const mta = await deliveryTo(t, [first, second], {
      config: LIST('/go away/ skip-mx'),
      settings: 'smtp-pattern-list l',
    });
    await mta.submit(['kim@a.test', 'lou@a.test']);
    await mta.quiet();
    assert.deepEqual(mta.story(), ['delivered kim@a.test 2.0.0', 'delivered lou@a.test 2.0.0']);
    assert.equal(second.contents.length, 1);
  });
}

test('skip-mx at the last host: the mail waits, the queue is in retry, the words are kept', async (t) => {
  const remote = await remoteHost(t, { greeting: '554 5.7.1 go away' });
  const mta = await deliveryTo(t, [remote], {
    config: LIST('/go away/ skip-mx'),
    settings: 'smtp-pattern-list l',
  });
  await mta.submit(['kim@a.test']);
  await mta.quiet();
  assert.deepEqual(mta.story(), ['queue-deferred a.test/{default} 4.7.1']);
  assert.equal(mta.scheduler.find('a.test', '{default}')?.lastError, '554 5.7.1 go away');
});

test('bounce-queue: everything that waits bounces, with the words and the list in the record', async (t) => {
  const remote = await remoteHost(t, { answer: (verb) => (verb === 'MAIL' ? '421 4.7.0 blocked' : null) });
  const mta = await deliveryTo(t, [remote], {
    config: LIST('/blocked/ bounce-queue'),
    settings: 'smtp-pattern-list l\nmax-smtp-out 1',
  });
  await Promise.all([mta.submit(['kim@a.test']), mta.submit(['lou@a.test'])]);
  await mta.quiet();
  assert.deepEqual(mta.story().toSorted(), ['bounced kim@a.test 5.7.0', 'bounced lou@a.test 5.7.0']);
  const last = mta.journal().at(-1);
  assert.ok(last?.kind === 'bounced');
  // The text is fixed; whose rule it was stands behind the reply.
  assert.equal(last.result.statusText, 'other or undefined security status');
  assert.equal(last.result.byRule, 'queue bounced by smtp-pattern-list l');
  assert.equal(last.result.diagnostic, 'smtp;421 4.7.0 blocked');
  assert.equal(mta.spool.messageCount, 0);
});

test('defer-queue: the queue waits at once, though each recipient keeps its own answer', async (t) => {
  const remote = await remoteHost(t, { answer: (verb) => (verb === 'RCPT' ? '450 4.7.1 too fast' : null) });
  const mta = await deliveryTo(t, [remote], {
    config: LIST('/too fast/ defer-queue'),
    settings: 'smtp-pattern-list l\nmax-smtp-out 1',
  });
  await Promise.all([mta.submit(['kim@a.test']), mta.submit(['lou@a.test'])]);
  await mta.quiet();
  assert.deepEqual(mta.story(), ['deferred kim@a.test 4.7.1', 'queue-deferred a.test/{default} 4.7.1']);
  assert.equal(remote.seen.filter((line) => line.startsWith('MAIL')).length, 1);
});

test('rules count for the queues that name the list, and for no others', async (t) => {
  const remote = await remoteHost(t, { answer: (verb) => (verb === 'RCPT' ? '452 4.2.2 full' : null) });
  const mta = await deliveryTo(t, [remote], {
    config: `${LIST('/full/ bounce-rcpt')}\n<domain b.test>\nsmtp-pattern-list l\n</domain>`,
  });
  await mta.submit(['kim@a.test', 'lou@b.test']);
  await mta.quiet();
  assert.deepEqual(mta.story().toSorted(), ['bounced lou@b.test 5.2.2', 'deferred kim@a.test 4.2.2']);
});

test('D8.14 disable-source-ip: the connection ends, and the next one comes from another address', async (t) => {
  const remote = await remoteHost(t, {
    answer: (verb, _, connection) => (verb === 'RCPT' && connection === 0 ? '450 4.7.1 x1' : null),
  });
  const mta = await deliveryTo(t, [remote], {
    config: `${LIST('/x1/ mode=backoff,disable-source-ip,reenable-after=2h')}
      smtp-source-host 127.0.0.11 one.test
      smtp-source-host 127.0.0.12 two.test`,
    settings: 'smtp-pattern-list l\nmax-smtp-out 1\nretry-recipients-after 1m',
  });
  await mta.submit(['kim@a.test']);
  await mta.quiet();
  assert.equal(mta.scheduler.find('a.test', '{default}')?.mode, 'backoff');
  for (let i = 0; i < 3; i++) {
    await mta.submit([`u${i}@a.test`]);
    await mta.quiet();
  }
  await mta.advance(60_000);
  const tried = mta
    .journal()
    .flatMap((one) => (one.kind === 'delivered' || one.kind === 'deferred' ? [one] : []));
  assert.deepEqual(
    tried.map(({ kind, attempt }) => `${kind} ${attempt.sourceIp}`),
    ['deferred 127.0.0.11', ...Array.from({ length: 4 }, () => 'delivered 127.0.0.12')],
  );
});
