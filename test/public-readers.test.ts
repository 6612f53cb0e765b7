// The five kinds of program that people read PowerMTA's output with, by their parsing rules, over what a running server
// prints and writes, while senders and hosts say what would mislead them.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { connectSmtp, createSmtpServer, reply, smtpServerOptions } from '../src/smtp/index.ts';
import { systemClock } from '../src/system/clock.ts';
import { silentLog } from '../src/system/log.ts';
import { freePorts, Program, root, temporaryFolder, until } from './program.ts';

/** A job that would end a field, an element, a quoted value and a line, and would start a formula. */
const HOSTILE_JOB = '=a,"b"<c>&\'d\';e';
const REPLY = 'no "such" user, <really> & &amp; queue[0].name="x" type,d';

let dir: string;
let file: string;
let management: number;
let program: Program;
let stop: () => Promise<void>;

before(async () => {
  dir = temporaryFolder();
  for (const name of ['spool', 'acct', 'state']) mkdirSync(path.join(dir, name));
  const host = createSmtpServer(
    () => ({
      options: smtpServerOptions({ hostName: 'host.test' }),
      handlers: {
        onRcpt: ({ address }) => {
          if (address.includes('gone')) return reply(550, '5.1.1', REPLY);
          return address.includes('slow') ? reply(452, '4.2.2', REPLY) : null;
        },
        onMessage: async () => null,
      },
    }),
    { clock: systemClock, log: silentLog },
  );
  const hostPort = await host.listen('127.0.0.1', 0, 'the host of the test');
  const port = await freePorts(2);
  management = port + 1;
  file = path.join(dir, 'config');
  writeFileSync(
    file,
    `host-name mx.test
    log-file ${dir}/log
    state-dir ${dir}/state
    http-mgmt-port ${management}
    http-redirect-to-https no
    http-access 127.0.0.1 monitor
    smtp-listener 127.0.0.1:${port}
    <spool ${dir}/spool>
    </spool>
    <source 127.0.0.1>
      always-allow-relaying yes
      process-x-job yes
    </source>
    <domain *>
      smtp-hosts [127.0.0.1]:${hostPort}
      use-starttls no
      retry-after 1h
      retry-recipients-after 1h
    </domain>
    <acct-file ${dir}/acct/acct.csv>
      records d, b, t
      record-fields d *, header_subject
    </acct-file>
    <acct-file "|cat >> ${dir}/piped">
      records b, d
    </acct-file>`,
  );
  program = new Program(['mta', '--config', file]);
  await program.says('listens on');
  const connected = await connectSmtp({ host: '127.0.0.1', port, heloName: 'client.test' });
  assert.ok(connected.ok);
  for (const to of ['kim@a.test', 'gone@a.test', 'slow@a.test', '"gone,x"@b.test', 'slow@b.test']) {
    const content = `X-Job: ${HOSTILE_JOB}\r\nSubject: ="1",<2>\r\n\r\nx\r\n`;
    const sent = await connected.client.send({
      from: 's@brand.test',
      recipients: [{ address: to }],
      content: Buffer.from(content),
    });
    assert.equal(sent.data?.code, 250);
  }
  await connected.client.quit();
  stop = async () => {
    await program.stop();
    await host.close(0);
  };
  // Two bounces become reports to their sender, which are delivered.
  await until(async () => accounting().filter(({ type }) => type !== 't').length === 5);
  await until(async () => accounting().filter(({ type }) => type === 't').length === 2);
});
after(() => stop());

async function pmta(...args: string[]): Promise<string> {
  const child = spawn(process.execPath, [path.join(root, 'bin/pmta.js'), '--config', file, ...args]);
  let stdout = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    stdout += text;
  });
  assert.equal(await new Promise((resolve) => child.once('close', resolve)), 0, args.join(' '));
  return stdout;
}

const page = async (of: string) => (await fetch(`http://127.0.0.1:${management}${of}`)).text();

/** A line as PHP's str_getcsv and Python's csv read it. */
function values(line: string): string[] {
  return [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)].map(
    ([, quoted, plain]) => quoted?.replaceAll('""', '"') ?? plain ?? '',
  );
}

function accounting(): Record<string, string>[] {
  const rows: Record<string, string>[] = [];
  for (const name of readdirSync(path.join(dir, 'acct')).filter((n) => /^acct-(\d{4}-\d{2}-\d{2})/.test(n))) {
    const [title, ...lines] = readFileSync(path.join(dir, 'acct', name), 'utf8')
      .split('\r\n')
      .slice(0, -1);
    // Opened, and not written yet.
    if (title === undefined) continue;
    const columns = values(title);
    for (const line of lines) {
      const row = values(line);
      assert.equal(row.length, columns.length, line);
      rows.push(Object.fromEntries(columns.map((column, i) => [column, row[i]!])));
    }
  }
  return rows;
}

/** What XPath finds below `data`, by a program that is not ours. */
function xpaths(xml: string, items: readonly string[]): string[] {
  const script = `
import json, sys, xml.etree.ElementTree as tree
root = tree.fromstring(sys.stdin.buffer.read())
json.dump([root.findtext('./data/' + item) for item in sys.argv[1:]], sys.stdout)`;
  const done = spawnSync('python3', ['-c', script, ...items], { input: xml, encoding: 'utf8' });
  assert.equal(done.status, 0, done.stderr);
  return JSON.parse(done.stdout);
}

const python = spawnSync('python3', ['--version']).status === 0;

