// A client that submits mail merges over SMTP, and what becomes of each recipient's message.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Peer } from '../../smtp/test-peer.ts';
import { REFUSED_QUEUE } from '../../spool/stored-message.ts';
import { mergedContent } from '../deliver/merged-content.ts';
import { type ReceptionUnderTest, startReception } from '../testing.ts';

const conf = (source = '', global = '') => `${global}
  <virtual-mta v1>
  </virtual-mta>
  <virtual-mta v2>
  </virtual-mta>
  <source 0/0>
    always-allow-relaying yes
    allow-mailmerge yes
    ${source}
  </source>`;

const TEMPLATE = 'From: News <news@brand.test>\r\nSubject: For [fname]\r\n\r\nHi [FName]!\r\n';

interface Rcpt {
  readonly to: string;
  readonly define?: string;
}

/** Submits one merge; answers the reply to the last part. */
async function submit(
  peer: Peer,
  rcpts: readonly Rcpt[],
  parts: readonly string[] = [TEMPLATE],
): Promise<string> {
  assert.equal(await peer.ask('XMRG FROM:<news@brand.test>'), '250 2.1.0 XMRG ok');
  for (const { to, define } of rcpts) {
    if (define) assert.match(await peer.ask(`XDFN ${define}`), /^250 /);
    assert.match(await peer.ask(`RCPT TO:<${to}>`), /^250 /);
  }
  return await sendParts(peer, parts);
}

async function sendParts(peer: Peer, parts: readonly string[]): Promise<string> {
  let answer = '';
  for (const [i, part] of parts.entries()) {
    const last = i === parts.length - 1;
    assert.equal(await peer.ask(`XPRT ${i + 1}${last ? ' LAST' : ''}`), '354 send part');
    answer = await peer.ask(`${part}.`);
    if (!last) assert.equal(answer, '250 2.6.0 part ok');
  }
  return answer;
}

/** What recipient number `i` gets, without our own Received. */
function copy(mta: ReceptionUnderTest, i: number): string {
  const { envelope, content } = mta.stored();
  const text = mergedContent(envelope, i, content)!.toString('latin1');
  return text.replace(/^Received:.*\r\n([ \t].*\r\n)*/, '');
}

test('section 17: EHLO lists XACK and XMRG where allow-mailmerge or always-allow-api-submission is set, else not', async (t) => {
  const keywords = async (source: string) => {
    const mta = await startReception(t, `<source 0/0>\n${source}\n</source>`);
    return (await mta.client()).ask('EHLO again.test');
  };
  assert.match(await keywords('allow-mailmerge yes'), /XACK.*XMRG/s);
  assert.match(await keywords('always-allow-api-submission yes'), /XACK.*XMRG/s);
  assert.doesNotMatch(await keywords(''), /XACK|XMRG/);
  const mta = await startReception(t, '<source 0/0>\nsmtp-service yes\n</source>');
  const peer = await mta.client();
  for (const line of ['XMRG FROM:<a@b.test>', 'XACK OFF', 'XDFN a=b', 'XPRT 1 LAST']) {
    assert.match(await peer.ask(line), /^500 /);
  }
});

test('D17.10 each recipient has a message of its own: variables, message id, reference in Received, record', async (t) => {
  const mta = await startReception(t, conf());
  const peer = await mta.client();
  const answer = await submit(peer, [
    { to: 'kim@a.test', define: 'fname=Kim' },
    { to: 'lou@b.test', define: 'fname="Lou Ann"' },
    { to: 'kim@a.test', define: 'fname=Again' },
  ]);
  const { envelope, content } = mta.stored();
  assert.equal(answer, `250 2.6.0 message received, id ${envelope.facts.spoolId}`);
  assert.equal(copy(mta, 0), 'From: News <news@brand.test>\r\nSubject: For Kim\r\n\r\nHi Kim!\r\n');
  assert.match(copy(mta, 1), /Subject: For Lou Ann\r\n\r\nHi Lou Ann!/);
  const ids = envelope.recipients.map(({ messageId }) => messageId);
  assert.equal(new Set(ids).size, 3);
  const received = [0, 1, 2].map(
    (i) => mergedContent(envelope, i, content)!.toString().split('\r\nFrom:')[0]!,
  );
  for (const [i, text] of received.entries()) {
    assert.match(text, /^Received: from client\.test \(\[127\.0\.0\.1\]\) by mta\.test/);
    assert.ok(text.includes(`.${ids[i]}s.`), text);
    assert.ok(text.includes(`for <${envelope.recipients[i]!.address}>`), text);
  }
  const records = mta
    .outcomes()
    .map((one) => (one.kind === 'received' ? [one.recipient.messageId, one.message.subject] : []));
  assert.deepEqual(records, [
    [ids[0], 'For Kim'],
    [ids[1], 'For Lou Ann'],
    [ids[2], 'For Again'],
  ]);
  assert.deepEqual(
    mta.queued.map(({ index, domain }) => `${index} ${domain}`),
    ['0 a.test', '1 b.test', '2 a.test'],
  );
});

