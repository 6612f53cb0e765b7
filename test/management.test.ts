// The management interface end to end: the real server, the real pmta, and what survives a kill.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import nodemailer from 'nodemailer';
import { COMMANDS } from '../src/mta/monitor/commands.ts';
import { type Demo, startDemo } from './demo.ts';
import { type Finished, Program, root, until } from './program.ts';

let demo: Demo;
let mta: Program;
let file: string;
before(async () => {
  demo = await startDemo({ sink: true });
  mta = demo.mta;
  file = path.join(demo.dataDir, 'pmta.conf');
  // The demonstration gives up after a minute; here mail is to wait.
  const patient = readFileSync(file, 'utf8')
    .replace('bounce-after 60s', 'bounce-after 1d')
    .replace(/retry-recipients-after \S+/, 'retry-recipients-after 1h');
  writeFileSync(file, patient);
  assert.equal(await done('reload'), 'Configuration reloaded.\n');
});
after(async () => {
  await mta.stop();
  await demo.stop();
});

/** `pmta` as an operator calls it. */
async function pmta(...args: string[]): Promise<Finished> {
  const child = spawn(process.execPath, [path.join(root, 'bin/pmta.js'), '--config', file, ...args]);
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text) => {
    stderr += text;
  });
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { code, stdout, stderr };
}

/** Its output when it did what it was told. */
async function done(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await pmta(...args);
  assert.equal(code, 0, `pmta ${args.join(' ')}: ${stdout}${stderr}`);
  return stdout;
}

async function send(to: string, headers: Record<string, string> = {}): Promise<void> {
  const transport = nodemailer.createTransport({
    host: '127.0.0.1',
    port: demo.ports.submission,
    requireTLS: true,
    tls: { rejectUnauthorized: false },
    auth: { user: 'demo', pass: demo.secrets.password },
  });
  const own = { 'X-Virtual-MTA': 'vmta1', ...headers };
  const raw = `${Object.entries(own)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('')}From: a@brand.test\r\nTo: ${to}\r\n\r\ntext\r\n`;
  await transport.sendMail({ envelope: { from: 'a@brand.test', to }, raw });
  transport.close();
}

const ask = (page: string, init: RequestInit = {}) =>
  fetch(`http://127.0.0.1:${demo.ports.management}${page}`, init);

/** Decoded, it has markup, quotes, a line break and what would speak to a terminal. */
const NASTY = '=?utf-8?Q?<b>=22x=22=0Aqueue[0].name=3D&_=1B[2J?=';

test('paused queues and jobs stay paused over a SIGKILL, and their mail waits', async () => {
  assert.equal(await done('pause', 'queue', 'held.sink.test/vmta1'), 'Queue(s) paused.\n');
  assert.equal(await done('pause', 'job', 'spring'), 'paused job.\n');
  await send('ana@held.sink.test', { Subject: NASTY });
  await send('bo@held.sink.test', { 'X-Job': 'autumn' });
  await send('cy@jobs.sink.test', { 'X-Job': 'spring' });
  mta.process.kill('SIGKILL');
  await mta.finished;
  mta = new Program(['mta', '--config', file]);
  await mta.says('listens on');
  await until(async () => /^vmta1 +2 +3 /m.test(await done('show', 'vmtas')));
  assert.match(await done('sh', 'que', '--paused=yes'), /^held\.sink\.test\/vmta1 +2 .* P\b/m);
  assert.match(await done('explain', 'held.sink.test/vmta1'), /paused/);
  assert.match(await done('explain', 'spring'), /jobs\.sink\.test(?:.*\n)*.*paused/);
  assert.match(await done('explain', 'queue', 'held.sink.test/vmta1'), /paused/);
  assert.match(await done('explain', 'job', 'spring'), /jobs\.sink\.test(?:.*\n)*.*paused/);
  assert.match((await pmta('explain', 'dance', 'spring')).stderr, /explain needs one of/);
  assert.match(await done('--json', 'show', 'jobs'), /"name":"spring",.*"paused":true/);
});

