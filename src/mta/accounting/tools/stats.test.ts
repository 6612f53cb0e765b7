import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UserError } from '../../../system/user-error.ts';
import { readStatsCall, statistics } from './stats.ts';
import { runTool } from './testing.ts';

process.env.TZ = 'Europe/Berlin';

const TITLE =
  'type,timeLogged,timeQueued,orig,rcpt,dsnStatus,dsnDiag,dsnMta,bounceCat,dlvSourceIp,dlvDestinationIp,dlvSize,vmta,jobId,header_X-Shop';

interface Row {
  readonly type?: string;
  /** Seconds after 2031-04-07 09:00:00 in Berlin. */
  readonly at?: number;
  /** Seconds it took. */
  readonly took?: number;
  readonly rcpt?: string;
  readonly status?: string;
  readonly diag?: string;
  readonly category?: string;
  readonly size?: number;
  readonly vmta?: string;
  readonly ip?: string;
  readonly job?: string;
}

const START = Date.UTC(2031, 3, 7, 7, 0, 0) / 1000;

function row(r: Row): string {
  const at = START + (r.at ?? 0);
  const bounced = r.type === 'b';
  return [
    r.type ?? 'd',
    at,
    at - (r.took ?? 0),
    'news@b.example',
    r.rcpt ?? 'ana@mail.example',
    r.status ?? (bounced ? '5.1.1 (bad destination mailbox address)' : '2.0.0 (success)'),
    r.diag ?? (bounced ? 'smtp;550 5.1.1 no such user' : 'smtp;250 ok'),
    'mx.mail.example (198.51.100.25)',
    r.category ?? (bounced ? 'bad-mailbox' : ''),
    r.ip ?? '192.0.2.80',
    '198.51.100.25',
    r.size ?? '',
    r.vmta ?? 'mta-a',
    r.job ?? 'spring',
    'red',
  ].join(',');
}

const csv = (rows: readonly Row[]) => `${[TITLE, ...rows.map(row)].join('\r\n')}\r\n`;

interface PlainTable {
  readonly title: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly (string | number | null)[])[];
}
interface PlainReport {
  readonly about: string;
  readonly timeFrame: PlainTable;
  readonly statistics: readonly { readonly name: string; readonly tables: readonly PlainTable[] }[];
}

async function reports(args: readonly string[], rows: readonly Row[], now = START): Promise<PlainReport[]> {
  const { out, complaints } = await runTool('stats', ['--json', ...args, '-'], csv(rows), { now });
  assert.deepEqual(complaints, []);
  return JSON.parse(out);
}

/** Rows of the tables of one statistic, by title. */
async function tables(args: readonly string[], rows: readonly Row[]) {
  const [report] = await reports(args, rows);
  return new Map(report!.statistics[0]!.tables.map((table) => [table.title, table.rows]));
}

const many = <T>(n: number, make: (i: number) => T): T[] => Array.from({ length: n }, (_, i) => make(i));

test('management 6: the nine statistics are there, and --all prints each of them', async () => {
  const names = [
    'bounce-categories',
    'delivery-times',
    'message-counts',
    'top-bounce',
    'top-domains',
    'top-rates',
    'vmta-summary',
    'vmta-time-breakdown',
    'vmta-top-bounce',
  ];
  assert.deepEqual([...statistics.keys()], names);
  const [report] = await reports(['--all'], [{}]);
  assert.deepEqual(
    report!.statistics.map((s) => s.name),
    names,
  );
});

test('management 6: the time frame has first and last time of reception and of the end, without offset', async () => {
  const rows = [
    { at: 100, took: 30 },
    { at: 50, took: 1, type: 'b' },
    { at: 4000, type: 't' },
  ];
  const { out } = await runTool('stats', ['message-counts', '-'], csv(rows));
  assert.match(
    out,
    /^Time Frame:\n\n.*first +last\n.*\n {2}received +2031-04-07 09:00:49 {2}2031-04-07 09:01:10\n {2}delivered\/bounced {2}2031-04-07 09:00:50 {2}2031-04-07 09:01:40\n/,
  );
});