test('D17.2 D17.3 several XDFN add up for one recipient, and a name may be defined once', async (t) => {
  const mta = await startReception(t, conf());
  const peer = await mta.client();
  await peer.ask('XMRG FROM:<news@brand.test>');
  await peer.ask('XDFN fname=Kim a=1');
  await peer.ask('XDFN b="2 3"');
  assert.match(await peer.ask('XDFN FNAME=again'), /^501 /);
  await peer.ask('RCPT TO:<kim@a.test>');
  await sendParts(peer, ['Subject: [fname]\r\n\r\n[a] [b] [c]\r\n']);
  assert.equal(copy(mta, 0), 'Subject: Kim\r\n\r\n1 2 3 \r\n');
});

test('D17.5 mailmerge-expands-undefined-variables false leaves them: Hi [nn]!', async (t) => {
  const mta = await startReception(t, conf('', 'mailmerge-expands-undefined-variables false'));
  await submit(await mta.client(), [{ to: 'kim@a.test' }], ['Subject: x\r\n\r\nHi [nn]!\r\n']);
  assert.equal(copy(mta, 0), 'Subject: x\r\n\r\nHi [nn]!\r\n');
});

test('D17.6 octets above 127 in XDFN reach the message as they came', async (t) => {
  const mta = await startReception(t, conf());
  const peer = await mta.client();
  await peer.ask('XMRG FROM:<news@brand.test> BODY=8BITMIME');
  peer.write(Buffer.from('XDFN fname=\xe9t\xe9\r\n', 'latin1'));
  assert.match(await peer.text(), /^250 /);
  await peer.ask('RCPT TO:<kim@a.test>');
  await sendParts(peer, [TEMPLATE]);
  assert.match(copy(mta, 0), /Hi \xe9t\xe9!/);
});

test('D17.7 parts 1..3 with *parts=1,3,2 come as 1,3,2; without it ascending', async (t) => {
  const mta = await startReception(t, conf());
  await submit(
    await mta.client(),
    [
      { to: 'kim@a.test', define: '*parts=1,3,2' },
      { to: 'lou@a.test' },
      { to: 'max@a.test', define: '*parts=1-2' },
    ],
    ['Subject: x\r\n\r\none\r\n', 'two\r\n', 'three\r\n'],
  );
  assert.match(copy(mta, 0), /one\r\nthree\r\ntwo\r\n$/);
  assert.match(copy(mta, 1), /one\r\ntwo\r\nthree\r\n$/);
  assert.match(copy(mta, 2), /one\r\ntwo\r\n$/);
});

test('D17.8 a number in *parts without a part: that recipient bounces, the others go', async (t) => {
  const mta = await startReception(t, conf());
  const peer = await mta.client();
  assert.match(
    await submit(peer, [{ to: 'kim@a.test', define: '*parts=1,9' }, { to: 'lou@a.test' }]),
    /^250 /,
  );
  assert.deepEqual(
    mta.queued.map(({ domain }) => domain),
    [REFUSED_QUEUE, 'a.test'],
  );
  assert.equal(mta.stored().envelope.recipients[0]!.refusal?.status, '5.6.0');
});

test('D17.9 XPRT 1 twice: 5xx; part numbers are positive', async (t) => {
  const mta = await startReception(t, conf());
  const peer = await mta.client();
  await peer.ask('XMRG FROM:<news@brand.test>');
  await peer.ask('RCPT TO:<kim@a.test>');
  assert.match(await peer.ask('XPRT 0'), /^501 /);
  await peer.ask('XPRT 1');
  await peer.ask('Subject: x\r\n.');
  assert.match(await peer.ask('XPRT 1 LAST'), /^5\d\d /);
});

