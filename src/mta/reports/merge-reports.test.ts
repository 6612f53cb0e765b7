// Each recipient of a mail merge is a message of its own, to its sender too.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readDeliveryReport } from '../../mail/delivery-report.ts';
import { deliveryTo, remoteHost } from '../deliver/remote-host.testing.ts';
import { startReception } from '../testing.ts';
import { ownMail, recovered } from './reports.testing.ts';

test('section 17, *from *envid: mail merge recipients each get a report of their own, to their own sender, with their own text', async (t) => {
  const intake = await startReception(
    t,
    '<source 0/0>\nalways-allow-relaying yes\nallow-mailmerge yes\n</source>',
  );
  const peer = await intake.client();
  await peer.ask('XMRG FROM:<news@brand.test>');
  for (const [name, define] of [
    ['kim', '*from=kims@one.test *envid=e1 name=Kim'],
    ['lou', '*from=lous@two.test *envid=e2 name=Lou'],
    ['max', '*from=lous@two.test name=Max'],
    ['ned', 'name=Ned'],
  ]) {
    assert.match(await peer.ask(`XDFN ${define}`), /^250 /);
    assert.match(await peer.ask(`RCPT TO:<${name}@a.test>`), /^250 /);
  }
  assert.match(await peer.ask('XPRT 1 LAST'), /^354 /);
  assert.match(await peer.ask('From: n@brand.test\r\nSubject: For [name]\r\n\r\nHi.\r\n.'), /^250 /);
  await intake.spool.close();

  const remote = await remoteHost(t, { answer: (verb) => (verb === 'RCPT' ? '550 5.1.1 no' : null) });
  const waits = ['one', 'two', 'brand'].map(
    (name) => `<domain ${name}.test>\nsmtp-hosts [127.0.0.1]:1\n</domain>`,
  );
  const mta = await deliveryTo(t, [remote], {
    dir: intake.spool.dir,
    reports: true,
    config: waits.join('\n'),
    settings: 'max-smtp-out 1',
  });
  recovered(mta);
  await mta.quiet();
  const told = ownMail(mta).map(({ envelope, content }) => {
    const read = readDeliveryReport(content);
    assert.ok(read.kind === 'report', read.kind);
    const about = read.recipients.map(({ recipient }) => recipient).join();
    const subject = /^Subject: (For .*)\r$/m.exec(content.toString())?.[1];
    return [envelope.recipients.map(({ address }) => address).join(), read.envId, about, subject];
  });
  assert.deepEqual(told, [
    ['kims@one.test', 'e1', 'kim@a.test', 'For Kim'],
    ['lous@two.test', 'e2', 'lou@a.test', 'For Lou'],
    ['lous@two.test', '', 'max@a.test', 'For Max'],
    ['news@brand.test', '', 'ned@a.test', 'For Ned'],
  ]);
});
