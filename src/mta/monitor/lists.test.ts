import assert from 'node:assert/strict';
import { test } from 'node:test';
import { queuedRecipient } from '../queue/queued-recipient.ts';
import { Scheduler } from '../queue/scheduler.ts';
import { limitSource } from '../queue/testing.ts';
import { printSuccess, type Tree } from './answer.ts';
import { domainList, jobList, queueList, vmtaList } from './lists.ts';
import { QueueEvents } from './queue-events.ts';
import { domainsText, jobsText } from './text.ts';

/** Names of elements and keys in the order that readers of PowerMTA's answers know. */
test('lists have the elements and keys of the original, in their order', () => {
  const scheduler = new Scheduler(limitSource(), { resume() {} });
  const item = queuedRecipient({ spoolId: 's', index: 0, receivedAt: 0, job: 'spring31' });
  scheduler.add('a.test', 'v', item, 0);
  scheduler.failed(scheduler.find('a.test', 'v')!, 0, 'no answer from any of its hosts');
  const events = new QueueEvents(() => false);
  const show = { errors: true, modeEvents: false, recipientEvents: true };
  const selection = { matches: () => true, sort: 'rcpt', maxItems: 9, show } as const;
  const elements = (tree: Tree) =>
    [...printSuccess(tree, 'xml').matchAll(/<(\w+)\/?>/g)].map(([, name]) => name).join(' ');
  const keys = (tree: Tree) =>
    [...printSuccess(tree, 'json').matchAll(/"(\w+)":/g)].map(([, name]) => name).join(' ');
  const queues = queueList(scheduler, events, selection, 1);
  const queue = 'name rcp kb conn paused mode backoffReason retryTime';
  assert.equal(elements(queues), `rsp data queue ${queue} event time type text succ`);
  assert.equal(
    keys(queues),
    `data title queues ${queue} errors time text totalQueuesWithRcp totalRcp status message`,
  );
  const domains = domainList(scheduler, selection);
  assert.equal(elements(domains), 'rsp data domain name rcp kb conn event time type text succ');
  assert.equal(
    keys(domains),
    'data title domains name rcp kb conn errors time text totalDomainsWithRcp totalRcp status message',
  );
  const vmtas = vmtaList(scheduler, 9);
  assert.equal(elements(vmtas), 'rsp data vmta name rcp kb pctOfTotal conn dom succ');
  assert.equal(
    keys(vmtas),
    'data title vmtas name rcp kb pctOfTotal conn dom totalVmtasWithRcp totalRcp status message',
  );
  const jobs = jobList(scheduler, 9, null);
  assert.equal(elements(jobs), 'rsp data job name rcp kb conn dom paused schedStartTime succ');
  assert.equal(
    keys(jobs),
    'data title jobs name rcp kb conn dom paused schedStartTime totalJobsWithRcp totalRcp status message',
  );
  const quiet = queueList(scheduler, events, { ...selection, show: { ...show, errors: false } }, 1);
  assert.equal(elements(quiet), `rsp data queue ${queue} succ`, 'errors are printed on request only');
  assert.deepEqual(domainsText(domains, false).split('\n').slice(0, 2), [
    `${'-'.repeat(29)}domain --#rcpt ---kbytes conn last error----------`,
    `${'a.test'.padStart(35)}       1       0.0    0 no answer from an...`,
  ]);
  assert.deepEqual(jobsText(jobs).split('\n').slice(0, 2), [
    `${'-'.repeat(29)}job-id ----#rcpt ---kbytes`,
    `${'spring31'.padStart(35)}         1       0.0`,
  ]);
});
