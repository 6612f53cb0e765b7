import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { appendFile, mkdtemp, readdir, readFile, rm, truncate } from 'node:fs/promises';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { readSigningKey, type SigningKey } from '../mail/dkim-key.ts';
import { SignableMessage } from '../mail/dkim-sign.ts';
import { leaves, parseMime } from '../mail/mime.ts';
import type { SendResult } from '../smtp/client-types.ts';
import { connectSmtp } from '../smtp/connect.ts';
import { createSmtpServer, reply, smtpServerOptions } from '../smtp/index.ts';
import { systemClock } from '../system/clock.ts';
import { silentLog } from '../system/log.ts';
import { until } from '../system/testing.ts';
import type { Expected } from './control.ts';
import { defaultRates } from './model.ts';
import { type Sink, type SinkOptions, startSink } from './sink.ts';

const ANY = { host: '127.0.0.1', port: 0 };
/** Nothing happens by chance. */
const quiet = Object.fromEntries(
  Object.keys(defaultRates).map((name) => [name, 0]),
) as unknown as typeof defaultRates;
const rates = { ...quiet, fblAfterOpen: true };

interface Given {
  readonly sink: Sink;
  readonly dir: string;
  readonly options: SinkOptions;
}

async function withSink(change: Partial<SinkOptions>, check: (given: Given) => Promise<void>): Promise<void> {
  const dir = await mkdtemp(path.join(tmpdir(), 'sink-'));
  const options: SinkOptions = {
    smtp: ANY,
    dns: ANY,
    control: ANY,
    domain: 'sink.test',
    dataDir: dir,
    seed: 1,
    timeScale: 0,
    rates,
    dkimShare: 0,
    log: silentLog,
    clock: systemClock,
    ...change,
  };
  const sink = await startSink(options);
  const given = { sink, dir, options };
  try {
    await check(given);
  } finally {
    await given.sink.close();
    await rm(dir, { recursive: true });
  }
}

let count = 0;

function mail(html = '', more: readonly string[] = [], id = `${++count}@brand.test`): Buffer {
  return Buffer.from(
    [
      'From: <a@brand.test>',
      'Date: Mon, 03 Nov 2025 04:05:06 +0000',
      `Message-ID: <${id}>`,
      ...more,
      'Content-Type: text/html; charset=utf-8',
      '',
      html,
      '',
    ].join('\r\n'),
  );
}

/** One transaction on a connection of its own. */
async function send(
  sink: Sink,
  recipients: readonly string[],
  content = mail(),
  from = 'b@bounces.test',
): Promise<SendResult> {
  const connected = await connectSmtp({
    host: '127.0.0.1',
    port: sink.ports.smtp,
    heloName: 'mta.test',
    tls: { mode: 'no' },
  });
  assert.ok(connected.ok);
  try {
    return await connected.client.send({
      from,
      recipients: recipients.map((address) => ({ address })),
      content,
    });
  } finally {
    await connected.client.quit();
  }
}

const codes = (result: SendResult) => result.recipients.map((said) => said?.code ?? 0);

async function get<T>(sink: Sink, where: string): Promise<T> {
  const response = await fetch(`http://127.0.0.1:${sink.ports.control}${where}`);
  assert.equal(response.status, 200, where);
  return (await response.json()) as T;
}

/** The expectation once nothing is left to do. */
async function settled(sink: Sink): Promise<Expected> {
  let now!: Expected;
  await until(
    async () => {
      now = await get<Expected>(sink, '/v1/expected');
      return now.pending === 0;
    },
    undefined,
    25,
  );
  return now;
}

