import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Fault } from '../../config/diagnostic.ts';
import type {
  Bounced,
  Complaint,
  Delivered,
  Outcome,
  OutcomeKind,
  RemoteBounce,
} from '../../events/outcome.ts';
import {
  generatedOutcomes,
  outcomeKinds,
  sampleAttempt,
  sampleMessage,
  sampleOutcome,
} from '../../events/testing.ts';
import { expandColumns, type RecordType, recordType, recordTypes, titleOf } from './columns.ts';
import { csvRow } from './csv.ts';
import { pipeExit, statusText, statusWithText } from './dsn-text.ts';
import { recipientCover } from './privacy.ts';
import { type QueueFilterEntry, queuePasses, readQueueFilterEntry } from './queue-filter.ts';
import { parseCsv, recordsOf } from './rfc4180.testing.ts';
import { type RecordOptions, rowsOf } from './rows.ts';
import { sipHash24 } from './siphash.ts';

process.env.TZ = 'Europe/Berlin';

const fields = (entries: Partial<Record<RecordType, string>>) =>
  new Map(Object.entries(entries).map(([type, list]) => [type as RecordType, list.split(',')]));

function sink(options: Partial<RecordOptions> & Pick<RecordOptions, 'records'>) {
  return rowsOf({ recordFields: new Map(), ...options });
}

/** One record as an object, read back strictly. */
function record(outcome: Outcome, options: Partial<RecordOptions> = {}): Map<string, string> {
  const rows = sink({ records: recordTypes, ...options });
  const row = rows.row(outcome);
  assert.ok(row !== null);
  return recordsOf(`${rows.title}\r\n${row}\r\n`)[0]!;
}

test('accounting 2: types are named short or long', () => {
  assert.equal(recordType(' Delivery '), 'd');
  assert.equal(recordType('received'), 'r');
  assert.equal(recordType('fbl'), 'f');
  assert.equal(recordType('transient-queue'), 'tq');
  assert.equal(recordType('p'), null);
});

test("accounting 4 and 6: the guide's default lines", () => {
  const line = (kind: OutcomeKind, type: RecordType) => sink({ records: [type] }).row(sampleOutcome(kind));
  const title = (type: RecordType) => sink({ records: [type] }).title;
  assert.equal(
    title('d'),
    'type,timeLogged,timeQueued,orig,rcpt,orcpt,dsnAction,dsnStatus,dsnDiag,dsnMta,bounceCat,srcType,srcMta,dlvType,dlvSourceIp,dlvDestinationIp,dlvEsmtpAvailable,dlvSize,vmta,jobId,envId,queue,vmtaPool',
  );
  assert.equal(
    line('delivered', 'd'),
    'd,2031-04-08 11:12:44+0200,2031-04-08 11:12:41+0200,news-Ana=mail.example.net@b.example.com,Ana@mail.example.net,,relayed,2.0.0 (success),smtp;250 2.0.0 queued as 7F3A,mx1.mail.example.net (198.51.100.25),,smtp,feed1.example.com (192.0.2.14),smtp,192.0.2.80,198.51.100.25,"PIPELINING,8BITMIME,STARTTLS",18234,mta-a,spring31,env1,mail.example.net/mta-a,pool-a',
  );
  assert.equal(
    line('bounced', 'b'),
    'b,2031-04-08 11:12:44+0200,2031-04-08 11:12:41+0200,news-Ana=mail.example.net@b.example.com,Ana@mail.example.net,,failed,5.1.1 (bad destination mailbox address),smtp;550 5.1.1 <Ana@mail.example.net>: no such user at 198.51.100.25,mx1.mail.example.net (198.51.100.25),bad-mailbox,smtp,feed1.example.com (192.0.2.14),smtp,192.0.2.80,198.51.100.25,"PIPELINING,8BITMIME,STARTTLS",,mta-a,spring31,env1,mail.example.net/mta-a,pool-a',
  );
  assert.match(line('deferred', 't')!, /^t,.*,delayed,4\.2\.2 \(mailbox full\),smtp;452 .*,quota-issues,/);
  assert.equal(
    line('queue-deferred', 'tq'),
    'tq,2031-04-08 11:12:44+0200,4.4.1 (no answer from host),,mx1.mail.example.net (198.51.100.25),smtp,0.0.0.0,198.51.100.25,mta-a,mail.example.net/mta-a',
  );
  assert.equal(
    line('received', 'r'),
    'r,2031-04-08 11:12:44+0200,news-Ana=mail.example.net@b.example.com,Ana@mail.example.net,,smtp,feed1.example.com (192.0.2.14),192.0.2.14,192.0.2.80,pool-a,spring31,env1,pool-a',
  );
  assert.equal(
    line('remote-bounce', 'rb'),
    'rb,2031-04-08 11:12:44+0200,news-di=far.example@b.example.com,di@far.example,,5.1.1 (bad destination mailbox address),smtp;550 5.1.1 ana unknown,store.far.example,gw.far.example,bad-mailbox,smtp,gw.far.example (198.51.100.70),,dsn',
  );
  assert.match(
    line('remote-status', 'rs')!,
    /^rs,[^,]*,[^,]*,di@far\.example,,delayed,4\.2\.2 \(mailbox full\),/,
  );
  assert.equal(
    title('f'),
    'type,timeLogged,repSourceIp,feedbackType,format,userAgent,envId,orig,rcpt,reportingMta,dlvSourceIp,reportedDomain,header_From,header_Return-Path,header_X-job,header_Subject',
  );
  assert.equal(
    line('complaint', 'f'),
    'f,2031-04-08 11:12:44+0200,192.0.2.80,abuse,arf,ExampleFBL/2,,news@b.example.com,di@far.example,fbl.shop.example.org,192.0.2.80,b.example.com,Brand <news@brand.example>,,spring31,April offers',
  );
});