test('list, set priority and delete find recipients by what they are', async () => {
  const one = await done('list', '--rcpt=BO@held.sink.test', '--priority');
  assert.match(one, /^held\.sink\.test\/vmta1 \S+ bo@held\.sink\.test \d{4}-\d\d-\d\d \d\d:\d\d:\d\d 50\n$/);
  assert.equal(
    await done('set', 'priority', '--rcpt=bo@held.sink.test', '80'),
    'Priority of 1 recipient(s) set to 80.\n',
  );
  for (const none of ['0', '101', '1.5', 'high']) {
    assert.match(
      (await pmta('set', 'priority', '--jobId=autumn', none)).stderr,
      /a whole number from 1 to 100/,
    );
  }
  assert.match(await done('--dom', 'list', '--jobId=autumn'), /\nmsg\[0\]\.priority="80"\n/);
  const bare = await pmta('delete', '--rcpt=bo@held.sink.test');
  assert.equal(bare.code, 1);
  assert.match(bare.stderr, /delete needs --queue or --jobId/);
  const dom = await pmta('--dom', 'delete');
  assert.deepEqual([dom.stdout, dom.stderr], ['', bare.stderr], 'DOM has no place for failures');
  assert.equal(await done('delete', '--queue=held.sink.test', '--jobId=autumn'), '1 recipient(s) deleted.\n');
  assert.equal(await done('list', '--jobId=autumn'), '');
});

