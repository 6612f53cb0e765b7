import assert from 'node:assert/strict';
import { createSecretKey, generateKeyPairSync, randomBytes } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import type { DkimSettings } from '../../mail/dkim-sign.ts';
import type { TrackingKey } from '../../tracking/key-ring.ts';
import type { TrackingSettings } from '../../tracking/tracking-plan.ts';
import { keptLog } from '../testing.ts';
import { ContentThreads } from './content-threads.ts';
import { ContentWorkHere, type CopyOrder } from './content-work.ts';

const NOW = Date.UTC(2026, 10, 21);
const key: TrackingKey = {
  id: 1,
  secret: createSecretKey(randomBytes(32)),
  nonceKey: randomBytes(32),
  created: '2026-01-01T00:00:00Z',
  state: 'active',
};
const settings: TrackingSettings = {
  opens: true,
  initialOpens: true,
  clicks: true,
  scheme: 'https',
  host: 'click.brand.test',
  sender: 'news@brand.test',
};
const signatures: DkimSettings[] = (
  [
    ['rsa', generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey],
    ['ed25519', generateKeyPairSync('ed25519').privateKey],
  ] as const
).map(([type, privateKey]) => ({
  key: { type, key: privateKey },
  domain: 'brand.test',
  selector: type,
  identity: '@brand.test',
  addTimestamp: true,
}));

function message(links: number, n = 0): Buffer {
  const html = Array.from({ length: links }, (_, i) => `<a href="https://shop.test/${n}/${i}">${i}</a>\r\n`);
  return Buffer.from(
    `From: news@brand.test\r\nSubject: ${n}\r\nMIME-Version: 1.0\r\nContent-Type: text/html\r\n\r\n${html.join('')}`,
  );
}

function order(recipient: string, also: Partial<CopyOrder> = {}): CopyOrder {
  const copy = {
    messageId: '00000000000000000001',
    recipient,
    subaccount: 0,
    campaign: 'june',
    expiry: 2_000_000_000,
  };
  return { tracking: { settings, copy, key }, signatures, now: NOW, ...also };
}

function threads(t: TestContext, most: number) {
  const { log, lines } = keptLog();
  const work = new ContentThreads(most, log);
  t.after(() => work.close());
  return { work, lines };
}

test('threads make the octets that the main thread makes, planned before or not', async (t) => {
  const { work } = threads(t, 3);
  const here = new ContentWorkHere();
  const orders = [
    order('kim@a.test'),
    order('lou@a.test', { signatures: [] }),
    order('kim@a.test', { tracking: null }),
    order('kim@a.test', { tracking: null, signatures: [] }),
  ];
  const jobs = Array.from({ length: 60 }, async (_, n) => {
    const content = message(n % 7, n);
    if (n % 2 === 0) assert.deepEqual(await work.plan(content, settings), here.plan(content, settings));
    const asked = orders[n % orders.length]!;
    const [made, expected] = await Promise.all([work.make(content, asked), here.make(content, asked)]);
    assert.deepEqual(made.faults, []);
    assert.equal(made.content.toString('latin1'), expected.content.toString('latin1'));
  });
  await Promise.all(jobs);
});

test('a copy of a message whose plan the thread has let go is made of its content', async (t) => {
  const { work } = threads(t, 1);
  const here = new ContentWorkHere();
  const first = message(3);
  await work.plan(first, settings);
  const body = 'x'.repeat(76).concat('\r\n').repeat(13_000);
  for (let n = 1; n <= 10; n++) await work.plan(Buffer.concat([message(1, n), Buffer.from(body)]), settings);
  const [made, expected] = await Promise.all([
    work.make(first, order('kim@a.test')),
    here.make(first, order('kim@a.test')),
  ]);
  assert.equal(made.content.toString('latin1'), expected.content.toString('latin1'));
});

