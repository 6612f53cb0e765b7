// Reloading the configuration while mail flows: what changes at once, what waits for a restart, and that nothing is lost.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import path from 'node:path';
import { after, before, test } from 'node:test';
import nodemailer from 'nodemailer';
import { csvRows } from '../src/up/csv-rows.ts';
import { type Demo, startDemo } from './demo.ts';
import { Program, root, until } from './program.ts';

let demo: Demo;
let file: string;
let original: string;
before(async () => {
  demo = await startDemo({ sink: true });
  file = path.join(demo.dataDir, 'pmta.conf');
  original = readFileSync(file, 'utf8');
});
after(() => demo.stop());

/** `pmta` as an operator calls it. */
async function pmta(...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [path.join(root, 'bin/pmta.js'), '--config', file, ...args]);
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (text) => {
    stdout += text;
  });
  child.stderr.on('data', (text) => {
    stderr += text;
  });
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { code, stdout, stderr };
}

function change(edit: (text: string) => string): void {
  writeFileSync(file, edit(original));
}

function greets(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.once('data', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

async function records(of: Demo = demo): Promise<ReadonlyMap<string, string>[]> {
  const dir = path.join(of.dataDir, 'mta/accounting');
  const rows: ReadonlyMap<string, string>[] = [];
  for (const name of readdirSync(dir)
    .filter((n) => n.endsWith('.csv'))
    .sort()) {
    for await (const row of csvRows(path.join(dir, name))) rows.push(row);
  }
  return rows;
}

/** What a page of ours sends with a change: the token that a reading answer gave it. */
async function mayChange(of: Demo): Promise<Record<string, string>> {
  const page = await fetch(`http://127.0.0.1:${of.ports.management}/status`);
  await page.text();
  return {
    Cookie: page.headers.get('set-cookie')!.split(';')[0]!,
    'X-CSRF-Token': page.headers.get('x-csrf-token')!,
  };
}

async function counters(): Promise<{ queued: number; backlog: { outcomes: number } }> {
  const answer = await fetch(`http://127.0.0.1:${demo.ports.management}/counters`);
  return ((await answer.json()) as { data: { queued: number; backlog: { outcomes: number } } }).data;
}

test('C14.3: success prints "Configuration reloaded." and new settings hold at once', async () => {
  change((text) => text.replace('max-smtp-out 10', 'max-smtp-out 7'));
  const { code, stdout } = await pmta('reload');
  assert.equal(code, 0, stdout);
  assert.match(stdout, /^Configuration reloaded\./);
  const settings = await pmta('show', 'settings', 'gmail.sink.test/vmta1');
  assert.match(settings.stdout, /^max-smtp-out 7$/m);
  assert.match(settings.stdout, /^Queue Settings\n-+\ntype smtp$/m);
});

test('C14.2: a broken file changes nothing and says why, with its line', async () => {
  change((text) => `${text}\nno-such-directive 1\n`);
  const { code, stderr } = await pmta('reload');
  assert.equal(code, 1);
  assert.match(stderr, new RegExp(`line ${original.split('\n').length + 1} of ${file}`));
  assert.match((await pmta('show', 'settings', 'a.sink.test/vmta1')).stdout, /^max-smtp-out 7$/m);
  change((text) =>
    text.replace(/domain-key posthorn, shop.test, .*/, 'domain-key posthorn, shop.test, /nonexistent'),
  );
  const missing = await pmta('reload');
  assert.equal(missing.code, 1);
  assert.match(missing.stderr, /\/nonexistent/);
  assert.ok(await greets(demo.ports.submission));
});

test('a listener that is added answers, one that is taken away does not, the others stay', async () => {
  const extra = demo.ports.signals;
  change((text) => `${text}\nsmtp-listener 127.0.0.1:${extra} source=world\n`);
  assert.equal((await pmta('reload')).code, 0);
  assert.ok(await greets(extra));
  change((text) => text);
  assert.equal((await pmta('reload')).code, 0);
  await until(async () => !(await greets(extra)));
  assert.ok(await greets(demo.ports.submission));
});

test('what needs a restart is said, and does not change', async () => {
  change((text) => text.replace(/^http-mgmt-port .*/m, 'http-mgmt-port 1'));
  // The command asks the port that the file names, so it is told the old one.
  const old = path.join(demo.dataDir, 'old.conf');
  writeFileSync(old, original);
  const done = spawnSync(process.execPath, [path.join(root, 'bin/pmta.js'), '--config', old, 'reload'], {
    encoding: 'utf8',
  });
  assert.equal(done.status, 0, done.stderr);
  assert.match(done.stdout, /http-mgmt-port .* takes effect after a restart/);
  change((text) => text);
});

test('C15.2: mail queued for a VMTA that is removed bounces with 5.3.5', async () => {
  const transport = nodemailer.createTransport({
    host: '127.0.0.1',
    port: demo.ports.submission,
    requireTLS: true,
    tls: { rejectUnauthorized: false },
    auth: { user: 'demo', pass: demo.secrets.password },
  });
  const extra =
    '<virtual-mta gone>\nsmtp-source-host 127.0.0.13 gone.demo.test\n<domain *>\nretry-recipients-after 2s\n</domain>\n</virtual-mta>\n';
  change((text) => text + extra);
  assert.equal((await pmta('reload')).code, 0);
  await transport.sendMail({
    from: 'a@brand.test',
    to: 'waits@defer.sink.test',
    text: 'x',
    headers: { 'X-Virtual-MTA': 'gone' },
  });
  transport.close();
  await until(async () =>
    (await records()).some((row) => row.get('type') === 't' && row.get('rcpt') === 'waits@defer.sink.test'),
  );
  change((text) => text);
  assert.equal((await pmta('reload')).code, 0);
  await until(async () =>
    (await records()).some(
      (row) =>
        row.get('type') === 'b' &&
        row.get('rcpt') === 'waits@defer.sink.test' &&
        row.get('dsnStatus') === '5.3.5 (specified VirtualMTA does not exist)',
    ),
  );
});

test('C15.3: a program that is fed accounting records and had ended is started again', async () => {
  const starts = path.join(demo.dataDir, 'starts');
  const count = () => (existsSync(starts) ? readFileSync(starts, 'utf8').split('\n').length - 1 : 0);
  change((text) => `${text}\n<acct-file "|echo started >> ${starts}">\n</acct-file>\n`);
  assert.equal((await pmta('reload')).code, 0);
  await until(() => count() === 1);
  assert.equal((await pmta('reload')).code, 0);
  await until(() => count() === 2);
  change((text) => text);
  assert.equal((await pmta('reload')).code, 0);
});

test('C15.5: an uploaded configuration takes the place of the file and is in force; a broken one does not', async () => {
  const upload = (text: string, headers: Record<string, string>) => {
    const form = new FormData();
    form.set('file', new Blob([text]), 'config');
    return fetch(`http://127.0.0.1:${demo.ports.management}/configFile`, {
      method: 'POST',
      headers,
      body: form,
    });
  };
  const better = original.replace('max-smtp-out 10', 'max-smtp-out 4');
  assert.equal((await upload(better, {})).status, 403, 'a form that any page could send');
  const allowed = await mayChange(demo);
  assert.equal((await upload(better, allowed)).status, 200);
  assert.equal(readFileSync(file, 'utf8'), better);
  assert.match((await pmta('show', 'settings', 'a.sink.test/vmta1')).stdout, /^max-smtp-out 4$/m);
  const broken = await upload(`${better}\n<domain *>\n`, allowed);
  assert.equal(broken.status, 409);
  assert.match(await broken.text(), /line \d+ of/);
  assert.equal(readFileSync(file, 'utf8'), better);
});

test('C15.4 C15.6: a reload leaves a queue in its wait, a restart begins it anew', async () => {
  const lonely = await startDemo();
  try {
    const conf = path.join(lonely.dataDir, 'pmta.conf');
    const text = readFileSync(conf, 'utf8')
      .replace('retry-after 3s, 10s', 'retry-after 1h')
      .replace('bounce-after 60s', 'bounce-after 1d');
    writeFileSync(conf, text);
    const reload = async () =>
      fetch(`http://127.0.0.1:${lonely.ports.management}/command?command=reload`, {
        method: 'POST',
        headers: await mayChange(lonely),
      });
    assert.equal((await reload()).status, 200);
    const failures = async () => (await records(lonely)).filter((row) => row.get('type') === 'tq').length;
    const transport = nodemailer.createTransport({
      host: '127.0.0.1',
      port: lonely.ports.submission,
      requireTLS: true,
      tls: { rejectUnauthorized: false },
      auth: { user: 'demo', pass: lonely.secrets.password },
    });
    await transport.sendMail({ from: 'a@brand.test', to: 'x@gmail.sink.test', text: 'x' });
    transport.close();
    // No DNS answers here, so the queue fails as a whole and waits.
    await until(async () => (await failures()) === 1);
    assert.equal((await reload()).status, 200);
    const explained = await fetch(
      `http://127.0.0.1:${lonely.ports.management}/explain?queue=gmail.sink.test/vmta1`,
    );
    const { data } = (await explained.json()) as { data: { holds: { kind: string; directive: string }[] } };
    assert.deepEqual(
      data.holds.map(({ kind, directive }) => `${kind} ${directive}`),
      ['queue-retry retry-after'],
    );
    assert.equal(await failures(), 1);
    await lonely.mta.stop();
    const again = new Program(['mta', '--config', conf]);
    await again.says('listens on');
    await until(async () => (await failures()) === 2);
    await again.stop();
  } finally {
    await lonely.stop();
  }
});

test('reload under load: every recipient has one reception and one outcome, whatever the files are called', async () => {
  const before = (await records()).filter((row) => row.get('type') === 'r').length;
  const generator = new Program(
    [
      ...[
        'generate',
        '--server',
        `127.0.0.1:${demo.ports.submission}`,
        '--user',
        'demo',
        '--insecure',
        '--retry-lost',
      ],
      ...['--forever', '--rate', '120', '--data', path.join(demo.dataDir, 'generate'), '--json'],
    ],
    { POSTHORN_SMTP_PASSWORD: demo.secrets.password },
  );
  const accepted = () => Number([...generator.stdout.matchAll(/"accepted":(\d+)/g)].at(-1)?.[1] ?? 0);
  let reloads = 0;
  // The mail goes on until there were enough of both, however long a reload takes.
  while (reloads < 5 || accepted() < 500) {
    assert.equal(generator.process.exitCode, null, generator.stderr);
    // Every other time the accounting file has other columns, so it begins anew.
    change((text) =>
      reloads % 2 === 0
        ? text
            .replace('record-fields b *, rcvSmtpUser', 'record-fields b *, dlvTlsCipher, rcvSmtpUser')
            .replace('max-smtp-out 10', 'max-smtp-out 3')
        : text,
    );
    const answer = await fetch(`http://127.0.0.1:${demo.ports.management}/command?command=reload`, {
      method: 'POST',
      headers: await mayChange(demo),
    });
    assert.equal(answer.status, 200, await answer.text());
    reloads++;
  }
  const { code, stderr } = await generator.stop();
  assert.equal(code, 0, stderr);
  await until(async () => {
    const { queued, backlog } = await counters();
    return queued === 0 && backlog.outcomes === 0;
  });
  const rows = await records();
  const received = rows.filter((row) => row.get('type') === 'r');
  const ended = rows.filter((row) => row.get('type') === 'd' || row.get('type') === 'b');
  assert.ok(received.length - before >= 500);
  assert.equal(ended.length, received.length);
  const key = (row: ReadonlyMap<string, string>) => `${row.get('header_Message-ID')} ${row.get('rcpt')}`;
  assert.equal(new Set(ended.map(key)).size, ended.length, 'an outcome is told twice');
});
