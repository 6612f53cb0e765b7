import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { sourceTracking } from '../../config/index.ts';
import { good } from '../../config/testing.ts';
import type { Envelope } from '../../spool/stored-message.ts';
import { ContentWorkHere } from '../content/index.ts';
import { folder, keptLog, messageFacts, startReception } from '../testing.ts';
import { type QueueTracking, Tracking } from './tracking.ts';

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
  const work = new ContentWorkHere();
  const tracking = await Tracking.open(config, dir, work, log);
  const made = async (plan: QueueTracking, content: Buffer, index = 0) =>
    (await work.make(content, { tracking: plan.order(index), signatures: [], now: 0 })).content;
  const flags = (content = HTML) =>
    tracking.flagsFor(config, {
      vmta: 'v',
      sender: 'news@brand.test',
      content,
      source: config.sourceFor({ clientIp: '127.0.0.1', listener: config.listeners[0]! }),
    })('a.test');
  const copy = async (to: Envelope, index: number, through = tracking) =>
    made(
      await through.planFor(config, to, to.facts, Buffer.from(HTML), { domain: 'a.test', vmta: 'v' }),
      Buffer.from(HTML),
      index,
    );
  return { config, dir, tracking, flags, copy, made, lines };
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
  const { copy } = await set(t, BUILT_IN);
  const to = envelope(['kim@a.test', 'lou@a.test']);
  const first = await copy(to, 0);
  assert.ok(first.equals(await copy(to, 0)));
  assert.ok(!first.equals(await copy(to, 1)));
  assert.ok(!first.includes('href="https://shop.test/one"'));
  assert.ok(first.includes('click.brand.test/'));
});

test('after a restart too: the key is kept', async (t) => {
  const { copy, config, dir, lines } = await set(t, BUILT_IN);
  const to = envelope(['kim@a.test']);
  const { log } = keptLog();
  const restarted = await Tracking.open(config, dir, new ContentWorkHere(), log);
  assert.ok((await copy(to, 0)).equals(await copy(to, 0, restarted)));
  assert.deepEqual(lines, []);
});

test('the settings of the delivery queue decide about the copy, and the flags tell what was done', async (t) => {
  const { config, tracking, made } = await set(
    t,
    BUILT_IN,
    `<domain relay.test>
      track-opens no
      track-initial-opens no
    </domain>
    <domain plain.test>
      track-opens no
      track-initial-opens no
      track-clicks no
    </domain>`,
  );
  // Recorded at reception for a.test; what counts is where the message goes through in the end.
  const to = envelope(['kim@a.test'], YES);
  const through = (domain: string) =>
    tracking.planFor(config, to, to.facts, Buffer.from(HTML), { domain, vmta: 'v' });
  const relay = await through('relay.test');
  assert.deepEqual(relay.flags, { ...YES, openTracking: false, initialPixel: false });
  const relayed = await made(relay, HTML);
  assert.ok(!relayed.includes('<img'));
  assert.ok(!relayed.includes('href="https://shop.test/one"'));
  const plain = await through('plain.test');
  assert.deepEqual(plain.flags, NO);
  assert.equal(plain.isPerRecipient, false);
  assert.ok((await made(plain, HTML)).equals(HTML));
});

test('what the <source> says holds at delivery, though nobody knows the source any more', async (t) => {
  const { config, tracking, made } = await set(
    t,
    `${BUILT_IN}\n</signals>\n<source 127.0.0.1>\ntrack-clicks no\ntracking-scheme https\n</source>\n<signals>`,
  );
  const source = config.sourceFor({ clientIp: '127.0.0.1', listener: config.listeners[0]! });
  const kept = sourceTracking(source);
  assert.deepEqual(
    kept.toSorted(([a], [b]) => a.localeCompare(b)),
    [
      ['track-clicks', 'no'],
      ['tracking-scheme', 'https'],
    ],
  );
  const message = { vmta: 'v', sender: 'news@brand.test', content: HTML, source };
  const recorded = tracking.flagsFor(config, message)('a.test');
  assert.deepEqual(recorded, { ...YES, clickTracking: false });
  const to: Envelope = {
    ...envelope(['kim@a.test']),
    sourceTracking: kept,
  };
  const plan = await tracking.planFor(config, to, to.facts, HTML, { domain: 'a.test', vmta: 'v' });
  assert.deepEqual(plan.flags, recorded);
  const copy = await made(plan, HTML);
  assert.ok(copy.includes('href="https://shop.test/one"'));
  assert.ok(copy.includes('src="https://click.brand.test/'));
});

test('reception records for each recipient what the settings of its queue come to', async (t) => {
  const mta = await startReception(
    t,
    `<signals>
      api-key ${'0'.repeat(40)}
      ${BUILT_IN}
    </signals>
    <source 0/0>
      always-allow-relaying yes
    </source>
    <domain a.test>
      queue-to relay.test
    </domain>
    <domain relay.test>
      track-opens no
      track-initial-opens no
    </domain>`,
  );
  await mta.send({ to: ['kim@a.test', 'lou@b.test'], content: HTML.toString() });
  const flags = mta.outcomes().map((outcome) => {
    assert.ok(outcome.kind === 'received');
    const { openTracking, clickTracking } = outcome.message;
    return [outcome.recipient.address, openTracking, clickTracking];
  });
  assert.deepEqual(flags, [
    ['kim@a.test', false, true],
    ['lou@b.test', true, true],
  ]);
});

test('tracking-exclude-domain: links to these are left as they are', async (t) => {
  const links = [
    'https://shop.test/1',
    'https://www.shop.test/2',
    'https://partner.test/3',
    'https://x.partner.test/4',
  ];
  const content = Buffer.from(
    `From: News <news@brand.test>\r\nMIME-Version: 1.0\r\nContent-Type: text/html\r\n\r\n${links.map((url) => `<a href="${url}">x</a>\r\n`).join('')}`,
  );
  const left = async (patterns: string[]) => {
    const { config, tracking, made } = await set(
      t,
      BUILT_IN,
      patterns.map((pattern) => `tracking-exclude-domain ${pattern}\n`).join(''),
    );
    const to = envelope(['kim@a.test']);
    const plan = await tracking.planFor(config, to, to.facts, content, { domain: 'a.test', vmta: 'v' });
    const copy = await made(plan, content);
    return links
      .filter((url) => copy.includes(`"${url}"`))
      .map((url) => url.at(-1)!)
      .join('');
  };
  assert.equal(await left([]), '');
  assert.equal(await left(['shop.test']), '1');
  assert.equal(await left(['*.shop.test', 'PARTNER.test']), '23');
  assert.equal(await left(['[*.]partner.test']), '34');
  assert.equal(await left(['*']), '1234');
});