test('international names are shown to people as they write them, and may be given so', async () => {
  assert.equal(await done('pause', 'queue', 'bücher.sink.test'), 'Queue(s) paused.\n');
  await send('eva@xn--bcher-kva.sink.test');
  assert.match(
    await done('list', '--rcpt=eva@bücher.sink.test'),
    /^bücher\.sink\.test\/vmta1 \S+ eva@bücher\.sink\.test /,
  );
  assert.match(await done('--dom', 'show', 'queues', '[*.]bücher.sink.test'), /^queue\[0\]\.name="bücher\./);
  assert.match(await done('show', 'domains', 'xn--bcher-kva.sink.test'), /^ +bücher\.sink\.test +1 /m);
  assert.match(await done('inspect', 'bücher.sink.test/vmta1'), /^bücher\.sink\.test\/vmta1 +1 .* P\b/m);
  assert.equal(
    await done('delete', '--queue=bücher.sink.test', '--rcpt=eva@bücher.sink.test'),
    '1 recipient(s) deleted.\n',
  );
  assert.equal(await done('resume', 'queue', 'bücher.sink.test'), 'Queue(s) resumed.\n');
});

test('what senders write is escaped in every format', async () => {
  const xml = await done('--xml', 'list', '--queue=held.sink.test');
  assert.match(xml, /<header_subject>&lt;b&gt;&quot;x&quot;/);
  assert.equal(xml.trimEnd().split('\n').length, 1, xml);
  const dom = await done('--dom', 'list', '--queue=held.sink.test');
  for (const line of dom.trimEnd().split('\n')) assert.match(line, /^msg\[\d+\]\.\w+="(?:[^"\\]|\\["\\])*"$/);
  const { data } = JSON.parse(await done('--json', 'list', '--queue=held.sink.test'));
  assert.match(data.msgs[0].header_subject, /^<b>"x"/);
  for (const format of ['xml', 'dom', 'text']) {
    const text = await (await ask(`/listqueue?queue=held.sink.test&format=${format}`)).text();
    assert.ok(!text.includes('\u001b'), format);
  }
});

test('every list in every format has its envelope', async () => {
  for (const what of [
    'status',
    'queues',
    'domains',
    'vmtas',
    'jobs',
    'topqueues',
    'topdomains',
    'version',
    'license',
    'counters',
    'precache',
    'disabled sources',
    'settings held.sink.test/vmta1',
    'summary',
  ]) {
    const words = ['show', ...what.split(' ')];
    const shown = async (format: string) =>
      await (await ask(`/pmta?command=${encodeURIComponent(words.join(' '))}&format=${format}`)).text();
    assert.ok((await shown('text')).length > 0, what);
    assert.match(await shown('xml'), /^<rsp><data>.*<\/data><succ\/><\/rsp>\n$/, what);
    assert.equal(JSON.parse(await shown('json')).status, 'success', what);
    for (const line of (await shown('dom')).split('\n').slice(0, -1)) {
      assert.match(line, /^[\w.[\]{}*/-]+=".*"$/, what);
    }
  }
});

test('programs that read pmta’s output find what they look for', async () => {
  // Cuts the title and footer lines off, and takes the third word for the recipients.
  const rows = (await done('show', 'vmtas')).trimEnd().split('\n').slice(2, -2);
  assert.deepEqual(
    rows.map((row) => row.split(/\s+/)[2]),
    ['2'],
  );
  // Matches each DOM line by its path, the quotes around the value aside.
  const queues = new Map<string, string>();
  for (const line of (await done('--dom', 'show', 'queues', '--no-rcpt-events')).split('\n')) {
    const match = /^queue\[(\d+)\]\.([a-z]+)="(.*)"$/i.exec(line);
    if (match) queues.set(`${match[1]} ${match[2]!.toLowerCase()}`, match[3]!);
  }
  const held = [...queues].find(([, value]) => value === 'held.sink.test/vmta1')![0].split(' ')[0];
  assert.equal(queues.get(`${held} rcp`), '1');
  assert.equal(queues.get(`${held} paused`), '1');
  assert.equal(queues.get(`${held} mode`), 'normal');
  // Splits at the first "=" and strips the quotes.
  const status = new Map(
    (await done('--dom', 'show', 'status'))
      .trimEnd()
      .split('\n')
      .map((line) => {
        const at = line.indexOf('=');
        return [line.slice(0, at), line.slice(at + 1).replace(/^"|"$/g, '')];
      }),
  );
  assert.equal(status.get('status.queue.smtp.rcp'), '2');
  assert.equal(status.get('status.spool.initPct'), '100');
  assert.equal(status.get('status.status'), 'running');
});

test('trace tells one connection line by line; explain names the file and line of what holds the mail', async () => {
  await send('waits@defer.sink.test', { 'X-Job': 'slow' });
  const inQueue = async () =>
    JSON.parse(await done('--json', 'show', 'queues', 'defer.sink.test')).data.queues;
  await until(async () => (await inQueue())[0]?.conn === 0);
  await until(async () => /retry-recipients-after.*pmta\.conf:\d+/.test(await done('explain', 'slow')));
  const { data } = JSON.parse(await done('--json', 'list', '--jobId=slow'));
  const id = data.msgs[0].file.split('/')[0];
  assert.match(
    await done('explain', id),
    /^waits@defer\.sink\.test in defer\.sink\.test\/vmta1(?:.*\n)*.*pmta\.conf:\d+/,
  );
  const time = String.raw`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d`;
  const trace = await done('trace', '--retry-recipients', 'defer.sink.test/vmta1');
  for (const line of [
    'starting defer\\.sink\\.test/vmta1',
    'connecting from \\S+ \\(127\\.0\\.0\\.11\\) to \\S+ \\([\\d.]+\\)',
    'connected from 127\\.0\\.0\\.11:\\d+',
    '>>> 220 .*',
    '<<< EHLO mta1\\.demo\\.test',
    '<<< RCPT TO:<waits@defer\\.sink\\.test>.*',
    '>>> 4\\d\\d .*',
    'closed \\S+ \\([\\d.]+\\) in=\\d+ out=\\d+',
    'done defer\\.sink\\.test/vmta1',
  ]) {
    assert.match(trace, new RegExp(`^${time} ${line}$`, 'm'));
  }
  assert.ok(trace.indexOf('connected from') < trace.indexOf('>>> 220'));
  assert.match(
    await done('trace', '--logdata', '--retry-recipients', 'defer.sink.test'),
    /^.{19} <<< wr \d+\n.{19} [0-9A-F ]{32} /m,
  );
  const none = await pmta('trace', 'gone.test/vmta1');
  assert.deepEqual([none.code, none.stderr], [1, 'no queue with mail matches "gone.test/vmta1"\n']);
});

test('modes, sources and resuming', async () => {
  assert.equal(
    await done('set', 'queue', '--mode=backoff', 'held.sink.test'),
    '1 queue(s) set to backoff mode.\n',
  );
  assert.match(
    await done('show', 'queues', '--mode-events', '--mode=backoff'),
    /\nMode Events\n-{11}\n.{19} \| backoff \| pmta set queue\n/,
  );
  assert.match(
    await done('disable', 'source', '--reenable-after=1h', '127.0.0.11', 'held.sink.test/vmta1'),
    /disabled for 1/,
  );
  assert.match(await done('show', 'disabled', 'sources'), /^127\.0\.0\.11 held\.sink\.test\/vmta1 until /);
  assert.match(await done('enable', 'source', '127.0.0.11', 'held.sink.test/vmta1'), /enabled for 1/);
  assert.equal(await done('show', 'disabled', 'sources'), 'No source is disabled.\n');
  assert.equal(await done('schedule', 'held.sink.test'), '1 of 1 matching queues scheduled.\n');
  assert.equal(await done('resume', 'queue', 'held.sink.test/vmta1'), 'Queue(s) resumed.\n');
  assert.equal(await done('resume', 'job', 'spring'), 'resumed job.\n');
  assert.match(await done('show', 'queues', '--paused=yes'), /\n0 of 0 matching queues\.\n$/);
});

test('rotating, clearing, resetting', async () => {
  assert.equal(await done('rotate', 'log'), 'Logging file rotated.\n');
  assert.ok(existsSync(path.join(demo.dataDir, 'mta/pmta.log.1')));
  const accounting = path.join(demo.dataDir, 'mta/accounting');
  const before = readdirSync(accounting).length;
  assert.equal(await done('rotate', 'acct'), 'Accounting file rotated.\n');
  await send('x@gmail.sink.test');
  await until(() => readdirSync(accounting).length > before);
  assert.equal((await pmta('rotate', 'acct', '/nowhere.csv')).code, 1);
  assert.equal(await done('clear', 'dns', 'Sink.test'), 'Cleared Sink.test from DNS cache.\n');
  assert.equal(await done('clear', 'dnscache', '*'), 'DNS cache cleared.\n');
  assert.equal(await done('reset', 'count'), 'Traffic counters reset.\n');
  const listed = (await (await ask('/logs')).json()) as { data: { log: { files: { name: string }[] } } };
  const names = listed.data.log.files.map(({ name }) => name);
  assert.ok(names.includes('pmta.log') && names.includes('pmta.log.1'), names.join());
  assert.match(await (await ask('/getFile?file=pmta.log.1')).text(), /running/);
  for (const evil of [
    '../pmta.conf',
    '/etc/passwd',
    'pmta.log/../tls.pem',
    '..%2Fpmta.conf',
    'tls.pem',
    '',
  ]) {
    assert.equal((await ask(`/getFile?file=${encodeURIComponent(evil)}`)).status, 404, evil);
  }
  assert.match(
    await (await ask('/getlocalips?format=xml')).text(),
    /^<rsp><localIps><ip>.*<ip>127\.0\.0\.1<\/ip>.*<\/localIps><succ\/><\/rsp>\n$|^<rsp><localIps><ip>127/,
  );
});

test('wrong usage ends with 2, what cannot be done with 1, in the form that was asked for', async () => {
  for (const [code, ...args] of [
    [2, 'dance'],
    [2, 'show'],
    [2, 'pause', 'queue'],
    [2, 'list', '--dance'],
    [2, 'completion', 'fish'],
    [1, 'delete', '--rcpt=x@a.test'],
    [1, 'show', 'queues', '--sort=colour'],
    [1, 'check', 'pra', 'x'],
  ] as const) {
    const { code: found, stdout, stderr } = await pmta(...args);
    assert.equal(found, code, `${args.join(' ')}: ${stdout}${stderr}`);
    assert.equal(stdout, '');
    assert.ok(stderr.length > 0);
  }
  assert.equal(
    (await pmta('--json', 'dance')).stdout,
    '{"data":{},"status":"fail","message":"Unknown command."}\n',
  );
  assert.equal((await pmta('--xml', 'dance')).stdout, '<rsp><fail>Unknown command.</fail></rsp>\n');
  assert.match(
    await done('--json', 'test', 'config'),
    /^\{"data":"","status":"success","message":"(?:.*\\n)?Configuration is valid\."\}\n$/,
  );
  assert.match(await done('completion', 'bash'), /'show'\) words='[^']*\bqueues\b/);
  assert.match(await done('digest', '--hmac-sha256', '--key=k', 'x'), /^Result: [0-9A-F]{64}\n$/);
});