test('management 6: delivery-times: the fastest n percent, their average and the slowest of them', async () => {
  const rows = many(100, (i) => ({ took: 100 - i, at: i }));
  const found = await tables(['delivery-times'], [...rows, { type: 'b', took: 100_000 }]);
  const percents = found.get('Delivery times of the fastest recipients')!;
  assert.deepEqual(
    percents.map(([p]) => p),
    [50, 60, 70, 80, 90, 95, 96, 97, 98, 99, 100],
  );
  assert.deepEqual(percents[0], [50, 50, 25.5, 50]);
  assert.deepEqual(percents[5], [95, 95, 48, 95]);
  assert.deepEqual(percents.at(-1), [100, 100, 50.5, 100]);
  const few = await tables(['delivery-times'], [{ took: 1 }, { took: 2 }, { took: 9 }]);
  assert.deepEqual(few.get('Delivery times of the fastest recipients')!.slice(0, 3), [
    [50, 2, 1.5, 2],
    [60, 2, 1.5, 2],
    [70, 3, 4, 9],
  ]);
});

test('management 6: delivery-times: intervals of 5 s to 12 h; a time at a bound belongs below it', async () => {
  const bounds = [5, 30, 60, 120, 300, 600, 1800, ...[1, 2, 3, 4, 5, 6, 8, 10, 12].map((h) => h * 3600)];
  const found = await tables(
    ['delivery-times'],
    bounds.flatMap((s) => [{ took: s }, { took: s + 1 }]),
  );
  const histogram = found.get('Recipients per interval (up to)')!;
  assert.deepEqual(
    histogram.map(([, n]) => n),
    [1, ...many(15, () => 2), 1],
  );
  assert.equal(histogram[1]![2], 6.25);
  assert.deepEqual(
    found.get('Recipients delivered within')!.map(([name, n]) => `${name}=${n}`),
    '5 sec.=1,30 sec.=3,1 min.=5,2 min.=7,5 min.=9,10 min.=11,30 min.=13,1 h=15,2 h=17,3 h=19,4 h=21,5 h=23,6 h=25,8 h=27,10 h=29,12 h=31,all=32'.split(
      ',',
    ),
  );
});

test('management 6: message-counts: recipients, volume, rates over the window, and sizes', async () => {
  const rows = [{ size: 1024 }, { size: 3072, at: 119 }, { type: 'b', at: 60 }];
  const found = await tables(['message-counts'], rows);
  assert.deepEqual(found.get('Recipients'), [
    ['deliveries', 2, (100 * 2) / 3, 4096, 1, 4 / 120],
    ['bounces', 1, 100 / 3, 0, 0.5, 0],
    ['total', 3, 100, 4096, 1.5, 4 / 120],
  ]);
  assert.deepEqual(found.get('Message size (kbytes)'), [[1024, 2048, 3072]]);
});

test('management 6: text has thousands separators, one decimal of percentages, h:mm:ss, and n/a', async () => {
  const rows = many(1234, () => ({ size: 1024 * 1024, took: 3725 }));
  const { out } = await runTool(
    'stats',
    ['--all', '-'],
    csv([...rows, { type: 'b', rcpt: 'a@gone.example' }]),
  );
  assert.match(out, /deliveries +1,234 +99\.9% +1,263,616\.0/);
  assert.match(out, /50\.0% +617 +1:02:05 +1:02:05/);
  assert.match(out, /1 +0\.1% +1 +100\.0% +n\/a +n\/a {2}gone\.example/);
});