test('Zabbix: items by XPath over the XML of show status and show jobs, discovery over the text of show vmtas', async (t) => {
  if (python) {
    const items = [
      'status/traffic/total/in/rcp',
      'status/traffic/total/out/rcp',
      'status/queue/smtp/rcp',
      'status/status',
      'status/spool/files/inUse',
      'status/conn/smtpOut/max',
    ];
    for (const xml of [await page('/status?format=xml'), await pmta('--xml', 'show', 'status')]) {
      const found = xpaths(xml, items);
      assert.deepEqual(found.slice(0, 4), ['5', '3', '2', 'running']);
      for (const figure of found.slice(4)) assert.match(figure, /^\d+$/);
    }
    const { jobs } = JSON.parse(await page('/jobs?format=json')).data;
    assert.deepEqual(xpaths(await pmta('--xml', 'show', 'jobs'), ['job/name', 'job/rcp']), [
      jobs[0].name,
      '2',
    ]);
  } else t.diagnostic('SKIPPED: there is no python3 to look up XPaths with');
  const rows = (await pmta('show', 'vmtas')).trimEnd().split('\n').slice(2, -2);
  assert.deepEqual(
    rows.map((row) => row.trim().split(/\s+/).slice(0, 3)),
    [['{default}', '2', '2']],
  );
  // Keys of an item are looked up with jq as well.
  const { data, status } = JSON.parse(await page('/vmtas?format=json'));
  assert.equal(status, 'success');
  assert.equal(data.vmtas[0].rcp, 2);
});

test('Munin: one figure a line of the DOM, split at the first equals sign, quotes stripped', async () => {
  const figures = new Map(
    (await pmta('--dom', 'show', 'status'))
      .trimEnd()
      .split('\n')
      .map((line) => /^([^=]+)=(.*)$/.exec(line)!)
      .map(([, key, value]) => [key!, value!.replace(/^"|"$/g, '')]),
  );
  assert.equal(figures.get('status.traffic.total.in.rcp'), '5');
  assert.equal(figures.get('status.queue.smtp.rcp'), '2');
  assert.match(figures.get('status.traffic.lastMin.out.kb')!, /^\d+\.\d$/);
  assert.match(figures.get('status.conn.smtpOut.cur')!, /^\d+$/);
  // Its version graph finds the number behind "v".
  assert.match(await pmta('show', 'version'), / v\d+\.\d+/);
});

test('collectd: domains, queues and jobs of the DOM, two levels, no line that a value could start', async () => {
  const shown = await pmta('--dom', 'show', 'queues', '--errors', '--no-rcpt-events');
  const found = new Map<string, string>();
  for (const line of shown.trimEnd().split('\n')) {
    const match = /^queue\[(\d+)\](?:\.[a-zA-Z]+\[(\d+)\])?\.([a-zA-Z]+)="([^"]*)/.exec(line);
    assert.ok(match, line);
    if (match[2] === undefined) found.set(`${match[1]} ${match[3]!.toLowerCase()}`, match[4]!);
  }
  assert.deepEqual([0, 1].map((n) => `${found.get(`${n} name`)} ${found.get(`${n} rcp`)}`).sort(), [
    'a.test/{default} 1',
    'b.test/{default} 1',
  ]);
  const jobs = JSON.parse(await pmta('--json', 'show', 'jobs')).data.jobs as { name: string; rcp: number }[];
  assert.equal(
    jobs.reduce((sum, { rcp }) => sum + rcp, 0),
    2,
  );
  const named = (await pmta('--dom', 'show', 'jobs'))
    .split('\n')
    .filter((line) => /^job\[\d+\]\.name=/.test(line));
  assert.equal(named.length, jobs.length, 'a name cannot make a line of its own');
  const unquoted = named[0]!.slice(named[0]!.indexOf('=') + 2, -1).replace(/\\(["\\])/g, '$1');
  assert.equal(unquoted, jobs[0]!.name);
});

test('Fluentd: tails the dated file, the first line names the columns, one record a line', () => {
  const rows = accounting();
  assert.deepEqual(rows.map(({ type, rcpt }) => `${type} ${rcpt}`).sort(), [
    'b "gone,x"@b.test',
    'b gone@a.test',
    'd kim@a.test',
    'd s@brand.test',
    'd s@brand.test',
    't slow@a.test',
    't slow@b.test',
  ]);
  for (const row of rows) {
    assert.match(row.timeLogged!, /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d{4}$/);
    if (row.rcpt !== 's@brand.test') assert.notEqual(row.jobId, '');
  }
  assert.equal(rows.find(({ rcpt }) => rcpt === 'kim@a.test')!.header_subject, '="1",<2>');
});

test('a bounce handler behind a pipe: titles anywhere, columns by name, hard by dsnStatus and bounceCat', async () => {
  const lines = () => readFileSync(path.join(dir, 'piped'), 'utf8').split(/\r?\n/);
  await until(() => lines().length > 5);
  let title: string[] = [];
  const removed: string[] = [];
  for (const line of lines().filter((text) => text !== '')) {
    const row = values(line);
    if (row[0] === 'type') {
      title = row;
      continue;
    }
    const of = (column: string) => row[title.indexOf(column)]!;
    if (of('type') !== 'b') continue;
    assert.match(of('dsnStatus'), /^5\.1\.1 \(bad destination mailbox address\)$/);
    assert.equal(of('dsnDiag'), `smtp;550 5.1.1 ${REPLY}`);
    if (/^(?:bad-mailbox|bad-domain)$/.test(of('bounceCat'))) removed.push(of('rcpt'));
  }
  assert.deepEqual(removed.sort(), ['"gone,x"@b.test', 'gone@a.test']);
});