test("accounting 5: the title is the union in the order of records; the guide's example", () => {
  const options = {
    records: ['d', 'f'] as const,
    recordFields: fields({ d: 'timeLogged,rcpt,vmta', f: 'timeLogged,rcpt,feedbackType' }),
  };
  const rows = sink(options);
  assert.equal(rows.title, 'type,timeLogged,rcpt,vmta,feedbackType');
  assert.equal(
    rows.row(sampleOutcome('delivered')),
    'd,2031-04-08 11:12:44+0200,Ana@mail.example.net,mta-a,',
  );
  assert.equal(rows.row(sampleOutcome('complaint')), 'f,2031-04-08 11:12:44+0200,di@far.example,,abuse');
  assert.equal(rows.row(sampleOutcome('bounced')), null);
});

test('accounting 9.2: another order of records gives another title and the same content', () => {
  const recordFields = fields({ d: 'rcpt,dlvSize', b: 'bounceCat,rcpt' });
  const a = sink({ records: ['b', 'd'], recordFields });
  const b = sink({ records: ['d', 'b'], recordFields });
  assert.notEqual(a.title, b.title);
  for (const kind of ['delivered', 'bounced'] as const) {
    const [x, y] = [a, b].map((s) => recordsOf(`${s.title}\r\n${s.row(sampleOutcome(kind))}\r\n`)[0]!);
    assert.deepEqual([...x!].sort(), [...y!].sort());
  }
});

test('accounting 5: a column of one type stays empty for a type that did not ask for it', () => {
  const rows = sink({ records: ['d', 'b'], recordFields: fields({ d: 'rcpt', b: 'vmta' }) });
  assert.equal(rows.row(sampleOutcome('delivered')), 'd,Ana@mail.example.net,');
  assert.equal(rows.row(sampleOutcome('bounced')), 'b,,mta-a');
});