test('management 6: bounce-categories: totals, categories, and the chosen ones by reason, domain and both', async () => {
  const rows = [
    {},
    { type: 'b', rcpt: 'a1@x.example', category: 'spam-related', diag: 'smtp;550 spam from a1@x.example' },
    { type: 'b', rcpt: 'a2@x.example', category: 'spam-related', diag: 'smtp;550 spam from a2@x.example' },
    { type: 'b', rcpt: 'a3@Y.example', category: 'spam-related', diag: 'smtp;554 listed 192.0.2.80' },
    { type: 'b', rcpt: 'a4@y.example', status: '4.4.7 (delivery time expired)', category: 'message-expired' },
  ];
  const found = await tables(['bounce-categories'], rows);
  assert.deepEqual(found.get('Bounces'), [
    ['total bounced', 4, 80],
    ['with 5.X.X', 3, 75],
    ['with 4.X.X', 1, 25],
  ]);
  assert.deepEqual(found.get('Bounces by category'), [
    [3, 75, 'spam-related'],
    [1, 25, 'message-expired'],
  ]);
  const reasons = ['smtp;550 spam from <RCPT_USER>', 'smtp;554 listed <SENDER_IPADDRESS>'];
  assert.deepEqual(found.get('spam-related by reason'), [
    [2, 200 / 3, reasons[0]],
    [1, 100 / 3, reasons[1]],
  ]);
  assert.deepEqual(found.get('spam-related by domain'), [
    [2, 200 / 3, 'x.example'],
    [1, 100 / 3, 'y.example'],
  ]);
  assert.deepEqual(found.get('spam-related by domain and reason'), [
    [2, 200 / 3, 'x.example', reasons[0]],
    [1, 100 / 3, 'y.example', reasons[1]],
  ]);
  assert.equal(found.size, 5);
  const titles = async (...args: string[]) => [
    ...(await tables(['bounce-categories', ...args], rows)).keys(),
  ];
  assert.ok((await titles('--bounceCat', 'all')).includes('message-expired by reason'));
  assert.equal((await titles('--bounceCat', '1')).length, 5);
  assert.deepEqual((await titles('--bounceCat', 'Message-Expired')).slice(2, 3), [
    'message-expired by reason',
  ]);
  const one = await tables(
    ['bounce-categories', '--topCategories', '1', '--byDsn', '1', '--byDomain', '1'],
    rows,
  );
  assert.deepEqual(
    ['Bounces by category', 'spam-related by reason', 'spam-related by domain'].map(
      (n) => one.get(n)!.length,
    ),
    [1, 1, 1],
  );
});

test('management 6: top-bounce: domains with most bounces, then the reasons of each', async () => {
  const rows = [
    ...many(3, (i) => ({ type: 'b', rcpt: `user${i}@x.example`, diag: `smtp;550 no user${i}` })),
    { type: 'b', rcpt: 'user9@x.example', diag: 'smtp;552 full' },
    { type: 'b', rcpt: 'user9@y.example', diag: 'smtp;552 full' },
    { rcpt: 'user9@y.example' },
    { rcpt: 'user9@z.example' },
  ];
  const found = await tables(['top-bounce', '--topStatusCodes', '1'], rows);
  assert.deepEqual(found.get('Domains with most bounces'), [
    [4, 80, 100, 'x.example'],
    [1, 20, 50, 'y.example'],
  ]);
  assert.deepEqual(found.get('Reasons at x.example'), [[3, 75, 'smtp;550 no <RCPT_USER>']]);
  assert.equal((await tables(['top-bounce', '--topDomains', '1'], rows)).size, 2);
});

test('management 6: top-domains: by recipients, bounces and average time; --noDeliveryTimes; --topDomains for all', async () => {
  const rows = [
    { rcpt: 'a@x.example', took: 10 },
    { rcpt: 'b@x.example', took: 20 },
    { rcpt: 'c@y.example', took: 500 },
    { rcpt: 'c@z.example', type: 'b' },
  ];
  const found = await tables(['top-domains'], rows);
  assert.deepEqual(found.get('Domains by queued recipients')![0], [2, 50, 0, 0, 15, 20, 'x.example']);
  assert.deepEqual(found.get('Domains by bounces')![0], [1, 25, 1, 100, null, null, 'z.example']);
  assert.deepEqual(found.get('Domains by average time')![0], [1, 25, 0, 0, 500, 500, 'y.example']);
  const without = await tables(['--topDomains', '1', 'top-domains', '--noDeliveryTimes'], rows);
  assert.deepEqual(
    [...without.values()].map((t) => t.length),
    [1, 1],
  );
  assert.deepEqual(without.get('Domains by queued recipients')![0], [2, 50, 0, 0, 'x.example']);
});

test('management 6: top-rates: the best minute, five minutes and hour, always over the whole file', async () => {
  const rows = [
    ...many(4, () => ({ at: 0, size: 10 })),
    ...many(3, () => ({ at: 3600, size: 500 })),
    ...many(3, () => ({ at: 3600 + 4 * 60, size: 500 })),
    { at: 3600 + 59 * 60, size: 1, job: 'winter' },
  ];
  const at = (s: number) => START + s;
  for (const args of [['top-rates'], ['--jobId', 'winter', 'top-rates'], ['--byJobId', 'top-rates']]) {
    for (const report of await reports(args, rows)) {
      const [recipients, volume] = report.statistics[0]!.tables;
      assert.deepEqual(recipients!.rows, [
        ['minute', 4, at(0)],
        ['five minutes', 6, at(3600)],
        ['hour', 7, at(3600)],
      ]);
      assert.deepEqual(volume!.rows, [
        ['minute', 1500, at(3600)],
        ['five minutes', 3000, at(3600)],
        ['hour', 3001, at(3600)],
      ]);
    }
  }
});

