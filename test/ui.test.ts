import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { type Signals, startSignals } from '../src/signals/server.ts';
import { systemClock } from '../src/system/clock.ts';
import { silentLog } from '../src/system/log.ts';
import { axeFindings, openBrowser } from './browser.ts';
import { mailTraffic, type Truth, upload } from './mail-traffic.ts';

const HOUR = 3_600_000;
const key = 'c0ffee00'.repeat(5);
const built = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../ui/dist/index.html');

const hostile = '<img src=x onerror="document.title=\'owned\'"> \u202etxt.exe\u0007';

/** Whole hours, so that the figures of this range do not change while the tests run. */
const to = Math.floor(Date.now() / HOUR) * HOUR;
const from = to - 20 * HOUR;
const range = `${iso(from)}..${iso(to)}`;

function iso(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 16)}Z`;
}

let browser: Browser | null;
let signals: Signals;
let dataDir: string;
let truth: Truth;

/** A tab and everything that went wrong in it. */
interface Tab {
  readonly page: Page;
  readonly context: BrowserContext;
  readonly wrong: string[];
}

const contexts: BrowserContext[] = [];

async function tabIn(context: BrowserContext, wrong: string[] = []): Promise<Tab> {
  const page = await context.newPage();
  // Long, for machines with much else to do: nothing waits this long when it works.
  page.setDefaultTimeout(45_000);
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') wrong.push(message.text());
  });
  page.on('pageerror', (error) => wrong.push(String(error)));
  page.on('request', (request) => {
    const { protocol, origin } = new URL(request.url());
    if (protocol !== 'blob:' && origin !== signals.url) wrong.push(`request to ${request.url()}`);
  });
  return { page, context, wrong };
}

async function newTab(options: { width?: number; height?: number; dark?: boolean } = {}): Promise<Tab> {
  const context = await browser!.newContext({
    viewport: { width: options.width ?? 1440, height: options.height ?? 900 },
    colorScheme: options.dark ? 'dark' : 'light',
    locale: 'en-GB',
    timezoneId: 'Europe/Berlin',
  });
  contexts.push(context);
  return tabIn(context);
}

async function signInLink(): Promise<string> {
  const response = await fetch(`${signals.url}/api/v1/sign-in-links`, {
    method: 'POST',
    headers: { Authorization: key },
  });
  const { results } = (await response.json()) as { results: { token: string } };
  return `${signals.url}/sign-in#token=${results.token}`;
}

/** A signed-in tab at an address. The session comes as the page itself would have kept it, to spare a loading. */
async function signedIn(address: string, options?: Parameters<typeof newTab>[0]): Promise<Tab> {
  const tab = await newTab(options);
  const [, token] = (await signInLink()).split('#token=');
  const response = await fetch(`${signals.url}/api/v1/sign-in`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ token }),
  });
  const { results } = (await response.json()) as { results: { access_token: string } };
  const session = JSON.stringify({ token: results.access_token, endsAt: null });
  await tab.page.addInitScript((stored) => sessionStorage.setItem('posthorn.session', stored), session);
  await tab.page.goto(signals.url + address);
  return tab;
}

async function api(call: string): Promise<Record<string, unknown>> {
  const response = await fetch(`${signals.url}/api/v1/${call}`, { headers: { Authorization: key } });
  assert.equal(response.status, 200, call);
  return (await response.json()) as Record<string, unknown>;
}

function overflow(page: Page): Promise<number> {
  return page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
}

const number = (text: string) => Number(text.replaceAll(',', ''));

browser = await openBrowser();

