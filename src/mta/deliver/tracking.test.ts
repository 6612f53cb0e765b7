import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { good } from '../../config/testing.ts';
import type { Envelope } from '../../spool/stored-message.ts';
import { folder, keptLog, messageFacts } from '../testing.ts';
import { Tracking } from './tracking.ts';

const HTML = Buffer.from(
  'From: News <news@brand.test>\r\nTo: kim@a.test\r\nSubject: x\r\nMIME-Version: 1.0\r\n' +
    'Content-Type: text/html; charset=utf-8\r\n\r\n' +
    '<html><body><a href="https://shop.test/one">one</a></body></html>\r\n',
);
const TEXT = Buffer.from('From: news@brand.test\r\nSubject: x\r\n\r\nno links\r\n');

const YES = { openTracking: true, initialPixel: true, clickTracking: true };
const NO = { openTracking: false, initialPixel: false, clickTracking: false };

async function set(t: TestContext, signals: string, more = '') {
  const block = signals === '' ? '' : `<signals>\napi-key ${'0'.repeat(40)}\n${signals}\n</signals>`;
  const config = good(`${block}\n<virtual-mta v>\n${more}\n</virtual-mta>`);
  const { log, lines } = keptLog();
  const dir = folder(t);
  const tracking = await Tracking.open(config, dir, log);
  const flags = (content = HTML) =>
    tracking.flagsFor(config, {
      vmta: 'v',
      domain: 'a.test',
      sender: 'news@brand.test',
      content,
      source: config.sourceFor({ clientIp: '127.0.0.1', listener: config.listeners[0]! }),
    });
  return { config, dir, tracking, flags, lines };
}

function envelope(addresses: string[], facts = {}): Envelope {
  return {
    facts: messageFacts({ vmta: 'v', ...YES, ...facts }),
    recipients: addresses.map((address, i) => ({
      address,
      originalRecipient: '',
      messageId: `0000000000000000000${i}`,
      notify: [],
    })),
    eightBit: false,
    smtpUtf8: false,
    returnContent: '',
    removeHeaders: [],
    suppressReports: false,
  };
}

const BUILT_IN = 'engagement-tracking sparkpost\ntracking-domain click.brand.test\ncustomer-id 1';

test('without Signals, or with tracking off, nothing is tracked', async (t) => {
  assert.deepEqual((await set(t, '')).flags(), NO);
  assert.deepEqual((await set(t, 'engagement-tracking no\ncustomer-id 1')).flags(), NO);
});

test('engagement-tracking yes: somebody else tracks; the message is only marked', async (t) => {
  const { flags } = await set(t, 'engagement-tracking yes\ncustomer-id 1');
  assert.deepEqual(flags(), { openTracking: true, initialPixel: false, clickTracking: true });
});

test('built-in tracking: marked when there is something to track, as the switches of the VMTA say', async (t) => {
  const { flags } = await set(t, BUILT_IN);
  assert.deepEqual(flags(), YES);
  assert.deepEqual(flags(TEXT), NO);
  const noOpens = await set(t, BUILT_IN, 'track-opens no\ntrack-initial-opens no');
  assert.deepEqual(noOpens.flags(), { ...YES, openTracking: false, initialPixel: false });
  const neither = await set(t, BUILT_IN, 'track-opens no\ntrack-initial-opens no\ntrack-clicks no');
  assert.deepEqual(neither.flags(), NO);
});

test('the same recipient gets the same links on every attempt, another one others', async (t) => {
  const { tracking, config } = await set(t, BUILT_IN);
  const to = envelope(['kim@a.test', 'lou@a.test']);
  const first = tracking.apply(Buffer.from(HTML), config, to, 0, 'a.test');
  const again = tracking.apply(Buffer.from(HTML), config, to, 0, 'a.test');
  const other = tracking.apply(Buffer.from(HTML), config, to, 1, 'a.test');
  assert.ok(first.equals(again));
  assert.ok(!first.equals(other));
  assert.ok(!first.includes('href="https://shop.test/one"'));
  assert.ok(first.includes('click.brand.test/'));
});

test('after a restart too: the key is kept', async (t) => {
  const { tracking, config, dir, lines } = await set(t, BUILT_IN);
  const to = envelope(['kim@a.test']);
  const { log } = keptLog();
  const restarted = await Tracking.open(config, dir, log);
  assert.ok(
    tracking
      .apply(Buffer.from(HTML), config, to, 0, 'a.test')
      .equals(restarted.apply(Buffer.from(HTML), config, to, 0, 'a.test')),
  );
  assert.deepEqual(lines, []);
});

test('what was decided at reception holds at delivery, though the configuration has changed', async (t) => {
  const { tracking, config } = await set(t, BUILT_IN);
  const clicksOnly = tracking.apply(
    Buffer.from(HTML),
    config,
    envelope(['kim@a.test'], { openTracking: false, initialPixel: false }),
    0,
    'a.test',
  );
  assert.ok(!clicksOnly.includes('<img'));
  assert.ok(!clicksOnly.includes('href="https://shop.test/one"'));
});