test('section 17, reserved, D16.4: *from *envid *vmta *jobid *priority *schedule of a recipient override everything else', async (t) => {
  const mta = await startReception(
    t,
    conf('process-x-job yes\nprocess-x-envid yes\nprocess-x-virtual-mta yes\nprocess-x-schedule yes'),
  );
  const head =
    'X-Job: all\r\nX-Envid: e0\r\nX-Virtual-MTA: v1\r\nX-Schedule: 2027-01-01 00:00:00/2027-01-02 00:00:00\r\n';
  await submit(
    await mta.client(),
    [
      {
        to: 'kim@a.test',
        define:
          '*from=own@sender.test *envid=e1 *vmta=v2 *jobid=mine *priority=7 *schedule="2027-02-01 00:00:00 / 2027-02-02 00:00:00"',
      },
      { to: 'lou@a.test' },
    ],
    [`${head}From: a@b.test\r\nSubject: [*jobid] [*vmta] [*envid] [*priority]\r\n\r\n[*from] [*to]\r\n`],
  );
  const { envelope } = mta.stored();
  const [kim, lou] = envelope.recipients.map(({ own }) => own!);
  assert.deepEqual([kim!.sender, kim!.envId, kim!.vmta, kim!.jobId], ['own@sender.test', 'e1', 'v2', 'mine']);
  assert.deepEqual([lou!.sender, lou!.envId, lou!.vmta, lou!.jobId], ['news@brand.test', 'e0', 'v1', 'all']);
  assert.deepEqual(
    mta.queued.map(({ vmta, priority }) => `${vmta} ${priority}`),
    ['v2 7', 'v1 50'],
  );
  assert.deepEqual(
    mta.queued.map(({ windows }) => new Date(windows![0]!.start).getMonth()),
    [1, 0],
  );
  assert.match(copy(mta, 0), /Subject: mine v2 e1 7\r\n\r\nown@sender\.test kim@a\.test\r\n/);
  assert.match(copy(mta, 1), /Subject: all v1 e0 50\r\n\r\nnews@brand\.test lou@a\.test\r\n/);
});

test('section 17, reserved: *to and *date cannot be set; [*date] is the reception in RFC 5322 form', async (t) => {
  const mta = await startReception(t, conf('add-date-header yes'));
  const peer = await mta.client();
  await peer.ask('XMRG FROM:<news@brand.test>');
  assert.match(await peer.ask('XDFN *to=x@y.test'), /^501 /);
  assert.match(await peer.ask('XDFN *date=now'), /^501 /);
  assert.match(await peer.ask('XDFN *unknown=1'), /^501 /);
  await peer.ask('RCPT TO:<kim@a.test>');
  await sendParts(peer, ['Subject: x\r\n\r\n[*date]\r\n']);
  assert.equal(copy(mta, 0), 'Subject: x\r\n\r\nSat, 21 Nov 2026 00:00:00 +0000\r\n');
});

test('section 17: *subaccountid and *custommessageid; the subaccount header counts for nothing in mail merge', async (t) => {
  const signals = `<signals>
      api-key ${'a'.repeat(40)}
      process-x-sp-subaccount-id yes
      custom-message-id-header X-Mine
    </signals>`;
  const mta = await startReception(t, conf('', signals));
  await submit(
    await mta.client(),
    [
      { to: 'kim@a.test', define: '*subaccountid=7 *custommessageid=c1' },
      { to: 'lou@a.test', define: 'id=k2' },
    ],
    ['X-SP-Subaccount-Id: 9\r\nX-Mine: m-[id]\r\nSubject: x\r\n\r\nx\r\n'],
  );
  const own = mta.stored().envelope.recipients.map(({ own: o }) => [o!.subaccountId, o!.customMessageId]);
  assert.deepEqual(own, [
    [7, 'c1'],
    [0, 'm-k2'],
  ]);
});

test('section 17: X-Job in a template may hold variables', async (t) => {
  const mta = await startReception(t, conf('process-x-job yes'));
  await submit(
    await mta.client(),
    [
      { to: 'kim@a.test', define: 'job=j1' },
      { to: 'lou@a.test', define: 'job=j2' },
    ],
    ['X-Job: [job]\r\nSubject: x\r\n\r\nx\r\n'],
  );
  assert.deepEqual(
    mta.stored().envelope.recipients.map(({ own }) => own!.jobId),
    ['j1', 'j2'],
  );
});