describe('web interface', { skip: browser ? false : 'no Chromium on this machine' }, () => {
  before(async () => {
    assert.ok(existsSync(built), 'ui/dist is missing: run "npm test", which builds it');
    dataDir = await mkdtemp(path.join(tmpdir(), 'posthorn-ui-'));
    signals = await startSignals({
      dataDir,
      listen: { host: '127.0.0.1', port: 0 },
      adminKey: key,
      log: silentLog,
      clock: systemClock,
    });
    const traffic = mailTraffic({ from, to, messages: 2500, seed: 7, firstId: 1 });
    truth = traffic.truth;
    await upload(signals.url, key, traffic.lines);
    const strange = {
      type: 'reception',
      event_id: '77',
      // After what the figures are asked for, also in the first minute of an hour.
      timestamp: String(Math.floor(Math.max(to, Date.now() - 60_000) / 1000)),
      message_id: 'strange-message',
      rcpt_to: 'ada@example.test',
      friendly_from: 'news@brand.test',
      msg_from: 'b@bounces.demo.test',
      subject: hostile,
      campaign_id: 'strange, one',
      recv_method: 'esmtp',
    };
    await upload(signals.url, key, [JSON.stringify({ msys: { message_event: strange } })]);
    await signals.idle();
  });

  after(async () => {
    await Promise.all(contexts.map((context) => context.close()));
    await browser?.close();
    await signals?.close();
    if (dataDir) await rm(dataDir, { recursive: true, force: true });
  });

  test('a one-time link signs in once, and its token does not stay in the address', async () => {
    const { page, context, wrong } = await newTab();
    const link = await signInLink();
    await page.goto(link);
    await page.locator('.shell').waitFor();
    assert.equal(page.url(), `${signals.url}/`);
    assert.equal(await page.evaluate(() => localStorage.length), 0);

    // A tab beside it is signed in at once; a reader elsewhere cannot use the link again.
    const beside = await tabIn(context, wrong);
    await beside.page.goto(`${signals.url}/events`);
    await beside.page.locator('#events').waitFor();
    assert.deepEqual(wrong, []);
    const other = await newTab();
    await other.page.goto(link);
    await other.page.getByRole('alert').waitFor();
    assert.match((await other.page.getByRole('alert').textContent()) ?? '', /used already/);
  });

  test('a deep link survives signing in with an API key, and signing out forgets it', async () => {
    const { page } = await newTab();
    const address = `${signals.url}/events?t=${range}&f=type.eq.bounce`;
    await page.goto(address);
    await page.getByLabel('API key').fill('not a key');
    await page.keyboard.press('Enter');
    assert.match((await page.getByRole('alert').textContent()) ?? '', /40 hexadecimal/);
    await page.getByLabel('API key').fill('0'.repeat(40));
    await page.keyboard.press('Enter');
    await page.getByText('does not know this key').waitFor();
    await page.getByLabel('API key').fill(key);
    await page.keyboard.press('Enter');
    await page.locator('#events').waitFor();
    assert.equal(page.url(), address);
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByLabel('API key').waitFor();
    await page.reload();
    await page.getByLabel('API key').waitFor();
  });

  test('the overview’s figures are the API’s, and the API’s are what was sent', async () => {
    const { page, wrong } = await signedIn(`/?t=${range}`);
    await page.locator('.tile').first().waitFor();
    const window = `from=${iso(from).slice(0, -1)}&to=${iso(to).slice(0, -1)}&precision=hour`;
    const counts = 'count_injected,count_delivered,count_bounce,count_rendered,count_clicked,count_delayed';
    const { results } = await api(`metrics/deliverability?${window}&metrics=${counts}`);
    const [whole] = results as [Record<string, number>];
    assert.deepEqual(
      [
        whole.count_injected,
        whole.count_delivered,
        whole.count_bounce,
        whole.count_rendered,
        whole.count_clicked,
      ],
      [truth.injected, truth.delivered, truth.bounced + truth.outOfBand, truth.opened, truth.clicked],
    );
    for (const name of [
      'count_injected',
      'count_delivered',
      'count_delayed',
      'count_rendered',
      'count_clicked',
    ]) {
      const shown = await page.locator(`[data-metric=${name}] .value`).textContent();
      assert.equal(number(shown ?? ''), whole[name], name);
    }
    const sent = truth.delivered + truth.bounced;
    const accepted = (100 * (truth.delivered - truth.outOfBand)) / sent;
    const rate = await page.locator('[data-metric=accepted_rate] .value').textContent();
    assert.equal(rate, `${accepted.toFixed(2)}\u202f%`);

    // The chart's table: every bucket as the API has it, and a total that is the tile's.
    const series = (await api(`metrics/deliverability/time-series?${window}&metrics=${counts}`))
      .results as Record<string, number>[];
    const rows = await page
      .locator('table.twin tbody tr')
      .evaluateAll((all) =>
        all.map((row) =>
          [...row.querySelectorAll('td')].map((cell) => Number(cell.textContent?.replaceAll(',', ''))),
        ),
      );
    const order = ['count_injected', 'count_delivered', 'count_bounce', 'count_rendered', 'count_clicked'];
    assert.deepEqual(
      rows.slice(1),
      series.map((row) => order.map((name) => row[name])),
    );
    assert.deepEqual(
      rows[0],
      order.map((name) => whole[name]),
    );

    // The table by campaign adds up to its total, with what no campaign holds in a row of its own.
    const injected = await page
      .locator('#campaigns tbody tr')
      .evaluateAll((all) =>
        all.map((row) => [
          row.querySelector('th')?.textContent ?? '',
          Number(row.querySelector('td[data-key=count_injected]')?.textContent?.replaceAll(',', '')),
        ]),
      );
    const [total, ...groups] = injected as [string, number][];
    assert.deepEqual(total, ['All mail', truth.injected]);
    const expected = new Map([...truth.campaigns].map(([name, n]) => [name || 'Not attributed', n]));
    assert.deepEqual(new Map(groups), expected);
    assert.deepEqual(wrong, []);
  });

  test('a figure opens the events that it was made of', async () => {
    const { page } = await signedIn(`/?t=${range}`);
    await page.locator('[data-metric=bounce_rate] .value a').click();
    await page.locator('#events').waitFor();
    assert.equal(page.url(), `${signals.url}/events?t=${range}&f=type.eq.bounce&f=type.eq.out_of_band`);
    const shown = await page.locator('.pager .num').textContent();
    assert.equal(shown, `${truth.bounced + truth.outOfBand} events`);
  });

  test('everything by keyboard alone', async () => {
    const { page, wrong } = await signedIn(`/?t=${range}`);
    await page.locator('.tile').first().waitFor();
    // A page moves the focus after it has changed, perhaps after we have seen the change.
    const focusOn = async (text: string | null) => {
      await page.waitForFunction(
        (wanted) => document.activeElement?.textContent?.trim().slice(0, 40) === wanted,
        text,
      );
    };
    const press = async (...keys: string[]) => {
      for (const one of keys) await page.keyboard.press(one);
    };
    await press('Tab');
    await focusOn('Skip to content');
    await press('Tab');
    await focusOn('Skip to table');

    await press('?');
    await page.getByRole('dialog', { name: 'Keys on this page' }).waitFor();
    await press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    await focusOn('Skip to table');

    // To the chart with Tab; every stop on the way is visible.
    for (let i = 0; i < 80; i++) {
      await press('Tab');
      const at = await page.evaluate(() => {
        const e = document.activeElement as HTMLElement;
        const box = e.getBoundingClientRect();
        return { role: e.getAttribute('role'), seen: box.width > 0 && box.height > 0 };
      });
      assert.ok(at.seen, `stop ${i} of the Tab order cannot be seen`);
      if (at.role === 'application') break;
    }
    assert.equal(await page.evaluate(() => document.activeElement?.getAttribute('aria-label')), 'Traffic');
    await press('End', 'ArrowLeft', 'ArrowDown');
    await page.locator('.card h3').waitFor();
    const spoken = page.locator('[role=status][aria-live=polite]');
    await spoken.getByText(/^Delivered, .+ UTC: [\d,]+$/).waitFor();
    const card = await page.locator('.card .row.active .num').textContent();
    assert.ok((await spoken.textContent())?.endsWith(`: ${card}`));
    await press('d');
    await page.locator('table.twin').first().waitFor({ state: 'visible' });
    await press('d');

    // Enter opens the events of the bucket and line; going on with g e keeps the range.
    await page.locator('.plot').focus();
    await press('Home', 'Enter');
    await page.locator('#events').waitFor();
    assert.equal(new URL(page.url()).search, `?t=${iso(from)}..${iso(from + HOUR)}&f=type.eq.delivery`);
    await focusOn('Events');
    await press('g', 'o');
    await page.locator('.tile').first().waitFor();
    await press('g', 'e');
    await page.locator('#events tbody tr').first().waitFor();

    await press('j', 'j', 'Enter');
    await page.locator('#detail-title').waitFor();
    await focusOn('Event');
    const opened = new URL(page.url()).searchParams.get('sel');
    assert.ok(opened);
    await press('Escape');
    await page.locator('#detail-title').waitFor({ state: 'detached' });
    const second = await page.locator('#events tbody tr .opener').nth(1).textContent();
    await focusOn(second);

    await press('/');
    await page.keyboard.type('type:bou');
    await press('ArrowDown', 'Enter');
    await page.getByText('Type is Bounce').waitFor();
    assert.match(page.url(), /f=type\.eq\.bounce/);
    assert.deepEqual(wrong, []);
  });

  test('back and forward walk through the states of a view, and a new tab shows the same', async () => {
    const { page, context, wrong } = await signedIn(`/events?t=${range}`);
    await page.locator('#events').waitFor();
    const count = () => page.locator('.pager .num').textContent();
    const all = await count();
    await page.getByRole('combobox', { name: 'Filter events' }).fill('type:click campaign:spring-sale');
    await page.getByRole('button', { name: 'Add filter' }).click();
    await page.getByText('Campaign is spring-sale').waitFor();
    await page.waitForFunction(
      (before) => document.querySelector('.pager .num')?.textContent !== before,
      all,
    );
    const clicks = await count();
    await page.getByRole('button', { name: 'Older' }).click();
    await page.waitForURL(/cursor=/);
    await page.locator('#events tbody .opener').first().click();
    await page.locator('#detail-title').waitFor();
    const state = page.url();
    const event = await page.locator('.fields').textContent();

    const beside = await tabIn(context, wrong);
    await beside.page.goto(state);
    await beside.page.locator('#detail-title').waitFor();
    assert.equal(await beside.page.locator('.fields').textContent(), event);
    assert.equal(beside.page.url(), state);

    await page.goBack();
    await page.locator('#detail-title').waitFor({ state: 'detached' });
    await page.goBack();
    await page.waitForURL((url) => !url.searchParams.has('cursor'));
    await page.goBack();
    await page.waitForFunction(
      (before) => document.querySelector('.pager .num')?.textContent === before,
      all,
    );
    assert.equal(page.url(), `${signals.url}/events?t=${range}`);
    await page.goForward();
    await page.waitForFunction(
      (before) => document.querySelector('.pager .num')?.textContent === before,
      clicks,
    );
    assert.deepEqual(wrong, []);
  });

  test('what an address says wrongly falls back and is named', async () => {
    const { page, wrong } = await signedIn(`/?t=3weeks&utm_source=x&tz=Mars/Base`);
    await page.getByText('t=3weeks and tz=Mars/Base').waitFor();
    await page.locator('.segment[aria-pressed=true]', { hasText: '24h' }).waitFor();
    assert.deepEqual(wrong, []);
  });

  test('hostile text is text: no markup, hidden characters named', async () => {
    const { page, wrong } = await signedIn('/events?t=1h&f=recipient.eq.ada@example.test');
    const cell = page.locator('#events tbody td.c-subject');
    await cell.waitFor();
    const seen = '<img src=x onerror="document.title=\'owned\'"> [U+202E]txt.exe[U+0007]';
    assert.equal(await cell.textContent(), seen);
    await page.locator('#events tbody .opener').click();
    await page.getByText('Raw JSON').click();
    await page.locator('.raw pre').waitFor();
    assert.ok((await page.locator('.raw pre').textContent())?.includes('[U+202E]'));
    await page.getByRole('link', { name: 'Whole story' }).click();
    await page.locator('.timeline').waitFor();
    assert.ok((await page.locator('.fields').textContent())?.includes(seen));
    assert.match((await page.locator('.verdict').textContent()) ?? '', /^No final event/);
    assert.equal(await page.locator('main img').count(), 0);
    assert.match(await page.title(), /^strange-message · Message · Posthorn$/);

    // A comma in a value must not make two of it.
    await page.goto(`${signals.url}/events?t=1h&f=campaign.eq.${encodeURIComponent('strange, one')}`);
    await page.locator('#events').waitFor();
    assert.equal(await page.locator('.pager .num').textContent(), '1 event');
    assert.deepEqual(wrong, []);
  });

  test('nothing found and nothing allowed say what to do', async () => {
    const { page } = await signedIn(`/events?t=${range}&f=recipient.eq.nobody@example.test`);
    await page
      .getByRole('heading', { name: /^No events from .+ where Recipient is nobody@example\.test$/ })
      .waitFor();
    await page.getByRole('button', { name: 'Remove filter Recipient is nobody@example.test' }).last().click();
    await page.locator('#events').waitFor();

    await page.route('**/api/v1/metrics/**', (route) =>
      route.fulfill({
        status: 403,
        contentType: 'application/json',
        body: '{"errors":[{"message":"Forbidden."}]}',
      }),
    );
    await page.goto(`${signals.url}/`);
    await page.getByText('It needs the grant metrics/view.').first().waitFor();
  });

  test('a session that ends keeps the page and asks again', async () => {
    const { page } = await signedIn(`/events?t=${range}`);
    await page.locator('#events').waitFor();
    await page.route('**/api/v1/events/**', (route) =>
      route.fulfill({
        status: 401,
        contentType: 'application/json',
        body: '{"errors":[{"message":"Unauthorized."}]}',
      }),
    );
    await page.keyboard.press('r');
    await page.getByRole('dialog', { name: 'Your session has ended' }).waitFor();
    assert.ok((await page.locator('#events tbody tr').count()) > 0);
    await page.unroute('**/api/v1/events/**');
    await page.getByLabel('API key').fill(key);
    await page.keyboard.press('Enter');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    await page.locator('#events tbody tr').first().waitFor();
  });

  for (const theme of ['light', 'dark'] as const) {
    for (const width of [360, 1440]) {
      test(`${theme}, ${width} px: rules of accessibility hold and nothing scrolls sideways`, async () => {
        const { page, wrong } = await signedIn(`/?t=${range}`, {
          width,
          height: 800,
          dark: theme === 'dark',
        });
        await page.locator('.tile').first().waitFor();
        await page.locator('#campaigns').waitFor();
        assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), theme);
        assert.equal(await overflow(page), 0, 'overview');
        assert.deepEqual(await axeFindings(page), []);
        await page.goto(`${signals.url}/events?t=${range}&f=type.eq.bounce`);
        await page.locator('#events tbody .opener').first().click();
        await page.locator('#detail-title').waitFor();
        assert.equal(await overflow(page), 0, 'events');
        assert.deepEqual(await axeFindings(page), []);
        await page.getByRole('link', { name: 'Whole story' }).click();
        await page.locator('.timeline').waitFor();
        assert.equal(await overflow(page), 0, 'message');
        assert.deepEqual(await axeFindings(page), []);
        assert.deepEqual(wrong, []);
      });
    }
  }

  test('the sign-in page keeps the rules of accessibility too', async () => {
    const { page, wrong } = await newTab({ width: 360, height: 800 });
    await page.goto(`${signals.url}/`);
    await page.getByLabel('API key').waitFor();
    assert.deepEqual(await axeFindings(page), []);
    assert.equal(await overflow(page), 0);
    assert.deepEqual(wrong, []);
  });
});