test('accounting 5: record-fields: default set, names, drops, repetitions, blanks, headers, unknown names', () => {
  const of = (list: string, type: RecordType = 'd') => expandColumns(type, list.split(','));
  assert.deepEqual(of('rcpt, orig ,RCPT').columns, ['rcpt', 'orig']);
  assert.equal(of('*,!dsnDiag').columns.includes('dsnDiag'), false);
  assert.equal(of('!dsnDiag,*').columns.includes('dsnDiag'), false);
  assert.equal(of('dlvSize,*').columns[0], 'dlvSize');
  assert.deepEqual(of('type,rcpt').columns, ['rcpt']);
  const headers = of('*,header_subject,header_X-Id,arf_Source-IP', 'f').columns;
  assert.deepEqual(headers.slice(-3), ['header_Subject', 'header_X-Id', 'arf_Source-IP']);
  assert.deepEqual(of('*,!timeImprinted,nonsense'), {
    columns: of('*').columns,
    warnings: [
      'field "timeImprinted" is of an older release and is not written',
      '"nonsense" is no accounting field',
    ],
  });
  assert.ok(!of('*').columns.some((c) => /userString|Tls|totalSeconds|SmtpUser/.test(c)));
  assert.deepEqual(
    titleOf(
      ['d', 'b'],
      new Map([
        ['d', ['header_X']],
        ['b', ['header_x', 'rcpt']],
      ]),
    ),
    ['type', 'header_X', 'rcpt'],
  );
});

test('accounting 4: opt-in fields', () => {
  const row = record(sampleOutcome('delivered'), {
    records: ['d'],
    userString: 'site 1, rack 2',
    recordFields: fields({
      d: 'totalSecondsQueued,userString,dlvTlsProtocol,dlvTlsCipher,rcvSmtpUser,header_x-job,header_none',
    }),
  });
  assert.deepEqual(
    [...row.values()],
    ['d', '3', 'site 1, rack 2', 'TLSv1.3', 'TLS_AES_256_GCM_SHA384', 'feeder', 'spring31', ''],
  );
  assert.ok(row.has('header_x-job'), 'the title keeps the spelling of the configuration');
});

test('accounting 6: a field of the machine-readable part that occurs several times is CSV within CSV', () => {
  const row = record(sampleOutcome('complaint'), {
    records: ['f'],
    recordFields: fields({ f: 'arf_source-ip,arf_Received-Date,arf_None' }),
  });
  assert.equal(row.get('arf_source-ip'), '192.0.2.80');
  assert.deepEqual(parseCsv(`${row.get('arf_Received-Date')}\r\n`), [
    ['Mon, 07 Apr 2031', 'Tue, 08 Apr 2031'],
  ]);
  assert.equal(row.get('arf_None'), '');
});

test('accounting 3.5: a folded header is unfolded, and the first of several counts', () => {
  const message = {
    ...sampleMessage,
    headers: [
      ['x-note', 'one\r\n two'],
      ['X-Note', 'other'],
    ] as const,
  };
  const outcome = { ...sampleOutcome('received'), message } as Outcome;
  const row = record(outcome, { records: ['r'], recordFields: fields({ r: 'header_X-Note' }) });
  assert.equal(row.get('header_X-Note'), 'one two');
});

test('what a header would say to a terminal is written as text', () => {
  const message = { ...sampleMessage, headers: [['X-Note', '\u001b[2J\ta\u009bb\r']] as const };
  const outcome = { ...sampleOutcome('received'), message } as Outcome;
  const row = record(outcome, { records: ['r'], recordFields: fields({ r: 'header_X-Note' }) });
  assert.equal(row.get('header_X-Note'), '\\x1b[2J\ta\\x9bb');
});

test('accounting 7.3: map-header-to-field: the first header that exists, else the own value', () => {
  const options: Partial<RecordOptions> = {
    records: ['d', 'b'],
    recordFields: fields({ d: 'jobId,envId', b: 'jobId' }),
    mapHeaders: new Map([
      [
        'd',
        new Map([
          ['jobid', ['X-None', 'subject']],
          ['envId', ['X-None']],
        ]),
      ],
    ]),
  };
  const row = record(sampleOutcome('delivered'), options);
  assert.equal(row.get('jobId'), 'April offers');
  assert.equal(row.get('envId'), 'env1');
  assert.equal(record(sampleOutcome('bounced'), options).get('jobId'), 'spring31');
});

