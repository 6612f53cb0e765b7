import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { queuedRecipient } from '../../queue/queued-recipient.ts';
import { folder } from '../../testing.ts';
import { KEY, monitor } from '../testing.ts';
import { address, queueAddress } from './parts.ts';

const EVIL = `<img/src=x/onerror="alert(1)">'&`;
/** What a browser asks with when somebody goes to an address. */
const BROWSER = { Accept: 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8' };

type Monitor = Awaited<ReturnType<typeof monitor>>;

async function look({ ask }: Monitor, at: string, init?: RequestInit) {
  const response = await ask(at, { redirect: 'manual', ...init });
  return { code: response.status, headers: response.headers, text: await response.text() };
}

/** Cells of the rows of the table with this caption, without markup. */
function rowsOf(text: string, caption: string): string[][] {
  const table = text.split('<table>').find((part) => part.includes(`<caption>${caption}</caption>`));
  assert.ok(table, `no table "${caption}" in ${text}`);
  const body = table.slice(table.indexOf('<tbody>'), table.indexOf('</tbody>'));
  return [...body.matchAll(/<tr>(.*?)<\/tr>/gs)].map(([, row]) =>
    [...row!.matchAll(/<t[hd][^>]*>(.*?)<\/t[hd]>/gs)].map(([, cell]) => cell!.replace(/<[^>]*>/g, '')),
  );
}

function form(fields: Record<string, string>, headers: Record<string, string> = {}): RequestInit {
  return { method: 'POST', headers, body: new URLSearchParams(fields) };
}

/** Cookie and token as the form of a page has them. */
async function tokenOf(of: Monitor): Promise<{ cookie: string; token: string }> {
  const { headers, text } = await look(of, '/ui/command');
  const token = /name="csrf" value="([^"]+)"/.exec(text)![1]!;
  return { cookie: headers.get('set-cookie')!.split(';')[0]!, token };
}

const ALL = ['/ui/', '/ui/status', '/ui/queues', '/ui/domains', '/ui/vmtas', '/ui/jobs', '/ui/logs'];

test('every page has a title, one first heading, a language, its place marked, and headers that allow nothing from elsewhere', async (t) => {
  const at = await monitor(t);
  at.add('a.test', 1);
  for (const address of [
    ...ALL,
    '/ui/queueDetail/a.test/%7Bdefault%7D',
    '/ui/command',
    '/ui/config',
    '/ui/enterLak',
    '/ui/nothing',
  ]) {
    const { text, headers } = await look(at, address);
    assert.match(text, /^<!doctype html>\n<html lang="en">/, address);
    assert.equal(text.match(/<h1>/g)?.length, 1, address);
    assert.match(text, /<title>[^<]+ · mta\.test · Posthorn<\/title>/, address);
    assert.equal(text.match(/aria-current="page"/g)?.length ?? 0, address === '/ui/nothing' ? 0 : 1, address);
    assert.doesNotMatch(text, /style=|\son\w+=|<script>|https?:\/\//, address);
    const policy = headers.get('content-security-policy')!;
    assert.match(policy, /^default-src 'none'; script-src 'self'; style-src 'self';/);
    assert.doesNotMatch(policy, /unsafe|\*|https?:/);
    assert.equal(headers.get('x-content-type-options'), 'nosniff');
    assert.equal(headers.get('x-frame-options'), 'DENY');
    assert.equal(headers.get('cache-control'), 'no-store');
    // Every label and description leads somewhere.
    for (const [, id] of text.matchAll(/(?:for|aria-describedby|list)="([^"]+)"/g))
      assert.ok(text.includes(`id="${id}"`), `${address}: ${id}`);
  }
  for (const [file, type] of [
    ['monitor.css', 'text/css'],
    ['monitor.js', 'text/javascript'],
    ['icon.svg', 'image/svg'],
  ])
    assert.ok((await look(at, `/ui/static/${file}`)).headers.get('content-type')!.startsWith(type!), file);
  assert.equal((await look(at, '/ui/static/..%2fshow-page.ts')).code, 404);
});

test('a bare path of a browser leads to its page; no data client is sent anywhere', async (t) => {
  const at = await monitor(t);
  for (const [from, to] of [
    ['/', '/ui/'],
    ['/queues?queue=a.*&sort=name', '/ui/queues?queue=a.*&sort=name'],
    ['/queueDetail?queue=a.test/v%201', '/ui/queueDetail/a.test/v%201'],
    ['/jobDetail?jobid=x', '/ui/jobs?jobid=x'],
    ['/command?command=reload', '/ui/command?command=reload'],
  ] as const) {
    const there = await look(at, from, { headers: BROWSER });
    assert.deepEqual([there.code, there.headers.get('location')], [302, to]);
  }
  assert.equal((await look(at, '/ui?x=1')).headers.get('location'), '/ui/?x=1');
  const java = { Accept: 'text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2' };
  for (const [of, init] of [
    ['/?format=json', { headers: BROWSER }],
    ['/status?format=xml', { headers: BROWSER }],
    ['/', {}],
    ['/queues', { headers: java }],
    ['/status', { headers: { ...BROWSER, 'X-API-Key': KEY } }],
    ['/status', { method: 'POST', headers: BROWSER }],
    ['/getlocalips', { headers: BROWSER }],
    ['/metrics', { headers: BROWSER }],
  ] as const) {
    const { code, headers } = await look(at, of, init);
    assert.equal(code, 200, of);
    assert.doesNotMatch(headers.get('content-type')!, /html/, of);
  }
});

test('home: the last hour as a drawing with its figures, and what `/` answers', async (t) => {
  const at = await monitor(t);
  at.add('a.test', 3);
  at.add('b.test', 1);
  at.traffic.add('in', 7, 2048, at.clock.now());
  const { text } = await look(at, '/ui/');
  assert.match(
    text,
    /<svg [^>]*role="img" aria-label="Recipients per minute in the last hour: 7 in, 0 out, at most 7 /,
  );
  assert.equal(/polyline class="in" points="([^"]+)"/.exec(text)![1]!.split(' ').length, 60);
  assert.equal(rowsOf(text, 'Recipients by minute').at(-1)![1], '7');
  assert.deepEqual(rowsOf(text, 'Traffic')[0], ['Total', '7', '1', '2.0', '0', '0', '0.0']);
  assert.deepEqual(rowsOf(text, 'Connections'), [
    ['Inbound', '1', '3', '2'],
    ['Outbound', '4', '6', '5'],
  ]);
  assert.deepEqual(rowsOf(text, 'Queues'), [['All', '4', 'no limit', '–', '0.0']]);
  assert.deepEqual(rowsOf(text, 'Top domains'), [
    ['a.test', '3', '75 %', '0.0', '0'],
    ['b.test', '1', '25 %', '0.0', '0'],
  ]);
});

