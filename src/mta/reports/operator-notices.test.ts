import assert from 'node:assert/strict';
import { test } from 'node:test';
import { good } from '../../config/testing.ts';
import { openSpool } from '../../spool/spool.ts';
import { spoolIdMaker } from '../../spool/spool-id.ts';
import { TestClock } from '../../system/testing.ts';
import { folder, keptLog, until } from '../testing.ts';
import { OperatorNotices } from './operator-notices.ts';
import { OwnMailMaker } from './own-mail.ts';

test('D8.17 backoff-notify and disabled-source-ip-notify: mails on entering and leaving, a bounded number an hour', async (t) => {
  const config = good(
    '<domain a.test>\nbackoff-notify ops@b.test\ndisabled-source-ip-notify ip@b.test\n</domain>',
  );
  const clock = new TestClock();
  const spool = openSpool(folder(t));
  t.after(() => spool.close());
  const { log, lines } = keptLog();
  const queued: string[] = [];
  const mail = new OwnMailMaker({
    config: () => config,
    newSpoolId: spoolIdMaker(() => clock.now()),
    hostName: 'mta.test',
    clock,
  });
  const enqueue = (all: readonly { spoolId: string }[]) => queued.push(...all.map(({ spoolId }) => spoolId));
  const notices = new OperatorNotices({ config: () => config, spool, mail, enqueue, clock, log });
  const queue = { name: 'a.test/v', domain: 'a.test', vmta: 'v' };
  notices.mode(queue, 'backoff', '421 slow\r\nBcc: x@y.test');
  notices.mode(queue, 'normal', 'one delivery');
  notices.source(queue, '192.0.2.1', true, '550 blocked', clock.now() + 60_000);
  notices.source(queue, '192.0.2.1', false, 'its time is over', null);
  notices.mode({ ...queue, name: 'c.test/v', domain: 'c.test' }, 'backoff', 'nobody is told');
  await until(() => queued.length === 4);
  const all = queued.sort().map((id) => [spool.envelope(id)!, spool.content(id)!.toString()] as const);
  assert.deepEqual(
    all.map(([envelope, text]) => [
      envelope.facts.sender,
      envelope.recipients[0]!.address,
      /^Subject: (.*(?:\r\n .*)*)/m.exec(text)![1]!.replace(/\r\n/g, ''),
    ]),
    [
      ['', 'ops@b.test', 'Queue a.test/v has entered backoff mode'],
      ['', 'ops@b.test', 'Queue a.test/v has left backoff mode'],
      ['', 'ip@b.test', 'Source 192.0.2.1 is disabled for queue a.test/v'],
      ['', 'ip@b.test', 'Source 192.0.2.1 is enabled for queue a.test/v'],
    ],
  );
  for (let i = 0; i < 200; i++) notices.mode(queue, 'backoff', 'again');
  await until(() => queued.length === 100);
  assert.equal(lines.length, 1);
  assert.ok(all[0]![1].indexOf('Bcc:') > all[0]![1].indexOf('\r\n\r\n'));
});