test('accounting 6: seconds since the epoch when iso-times is off', () => {
  const row = record(sampleOutcome('delivered'), { isoTimes: false });
  assert.equal(row.get('timeLogged'), '1933405964');
  assert.equal(row.get('timeQueued'), '1933405961');
});

test('accounting 6: local time in winter and summer', () => {
  const at = (ms: number) => record({ ...sampleOutcome('received'), at: ms } as Outcome).get('timeLogged');
  assert.equal(at(Date.UTC(2031, 0, 1, 0, 30)), '2031-01-01 01:30:00+0100');
  assert.equal(at(Date.UTC(2031, 6, 1, 23, 30)), '2031-07-02 01:30:00+0200');
});

test('accounting 3.4: names stand in U-labels, the remote host as DNS gave it', () => {
  const outcome = sampleOutcome('delivered') as Delivered;
  const row = record({
    ...outcome,
    message: { ...outcome.message, sender: 'a@xn--mller-kva.example' },
    recipient: {
      ...outcome.recipient,
      address: 'b@xn--mller-kva.example',
      originalRecipient: 'c@xn--mller-kva.example',
    },
    attempt: {
      ...outcome.attempt,
      queue: 'xn--mller-kva.example/mta-a',
      remoteHost: 'mx.xn--mller-kva.example',
    },
  });
  assert.equal(row.get('orig'), 'a@müller.example');
  assert.equal(row.get('rcpt'), 'b@müller.example');
  assert.equal(row.get('orcpt'), 'c@müller.example');
  assert.equal(row.get('queue'), 'müller.example/mta-a');
  assert.equal(row.get('dsnMta'), 'mx.xn--mller-kva.example (198.51.100.25)');
});

test('accounting 3.4, D6.10: a bounce without an attempt has empty attempt fields, its queue, and the VMTA that had it last', () => {
  const outcome = sampleOutcome('bounced') as Extract<Outcome, { kind: 'bounced' }>;
  const row = record({ ...outcome, attempt: null, queue: 'old.rollup/cold-a' });
  for (const name of [
    'dsnMta',
    'dlvType',
    'dlvSourceIp',
    'dlvDestinationIp',
    'dlvEsmtpAvailable',
    'dlvSize',
  ]) {
    assert.equal(row.get(name), '', name);
  }
  assert.equal(row.get('queue'), 'old.rollup/cold-a');
  assert.equal(row.get('vmta'), 'cold-a');
});

test('accounting 3.1: EHLO keywords stand without parameters; the pool is the one that the message chose', () => {
  const outcome = sampleOutcome('delivered') as Extract<Outcome, { kind: 'delivered' }>;
  const attempt = { ...outcome.attempt, vmta: 'elsewhere', esmtp: ['8BITMIME', 'SIZE 52428800', 'AUTH A B'] };
  const row = record({ ...outcome, attempt, message: { ...outcome.message, pool: 'chosen' } });
  assert.equal(row.get('dlvEsmtpAvailable'), '8BITMIME,SIZE,AUTH');
  assert.equal(row.get('vmta'), 'elsewhere');
  assert.equal(row.get('vmtaPool'), 'chosen');
});

test('accounting 9.1: whatever the outcome, its record is strict CSV as wide as the title', () => {
  const options = {
    records: recordTypes,
    recordFields: fields({
      d: '*,userString,header_Subject,dlvTlsCipher,totalSecondsQueued',
      f: '*,arf_Received-Date',
    }),
    userString: 'a "b"',
  };
  const rows = sink(options);
  const outcomes = generatedOutcomes(3000, 7);
  const text = `${rows.title}\r\n${outcomes.map((o) => `${rows.row(o)}\r\n`).join('')}`;
  const records = recordsOf(text);
  assert.equal(records.length, outcomes.length);
  for (const [i, outcome] of outcomes.entries()) {
    if (outcome.kind === 'delivered') assert.equal(records[i]!.get('dsnDiag'), outcome.result.diagnostic);
  }
  assert.equal(new Set(records.map((r) => r.get('type'))).size, outcomeKinds.length);
});

