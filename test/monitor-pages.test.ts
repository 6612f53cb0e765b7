// The web monitor's pages over a running server: the configuration's editor, and all of them in a real browser.
import assert from 'node:assert/strict';
import { lstatSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import path from 'node:path';
import { after, before, test } from 'node:test';
import type { BrowserContextOptions, Locator, Page } from 'playwright-core';
import { connectSmtp } from '../src/smtp/index.ts';
import { axeFindings, openBrowser } from './browser.ts';
import { freePorts, Program, temporaryFolder, until } from './program.ts';

const SECRET = 'Tr0ub4dor';
const KEY = 'k'.repeat(32);

let url: string;
let main: string;
let included: string;
let program: Program;
const browser = await openBrowser();

before(async () => {
  const dir = temporaryFolder();
  for (const name of ['spool', 'acct', 'state', 'kept']) mkdirSync(path.join(dir, name));
  const port = await freePorts(2);
  main = path.join(dir, 'config');
  included = path.join(dir, 'domains.conf');
  // Where a package manager or a repository keeps it; the server is told of a link.
  writeFileSync(path.join(dir, 'kept', 'domains.conf'), domains(7));
  symlinkSync(path.join(dir, 'kept', 'domains.conf'), included);
  writeFileSync(
    main,
    `host-name mx.test
log-file ${dir}/log
state-dir ${dir}/state
http-mgmt-port ${port + 1}
http-redirect-to-https no
http-access 127.0.0.2 operator
http-access 127.0.0.3 monitor
http-access 127.0.0.1 admin
http-api-key ${KEY}
smtp-listener 127.0.0.1:${port}
<smtp-user ana>
    password ${SECRET}
    source {ana}
</smtp-user>
<source {ana}>
</source>
<spool ${dir}/spool>
</spool>
<source 127.0.0.1>
    always-allow-relaying yes
    process-x-job yes
</source>
<domain *>
    # Nobody listens there.
    smtp-hosts [127.0.0.1]:1
    retry-after 1h
    track-recipient-events yes
</domain>
<acct-file ${dir}/acct/acct.csv>
    records d, b
</acct-file>
include ${included}
`,
  );
  program = new Program(['mta', '--config', main]);
  await program.says('listens on');
  url = `http://127.0.0.1:${port + 1}`;
  const connected = await connectSmtp({ host: '127.0.0.1', port, heloName: 'client.test' });
  assert.ok(connected.ok);
  for (const domain of ['first.test', 'second.test', 'third.test']) {
    const sent = await connected.client.send({
      from: 's@brand.test',
      recipients: [{ address: `kim@${domain}` }],
      content: Buffer.from('X-Job: <b>"spring"\r\n\r\nx\r\n'),
    });
    assert.equal(sent.data?.code, 250);
  }
  await connected.client.quit();
  await until(async () => (await get('/ui/queues')).text.split('ECONNREFUSED').length > 3);
});
after(async () => {
  await browser?.close();
  await program.stop();
});

function domains(connections: number, more = ''): string {
  return `# limits\n<domain first.test>\n    max-smtp-out ${connections}\n${more}</domain>\n`;
}

async function get(at: string, headers: Record<string, string> = {}) {
  const response = await fetch(url + at, { headers });
  return { code: response.status, text: await response.text(), headers: response.headers };
}

/** As somebody at another address of this machine sees it. */
function from(localAddress: string, at: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = httpRequest(url + at, { localAddress }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (piece) => {
        text += piece;
      });
      response.on('end', () => resolve(text));
    });
    asked.on('error', reject).end();
  });
}

/** The editor's hidden fields, and the cookie that belongs to them. */
async function editor(file: string) {
  const { text, headers } = await get(`/ui/config?${new URLSearchParams({ file })}`);
  const field = (name: string) => new RegExp(`name="${name}" value="([^"]*)"`).exec(text)![1]!;
  return { cookie: headers.get('set-cookie')!.split(';')[0]!, csrf: field('csrf'), was: field('was') };
}

async function save(fields: Record<string, string>, headers: Record<string, string>) {
  const body = new URLSearchParams(fields);
  const response = await fetch(`${url}/ui/config`, { method: 'POST', headers, body });
  return { code: response.status, text: await response.text() };
}

const inForce = async () =>
  JSON.parse((await get('/settings?format=json&queue=first.test')).text).data.queue['max-smtp-out'];
const stored = () => readFileSync(included, 'utf8');