test('management 6: the three by VirtualMTA and source IP, by date, by hour, and their top bounces', async () => {
  const day = 86_400;
  const rows = [
    { vmta: 'a' },
    { vmta: 'a', type: 'b', at: day },
    { vmta: 'a', ip: '192.0.2.81', at: 3600 },
    { vmta: 'b', type: 'b', rcpt: 'x@y.example' },
  ];
  assert.deepEqual((await tables(['vmta-summary'], rows)).get('Recipients by VirtualMTA and source IP'), [
    ['a', '192.0.2.80', 2, 1, 1, 50],
    ['a', '192.0.2.81', 1, 1, 0, 0],
    ['b', '192.0.2.80', 1, 0, 1, 100],
    ['total', '', 4, 2, 2, 50],
  ]);
  const dated = (await tables(['vmta-summary', '--byDate'], rows)).get(
    'Recipients by VirtualMTA and source IP',
  )!;
  assert.deepEqual(dated.at(-2), ['2031-04-08', 'a', '192.0.2.80', 1, 0, 1, 100]);
  const time = await tables(['vmta-time-breakdown'], rows);
  assert.equal(time.get('By day')!.length, 4);
  const hours = time.get('By hour: a 192.0.2.81 2031-04-07')!;
  assert.equal(hours.length, 24);
  assert.deepEqual(hours[10], ['10:00', 1, 1, 0, 0]);
  assert.equal((await tables(['vmta-time-breakdown', '--noHourly'], rows)).size, 1);
  const top = await tables(['vmta-top-bounce', '--topBounced', '1'], rows);
  assert.deepEqual(top.get('Domains with most bounces: b 192.0.2.80'), [[1, 100, 'y.example']]);
  assert.ok(
    (await tables(['vmta-top-bounce', '--byDate'], rows)).has(
      'Domains with most bounces: 2031-04-08 a 192.0.2.80',
    ),
  );
});

test('management 6: filters keep records whose field begins with the value; --last counts back from now', async () => {
  const rows = [
    { job: 'spring31', at: 0 },
    { job: 'spring32', rcpt: 'a@Y.example', at: 1000, vmta: 'mta-b' },
    { job: 'autumn', at: 5000 },
  ];
  const total = async (...args: string[]) =>
    (await reports([...args, 'message-counts'], rows, START + 5000))[0]?.statistics[0]?.tables[0]
      ?.rows[2]?.[1] ?? 0;
  assert.equal(await total('--jobId', 'spring'), 2);
  assert.equal(await total('--toDomain', 'y.ex'), 1);
  assert.equal(await total('--vmta', 'mta-b'), 1);
  assert.equal(await total('--from', 'news@'), 3);
  assert.equal(await total('--header', 'x-shop', 're'), 3);
  assert.equal(await total('--header', 'x-shop', 'ed'), 0);
  assert.equal(await total('--last', '1h7m'), 2);
  assert.equal(await total('--last', '1d', '--jobId', 'spring32'), 1);
});

test('management 6: a report for each value of one field, at most --splitLimit', async () => {
  const rows = many(6, (i) => ({ job: `job${i % 3}` }));
  const about = async (...args: string[]) =>
    (await reports([...args, 'message-counts'], rows)).map((r) => r.about);
  assert.deepEqual(await about('--byJobId'), ['jobId: job0', 'jobId: job1', 'jobId: job2']);
  assert.deepEqual(await about('--byVmta'), ['vmta: mta-a']);
  assert.deepEqual(await about('--byHeader', 'X-Shop'), ['header_X-Shop: red']);
  assert.deepEqual(await about('--byJobId', '--splitLimit', '1'), ['jobId: (others)', 'jobId: job0']);
  assert.throws(() => readStatsCall(['--byJobId', '--byVmta', '-']), /split by one field only/);
});