test('accounting 6: quotes only where RFC 4180 asks for them; formulas stay as they are', () => {
  assert.equal(csvRow(['a', 'b,c', 'd"e', 'f\ng', '', ' h ', '=1+1']), 'a,"b,c","d""e","f\ng",, h ,=1+1');
});

test('accounting 7.2: queue-filter: first match decides, no VMTA means {default}, no match drops, reports always pass', () => {
  const filter = (...entries: string[]) =>
    entries.map((e) => {
      const entry = readQueueFilterEntry(e);
      assert.ok(!(entry instanceof Fault), e);
      return entry as QueueFilterEntry;
    });
  const some = filter('!bad.example/*', '*.example/mta-a', '[*.]other.test');
  assert.equal(queuePasses(some, 'bad.example/mta-a'), false);
  assert.equal(queuePasses(some, 'good.example/MTA-A'), true);
  assert.equal(queuePasses(some, 'good.example/mta-b'), false);
  assert.equal(queuePasses(some, 'other.test/{default}'), true);
  assert.equal(queuePasses(some, 'x.other.test/{default}'), true);
  assert.equal(queuePasses(some, 'other.test/mta-a'), false);
  assert.equal(queuePasses(filter('!bad.example/*'), 'good.example/{default}'), false);
  assert.equal(queuePasses(filter('müller.example/*'), 'xn--mller-kva.example/a'), true);
  for (const bad of ['', '{gmail}', '*/a b', '!']) assert.ok(readQueueFilterEntry(bad) instanceof Fault, bad);
  const rows = sink({ records: recordTypes, queueFilter: some });
  assert.equal(rows.row(sampleOutcome('delivered')), null);
  for (const kind of ['received', 'complaint', 'remote-bounce', 'remote-status'] as const) {
    assert.ok(rows.row(sampleOutcome(kind)));
  }
});

test('accounting 3.3: dsnStatus has the fixed text; the rule that bounced it stands behind the reply', () => {
  const bounced = sampleOutcome('bounced') as Bounced;
  const result = { ...bounced.result, byRule: 'queue bounced by smtp-pattern-list l' };
  const row = record({ ...bounced, result }, {});
  assert.equal(row.get('dsnStatus'), '5.1.1 (bad destination mailbox address)');
  assert.equal(row.get('dsnDiag'), `${bounced.result.diagnostic}; queue bounced by smtp-pattern-list l`);
  const silent = record({ ...bounced, result: { ...result, diagnostic: '' } }, {});
  assert.equal(silent.get('dsnDiag'), 'queue bounced by smtp-pattern-list l');
});

test('accounting 2: disable-acct-records drops by type and queue', () => {
  const rows = sink({
    records: recordTypes,
    disabled: (type, queue) => type === 't' && queue === sampleAttempt.queue,
  });
  assert.equal(rows.row(sampleOutcome('deferred')), null);
  assert.ok(rows.row(sampleOutcome('delivered')));
});

