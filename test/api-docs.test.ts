// The page to try the API, in a real browser under its content policy: by keys alone, without a request elsewhere.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { after, before, test } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { startTestService, TEST_KEY, type TestService } from '../src/signals/test-service.ts';
import { openBrowser } from './browser.ts';

const built = path.resolve(import.meta.dirname, '../ui/dist/api-docs.html');
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
let browser: Browser | null;
let service: TestService;
let page: Page;
const wrong: string[] = [];

before(async () => {
  assert.ok(existsSync(built), 'build the web interface first: npm test does');
  browser = await openBrowser();
  service = await startTestService();
  if (!browser) return;
  page = await (await browser.newContext({ colorScheme: 'dark' })).newPage();
  page.setDefaultTimeout(45_000);
  page.on('console', (message) => {
    // A refused request is what the test asks for; the browser says so by itself.
    if (message.type() === 'error' && !message.text().includes('status of 401')) wrong.push(message.text());
  });
  page.on('pageerror', (error) => wrong.push(String(error)));
  page.on('request', (request) => {
    if (new URL(request.url()).origin !== service.signals.url) wrong.push(`request to ${request.url()}`);
  });
});
after(async () => {
  await browser?.close();
  await service.stop();
});

test('someone finds a call, gives a key and sends it, by keys alone', async (t) => {
  if (!browser) return t.skip('no browser');
  const response = await page.goto(`${service.signals.url}/api-docs`);
  assert.match(response!.headers()['content-security-policy']!, /script-src 'self';.*style-src 'self'/);
  await page.getByRole('heading', { level: 1 }).waitFor();
  await page.getByLabel('Find').focus();
  await page.keyboard.type('search messages /v1/events/');
  await page.getByText(/^1 of \d+$/).waitFor();
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  const operation = page.locator('#searchMessageEvents');
  await operation.getByLabel('per_page').focus();
  await page.keyboard.type('7');
  await operation.getByRole('button', { name: 'Send' }).focus();
  await page.keyboard.press('Enter');
  await operation.getByText(/^401 Unauthorized · \d+ ms · request [0-9a-f-]{36}$/).waitFor();

  await page.getByLabel('API key').focus();
  await page.keyboard.type(TEST_KEY);
  await operation.getByRole('button', { name: 'Send' }).focus();
  await page.keyboard.press('Enter');
  await operation.getByText(/^200 OK/).waitFor();
  assert.match(
    (await operation.getByRole('region', { name: 'Answer' }).textContent()) ?? '',
    /"total_count": 0/,
  );
  const command = await operation.getByRole('region', { name: 'curl command' }).textContent();
  assert.match(command!, /events\/message\?per_page=7'$/);
  assert.ok(!command!.includes(TEST_KEY));
  await operation.getByRole('button', { name: 'Fill in the examples' }).click();
  await operation.getByRole('button', { name: 'Send' }).click();
  await operation.getByText(/^200 OK/).waitFor();
  assert.deepEqual(wrong, []);
});

test('a batch of events can be sent from it, and a body with a key of its own', async (t) => {
  if (!browser) return t.skip('no browser');
  await page.getByLabel('Find').fill('ingestEvents');
  const ingest = page.locator('#ingestEvents');
  await ingest.locator('summary').click();
  await ingest.getByLabel('Lines of JSON').fill('{}');
  await ingest.getByRole('button', { name: 'Send' }).click();
  await ingest.getByText(/^200 OK/).waitFor();
  await service.signals.idle();
  const outcomes = await service.get('/api/v1/events/ingest');
  assert.equal(outcomes.body.results[0].error_type, 'validation');
  await page.getByLabel('Find').fill('createApiKey');
  const create = page.locator('#createApiKey');
  await create.locator('summary').click();
  await create.getByRole('button', { name: 'Send' }).click();
  await create.getByText(/^200 OK/).waitFor();
  assert.deepEqual(wrong, []);
});

test('it keeps to the rules of accessibility, and keeps no key', async (t) => {
  if (!browser) return t.skip('no browser');
  // By the protocol of the debugger: the content policy allows no script that the page has not brought.
  const violations = await page.evaluate(
    `${axe}; axe.run(document, { resultTypes: ['violations'] }).then((r) => r.violations.map((v) => v.id + ': ' + v.nodes.map((n) => n.target).join(' | ')))`,
  );
  assert.deepEqual(violations, []);
  await page.reload();
  assert.equal(await page.getByLabel('API key').inputValue(), '');
  assert.equal(await page.evaluate('JSON.stringify(localStorage) + JSON.stringify(sessionStorage)'), '{}{}');
});
