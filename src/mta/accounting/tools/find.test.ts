import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { generatedOutcomes } from '../../../events/testing.ts';
import { UserError } from '../../../system/user-error.ts';
import { recordTypes } from '../columns.ts';
import { parseCsv } from '../rfc4180.testing.ts';
import { rowsOf } from '../rows.ts';
import { readFindCall } from './find.ts';
import { orderOf, RecordSorter } from './sorted-records.ts';
import { runTool } from './testing.ts';

process.env.TZ = 'Europe/Berlin';

const TITLE = 'type,timeLogged,timeQueued,orig,rcpt,dsnDiag,dlvDestinationIp,dlvSize,jobId,header_X-Shop';
const rows = [
  'd,2031-04-07 09:12:44+0200,2031-04-07 09:12:41+0200,n@b.example,Ana@mail.example,smtp;250 ok,198.51.100.25,900,spring,red',
  'b,2031-04-07 09:13:02+0200,2031-04-07 09:12:41+0200,n@b.example,bo@old.example,"smtp;550 no, ""bo""",203.0.113.9,,spring,',
  't,2031-04-07 09:13:05+0200,2031-04-07 09:12:41+0200,n@b.example,cy@big.example,smtp;452 later,203.0.113.40,,spring,',
  'd,2031-04-07 09:14:00+0200,2031-04-07 09:12:41+0200,,dee@mail.example,smtp;250 <ok> & done,198.51.100.25,12000,autumn,blue',
];
const file = `${[TITLE, ...rows].join('\r\n')}\r\n`;

async function found(...args: string[]): Promise<string[]> {
  const { out, complaints } = await runTool('find', ['--output', 'csv[rcpt]', ...args, '-'], file);
  assert.deepEqual(complaints, []);
  return out.split('\r\n').slice(1, -1);
}

test('management 7: delivered and bounced by default, one class on request; --status and --mta match nothing', async () => {
  assert.deepEqual(await found(), ['Ana@mail.example', 'bo@old.example', 'dee@mail.example']);
  assert.deepEqual(await found('--delivered'), ['Ana@mail.example', 'dee@mail.example']);
  assert.deepEqual(await found('--bounced'), ['bo@old.example']);
  assert.deepEqual(await found('--delivered', '--bounced'), await found());
  assert.deepEqual(await found('--status', '--mta'), []);
  assert.deepEqual(await found('--types', 'transient'), ['cy@big.example']);
  assert.equal((await found('--types=all')).length, 4);
});

test('management 7: --match looks at all fields or those in brackets, in any case; repeated options are AND', async () => {
  assert.deepEqual(await found('--match', 'ANA@'), ['Ana@mail.example']);
  assert.deepEqual(await found('--match', '[rcpt,orig]old'), ['bo@old.example']);
  assert.deepEqual(await found('--match', '[orig]old'), []);
  assert.deepEqual(await found('--match=mail', '--match=autumn'), ['dee@mail.example']);
  assert.deepEqual(await found('--match', '[to]m/^[ab]/'), ['Ana@mail.example', 'bo@old.example']);
  assert.deepEqual(await found('--match', 'm/50 no, "b/'), ['bo@old.example']);
});

test('management 7: shortcuts and aliases of fields, names in any case', async () => {
  assert.deepEqual(await found('--to', 'DEE'), ['dee@mail.example']);
  assert.deepEqual(await found('--from', 'n@b'), ['Ana@mail.example', 'bo@old.example']);
  assert.deepEqual(await found('--JOBID', 'aut'), ['dee@mail.example']);
  assert.deepEqual(await found('--dstIp', '203.0'), ['bo@old.example']);
  assert.deepEqual(await found('--timeDelivered', '09:14'), ['dee@mail.example']);
  assert.deepEqual(await found('--header:x-shop', 'red'), ['Ana@mail.example']);
  const named = await runTool('find', ['--output=csv[to,FROM,header:x-shop,none]', '--to=ana', '-'], file);
  assert.equal(named.out, 'to,FROM,header:x-shop,none\r\nAna@mail.example,n@b.example,red,\r\n');
});

test('management 7: csv is strict, tsv has one line for a record, json one object', async () => {
  const csv = await runTool('find', ['--output', 'csv', '-'], file);
  assert.equal(csv.out, `${[TITLE, rows[0], rows[1], rows[3]].join('\r\n')}\r\n`);
  const odd = 'type,rcpt,__proto__\nd,"a\tb\\\nc",x\n';
  assert.equal(
    (await runTool('find', ['--output', 'tsv', '-'], odd)).out,
    'type\trcpt\t__proto__\nd\ta\\tb\\\\\\nc\tx\n',
  );
  const json = (await runTool('find', ['--output', 'json', '-'], odd)).out;
  assert.equal(json, '{"type":"d","rcpt":"a\\tb\\\\\\nc","__proto__":"x"}\n');
});