test('configuration: checked first; a good file is on disk and in force, a broken one changes nothing and is kept in the page', async () => {
  const { cookie, csrf, was } = await editor(included);
  const headers = { Cookie: cookie };
  const broken = await save({ csrf, was, file: included, text: domains(9, 'max-smtp-uot <3>\r\n') }, headers);
  assert.equal(broken.code, 409);
  assert.match(broken.text, /role="alert".*Error in line 4 of .*domains\.conf/s);
  assert.match(broken.text, /data-line="4">line 4<\/a> <code>max-smtp-uot &lt;3&gt;<\/code>/);
  assert.match(broken.text, /<textarea[^>]*>\n# limits\n<?.*max-smtp-uot &lt;3&gt;/s);
  assert.deepEqual([stored(), await inForce()], [domains(7), '7']);

  const good = await save({ csrf, was, file: included, text: domains(9).replaceAll('\n', '\r\n') }, headers);
  assert.equal(good.code, 200);
  assert.match(good.text, /role="status".*Configuration reloaded\./s);
  assert.deepEqual([stored(), await inForce()], [domains(9), '9']);
  assert.ok(lstatSync(included).isSymbolicLink(), 'the link is still one');

  const stale = await save({ csrf, was, file: included, text: domains(3) }, headers);
  assert.equal(stale.code, 409);
  assert.match(stale.text, /has changed since you opened it.*max-smtp-out 3/s);
  assert.deepEqual([stored(), await inForce()], [domains(9), '9']);
  const knowing = /name="was" value="([^"]*)"/.exec(stale.text)![1]!;
  assert.equal((await save({ csrf, was: knowing, file: included, text: domains(3) }, headers)).code, 200);
  assert.equal(await inForce(), '3');
});

test('configuration: line ends stay as they were; what a browser would change is not offered to it, and not lost', async () => {
  writeFileSync(included, domains(6).replaceAll('\n', '\r\n'));
  const { cookie, csrf, was } = await editor(included);
  const headers = { Cookie: cookie };
  const saved = await save({ csrf, was, file: included, text: domains(8) }, headers);
  assert.equal(saved.code, 200);
  assert.deepEqual([stored(), await inForce()], [domains(8).replaceAll('\n', '\r\n'), '8']);
  writeFileSync(included, Buffer.from(`# caf\xe9\n${domains(7)}`, 'latin1'));
  assert.doesNotMatch((await get(`/ui/config?${new URLSearchParams({ file: included })}`)).text, /<textarea/);
  const late = await save({ csrf, was, file: included, text: domains(2) }, headers);
  assert.equal(late.code, 409);
  assert.match(late.text, /not saved.*max-smtp-out 2/s);
  writeFileSync(included, domains(7));
});

test('configuration: no forged form, no file that is not the configuration’s, no secret for operators, nothing for monitors', async () => {
  const { cookie, csrf, was } = await editor(included);
  const before = stored();
  const text = domains(5);
  for (const [fields, headers] of [
    [{ was, file: included, text }, { Cookie: cookie }],
    [{ csrf, was, file: included, text }, {}],
  ] as [Record<string, string>, Record<string, string>][]) {
    const forged = await save(fields, headers);
    assert.equal(forged.code, 403);
    assert.match(forged.text, /max-smtp-out 5/, 'what was written is not lost');
  }
  assert.equal((await save({ csrf, was, file: '/etc/passwd', text }, { Cookie: cookie })).code, 404);
  assert.equal((await get('/ui/config?file=/etc/passwd')).code, 404);
  assert.equal(stored(), before);
  assert.match((await get('/ui/config')).text, new RegExp(`password ${SECRET}`));
  const shown = await from('127.0.0.2', '/ui/config');
  assert.match(shown, /password \*{8}\n.*source \{ana\}/);
  assert.doesNotMatch(shown, new RegExp(`${SECRET}|${KEY}|<textarea`));
  assert.doesNotMatch(await from('127.0.0.3', '/ui/config'), /host-name/);
});

const PAGES = [
  ...['', 'status', 'queues', 'domains', 'vmtas', 'jobs', 'logs', 'command', 'config', 'enterLak'],
  'queueDetail/first.test/%7Bdefault%7D',
].map((name) => `/ui/${name}`);

const said = async (part: Locator) => (await part.textContent())!.trim();

/** A page, and everything that went wrong in it. */
async function tab(
  options: BrowserContextOptions,
): Promise<{ page: Page; wrong: string[]; end(): Promise<void> }> {
  const context = await browser!.newContext(options);
  const page = await context.newPage();
  const wrong: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') wrong.push(message.text());
  });
  page.on('pageerror', (error) => wrong.push(String(error)));
  page.on('request', (asked) => {
    if (new URL(asked.url()).origin !== url) wrong.push(`request to ${asked.url()}`);
  });
  return { page, wrong, end: () => context.close() };
}