test('D3.3 D4.3 in mail merge rcpt-to rules choose per recipient, a pool gives each its next member', async (t) => {
  const global = `<virtual-mta-pool P>
      virtual-mta v1
      virtual-mta v2
    </virtual-mta-pool>
    <pattern-list p>
      rcpt-to /@b/ virtual-mta=v2,recipient-priority=9
    </pattern-list>`;
  const mta = await startReception(t, conf('pattern-list p\ndefault-virtual-mta P', global));
  await submit(
    await mta.client(),
    ['x@a.test', 'y@b.test', 'z@c.test'].map((to) => ({ to })),
  );
  assert.deepEqual(
    mta.queued.map(({ vmta, priority }) => `${vmta} ${priority}`),
    ['v1 50', 'v2 9', 'v2 50'],
  );
});

test('a *vmta that does not exist bounces its recipient, the others go', async (t) => {
  const mta = await startReception(t, conf());
  await submit(await mta.client(), [{ to: 'kim@a.test', define: '*vmta=none' }, { to: 'lou@a.test' }]);
  assert.equal(mta.stored().envelope.recipients[0]!.refusal?.status, '5.3.5');
  assert.deepEqual(
    mta.queued.map(({ domain }) => domain),
    [REFUSED_QUEUE, 'a.test'],
  );
});

test('parts together may not exceed max-message-size, nor may a merged message', async (t) => {
  const mta = await startReception(t, conf('max-message-size 2k'));
  const peer = await mta.client();
  await peer.ask('XMRG FROM:<news@brand.test>');
  await peer.ask('RCPT TO:<kim@a.test>');
  await peer.ask('XPRT 1');
  await peer.ask(`Subject: x\r\n\r\n${'x'.repeat(900)}\r\n.`);
  await peer.ask('XPRT 2 LAST');
  const line = `${'y'.repeat(900)}\r\n`;
  assert.match(await peer.ask(`${line}${line}.`), /^552 5\.3\.4/);
  assert.match(await peer.ask('XPRT 3'), /^503 /, 'the submission is over');
  assert.match(
    await submit(
      await mta.client(),
      [{ to: 'kim@a.test', define: `a=${'z'.repeat(900)}` }, { to: 'lou@a.test' }],
      ['Subject: x\r\n\r\n[a][a][a]\r\n'],
    ),
    /^250 /,
  );
  assert.equal(mta.stored().envelope.recipients[0]!.refusal?.status, '5.3.4');
  assert.equal(mta.stored().envelope.recipients[1]!.refusal, undefined);
});

test('DATA and BDAT do not end a merge submission, XPRT not an ordinary one; no recipient, no part', async (t) => {
  const mta = await startReception(t, conf());
  const peer = await mta.client();
  await peer.ask('XMRG FROM:<news@brand.test>');
  assert.match(await peer.ask('XPRT 1 LAST'), /^554 5\.5\.1/);
  await peer.ask('RCPT TO:<kim@a.test>');
  assert.match(await peer.ask('DATA'), /^503 /);
  await peer.ask('RSET');
  await peer.ask('MAIL FROM:<news@brand.test>');
  await peer.ask('RCPT TO:<kim@a.test>');
  assert.match(await peer.ask('XDFN a=b'), /^503 /);
  assert.match(await peer.ask('XPRT 1 LAST'), /^503 /);
  assert.match(await peer.ask('DATA'), /^354/);
  assert.match(await peer.ask(`${TEMPLATE}.`), /^250 /);
  assert.match(mta.stored().content.toString(), /Hi \[FName\]!/, 'ordinary mail is no template');
});

test('section 17, XACK OFF: RCPT and XDFN get no reply until XACK ON; all others do', async (t) => {
  const mta = await startReception(t, conf());
  const peer = await mta.client();
  assert.equal(await peer.ask('XACK OFF'), '250 2.0.0 ok');
  peer.write(
    'XMRG FROM:<news@brand.test>\r\nXDFN fname=Kim\r\nRCPT TO:<kim@a.test>\r\nRCPT TO:<lou@a.test>\r\nXACK ON\r\n',
  );
  assert.equal(await peer.text(), '250 2.1.0 XMRG ok');
  assert.equal(await peer.text(), '250 2.0.0 ok');
  assert.match(await peer.ask('RCPT TO:<max@a.test>'), /^250 2\.1\.5/);
  assert.match(await sendParts(peer, [TEMPLATE]), /^250 2\.6\.0/);
  assert.deepEqual(
    mta.stored().envelope.recipients.map(({ address }) => address),
    ['kim@a.test', 'lou@a.test', 'max@a.test'],
  );
});