test('management 7: html and xml are escaped, also names of columns; control characters cannot break them', async () => {
  const odd = 'type,rcpt,header_<b>&"\nd,"<script>\'&\u0001\ud800x",v\n';
  const html = (await runTool('find', ['--output', 'html', '-'], odd)).out;
  assert.ok(html.includes('<th>rcpt</th><th>header_&lt;b&gt;&amp;&quot;</th>'), html);
  assert.ok(html.includes('<td>&lt;script&gt;&#39;&amp;\ufffd\ufffdx</td>'), html);
  assert.ok(html.endsWith('</tbody>\n</table>\n</body>\n</html>\n'));
  const xml = (await runTool('find', ['--output', 'xml[rcpt,header:a b]', '-'], odd)).out;
  assert.equal(
    xml,
    '<?xml version="1.0" encoding="UTF-8"?>\n<records><record><rcpt>&lt;script&gt;&#39;&amp;\ufffd\ufffdx</rcpt><field name="header:a b"></field></record></records>\n',
  );
  const pretty = (await runTool('find', ['--output', 'prettyxml[to]', '--to', 'dee', '-'], file)).out;
  assert.equal(
    pretty,
    '<?xml version="1.0" encoding="UTF-8"?>\n<records>\n  <record>\n    <to>dee@mail.example</to>\n  </record>\n</records>\n',
  );
});

test('management 7: the standard form has a line for each value that is there, and no control characters', async () => {
  const { out } = await runTool('find', ['--to', 'dee', '-'], file);
  assert.equal(
    out,
    'type: d\ntimeLogged: 2031-04-07 09:14:00+0200\ntimeQueued: 2031-04-07 09:12:41+0200\nrcpt: dee@mail.example\ndsnDiag: smtp;250 <ok> & done\ndlvDestinationIp: 198.51.100.25\ndlvSize: 12000\njobId: autumn\nheader_X-Shop: blue\n\n',
  );
  const terminal = await runTool('find', ['-'], 'type,rcpt\nd,"a\u001b[2J\nrcpt: b"\n');
  assert.equal(terminal.out, 'type: d\nrcpt: a [2J rcpt: b\n\n');
});

test('management 7: --iso-times turns seconds into local time, in winter and summer, and leaves the rest', async () => {
  const seconds =
    'type,timeLogged,timeQueued,dlvSize\nd,1925975564,1933751564,1925975564\nd,2031-01-11 10:00:00+0100,,5\n';
  const { out } = await runTool('find', ['--iso-times', '--output', 'csv', '-'], seconds);
  assert.equal(
    out,
    'type,timeLogged,timeQueued,dlvSize\r\nd,2031-01-12 10:12:44+0100,2031-04-12 11:12:44+0200,1925975564\r\nd,2031-01-11 10:00:00+0100,,5\r\n',
  );
});

test('management 7: --sortBy orders all files together, times and sizes by size, equal ones as they came', async () => {
  assert.deepEqual(await found('--sortBy', 'dlvSize'), [
    'bo@old.example',
    'Ana@mail.example',
    'dee@mail.example',
  ]);
  assert.deepEqual(await found('--sortBy', 'jobId'), [
    'dee@mail.example',
    'Ana@mail.example',
    'bo@old.example',
  ]);
  const mixed =
    'type,timeLogged,rcpt\nd,2031-04-07 09:00:00+0200,b\nd,2031-04-07 07:30:00+0000,c\ntype,rcpt,timeLogged\nb,a,1933300000\n';
  const { out } = await runTool('find', ['--sortBy', 'timeLogged', '--output', 'csv', '-'], mixed);
  assert.equal(
    out,
    'type,timeLogged,rcpt\r\nb,1933300000,a\r\nd,2031-04-07 09:00:00+0200,b\r\nd,2031-04-07 07:30:00+0000,c\r\n',
  );
});