test('in a browser: wide and light, 360 pixels and dark, every page is sound', {
  skip: !browser,
}, async () => {
  for (const options of [
    { viewport: { width: 1280, height: 900 }, colorScheme: 'light' },
    { viewport: { width: 360, height: 740 }, colorScheme: 'dark' },
  ] as const) {
    const { page, wrong, end } = await tab(options);
    for (const at of PAGES) {
      await page.goto(url + at);
      for (const fold of await page.locator('summary').all()) await fold.click();
      assert.deepEqual(await axeFindings(page), [], `${at} ${options.colorScheme}`);
      const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(over <= 0, `${at} is ${over} pixels too wide`);
    }
    assert.deepEqual(wrong, []);
    await end();
  }
});

test('in a browser: by keyboard alone, from the address of the server to the answer of a command', {
  skip: !browser,
}, async () => {
  const { page, wrong, end } = await tab({ viewport: { width: 1000, height: 700 } });
  await page.goto(url);
  assert.equal(new URL(page.url()).pathname, '/ui/');
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement?.textContent), 'Skip to content');
  await page.keyboard.press('Enter');
  assert.equal(await page.evaluate(() => document.activeElement?.id), 'main');
  assert.ok(await page.locator('#refresh').isChecked(), 'it refreshes itself');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Space');
  await page.reload();
  assert.ok(!(await page.locator('#refresh').isChecked()), 'and stays off when it was switched off');
  await page.getByRole('link', { name: 'Queues' }).focus();
  await page.keyboard.press('Enter');
  await page.getByRole('link', { name: 'first.test/{default}' }).focus();
  await page.keyboard.press('Enter');
  await page.getByRole('link', { name: 'pause queue …' }).focus();
  await page.keyboard.press('Enter');
  await page.locator('#command').focus();
  assert.match(await said(page.locator('#usage')), /^pause queue DOMAIN\[\/VMTA\]: /);
  await page.keyboard.press('Enter');
  assert.match(await said(page.getByRole('status')), /Queue\(s\) paused\./);
  assert.deepEqual(await axeFindings(page), []);
  await page.locator('#command').fill('show queues --er');
  const offered = page.locator('#commands option[value="show queues --errors"]');
  assert.equal(await offered.count(), 1, 'options are completed too');
  await page.goto(`${url}/ui/queues?paused=yes`);
  assert.match(await said(page.locator('.footer')), /^1 of 1 matching queues\.$/);
  assert.deepEqual(wrong, []);
  await end();
});

test('in a browser without script: forms show and change as they do with it', {
  skip: !browser,
}, async () => {
  const { page, wrong, end } = await tab({ javaScriptEnabled: false });
  await page.goto(`${url}/ui/queues`);
  await page.getByLabel('Maximum rows').fill('2');
  await page.getByRole('button', { name: 'Show' }).click();
  assert.match(await said(page.locator('.footer')), /^2 of 3 matching queues\.$/);
  await page.goto(`${url}/ui/config?${new URLSearchParams({ file: included })}`);
  await page.locator('#text').fill(domains(4));
  await page.getByRole('button', { name: 'Save and reload' }).click();
  assert.match(await said(page.getByRole('status')), /Configuration reloaded\./);
  assert.deepEqual([stored(), await inForce()], [domains(4), '4']);
  assert.deepEqual(wrong, []);
  await end();
});

test('in a browser: a page renews itself, and leaves open what somebody has unfolded', {
  skip: !browser,
}, async () => {
  const { page, wrong, end } = await tab({});
  await page.clock.install();
  await page.goto(`${url}/ui/queueDetail/second.test/%7Bdefault%7D`);
  await page.locator('#queue-settings summary').click();
  await page.locator('#queue-settings').evaluate((fold) => fold.setAttribute('data-old', ''));
  const given = await fetch(`${url}/command`, {
    method: 'POST',
    headers: { 'X-API-Key': KEY },
    body: new URLSearchParams({ command: 'pause queue second.test' }),
  });
  assert.equal(given.status, 200);
  await page.clock.fastForward(10_000);
  await page.locator('#queue-settings[open]:not([data-old])').waitFor();
  await page.getByRole('cell', { name: 'yes', exact: true }).first().waitFor();
  assert.equal(
    await page.evaluate(() => document.activeElement?.tagName),
    'SUMMARY',
    'the keyboard is where it was',
  );
  assert.deepEqual(wrong, []);
  await end();
});