test('status: tables of traffic, connections and queue types, and the facts about the server', async (t) => {
  const at = await monitor(t);
  at.add('a.test', 2);
  at.clock.advance((26 * 3600 + 61) * 1000);
  const { text } = await look(at, '/ui/status');
  assert.equal(rowsOf(text, 'Traffic').length, 5);
  assert.deepEqual(rowsOf(text, 'Queues')[0], ['SMTP', '2', '1', '0.0']);
  assert.match(text, /<dt>Uptime<\/dt><dd>1 d 2:01:01<\/dd>/);
  assert.match(text, /<dt>Status<\/dt><dd>running<\/dd>/);
});

test('queues: rows and order as configured unless the form says otherwise, and the footer counts', async (t) => {
  const at = await monitor(
    t,
    'http-access 127.0.0.1 monitor\nhttp-default-max-items 2\nhttp-default-sort-order name',
  );
  for (const [domain, n] of [
    ['a.test', 1],
    ['b.test', 3],
    ['c.test', 2],
  ] as const)
    at.add(domain, n);
  at.scheduler.pause(at.scheduler.find('b.test', '{default}')!, 'test');
  at.scheduler.failed(at.scheduler.find('b.test', '{default}')!, at.clock.now(), EVIL);
  const names = (text: string) =>
    [...text.matchAll(/<th scope="row"><a href="[^"]*">([^<]*)/g)].map(([, name]) => name);
  const usual = (await look(at, '/ui/queues')).text;
  assert.deepEqual(names(usual), ['a.test/{default}', 'b.test/{default}']);
  assert.match(usual, /<p class="footer">2 of 3 matching queues\.<\/p>/);
  assert.match(usual, /&lt;img\/src=x\/onerror=&quot;alert\(1\)&quot;&gt;&#39;&amp;/);
  assert.match(usual, /<option value="name" selected>/);
  const link = '/ui/queues?queue=*.test%2F*&maxitems=9&sort=rcpt&connected=&paused=yes&mode=normal';
  const chosen = (await look(at, link)).text;
  assert.deepEqual(names(chosen), ['b.test/{default}']);
  assert.match(chosen, /<caption>Top 1 queues by number of recipients<\/caption>/);
  assert.match(chosen, /1 of 1 matching queues\./);
  for (const kept of [
    'value="*.test/*"',
    'value="9"',
    '<option value="normal" selected>',
    '<option value="yes" selected>',
  ])
    assert.ok(chosen.includes(kept), kept);
  const wrong = await look(at, `/ui/queues?maxitems=${encodeURIComponent(`"><script>`)}`);
  assert.equal(wrong.code, 409);
  assert.match(wrong.text, /role="alert".*is no number/s);
  assert.doesNotMatch(wrong.text, /"><script>/);
});

test('domains, VMTAs, jobs: their columns and footers; evil names are text, and their links lead to them', async (t) => {
  const at = await monitor(t);
  const now = at.clock.now();
  const item = queuedRecipient({ spoolId: 's', index: 0, receivedAt: now, job: EVIL });
  at.scheduler.add('a.test', EVIL, item, now);
  const escaped = '&lt;img/src=x/onerror=&quot;alert(1)&quot;&gt;&#39;&amp;';
  const domains = (await look(at, '/ui/domains')).text;
  assert.deepEqual(rowsOf(domains, 'Top 1 domains by number of recipients'), [
    ['a.test', '1', '0.0', '0', ''],
  ]);
  assert.match(domains, /1 of 1 matching domains\./);
  const vmtas = (await look(at, '/ui/vmtas')).text;
  assert.deepEqual(rowsOf(vmtas, 'Top 1 vmtas by number of recipients'), [
    [escaped, '1', '1', '100', '0.0', '0'],
  ]);
  assert.match(vmtas, /1 of 1 virtual MTAs\./);
  const jobs = (await look(at, '/ui/jobs')).text;
  assert.deepEqual(rowsOf(jobs, 'Top 1 jobs by number of recipients'), [
    [escaped, '1', '1', '0.0', 'no', ''],
  ]);
  assert.match(jobs, /1 of 1 jobs\./);
  const job = await look(at, address('jobs', { jobid: EVIL }));
  assert.match(job.text, /1 of 1 jobs\./);
  for (const [text, what] of [
    [domains, 'domains'],
    [vmtas, 'vmtas'],
    [jobs, 'jobs'],
    [(await look(at, '/ui/queues')).text, 'queues'],
    [(await look(at, '/ui/')).text, 'home'],
  ] as const)
    assert.doesNotMatch(text, /<img/, what);
});

test('queue detail: reason, errors, disabled addresses, changes of mode, recipients and settings', async (t) => {
  const at = await monitor(t, 'http-access 127.0.0.1 monitor');
  at.state.tracked = true;
  at.add('a.test', 1);
  const queue = at.scheduler.find('a.test', '{default}')!;
  at.scheduler.failed(queue, at.clock.now(), EVIL);
  at.scheduler.setMode(queue, 'backoff', EVIL, at.clock.now());
  at.events.mode(queue, 'backoff', EVIL, at.clock.now());
  at.scheduler.disableSource(queue, '192.0.2.80', null, EVIL, at.clock.now());
  const { code, text } = await look(at, queueAddress('a.test/{default}'));
  assert.equal(code, 200);
  const escaped = '&lt;img/src=x/onerror=&quot;alert(1)&quot;&gt;&#39;&amp;';
  const [row] = rowsOf(text, 'Now');
  assert.deepEqual(row!.slice(0, 7), ['a.test/{default}', '1', '0.0', '0', 'no', 'backoff', escaped]);
  assert.match(row![7]!, /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/);
  assert.equal(rowsOf(text, 'Last errors').at(-1)![1], escaped);
  assert.deepEqual(rowsOf(text, 'Disabled source IPs'), [['192.0.2.80', 'enabled by hand', escaped]]);
  assert.equal(rowsOf(text, 'Mode changes')[0]![2], escaped);
  assert.match(text, /<summary>Recipient events \(deliveries: 0, bounces: 0, deferrals: 0\)<\/summary>/);
  assert.deepEqual(
    rowsOf(text, 'Queue settings').find(([name]) => name === 'max-smtp-out'),
    ['max-smtp-out', '1'],
  );
  assert.doesNotMatch(text, /Commands for this queue/, 'a monitor gives none');
  const gone = await look(at, '/ui/queueDetail/gone.test/v');
  assert.equal(gone.code, 404);
  assert.match(gone.text, /there is no queue &quot;gone\.test\/v&quot;/);
  assert.equal((await look(at, '/ui/queueDetail/%ff/v')).code, 400);
});

test('logs: the files that may be had, and none under deny-logs', async (t) => {
  const dir = folder(t);
  mkdirSync(path.join(dir, 'log'));
  writeFileSync(path.join(dir, 'log', 'pmta.log'), 'x'.repeat(12));
  const lines = `log-file ${dir}/log/pmta.log`;
  const at = await monitor(t, `http-access 127.0.0.1 monitor\n${lines}`);
  const { text } = await look(at, '/ui/logs');
  const [row] = rowsOf(text, 'Log and accounting files, the newest first');
  assert.deepEqual([row![0], row![2]], ['pmta.log', '12']);
  assert.match(text, /href="\/getFile\?file=pmta\.log"/);
  const denied = await monitor(t, `http-access 127.0.0.1 monitor,deny-logs\n${lines}`);
  const page = await look(denied, '/ui/logs');
  assert.equal(page.code, 403);
  assert.doesNotMatch(page.text, /pmta\.log|href="\/ui\/logs"/);
});

test('a level sees and does what it may: commands from operator on, changes as admin', async (t) => {
  for (const [level, page, show, reload] of [
    ['none', 403, 403, 403],
    ['monitor', 403, 403, 403],
    ['operator', 200, 200, 403],
    ['admin', 200, 200, 200],
  ] as const) {
    const at = await monitor(t, `http-access 127.0.0.1 ${level}\nhttp-csrf-protection no`);
    assert.equal((await look(at, '/ui/queues')).code, level === 'none' ? 403 : 200);
    assert.equal((await look(at, '/ui/command')).code, page, level);
    const given = (command: string) => look(at, '/ui/command', form({ command }));
    const shown = await given('show version');
    assert.equal(shown.code, show, level);
    assert.equal(shown.text.includes('Posthorn v1.2.3 ('), show === 200, level);
    assert.equal((await given('reload')).code, reload, level);
    if (level === 'monitor') {
      const { text } = await look(at, '/ui/');
      assert.doesNotMatch(text, /href="\/ui\/(command|config)"/);
      assert.equal((await look(at, '/ui/config')).code, 403);
    }
  }
});

test('nothing changes by an address or by a forged form; the page’s own form does, and an API key', async (t) => {
  const at = await monitor(t);
  at.add('a.test', 1);
  const paused = () => at.scheduler.find('a.test', '{default}')!.pausedBy !== null;
  const command = 'pause queue a.test';
  const filled = await look(at, `/ui/command?${new URLSearchParams({ command })}`);
  assert.match(filled.text, /id="command" name="command" value="pause queue a\.test"/);
  assert.equal(paused(), false);
  const { cookie, token } = await tokenOf(at);
  for (const [fields, headers] of [
    [{}, {}],
    [{}, { Cookie: cookie }],
    [{ csrf: token }, {}],
    [
      { csrf: `${'0'.repeat(32)}.${'0'.repeat(32)}` },
      { Cookie: `posthorn_csrf=${'0'.repeat(32)}.${'0'.repeat(32)}` },
    ],
  ] as [Record<string, string>, Record<string, string>][]) {
    const refused = await look(at, '/ui/command', form({ command, ...fields }, headers));
    assert.equal(refused.code, 403);
    assert.match(refused.text, /value="pause queue a\.test"/, 'the line is not lost');
    assert.equal(paused(), false);
  }
  // The token of another page of the same browser is the same.
  const again = await look(at, '/ui/', { headers: { Cookie: cookie } });
  assert.equal(again.headers.get('set-cookie')!.split(';')[0], cookie);
  assert.equal(
    (await look(at, `/ui/command?csrf=${token}&command=pause+queue+a.test`, { headers: { Cookie: cookie } }))
      .code,
    200,
  );
  assert.equal(paused(), false, 'not by GET, whatever it brings');
  const answer = await look(at, '/ui/command', form({ command, csrf: token }, { Cookie: cookie }));
  assert.match(answer.text, /role="status".*Queue\(s\) paused\./s);
  assert.equal(paused(), true);
  await look(at, '/ui/command', form({ command: 'resume queue a.test' }, { 'X-API-Key': KEY }));
  assert.equal(paused(), false);
  for (const page of [...ALL, '/ui/enterLak', '/ui/queueDetail/a.test/%7Bdefault%7D'])
    assert.equal((await look(at, page, form({}))).code, 405, page);
});

test('command: what is wrong is said, and what was typed and answered is text', async (t) => {
  const at = await monitor(t);
  at.add('a.test', 1);
  const given = async (command: string) => look(at, '/ui/command', form({ command }));
  assert.match((await given('dance')).text, /role="alert".*Unknown command\./s);
  assert.match((await given('"')).text, /a quotation mark is not closed/);
  assert.match((await given('inspect gone/v')).text, /there is no queue/);
  const evil = await given(`inspect ${EVIL}`);
  assert.doesNotMatch(evil.text, /<img/);
  const shown = await given('show queues');
  assert.match(shown.text, /<pre class="output"[^>]*>queue .*\n[- ]+\na\.test\/\{default\} /);
  assert.match(shown.text, /<option value="pause queue" label="[^"]+" data-usage="DOMAIN\[\/VMTA\]"/);
  const huge = await look(at, '/ui/command', form({ command: 'x'.repeat(70_000) }));
  assert.equal(huge.code, 413);
});
