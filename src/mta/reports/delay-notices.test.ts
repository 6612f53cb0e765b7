// When senders hear that their mail still waits, and that a restart changes nothing about it.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { deliveryTo, remoteHost } from '../deliver/remote-host.testing.ts';
import { type DeliveryUnderTest, folder, until } from '../testing.ts';
import { ownMail, recovered, stored } from './reports.testing.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

/** Mail goes to a host that answers so to RCPT; notices are due every hour, the first retry is after three. */
async function started(t: TestContext, dir: string, answer = () => '450 4.2.1 later') {
  const remote = await remoteHost(t, { answer: (verb) => (verb === 'RCPT' ? answer() : null) });
  return await deliveryTo(t, [remote], {
    dir,
    reports: true,
    settings: 'notify-of-delay-every 1h\nretry-recipients-after 3h\nretry-after 3h',
    config: '<domain brand.test>\nsmtp-hosts [127.0.0.1]:1\nretry-after 30d\n</domain>',
  });
}

async function submit(mta: DeliveryUnderTest) {
  const recipients = [stored('kim@a.test', ['delay'])];
  const submitted = await mta.submit(['kim@a.test'], { envelope: { recipients } });
  await mta.quiet();
  return submitted;
}

/** Time passes, and what is due is told; how many notices there are in all. */
async function after(mta: DeliveryUnderTest, ms: number): Promise<number> {
  await mta.advance(ms);
  await mta.delayNotices.work();
  const notices = ownMail(mta).filter(({ content }) => /^Action: delayed\r$/m.test(content.toString()));
  assert.equal(notices.length, ownMail(mta).length);
  return notices.length;
}

test('a delay is told when notify-of-delay-every is over, and again when it is over again, not between', async (t) => {
  const mta = await started(t, folder(t));
  await submit(mta);
  assert.equal(await after(mta, HOUR - 1), 0);
  assert.equal(await after(mta, 1), 1);
  assert.equal(await after(mta, 0), 1);
  assert.equal(await after(mta, HOUR - 1), 1);
  assert.equal(await after(mta, 1), 2);
  const [notice] = ownMail(mta);
  assert.match(notice!.content.toString(), /Final-Recipient: rfc822; kim@a\.test\r\nAction: delayed\r\n/);
  assert.match(notice!.content.toString(), /Diagnostic-Code: smtp; 450 4\.2\.1 later\r\nWill-Retry-Until: /);
});

test('a delay notice of a server that runs comes by itself, within a minute of its time', async (t) => {
  const mta = await started(t, folder(t));
  await submit(mta);
  mta.delayNotices.start();
  await mta.advance(HOUR - MINUTE);
  assert.equal(ownMail(mta).length, 0);
  await mta.advance(MINUTE);
  await until(() => ownMail(mta).length > 0);
  await mta.delayNotices.stop();
  assert.equal(ownMail(mta).length, 1);
});

test('a restart repeats no delay notice, and loses none that is due later or was due while the server was down', async (t) => {
  const dir = folder(t);
  const first = await started(t, dir);
  await submit(first);
  assert.equal(await after(first, 30 * MINUTE), 0);
  await first.stop();

  const second = await started(t, dir);
  recovered(second);
  assert.equal(await after(second, HOUR - 1), 0);
  assert.equal(await after(second, 1), 1);
  await second.stop();

  const third = await started(t, dir);
  recovered(third);
  assert.equal(await after(third, HOUR + 30 * MINUTE), 1, 'told already');
  await third.stop();

  const fourth = await started(t, dir);
  recovered(fourth);
  assert.equal(await after(fourth, 5 * HOUR), 2, 'three were due while it was down: one says it');
  assert.equal(await after(fourth, HOUR - 1), 2);
  assert.equal(await after(fourth, 1), 3);
});

test('no delay notice for a recipient that was delivered meanwhile, and none is kept for it', async (t) => {
  let tries = 0;
  const mta = await started(t, folder(t), () => (tries++ === 0 ? '450 4.2.1 later' : '250 2.1.5 ok'));
  await submit(mta);
  assert.equal(await after(mta, HOUR), 1);
  await mta.advance(2 * HOUR + MINUTE);
  assert.deepEqual(mta.story().at(-1), 'delivered kim@a.test 2.0.0');
  assert.equal(await after(mta, 3 * HOUR), 1);
  assert.equal(mta.spool.nextDelayNotice, Number.POSITIVE_INFINITY);
});

test('no delay notice for a recipient whose outcome is just being written', async (t) => {
  const mta = await started(t, folder(t));
  const { spoolId } = await submit(mta);
  await mta.advance(HOUR);
  const settled = mta.spool.settle([{ spoolId, index: 0, state: 'done' }], []);
  await mta.delayNotices.work();
  await settled;
  assert.deepEqual(ownMail(mta), []);
  assert.equal(await after(mta, MINUTE), 0);
  assert.equal(mta.spool.nextDelayNotice, Number.POSITIVE_INFINITY);
});