test('management 7: more records than fit in memory are sorted through temporary files, which are removed', async () => {
  const sorter = new RecordSorter(orderOf('dlvsize'), 2000);
  const sizes = Array.from({ length: 500 }, (_, i) => (i * 7919) % 101);
  for (const [i, size] of sizes.entries()) {
    await sorter.add({ key: String(size), columns: ['type', 'n'], values: ['d', `${i}`] });
  }
  const order: [number, number][] = [];
  for await (const { key, values } of sorter.sorted()) order.push([Number(key), Number(values[1])]);
  assert.deepEqual(
    order,
    sizes.map((size, i): [number, number] => [size, i]).sort(([a, i], [b, j]) => a - b || i - j),
  );
  await sorter.close();
});

test('management 7: wrong lines are named and counted, and what is right around them is found', async () => {
  const broken = [
    'd,lost before the title',
    'type,rcpt,dsnDiag',
    'd,a@x,ok',
    'd,b@x',
    'd,"c@x"y,ok',
    '\0\0\0\0',
    'd,d@x,"open',
    'd,e@x,ok',
    'type,dsnDiag,rcpt',
    'd,ok,f@x',
  ].join('\n');
  for (const chunk of [1, 3, 1000]) {
    const { ok, out, complaints } = await runTool('find', ['--output', 'csv[rcpt]', '-'], broken, { chunk });
    assert.ok(ok);
    assert.deepEqual(out.split('\r\n').slice(1, -1), ['a@x', 'e@x', 'f@x']);
    assert.deepEqual(
      complaints.map((c) => c.split('; ')[0]),
      [
        'standard input:1: no title line, which begins with "type"',
        'standard input:4: 2 values, but the title names 3',
        'standard input:5: text behind a closing quote',
        'standard input:6: 1 values, but the title names 3',
        'standard input:7: a quote is not closed',
        '5 wrong lines were left out',
      ],
    );
  }
});

test('management 7: a line without end is left out, and the lines after it are read', async () => {
  const long = `type,rcpt\nd,${'x'.repeat(3_000_000)}\nd,a@x\nd,"${'y'.repeat(3_000_000)}\nd,b@x\n`;
  const { out, complaints } = await runTool('find', ['--output', 'csv[rcpt]', '-'], long);
  assert.equal(out, 'rcpt\r\na@x\r\nb@x\r\n');
  assert.equal(complaints.length, 3);
});

test('management 7: several files, compressed ones too; one that cannot be read does not keep the others back', async (t) => {
  const dir = await mkdtemp(path.join(tmpdir(), 'acct-find-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const name = (n: string) => path.join(dir, n);
  await writeFile(name('a.csv'), file);
  await writeFile(name('b.csv.gz'), gzipSync(file.replaceAll('spring', 'winter')));
  await writeFile(name('cut.gz'), gzipSync(file).subarray(0, 60));
  const files = [name('none.csv'), name('cut.gz'), dir, name('a.csv'), '-', name('b.csv.gz')];
  const { ok, out, complaints } = await runTool(
    'find',
    ['--to', 'bo@', '--output', 'csv[jobId]', ...files],
    file,
  );
  assert.equal(ok, false);
  assert.equal(out, 'jobId\r\nspring\r\nspring\r\nwinter\r\n');
  assert.deepEqual(
    complaints.map((c) => c.split(' cannot be read')[0]),
    [`${name('none.csv')}:`, `${name('cut.gz')}:`, `${dir}:`],
  );
});

test('management 7: wrong usage is told: no file, unknown options, formats, types, and regexes without bound', () => {
  for (const [args, says] of [
    [['--to', 'x'], /name an accounting file/],
    [['--no-such', 'x', '-'], /no option --no-such/],
    [['--output', 'custom', '-'], /the formats are standard, csv/],
    [['--types', 'p', '-'], /the types are d, b/],
    [['--match', 'm/(/', '-'], /m\/\(\//],
    [['--match', 'm/(?=x)(a*)*b/', '-'], /without end/],
    [['-', '--match'], /--match needs a value/],
  ] as const) {
    assert.throws(
      () => readFindCall(args),
      (error) => error instanceof UserError && says.test(error.message),
    );
  }
});

test('management 7: what the accounting writes is found again whole, whatever is in it', async () => {
  const options = rowsOf({ records: recordTypes, recordFields: new Map() });
  const written = generatedOutcomes(500, 7)
    .map((o) => options.row(o))
    .filter((row) => row !== null);
  const text = `${[options.title, ...written].join('\r\n')}\r\n`.toWellFormed();
  for (const chunk of [7, 4096]) {
    const { out, complaints } = await runTool('find', ['--types', 'all', '--output', 'csv', '-'], text, {
      chunk,
    });
    assert.deepEqual(complaints, []);
    assert.ok(out === text);
  }
  assert.equal(parseCsv(text).length, written.length + 1);
});