test('nothing that changes anything is done by GET, or by a form without key or token', async () => {
  const changing = COMMANDS.filter(({ level }) => level === 'admin');
  assert.ok(changing.length >= 15);
  for (const {
    words,
    arguments: [least],
  } of changing) {
    const command = [...words, ...Array.from({ length: least }, () => 'a.test')].join(' ');
    assert.equal((await ask(`/command?command=${encodeURIComponent(command)}`)).status, 403, command);
    const body = new URLSearchParams({ command });
    assert.equal((await ask('/command', { method: 'POST', body })).status, 403, command);
  }
});

test('a reader that has enough of the answer ends pmta quietly', async () => {
  const child = spawn(process.execPath, [
    ...[path.join(root, 'bin/pmta.js'), '--config', file],
    ...['--watch=0.2', 'show', 'status'],
  ]);
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text) => {
    stderr += text;
  });
  child.stdout.once('data', () => child.stdout.destroy());
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  assert.deepEqual([code, stderr], [0, '']);
});

test('Prometheus finds its figures', async () => {
  const answer = await ask('/metrics');
  assert.equal(answer.headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8');
  const text = await answer.text();
  for (const line of text.trimEnd().split('\n')) {
    assert.match(line, /^(?:# (?:HELP|TYPE) \w+ .*|\w+(?:\{\w+="[^"]*"(?:,\w+="[^"]*")*\})? [\d.e+-]+)$/);
  }
  assert.match(text, /^posthorn_vmta_outcomes_total\{vmta="vmta1",outcome="deferred"\} [1-9]/m);
  assert.match(text, /^posthorn_domain_outcomes_total\{domain="other",outcome="delivered"\} 0$/m);
});