test('what a plan says: changes of the body, of the header only, none', async (t) => {
  const { work } = threads(t, 1);
  assert.deepEqual(await work.plan(message(2), settings), { changes: true, changesBody: true, error: '' });
  const plain = Buffer.from('From: news@brand.test\r\n\r\nno links\r\n');
  assert.deepEqual(await work.plan(plain, settings), { changes: false, changesBody: false, error: '' });
  const listed = await work.plan(Buffer.from(plain), { ...settings, listUnsubscribe: true });
  assert.deepEqual(listed, { changes: true, changesBody: false, error: '' });
  const again = work.plan(plain, settings);
  assert.ok(!(again instanceof Promise), 'what is known is answered at once');
});

test('the same content with other settings gets a plan of its own', async (t) => {
  const { work } = threads(t, 1);
  const content = message(1);
  await work.plan(content, settings);
  const noLinks = { ...settings, clicks: false };
  const asked = order('kim@a.test', { signatures: [] });
  const { content: copy } = await work.make(content, {
    ...asked,
    tracking: { ...asked.tracking!, settings: noLinks },
  });
  assert.ok(copy.includes('href="https://shop.test/0/0"'));
  assert.ok(copy.includes('<img'));
});

test('a signature that cannot be made is a fault that names its key; the message goes without it', async (t) => {
  const { work } = threads(t, 1);
  const { privateKey } = generateKeyPairSync('x25519');
  const bad: DkimSettings = { ...signatures[0]!, selector: 'bad', key: { type: 'ed25519', key: privateKey } };
  const { content, faults } = await work.make(
    message(1),
    order('kim@a.test', { signatures: [bad, signatures[1]!] }),
  );
  assert.deepEqual(
    faults.map((fault) => fault.key),
    ['bad._domainkey.brand.test'],
  );
  assert.equal(content.toString('latin1').match(/^DKIM-Signature/gm)?.length, 1);
});

test('a fault in a job rejects that job only', async (t) => {
  const { work, lines } = threads(t, 1);
  const broken = order('kim@a.test', { signatures: null as unknown as [] });
  const good = work.make(message(1), order('kim@a.test'));
  await assert.rejects(work.make(message(1), broken), /content-thread/);
  assert.ok((await good).content.includes('click.brand.test'));
  assert.deepEqual(lines, []);
});

test('a thread that runs out of memory takes its jobs with it, says so, and the next job starts another', async (t) => {
  const { log, lines } = keptLog();
  const work = new ContentThreads(1, log, { maxOldGenerationSizeMb: 16, maxYoungGenerationSizeMb: 4 });
  t.after(() => work.close());
  await work.make(message(1), order('kim@a.test'));
  const large = { ...settings, excludeDomains: Array.from({ length: 1_000_000 }, (_, i) => `x${i}.test`) };
  await assert.rejects(async () => work.plan(message(1), large), /memory/);
  assert.match(lines.join('\n'), /a content thread ended: .*memory/);
  const after = await work.make(message(1), order('kim@a.test'));
  assert.ok(after.content.includes('click.brand.test'));
});

test('a message that is a part of a larger piece of memory stays whole, and the caller keeps its own', async (t) => {
  const { work } = threads(t, 1);
  const whole = Buffer.alloc(1 << 20, 'x');
  const mail = message(3);
  mail.copy(whole, 1000);
  const part = whole.subarray(1000, 1000 + mail.length);
  const { content } = await work.make(part, order('kim@a.test', { signatures: [] }));
  const expected = await new ContentWorkHere().make(mail, order('kim@a.test', { signatures: [] }));
  assert.ok(content.equals(expected.content));
  assert.ok(part.equals(mail));
  assert.equal(whole.length, 1 << 20);
});

test('what a thread keeps for other copies is not given away with one that stays as it is', async (t) => {
  const { work } = threads(t, 1);
  const mail = message(2);
  await work.plan(mail, settings);
  // Without a key no link can be made: the copy goes as the message is.
  const asked = order('kim@a.test', { signatures: [] });
  const broken = { ...asked.tracking!, key: { ...key, nonceKey: null as unknown as Buffer } };
  const unchanged = await work.make(mail, { ...asked, tracking: broken });
  assert.ok(unchanged.content.equals(mail));
  const next = await work.make(mail, asked);
  assert.ok(next.content.includes('https://click.brand.test/f/'));
  assert.ok(next.content.includes('>1</a>'));
});