test('accounting 8: privacy policies cover address, reply and VERP sender alike', () => {
  const row = (privacy: RecordOptions['privacy']) => record(sampleOutcome('bounced'), { privacy: privacy! });
  const redacted = row({ mode: 'redact', text: '...' });
  assert.equal(redacted.get('rcpt'), '...@mail.example.net');
  assert.equal(redacted.get('orig'), 'news-...=mail.example.net@b.example.com');
  assert.equal(
    redacted.get('dsnDiag'),
    'smtp;550 5.1.1 <...@mail.example.net>: no such user at 198.51.100.25',
  );
  const hashed = row({ mode: 'hmac-sha256', key: Buffer.from('k'.repeat(32)) });
  assert.match(hashed.get('rcpt')!, /^[0-9A-F]{64}@mail\.example\.net$/);
  assert.equal(hashed.get('orig'), `news-${hashed.get('rcpt')!.replace('@', '=')}@b.example.com`);
  assert.equal(recipientCover({ mode: 'retain' }), null);
  const sip = recipientCover({ mode: 'siphash', key: Buffer.from('secret') })!;
  assert.equal(sip.address('ANA@x'), sip.address('ana@x'));
  assert.match(sip.address('ana@x'), /^[0-9A-F]{16}@x$/);
});

test('accounting 8: policies cover reports and complaints too, wherever they name the recipient', () => {
  const privacy = { mode: 'redact', text: '(hidden)' } as const;
  const bounce = sampleOutcome('remote-bounce') as RemoteBounce;
  const bounced = record(
    { ...bounce, result: { ...bounce.result, diagnostic: 'smtp;550 5.1.1 di unknown' } },
    { privacy },
  );
  assert.equal(bounced.get('rcpt'), '(hidden)@far.example');
  assert.equal(bounced.get('orig'), 'news-(hidden)=far.example@b.example.com');
  assert.equal(bounced.get('dsnDiag'), 'smtp;550 5.1.1 (hidden) unknown');
  const complaint = sampleOutcome('complaint') as Complaint;
  const complained = record(
    {
      ...complaint,
      originalSender: 'news-di=far.example@b.example.com',
      headers: [...complaint.headers, ['Return-Path', '<news-di=far.example@b.example.com>']],
      fields: [...complaint.fields, ['Original-Rcpt-To', 'di@far.example']],
    },
    { privacy, recordFields: fields({ f: '*,arf_Original-Rcpt-To' }) },
  );
  assert.equal(complained.get('orig'), 'news-(hidden)=far.example@b.example.com');
  assert.equal(complained.get('header_Return-Path'), '<news-(hidden)=far.example@b.example.com>');
  assert.equal(complained.get('arf_Original-Rcpt-To'), '(hidden)@far.example');
});

test("accounting 8: SipHash-2-4 gives its authors' test vectors", () => {
  const key = Buffer.from(Array.from({ length: 16 }, (_, i) => i));
  const data = (n: number) => Buffer.from(Array.from({ length: n }, (_, i) => i));
  assert.equal(sipHash24(key, data(0)).toString('hex'), '310e0edd47db6f72');
  assert.equal(sipHash24(key, data(1)).toString('hex'), 'fd67dc93c539f874');
  assert.equal(sipHash24(key, data(15)).toString('hex'), 'e545be4961ca29a1');
  assert.throws(() => sipHash24(Buffer.alloc(17), data(0)));
});

test('accounting 3.3: status texts', () => {
  assert.equal(statusWithText('5.1.1'), '5.1.1 (bad destination mailbox address)');
  assert.equal(statusWithText('4.0.0'), '4.0.0 (undefined status)');
  assert.equal(statusWithText('2.1.5'), '2.1.5 (destination address valid)');
  assert.equal(statusWithText('5.3.0', 'mail system-related failure'), '5.3.0 (mail system-related failure)');
  assert.equal(statusText('5.7.26'), 'other or undefined security status');
  assert.equal(statusText('5.9.9'), 'undefined status');
  assert.equal(statusWithText(''), '');
  assert.deepEqual(pipeExit(75), { action: 'retry', status: '4.0.0', text: 'transient failure' });
  assert.deepEqual(pipeExit(67), {
    action: 'bounce',
    status: '5.1.1',
    text: 'bad destination mailbox address',
  });
  assert.equal(pipeExit(null).action, 'retry');
  assert.equal(pipeExit(1).status, '4.3.0');
  assert.equal(pipeExit(0).action, 'delivered');
});
