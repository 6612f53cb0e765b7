// Mail that comes in over SMTP and goes out over SMTP, and the report about it, which comes back over SMTP.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { type RemoteHost, remoteHost } from '../deliver/remote-host.testing.ts';
import {
  CONTENT,
  folder,
  type ReceptionUnderTest,
  startDelivery,
  startReception,
  until,
} from '../testing.ts';
import { recovered } from './reports.testing.ts';

const INTAKE = `
  relay-domain bounces.test
  <virtual-mta v1>
  </virtual-mta>
  <source 0/0>
    always-allow-relaying yes
    allow-mailmerge yes
    process-x-job yes
    SOURCE
  </source>
  <bounce-processor>
    <address-list>
      domain bounces.test
    </address-list>
  </bounce-processor>`;

const FROM = 'news@bounces.test';

/** A host that refuses all mail for a.test except that to lou, and takes the reports. */
const refusing = (t: TestContext) =>
  remoteHost(t, {
    answer: (verb, line) =>
      verb === 'RCPT' && /<(?!lou)[^@>]*@a\.test>/.test(line) ? '550 5.1.1 no such user' : null,
  });

/** The reports that a host got: whom they were for, and what was sent. Other mail may have come between or after. */
function reportsAt({ messages }: RemoteHost): { to: string; content: string }[] {
  return messages.filter(({ from }) => from === '').map(({ to, content }) => ({ to: to[0]!, content }));
}

/** Sends what a reception has stored, and the reports about it after that, to a host. The spool is free again then. */
async function deliverAll(
  t: TestContext,
  reception: ReceptionUnderTest,
  remote: RemoteHost,
  more: { settings?: string; waiting?: number } = {},
): Promise<void> {
  const { dir } = reception.spool;
  await reception.spool.close();
  const settings = `use-starttls no\nmax-smtp-out 1\nsmtp-hosts [127.0.0.1]:${remote.port}\n${more.settings ?? ''}`;
  const config = `<virtual-mta v1>\n</virtual-mta>\n<domain *>\n${settings}\n</domain>`;
  const mta = await startDelivery(t, { config, dir, reports: true });
  mta.spool.sent.enabled = true;
  recovered(mta);
  await until(() => mta.spool.messageCount === (more.waiting ?? 0));
  await mta.quiet();
  await mta.stop();
}

/** A message to kim and lou, taken by a server with this `<source>`. */
async function submitted(t: TestContext, source: string, params = '', dir = folder(t)) {
  const mta = await startReception(t, INTAKE.replace('SOURCE', source), { dir });
  const peer = await mta.client();
  assert.match(await peer.ask(`MAIL FROM:<${FROM}>${params}`), /^250 /);
  for (const name of ['kim', 'lou']) await peer.ask(`RCPT TO:<${name}@a.test>`);
  await peer.ask('DATA');
  assert.match(await peer.ask(`X-Job: j1\r\n${CONTENT}.`), /^250 /);
  return mta;
}

/** Another server takes what the host got, as the next hop would. */
async function passedOn(t: TestContext, { seen, contents }: RemoteHost): Promise<ReceptionUnderTest> {
  const mta = await startReception(t, INTAKE.replace('SOURCE', ''));
  const peer = await mta.client();
  let n = 0;
  for (const line of seen.filter((one) => /^(MAIL|RCPT|DATA|\.$)/.test(one))) {
    assert.match(await peer.ask(line === '.' ? `${contents[n++]}.` : line), /^[23]5[04] /);
  }
  return mta;
}

/** A report comes in; what it told us. */
async function told(t: TestContext, dir: string, report: { to: string; content: string }) {
  const mta = await startReception(t, INTAKE.replace('SOURCE', ''), { dir });
  const before = mta.outcomes().length;
  assert.match(await mta.send({ from: '', to: [report.to], content: report.content }), /^250 /);
  const outcomes = mta.outcomes().slice(before);
  await mta.spool.close();
  return outcomes.map((outcome) => {
    assert.ok(outcome.kind === 'remote-bounce' || outcome.kind === 'remote-status', outcome.kind);
    return outcome;
  });
}

for (const [what, source, params, settings, matched] of [
  ['with headers', '', '', '', true],
  ['with the whole message', '', ' RET=FULL', '', true],
  ['to a return path of VERP', 'verp-default yes', '', '', true],
  ['with X-Posthorn-Reference', 'add-reference-header yes', '', '', true],
  ['in plain text, which returns nothing', '', '', 'dsn-format plain-text', false],
] as const) {
  test(`a report that the next hop writes as we do, ${what}: ${matched ? 'matched' : 'not matched'}`, async (t) => {
    const first = await submitted(t, source, params);
    const { envelope } = first.stored();
    const wire = await remoteHost(t, { keywords: ['DSN'] });
    await deliverAll(t, first, wire);
    const end = await refusing(t);
    const next = await passedOn(t, wire);
    await deliverAll(t, next, end, { settings });
    const [report, ...more] = reportsAt(end);
    assert.ok(report);
    assert.equal(more.length, 0);
    assert.equal(report.to, source.startsWith('verp') ? 'news-kim=a.test@bounces.test' : FROM);
    assert.equal(report.content.includes('\r\nHello.\r\n'), params !== '');

    const { dir } = first.spool;
    const [bounce, ...others] = await told(t, dir, report);
    assert.ok(bounce);
    assert.equal(others.length, 0);
    assert.deepEqual([bounce.kind, bounce.recipient], ['remote-bounce', 'kim@a.test']);
    assert.equal(bounce.result.status, '5.1.1');
    const found = bounce.matched && [
      bounce.matched.messageId,
      bounce.matched.recipient,
      bounce.matched.jobId,
    ];
    assert.deepEqual(found, matched ? [envelope.recipients[0]!.messageId, 'kim@a.test', 'j1'] : null);
    if (matched) assert.equal((await told(t, dir, report))[0]!.repeated, true);
  });
}

for (const rest of ['gone', 'waiting'] as const) {
  test(`a report of our own that comes back to us is no second bounce, its message ${rest}`, async (t) => {
    const first = await submitted(t, '');
    const waiting = rest === 'waiting' ? 1 : 0;
    const remote = await remoteHost(t, {
      answer: (verb, line) => {
        if (verb !== 'RCPT' || !line.includes('@a.test')) return null;
        if (line.includes('kim')) return '550 5.1.1 no such user';
        return waiting ? '450 4.2.1 later' : null;
      },
    });
    await deliverAll(t, first, remote, { waiting });
    const [report] = reportsAt(remote);
    const [bounce] = await told(t, first.spool.dir, report!);
    assert.deepEqual([bounce!.kind, bounce!.recipient], ['remote-bounce', 'kim@a.test']);
    assert.deepEqual([bounce!.matched, bounce!.repeated ?? false], [null, false]);
  });
}