test('management 6: envelope ids, users, headers and periods together; files with other columns, and without them', async () => {
  const line = (type: string, at: number, envId: string, user: string, shop: string) =>
    `${type},${START + at},${START + at},n@b.example,ana@mail.example,,,${envId},${user},"${shop}"`;
  const title = 'type,timeLogged,timeQueued,orig,rcpt,dsnDiag,bounceCat,envId,rcvSmtpUser,header_X-Shop';
  const text = [
    title,
    line('d', 0, 'e1', 'kim', 'red, old'),
    line('d', 5000, 'e1', 'kim', 'red, new'),
    line('b', 5000, 'e2', 'lou', '<b>'),
    line('d', 5001, '', 'lou', 'red, new'),
    // A second file of the day, with columns of its own.
    'type,timeLogged,rcpt',
    `d,${START + 5002},ana@mail.example`,
  ].join('\r\n');
  const counts = async (...args: string[]) => {
    const call = ['--json', ...args, 'message-counts', '-'];
    const { out } = await runTool('stats', call, `${text}\r\n`, { now: START + 5002 });
    return (JSON.parse(out) as PlainReport[]).map((report) => [
      report.about,
      report.statistics[0]!.tables[0]!.rows[2]![1],
    ]);
  };
  const split = ['--byEnvId', '--last', '1h'];
  assert.deepEqual(await counts(...split), [
    ['envId: (none)', 2],
    ['envId: e1', 1],
    ['envId: e2', 1],
  ]);
  assert.deepEqual(await counts(...split, '--header', 'X-SHOP', 'red, n'), [
    ['envId: (none)', 1],
    ['envId: e1', 1],
  ]);
  assert.deepEqual(await counts('--byHeader', 'x-shop', '--rcvSmtpUser', 'lou'), [
    ['header_x-shop: <b>', 1],
    ['header_x-shop: red, new', 1],
  ]);
  assert.deepEqual(await counts('--byFrom', '--envId', 'e'), [['orig: n@b.example', 3]]);
  assert.deepEqual(await counts('--header', 'x-none', 'a'), [['', 0]]);
});

test('management 6: reasons lose what differs between recipients', async () => {
  const reason = async (diag: string) => {
    const rows = [{ type: 'b', rcpt: 'Carla@mail.example', category: 'x', diag: `"${diag}"` }];
    return (await tables(['bounce-categories', '--bounceCat', 'all'], rows)).get('x by reason')![0]![2];
  };
  assert.equal(
    await reason('550 <carla@mail.example>: no CARLA here'),
    '550 <RCPT_USER>: no <RCPT_USER> here',
  );
  assert.equal(
    await reason('550 news@b.example wrote to fay@else.example'),
    '550 <ORIG> wrote to <OTHER_USER>',
  );
  assert.equal(
    await reason('554 192.0.2.80 and 203.0.113.5 and 2001:db8::5 at 198.51.100.25, mx.mail.example'),
    '554 <SENDER_IPADDRESS> and <OTHER_IPADDRESS> and <OTHER_IPADDRESS> at <RCPT_SERVER>, <RCPT_SERVER>',
  );
  assert.equal(
    await reason('550 5.7.1 blocked d9443c01a7336-1f0a2si77 - gsmtp facade 12:30'),
    '550 5.7.1 blocked <HEXDUMP> - gsmtp facade 12:30',
  );
});

test('management 6: html is escaped', async () => {
  const rows = [{ type: 'b', category: '<b>', diag: 'smtp;550 <script>&' }];
  const { out } = await runTool(
    'stats',
    ['--output', 'html', 'bounce-categories', '--bounceCat', 'all', '-'],
    csv(rows),
  );
  assert.ok(out.includes('<td>smtp;550 &lt;script&gt;&amp;</td>'), out);
  assert.ok(out.includes('<caption>&lt;b&gt; by reason</caption>'));
  assert.ok(!/<script|<b>/.test(out));
});

test('management 6: wrong lines are named and counted, not with --quiet; wrong usage is told before reading', async () => {
  const broken = `${csv([{}])}d,1\r\n`;
  const { complaints, ok } = await runTool('stats', ['-'], broken);
  assert.ok(ok);
  assert.equal(complaints.length, 2);
  assert.deepEqual((await runTool('stats', ['--quiet', '-'], broken)).complaints, []);
  for (const args of [
    [],
    ['--no-such', '-'],
    ['top-domains', '--topDomains', 'x', '-'],
    ['--last', 'soon', '-'],
    ['message-counts', '--byDate', '-'],
    ['--output', 'pdf', '-'],
  ]) {
    assert.throws(() => readStatsCall(args), UserError);
  }
});
