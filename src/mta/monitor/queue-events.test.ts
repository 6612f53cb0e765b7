import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Outcome } from '../../events/outcome.ts';
import { logTime } from '../../system/log.ts';
import { queuedRecipient } from '../queue/queued-recipient.ts';
import { Scheduler } from '../queue/scheduler.ts';
import { limitSource } from '../queue/testing.ts';
import { printSuccess } from './answer.ts';
import { LabelledCounts } from './destinations.ts';
import { queueList } from './lists.ts';
import { QueueEvents } from './queue-events.ts';
import { queuesText } from './text.ts';

const AT = Date.parse('2031-04-07T14:11:09Z');

function outcome(kind: 'delivered' | 'deferred' | 'bounced', rcpt: string, result: object): Outcome {
  return {
    kind,
    at: AT,
    message: { jobId: 'spring31' },
    recipient: { address: rcpt },
    attempt: { sourceIp: '192.0.2.80', remoteHost: 'mx1.a.test', destinationIp: '198.51.100.25' },
    result: { status: '2.0.0', statusText: '', diagnostic: '', ...result },
  } as unknown as Outcome;
}

function oneQueue() {
  const scheduler = new Scheduler(limitSource(), { resume() {} });
  scheduler.add('a.test', 'v', queuedRecipient({ spoolId: 's', index: 0, receivedAt: AT }), AT);
  return { scheduler, queue: scheduler.find('a.test', 'v')! };
}

const show = { errors: false, modeEvents: true, recipientEvents: true };

test('recipient events: seven fields, the newest first, a refusal’s status before its reply', () => {
  const { scheduler, queue } = oneQueue();
  const events = new QueueEvents(() => true);
  events.outcomes(queue, [
    outcome('bounced', 'bo@a.test', {
      status: '5.1.1',
      statusText: 'bad destination mailbox address',
      diagnostic: 'smtp;550 5.1.1 no such\r\nbox',
    }),
    outcome('deferred', 'cy@a.test', { status: '4.2.2', statusText: 'mailbox full' }),
    outcome('delivered', 'ana@a.test', { diagnostic: 'smtp;250 2.0.0 queued' }),
  ]);
  events.mode(queue, 'backoff', 'a reply', AT);
  const selection = { matches: () => true, sort: 'name', maxItems: 10, show } as const;
  const tree = queueList(scheduler, events, selection, AT);
  const time = logTime(AT);
  const facts = (rcpt: string) => `${time} | 192.0.2.80 | ${rcpt} | spring31 | mx1.a.test (198.51.100.25)`;
  assert.deepEqual(queuesText(tree, false).split('\n').slice(3), [
    '',
    'Mode Events',
    '-----------',
    `${time} | backoff | a reply`,
    '',
    'Recipient Events (deliveries:1, bounces:1, deferrals:1)',
    '-------------------------------------------------------',
    `delivered | ${facts('ana@a.test')} | smtp;250 2.0.0 queued`,
    `deferred | ${facts('cy@a.test')} | 4.2.2 (mailbox full)`,
    `bounced | ${facts('bo@a.test')} | smtp;550 5.1.1 (bad destination mailbox address);smtp;550 5.1.1 no such box`,
    '',
    '1 of 1 matching queues.',
    '',
  ]);
  const dom = printSuccess(tree, 'dom');
  assert.match(dom, /^queue\[0\]\.modeEvent\[0\]\.mode="backoff"$/m);
  assert.match(dom, /^queue\[0\]\.rcptEvent\[0\]\.event="delivered"$/m);
  assert.match(dom, /^queue\[0\]\.rcptEvent\[2\]\.diag="smtp;550 .* no such box"$/m);
  assert.match(printSuccess(tree, 'json'), /"rcptEvents":\[\{"event":"delivered"/);
});

test('at most 50 of recipients and 10 of modes, none where they are not tracked, none of an empty queue', () => {
  const { scheduler, queue } = oneQueue();
  const events = new QueueEvents(() => true);
  for (let i = 0; i < 60; i++) {
    events.outcomes(queue, [outcome('deferred', `${i}@a.test`, {})]);
    events.mode(queue, i % 2 ? 'normal' : 'backoff', '', AT);
  }
  assert.equal(events.recipients(queue)!.length, 50);
  assert.equal(events.recipients(queue)![0]!.recipient, '59@a.test');
  assert.equal(events.modes(queue).length, 10);
  const untracked = new QueueEvents(() => false);
  untracked.outcomes(queue, [outcome('deferred', 'x@a.test', {})]);
  assert.equal(untracked.recipients(queue), null);
  scheduler.remove({}, AT);
  scheduler.done(queue, true, AT);
  events.outcomes(queue, [outcome('delivered', 'ana@a.test', {})]);
  assert.deepEqual(events.recipients(queue), []);
});

test('series: a bounded number of names, the rest as other, a busy newcomer gets a quiet one’s place', () => {
  const counts = new LabelledCounts(2);
  for (let i = 0; i < 10; i++) counts.add('a', 'delivered');
  counts.add('b', 'bounced');
  for (let i = 0; i < 99; i++) counts.add('c', 'deferred');
  assert.deepEqual([...counts.named.keys()], ['a', 'b']);
  assert.equal(counts.other.deferred, 99);
  counts.add('c', 'deferred');
  assert.deepEqual([...counts.named.keys()], ['a', 'c']);
  assert.deepEqual(counts.other, { delivered: 0, bounced: 1, deferred: 99 });
  assert.equal(counts.named.get('c')!.deferred, 1);
  const few = new LabelledCounts();
  few.add('other', 'bounced');
  assert.deepEqual(
    [few.named.size, few.other.bounced],
    [0, 1],
    'a VMTA of that name has no series of its own',
  );
});