async function withTracker(
  check: (tracker: {
    host: string;
    hits: string[];
    fail: (path: string, status: number) => void;
  }) => Promise<void>,
): Promise<void> {
  const hits: string[] = [];
  const failures = new Map<string, number>();
  const server = http.createServer((request, response) => {
    hits.push(`${request.method} ${request.url}`);
    request.resume();
    const failure = failures.get(request.url ?? '');
    response.setHeader('Server', 'msys-http');
    if (failure) response.writeHead(failure).end();
    else if (request.url?.startsWith('/q/'))
      response.writeHead(200, { 'Content-Type': 'image/gif' }).end('GIF89a');
    else if (request.url === '/f/a') response.writeHead(404).end();
    else if (request.url?.startsWith('/f/'))
      response.writeHead(302, { Location: 'https://www.brand.test/' }).end();
    else if (request.url?.startsWith('/u/')) response.writeHead(200).end();
    else response.writeHead(404).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  try {
    await check({ host, hits, fail: (where, status) => failures.set(where, status) });
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

const tracked = (host: string) =>
  `<html><body><img src="http://${host}/q/top"><p>Hi</p><a href="http://${host}/f/a/one">One</a>` +
  `<a href="http://${host}/f/a/two">Two</a><a href="https://elsewhere.test/">else</a>` +
  `<a href="http://${host}/f/a/out">Unsubscribe</a><img src="http://${host}/q/end"></body></html>`;

test('each recipient of a transaction gets its own answer; after two deferrals the third attempt is taken', async () => {
  await withSink({}, async ({ sink }) => {
    const recipients = ['a@accept.sink.test', 'b@bounce.sink.test', 'c@defer2.sink.test'];
    const first = await send(sink, recipients);
    assert.deepEqual(codes(first), [250, 550, 451]);
    assert.equal(first.data?.code, 250);
    assert.deepEqual(codes(await send(sink, ['c@defer2.sink.test'])), [451]);
    assert.deepEqual(codes(await send(sink, ['c@defer2.sink.test'])), [250]);
    const { accepted, refused, deferred, byCode } = await settled(sink);
    assert.deepEqual(
      { accepted, refused, deferred, byCode },
      { accepted: 2, refused: 1, deferred: 2, byCode: { 550: 1, 451: 2 } },
    );
  });
});

test('labels that refuse', async () => {
  await withSink({}, async ({ sink }) => {
    const labels = ['hard', 'block', 'full', 'defer', 'defer1', 'greylist'];
    const said = await send(
      sink,
      labels.map((label) => `x@${label}.sink.test`),
    );
    assert.deepEqual(
      said.recipients.map((r) => `${r?.code} ${r?.enhanced}`),
      ['550 5.1.1', '554 5.7.1', '552 5.2.2', '451 4.7.1', '451 4.7.1', '451 4.7.1'],
    );
    assert.deepEqual(
      codes(await send(sink, ['x@greylist.sink.test'])),
      [250],
      'a time scale of 0 waits for nothing',
    );
    assert.deepEqual(codes(await send(sink, ['x@elsewhere.test'])), [550], 'no open relay');
    const large = await send(sink, ['x@toolarge.sink.test']);
    assert.ok(codes(large)[0] === 552 || large.data?.code === 552);
  });
});

test('greylisting waits for its time', async () => {
  let now = 5_000_000;
  const clock = { now: () => now, after: systemClock.after };
  await withSink({ clock, timeScale: 1, greylistDelay: 60_000 }, async ({ sink }) => {
    const address = ['x@greylist.sink.test'];
    assert.deepEqual(codes(await send(sink, address)), [451]);
    now += 59_000;
    assert.deepEqual(codes(await send(sink, address)), [451]);
    assert.deepEqual(codes(await send(sink, ['y@greylist.sink.test'])), [451]);
    now += 1_000;
    assert.deepEqual(codes(await send(sink, address)), [250]);
    assert.deepEqual(codes(await send(sink, ['y@greylist.sink.test'])), [451]);
  });
});

test('a limited rate: ten a minute, then 421', async () => {
  await withSink({ perMinute: 2 }, async ({ sink }) => {
    for (const code of [250, 250, 421]) {
      assert.deepEqual(codes(await send(sink, ['x@ratelimit.sink.test'])), [code]);
    }
  });
});

test('commands in the local part choose code, stage, text and number of attempts', async () => {
  await withSink({}, async ({ sink }) => {
    const refused = await send(sink, ['x+c552-5.2.3_t=too-much_n=1_tag=T@any.sink.test']);
    assert.equal(refused.recipients[0]!.lines.join(' '), '5.2.3 too much');
    assert.deepEqual(codes(await send(sink, ['x+c552-5.2.3_t=too-much_n=1_tag=T@any.sink.test'])), [250]);
    const atDot = await send(sink, ['x+c450_at=dot@any.sink.test', 'y@accept.sink.test']);
    assert.deepEqual([codes(atDot), atDot.data?.code], [[250, 250], 450]);
    const atData = await send(sink, ['x+c554_at=data@any.sink.test']);
    assert.equal(atData.data?.code, 554);
    const list = await get<{ messages: { rcpt: string }[]; refusals: { code: number }[] }>(
      sink,
      '/v1/messages?tag=T',
    );
    assert.deepEqual([list.messages.length, list.refusals.map(({ code }) => code)], [1, [552]]);
  });
});

test('connections are cut where the label says; after drop-dot the message is there and its second copy counted', async () => {
  await withSink({}, async ({ sink }) => {
    assert.ok((await send(sink, ['x@drop-rcpt.sink.test'])).lost);
    assert.ok((await send(sink, ['x@drop-data.sink.test'])).lost);
    const content = mail();
    const cut = await send(sink, ['x@drop-dot.sink.test'], content);
    assert.equal(cut.lost?.stage, 'final');
    const again = await send(sink, ['x@drop-dot.sink.test'], content);
    assert.equal(again.data?.code, 250);
    const { accepted, messages, duplicates, unanswered } = await settled(sink);
    assert.deepEqual([accepted, messages, duplicates, unanswered], [2, 1, 1, 1]);
    const { dropped_connection } = await get<Record<string, number>>(sink, '/json');
    assert.equal(dropped_connection, 2);
  });
});

test('timeout never answers, and does not keep the sink from closing', async () => {
  await withSink({}, async ({ sink }) => {
    const connected = await connectSmtp({
      host: '127.0.0.1',
      port: sink.ports.smtp,
      heloName: 'mta.test',
      tls: { mode: 'no' },
      timeouts: { dataEnd: 100 },
    });
    assert.ok(connected.ok);
    const result = await connected.client.send({
      from: 'a@b.test',
      recipients: [{ address: 'x@timeout.sink.test' }],
      content: mail(),
    });
    assert.equal(result.lost?.code, 'ETIMEDOUT');
    assert.equal((await settled(sink)).accepted, 0);
  });
});

test('STARTTLS is offered', async () => {
  await withSink({}, async ({ sink }) => {
    const connected = await connectSmtp({
      host: '127.0.0.1',
      port: sink.ports.smtp,
      heloName: 'mta.test',
      tls: { mode: 'require', verify: 'no' },
    });
    assert.ok(connected.ok);
    assert.match(connected.client.facts.tls?.protocol ?? '', /^TLSv1\.[23]$/);
    await connected.client.quit();
  });
});

test('readers fetch pixels in order, then links, but neither foreign hosts nor the way out of the list', async () => {
  await withTracker(async (tracker) => {
    await withSink({ trackers: [tracker.host] }, async ({ sink }) => {
      await send(sink, ['x@click.sink.test'], mail(tracked(tracker.host)));
      const seen = await settled(sink);
      assert.deepEqual(tracker.hits, ['GET /q/top', 'GET /q/end', 'GET /f/a/one', 'GET /f/a/two']);
      assert.deepEqual([seen.initialOpens, seen.opens, seen.clicks], [1, 1, 2]);
      const counters = await get<Record<string, number>>(sink, '/json');
      assert.equal(counters.click_url_not_sparkpost, 1);
      tracker.hits.length = 0;
      await send(
        sink,
        ['x@open.sink.test', 'y+open=2_click=1_link=2@accept.sink.test'],
        mail(tracked(tracker.host)),
      );
      const then = await settled(sink);
      assert.deepEqual([then.initialOpens, then.opens, then.clicks], [4, 4, 3]);
      assert.ok(tracker.hits.includes('GET /f/a/two') && !tracker.hits.includes('GET /f/a/one'));
      await send(sink, ['x@accept.sink.test', 'x@trap.sink.test'], mail(tracked(tracker.host)));
      const last = await settled(sink);
      assert.deepEqual([last.opens, last.traps], [4, 1]);
    });
  });
});

test('machines are counted apart', async () => {
  await withTracker(async (tracker) => {
    await withSink({ trackers: [tracker.host] }, async ({ sink }) => {
      await send(
        sink,
        ['x@mpp.sink.test', 'y@scanner.sink.test', 'z@bot.sink.test'],
        mail(tracked(tracker.host)),
      );
      const { machine, opens, initialOpens, clicks } = await settled(sink);
      assert.deepEqual(machine, {
        bot_click: 1,
        prefetch_initial_open: 1,
        prefetch_open: 1,
        scanner_click: 2,
      });
      assert.deepEqual([opens, initialOpens, clicks], [1, 1, 3]);
    });
  });
});

test('one-click unsubscription is a POST, and asked for only where it is offered', async () => {
  await withTracker(async (tracker) => {
    await withSink({ trackers: [tracker.host] }, async ({ sink }) => {
      const list = `List-Unsubscribe: <mailto:u@brand.test>, <http://${tracker.host}/u/token>`;
      await send(
        sink,
        ['x@unsub.sink.test'],
        mail('', [list, 'List-Unsubscribe-Post: List-Unsubscribe=One-Click']),
      );
      await send(sink, ['x@unsub.sink.test'], mail('', [list]));
      assert.equal((await settled(sink)).unsubscribes, 1);
      assert.deepEqual(tracker.hits, ['POST /u/token']);
      tracker.fail('/u/token', 302);
      await send(
        sink,
        ['x@unsub.sink.test'],
        mail('', [list, 'List-Unsubscribe-Post: List-Unsubscribe=One-Click']),
      );
      const { unsubscribes, trackerFaults } = await settled(sink);
      assert.deepEqual([unsubscribes, trackerFaults], [1, { status: 1 }]);
    });
  });
});

test('only what the tracker answered as it must is counted', async () => {
  await withTracker(async (tracker) => {
    await withSink({ trackers: [tracker.host] }, async ({ sink }) => {
      tracker.fail('/q/end', 503);
      tracker.fail('/f/a/one', 404);
      await send(sink, ['x@click.sink.test'], mail(tracked(tracker.host)));
      const { initialOpens, opens, clicks, trackerFaults } = await settled(sink);
      assert.deepEqual([initialOpens, opens, clicks, trackerFaults], [1, 0, 1, { status: 2 }]);
    });
  });
});

test('hosts that are not listed are not fetched from', async () => {
  await withTracker(async (tracker) => {
    await withSink({ probeTrackers: true }, async ({ sink }) => {
      await send(sink, ['x@click.sink.test'], mail(tracked(tracker.host)));
      await settled(sink);
      const counters = await get<Record<string, number>>(sink, '/json');
      assert.deepEqual(tracker.hits, [], 'a private address is never asked');
      assert.equal(counters.open_url_not_sparkpost, 2);
    });
  });
});

test('bounces and complaints come back over SMTP, and a refused first try is repeated', async () => {
  const got: { from: string; to: string; content: Buffer }[] = [];
  let tries = 0;
  const inbound = createSmtpServer(
    () => ({
      options: smtpServerOptions({ hostName: 'inbound.test' }),
      handlers: {
        onMessage({ envelope, content }) {
          if (++tries === 1) return reply(451, '4.3.0', 'later');
          got.push({ from: envelope.from.address, to: envelope.recipients[0]!.address, content });
          return null;
        },
      },
    }),
    { clock: systemClock, log: silentLog },
  );
  const port = await inbound.listen('127.0.0.1', 0, 'test');
  const deliverVia = { host: '127.0.0.1', port };
  try {
    await withSink({ deliverVia, complaintTo: 'fbl@fbl.test' }, async ({ sink, dir }) => {
      const content = mail('<p>hello</p>', ['X-MSFBL: abc']);
      await send(sink, ['x@oob.sink.test', 'y@fbl.sink.test', 'z@autoreply.sink.test'], content);
      await send(sink, ['n@oob.sink.test'], mail(), '');
      const { oob, fbl } = await settled(sink);
      assert.deepEqual([oob, fbl], [1, 1], 'nobody answers the null sender');
      const bounce = got.find(({ content: c }) => c.includes('report-type=delivery-status'))!;
      assert.deepEqual([bounce.from, bounce.to], ['', 'b@bounces.test']);
      const parts = [...leaves(parseMime(bounce.content))];
      assert.deepEqual(
        parts.map(({ type }) => type),
        ['text/plain', 'message/delivery-status', 'message/rfc822'],
      );
      const body = (i: number) => bounce.content.subarray(parts[i]!.bodyStart, parts[i]!.bodyEnd).toString();
      assert.match(body(1), /^Final-Recipient: rfc822; x@oob\.sink\.test\r$/m);
      assert.match(body(1), /^Status: 5\.1\.1\r$/m);
      assert.equal(body(2), content.toString());
      const complaint = got.find(({ content: c }) => c.includes('report-type=feedback-report'))!;
      assert.deepEqual([complaint.from, complaint.to], ['feedback@fbl.sink.test', 'fbl@fbl.test']);
      assert.match(
        complaint.content.toString(),
        /^Feedback-Type: abuse\r\n(?:.*\r\n)*Original-Rcpt-To: <y@fbl\.sink\.test>\r$/m,
      );
      assert.ok(complaint.content.includes('X-MSFBL: abc'));
      assert.equal(got.length, 3, 'and an absence notice');
      assert.deepEqual(
        await readdir(path.join(dir, 'originals')),
        [],
        'originals are gone when nobody needs them',
      );
    });
  } finally {
    await inbound.close(0);
  }
});

test('a bounce whose connection is cut before any reply may have arrived: it is said again, and counted as doubtful', async () => {
  let tries = 0;
  const inbound = createSmtpServer(
    () => ({
      options: smtpServerOptions({ hostName: 'inbound.test' }),
      handlers: {
        // The content came along with the envelope, whose replies are still held back.
        onMessage(_, session) {
          if (++tries === 1) session.destroy();
          return null;
        },
      },
    }),
    { clock: systemClock, log: silentLog },
  );
  const deliverVia = { host: '127.0.0.1', port: await inbound.listen('127.0.0.1', 0, 'test') };
  try {
    await withSink({ deliverVia }, async ({ sink }) => {
      await send(sink, ['x@oob.sink.test']);
      const { oob, inDoubt } = await settled(sink);
      assert.deepEqual([tries, oob, inDoubt.oob], [2, 1, 1]);
    });
  } finally {
    await inbound.close(0);
  }
});

test('without a way back nothing is sent, and that is counted', async () => {
  await withSink({}, async ({ sink }) => {
    await send(sink, ['x@oob.sink.test']);
    const { oob, pending } = await settled(sink);
    assert.deepEqual([oob, pending], [0, 0]);
    assert.equal((await get<Record<string, number>>(sink, '/json')).reply_fault_suppressed_guard, 1);
  });
});

test('headers may ask for a refusal after the final dot, when that is allowed', async () => {
  const content = mail('', ['X-Bounce-Me: 451 4.7.0 later', 'X-Bounce-Percentage: 50']);
  await withSink({}, async ({ sink }) => {
    assert.equal((await send(sink, ['x@accept.sink.test'], content)).data?.code, 250);
  });
  await withSink({ allowHeaderCommands: true }, async ({ sink }) => {
    const always = mail('', ['X-Bounce-Me: 552 5.2.2 full']);
    const refused = await send(sink, ['x@accept.sink.test', 'y@accept.sink.test'], always);
    assert.deepEqual([refused.data?.code, refused.data?.enhanced], [552, '5.2.2']);
    let tries = 1;
    while ((await send(sink, ['x@accept.sink.test'], content)).data?.code === 451) tries++;
    const { refused: hard, deferred, accepted } = await settled(sink);
    assert.deepEqual(
      [hard, deferred, accepted],
      [2, tries - 1, 1],
      'half of the attempts: it clears in the end',
    );
  });
});

test('DKIM signatures are verified against the zone, after the answer', async () => {
  const pair = generateKeyPairSync('ed25519');
  const key = readSigningKey(
    pair.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
  ) as SigningKey;
  const p = pair.publicKey.export({ type: 'spki', format: 'der' }).subarray(12).toString('base64');
  const records = new Map([
    ['s._domainkey.brand.test', [{ type: 'TXT', data: `v=DKIM1; k=ed25519; p=${p}` } as const]],
  ]);
  await withSink({ dkimShare: 1, records }, async ({ sink }) => {
    const raw = mail('<p>signed</p>');
    const field = new SignableMessage(raw).sign({ key, domain: 'brand.test', selector: 's' }, Date.now());
    const signed = Buffer.concat([Buffer.from(field!), raw]);
    await send(sink, ['x@accept.sink.test'], signed);
    await send(
      sink,
      ['x@accept.sink.test'],
      Buffer.from(signed.toString().replace('<p>signed', '<p>forged')),
    );
    await send(sink, ['x@accept.sink.test'], mail());
    assert.deepEqual((await settled(sink)).dkim, { pass: 1, fail: 1, none: 1 });
  });
});

test('counts and plans survive a restart, and nothing is done twice', async () => {
  await withTracker(async (tracker) => {
    let now = Date.now();
    const clock = { now: () => now, after: systemClock.after };
    // An hour of waiting for every action, on a clock that does not move.
    await withSink({ trackers: [tracker.host], timeScale: 1, clock }, async (given) => {
      const { options } = given;
      const content = mail(tracked(tracker.host));
      await send(
        given.sink,
        ['x+after=1h@click.sink.test', 'y@bounce.sink.test', 'z@defer2.sink.test'],
        content,
      );
      assert.equal((await get<Expected>(given.sink, '/v1/expected')).pending, 4);
      await given.sink.close();
      const again: { sink: Sink } = given;
      again.sink = await startSink(options);
      const before = await get<Expected>(given.sink, '/v1/expected');
      assert.deepEqual([before.accepted, before.refused, before.deferred, before.pending], [1, 1, 1, 4]);
      assert.deepEqual(codes(await send(given.sink, ['z@defer2.sink.test'])), [451], 'the second attempt');
      assert.deepEqual(codes(await send(given.sink, ['z@defer2.sink.test'])), [250]);
      await given.sink.close();
      now += 2 * 3_600_000;
      again.sink = await startSink(options);
      const after = await settled(given.sink);
      assert.deepEqual([after.initialOpens, after.opens, after.clicks], [1, 1, 2]);
      await send(given.sink, ['x+after=1h@click.sink.test'], content);
      const last = await settled(given.sink);
      assert.deepEqual([last.duplicates, last.clicks], [1, 2], 'nobody acts on the second copy');
      assert.equal(tracker.hits.length, 4);
    });
  });
});

test('a torn last line of the ledger is taken back; a damaged one is named', async () => {
  await withSink({}, async (given) => {
    const { options, dir } = given;
    await send(given.sink, ['x@accept.sink.test']);
    await given.sink.close();
    const file = path.join(dir, 'ledger.ndjson');
    await appendFile(file, '{"k":"accepted","id":"torn');
    const again: { sink: Sink } = given;
    again.sink = await startSink(options);
    assert.equal((await settled(given.sink)).accepted, 1);
    await send(given.sink, ['y@accept.sink.test']);
    await given.sink.close();
    assert.equal((await readFile(file, 'utf8')).trimEnd().split('\n').length, 2);
    await appendFile(file, 'nonsense\n');
    await assert.rejects(startSink(options), /ledger\.ndjson line 3 is not a record/);
    await truncate(file, 0);
    again.sink = await startSink(options);
  });
});

test('control: health, page, messages, raw copies, ledger, reset', async () => {
  await withSink({ store: 1 }, async ({ sink }) => {
    const content = mail('<p>kept</p>');
    await send(sink, ['x&y@accept.sink.test'], mail());
    await send(sink, ['y@accept.sink.test', 'z@bounce.sink.test'], content);
    const base = `http://127.0.0.1:${sink.ports.control}`;
    assert.deepEqual(await get(sink, '/health'), { ok: true });
    const { messages } = await get<{ messages: { id: string; rcpt: string }[] }>(
      sink,
      '/v1/messages?limit=10',
    );
    assert.deepEqual(
      messages.map(({ rcpt }) => rcpt),
      ['y@accept.sink.test', 'x&y@accept.sink.test'],
    );
    const raw = await fetch(`${base}/v1/messages/${messages[0]!.id}/raw`);
    assert.equal(Buffer.compare(Buffer.from(await raw.arrayBuffer()), content), 0);
    for (const id of [messages[1]!.id, '..%2f..%2fledger', 'x']) {
      assert.equal((await fetch(`${base}/v1/messages/${id}/raw`)).status, 404, id);
    }
    assert.equal((await fetch(`${base}/v1/messages?limit=0`)).status, 400);
    assert.equal((await fetch(`${base}/v1/messages?since=never`)).status, 400);
    assert.equal((await fetch(`${base}/nowhere`)).status, 404);
    const page = await (await fetch(`${base}/`)).text();
    assert.match(page, /y@accept\.sink\.test/);
    assert.match(page, /x&#38;y@accept/);
    const ledger = (await (await fetch(`${base}/v1/ledger`)).text()).trimEnd().split('\n');
    assert.equal(ledger.map((line) => JSON.parse(line).k).filter((k) => k === 'accepted').length, 2);
    assert.equal((await fetch(`${base}/v1/reset`, { method: 'POST' })).status, 200);
    assert.equal((await settled(sink)).accepted, 0);
  });
});

test('the statistical mix decides the same for the same input', async () => {
  const busy = {
    ...defaultRates,
    inbandHard: 20,
    inbandSoft: 20,
    open: 30,
    click: 13,
    prefetch: 0,
    scanner: 0,
  };
  const outcomes: string[][] = [];
  for (let run = 0; run < 2; run++) {
    await withSink({ rates: busy }, async ({ sink }) => {
      const recipients = Array.from(
        { length: 60 },
        (_, n) => `p${n}@${['gmail', 'yahoo', 'corporate'][n % 3]}.sink.test`,
      );
      const said = await Promise.all(
        recipients.map((address, n) => send(sink, [address], mail('', [], `m${n}@x.test`))),
      );
      outcomes.push(said.map(({ recipients: [r] }) => `${r?.code} ${r?.lines.join(' ')}`));
    });
  }
  assert.deepEqual(outcomes[0], outcomes[1]);
  const kinds = new Set(outcomes[0]!.map((said) => said[0]));
  assert.deepEqual([...kinds].sort(), ['2', '4', '5']);
});