test('section 17, XACK OFF: an error inside a submission is told at the next XPRT or DATA and cancels it', async (t) => {
  const mta = await startReception(t, conf());
  const peer = await mta.client();
  await peer.ask('XACK OFF');
  peer.write('XMRG FROM:<news@brand.test>\r\nXDFN 1a=b\r\nRCPT TO:<kim@a.test>\r\nXPRT 1 LAST\r\n');
  assert.match(await peer.text(), /^250 /);
  assert.match(await peer.text(), /^501 5\.5\.4/);
  assert.deepEqual(mta.queued, []);
  peer.write(
    'MAIL FROM:<news@brand.test>\r\nRCPT TO:<kim@a.test> WRONG=1\r\nRCPT TO:<kim@a.test>\r\nDATA\r\n',
  );
  assert.match(await peer.text(), /^250 /);
  assert.match(await peer.text(), /^555 5\.5\.4/);
  assert.match(await peer.ask('DATA'), /^503 /);
});

test('section 17, XACK OFF: an error outside a submission is dropped; an address error becomes a bounce', async (t) => {
  const mta = await startReception(t, conf());
  const peer = await mta.client();
  await peer.ask('XACK OFF');
  peer.write('XDFN nothing\r\nRCPT TO:<kim@a.test>\r\nXMRG FROM:<news@brand.test>\r\n');
  assert.match(await peer.text(), /^250 2\.1\.0/, 'the two before got no reply');
  peer.write('XDFN fname=Kim\r\nRCPT TO:<kim@@a..test>\r\nRCPT TO:<lou@a.test>\r\nXPRT 1 LAST\r\n');
  assert.equal(await peer.text(), '354 send part');
  assert.match(await peer.ask(`${TEMPLATE}.`), /^250 /);
  const [bad, good] = mta.stored().envelope.recipients;
  assert.match(bad!.refusal!.status, /^5\.1\.[23]$/);
  assert.equal(good!.refusal, undefined);
  assert.match(copy(mta, 1), /Hi !/, 'the variables went with the address that was wrong');
});

test('section 17, XACK OFF: an address that no line of text can hold, or without its bracket, bounces', async (t) => {
  const wrong: readonly [line: string, shown: string][] = [
    ['TO:<kim@a.test', 'kim@a.test'],
    ['TO:kim@a.test NOTIFY=NEVER', 'kim@a.test'],
    ['TO:<kim@a.test>>', 'kim@a.test>'],
    ['TO:<k\u00efm@a.test>', 'k\u00efm@a.test'],
    ['TO:<k\tim@a.test>', 'kim@a.test'],
    ['TO:<>', 'unknown@machine.example'],
    ['TO:<kim@@a>', 'kim@@a'],
  ];
  for (const smtpUtf8 of [false, true]) {
    const mta = await startReception(t, conf());
    const peer = await mta.client();
    await peer.ask('XACK OFF');
    peer.write(`XMRG FROM:<news@brand.test>${smtpUtf8 ? ' SMTPUTF8' : ''}\r\n`);
    assert.match(await peer.text(), /^250 2\.1\.0/);
    for (const [line] of wrong) peer.write(Buffer.from(`RCPT ${line}\r\n`, 'latin1'));
    peer.write('XDFN fname=Lou\tx=y\r\nRCPT TO:<lou@a.test>\r\nXPRT 1 LAST\r\n');
    assert.equal(await peer.text(), '354 send part');
    assert.match(await peer.ask(`${TEMPLATE}.`), /^250 /);
    const { recipients } = mta.stored().envelope;
    const [good] = recipients.slice(-1);
    assert.deepEqual(
      recipients.slice(0, -1).map(({ address, refusal }) => [address, refusal?.status]),
      wrong.map(([, shown]) => [shown, shown.includes('@@') ? '5.1.2' : '5.1.3']),
    );
    assert.equal(good!.refusal, undefined);
    assert.match(copy(mta, recipients.length - 1), /Hi Lou!/);
  }
});

test('RSET, EHLO and a lost connection leave nothing of a merge', async (t) => {
  const mta = await startReception(t, conf());
  const peer = await mta.client();
  for (const end of ['RSET', 'EHLO again.test']) {
    await peer.ask('XMRG FROM:<news@brand.test>');
    await peer.ask('XDFN fname=old');
    await peer.ask('RCPT TO:<old@a.test>');
    await peer.ask('XPRT 1');
    await peer.ask('Subject: old\r\n\r\n.');
    await peer.ask(end);
  }
  await submit(peer, [{ to: 'kim@a.test' }]);
  assert.equal(mta.stored().envelope.recipients.length, 1);
  assert.equal(copy(mta, 0), 'From: News <news@brand.test>\r\nSubject: For \r\n\r\nHi !\r\n');
});
