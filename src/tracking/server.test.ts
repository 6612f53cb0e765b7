import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { systemClock } from '../system/clock.ts';
import { openKeyRing, revokeKey, rotateKeys } from './key-ring.ts';
import { type Answer, click, open, pathTo, startTestTracker, unsubscribe } from './tracker-testing.ts';

const PIXEL = Buffer.from(
  '47494638396101000100800000FFFFFFFFFFFF21F904010A0001002C000000000100010000020 24C01003B00'.replaceAll(
    ' ',
    '',
  ),
  'hex',
);
const PAST = 1_600_000_000;
const MPP = 'Mozilla/5.0';
const FIREFOX = 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0';

function assertCommon(answer: Answer): void {
  assert.equal(answer.headers.server, 'msys-http');
  assert.equal(answer.headers['x-content-type-options'], 'nosniff');
  assert.equal(answer.headers['cache-control'], 'no-cache, no-store, max-age=0, private');
  for (const never of [
    'set-cookie',
    'strict-transport-security',
    'access-control-allow-origin',
    'etag',
    'last-modified',
    'content-encoding',
  ]) {
    assert.equal(answer.headers[never], undefined, never);
  }
}

test('the pixel is the 44 octets, whether the token is good or not', async (t) => {
  const { ask, url, events } = await startTestTracker(t);
  assert.equal(PIXEL.length, 44);
  for (const path of [url(open), '/q/', '/q/x', '/q/x/y', `/q/${'A'.repeat(7000)}`, `${url(open)}x`]) {
    const answer = await ask(path, { headers: { Range: 'bytes=0-9', 'Accept-Encoding': 'gzip' } });
    assert.equal(answer.status, 200, path);
    assert.deepEqual(answer.body, PIXEL);
    assert.equal(answer.headers['content-type'], 'image/gif');
    assert.equal(answer.headers['content-length'], '44');
    assertCommon(answer);
  }
  assert.deepEqual(
    events().map(({ event }) => event.type),
    ['open'],
  );
});

test('both pixels, also of the AMP part, tell their own type', async (t) => {
  const { ask, url, events } = await startTestTracker(t);
  await ask(url({ ...open, action: 'initial_open' }));
  await ask(url(open));
  await ask(url({ ...open, action: 'initial_open', amp: true }));
  await ask(url({ ...open, amp: true }));
  assert.deepEqual(
    events().map(({ wrapper, event }) => `${wrapper} ${event.type}`),
    ['initial_open', 'open', 'amp_initial_open', 'amp_open'].map((type) => `track_event ${type}`),
  );
});

test('a link leads to its target and gives a click', async (t) => {
  const { ask, url, events } = await startTestTracker(t);
  const answer = await ask(url(click), { headers: { 'User-Agent': FIREFOX } });
  assert.equal(answer.status, 302);
  assert.equal(answer.headers.location, click.target);
  assert.equal(answer.headers['content-type'], 'text/plain');
  assert.equal(answer.headers['content-length'], '0');
  assert.equal(answer.headers['x-robots-tag'], 'noindex');
  assertCommon(answer);
  const [{ wrapper, event }] = events() as [{ wrapper: string; event: Record<string, unknown> }];
  assert.equal(wrapper, 'track_event');
  assert.equal(event.type, 'click');
  assert.equal(event.ip_address, '127.0.0.1');
  assert.equal(event.user_agent, FIREFOX);
  assert.equal(event.target_link_url, click.target);
});

test('nothing that is added to a link changes where it leads', async (t) => {
  const { ask, url, tracker, lines } = await startTestTracker(t);
  for (const more of [
    '?target=https://evil.example',
    '?url=https%3A%2F%2Fevil.example&utm_source=x',
    '#https://evil.example',
    '?',
  ]) {
    const answer = await ask(url(click) + more, { headers: { 'User-Agent': more } });
    assert.equal(answer.headers.location, click.target, more);
  }
  const proxied = await ask(`http://127.0.0.1:${tracker.port}${url(click)}`, {
    headers: { Host: 'evil.example' },
  });
  assert.equal(proxied.headers.location, click.target);
  assert.equal(lines.length, 5);
});

test('targets outside ASCII are encoded, unsafe ones go nowhere', async (t) => {
  const { ask, url, lines } = await startTestTracker(t);
  const idn = await ask(url({ ...click, target: 'https://müller.example/größe?ü' }));
  assert.equal(idn.headers.location, 'https://xn--mller-kva.example/gr%C3%B6%C3%9Fe?%C3%BC');
  for (const target of [
    'javascript:alert(1)',
    'https://a\\@evil.example/',
    'https://',
    'https://a@b.example/',
  ]) {
    const answer = await ask(url({ ...click, target }));
    assert.equal(answer.status, 404, target);
    assert.equal(answer.headers.location, undefined);
  }
  assert.equal(lines.length, 1);
});

test('what is no valid link is a page that says so, and never a redirect', async (t) => {
  const { ask, url, lines } = await startTestTracker(t);
  const good = url(click);
  const token = good.split('/')[3]!;
  for (const path of [
    '/f/a',
    '/f/a/',
    '/f',
    '/f/a/x',
    good.replace('/f/a/', '/f/b/'),
    `${good}/`,
    `/f/${token}`,
    `/u/${token}`,
    `/f/a/${url(open).slice(3)}`,
    `/f/a/${url(unsubscribe).slice(3)}`,
    '/',
    '/q',
    '/u/',
    '/nothing?<script>',
  ]) {
    const answer = await ask(path);
    assert.equal(answer.status, 404, path);
    assert.equal(answer.headers.location, undefined);
    assert.equal(answer.headers['content-type'], 'text/plain');
    assert.equal(answer.body.toString(), 'Not Found\n');
    assertCommon(answer);
  }
  const swapped = await ask(`/q/${token}`);
  assert.deepEqual(swapped.body, PIXEL);
  assert.equal(lines.length, 0);
});

test('no bit of a token can be changed', async (t) => {
  const { ask, url, lines } = await startTestTracker(t);
  const raw = Buffer.from(url(click).split('/')[3]!, 'base64url');
  const statuses = await Promise.all(
    Array.from({ length: raw.length * 8 }, async (_, bit) => {
      const forged = Buffer.from(raw);
      forged[bit >> 3]! ^= 1 << (bit & 7);
      return (await ask(`/f/a/${forged.toString('base64url')}`)).status;
    }),
  );
  assert.deepEqual([...new Set(statuses)], [404]);
  assert.equal(lines.length, 0);
});

test('HEAD answers like GET without a body and is no event', async (t) => {
  const { ask, url, lines } = await startTestTracker(t);
  for (const path of [
    url(click),
    url(open),
    url(unsubscribe),
    '/q/x',
    '/f/a',
    '/u/x',
    '/robots.txt',
    '/favicon.ico',
    '/nothing',
  ]) {
    const head = await ask(path, { method: 'HEAD' });
    const before = lines.length;
    assert.equal(before, 0, path);
    const get = await ask(path);
    lines.length = 0;
    assert.equal(head.body.length, 0);
    assert.equal(head.status, get.status, path);
    const { date: _h, ...headHeaders } = head.headers;
    const { date: _g, ...getHeaders } = get.headers;
    assert.deepEqual(headHeaders, getHeaders);
  }
});

test('other methods are refused with what is allowed', async (t) => {
  const { ask, url, lines } = await startTestTracker(t);
  for (const method of ['OPTIONS', 'PUT', 'DELETE', 'PATCH', 'TRACE', 'PROPFIND', 'POST']) {
    for (const path of [url(click), url(open), url(unsubscribe), '/robots.txt', '/nothing']) {
      if (method === 'POST' && path.startsWith('/u/')) continue;
      const answer = await ask(path, { method });
      assert.equal(answer.status, 405, `${method} ${path}`);
      assert.equal(answer.headers.allow, path.startsWith('/u/') ? 'GET, HEAD, POST' : 'GET, HEAD');
      assertCommon(answer);
    }
  }
  assert.equal(lines.length, 0);
});

test('robots are sent away, and there is no icon', async (t) => {
  const { ask } = await startTestTracker(t);
  const robots = await ask('/robots.txt');
  assert.equal(robots.status, 200);
  assert.equal(robots.body.toString(), 'User-agent: *\nDisallow: /\n');
  assertCommon(robots);
  const icon = await ask('/favicon.ico');
  assert.equal(icon.status, 204);
  assertCommon(icon);
});

test('the name of the server can be another one', async (t) => {
  const { ask } = await startTestTracker(t, { serverHeader: 'mail' });
  assert.equal((await ask('/f/a')).headers.server, 'mail');
});

test('opening the unsubscribe page unsubscribes nobody and shows nothing of the request', async (t) => {
  const { ask, url, lines } = await startTestTracker(t);
  const answer = await ask(`${url(unsubscribe)}?x=<script>alert(1)</script>`, {
    headers: { 'User-Agent': '<b>agent</b>', Referer: 'https://evil.example/<i>' },
  });
  const page = answer.body.toString();
  assert.equal(answer.status, 200);
  assertCommon(answer);
  assert.equal(answer.headers['content-type'], 'text/html; charset=utf-8');
  assert.match(
    String(answer.headers['content-security-policy']),
    /default-src 'none'.*frame-ancestors 'none'/,
  );
  assert.equal(answer.headers['referrer-policy'], 'no-referrer');
  assert.match(page, /<html lang="en">[\s\S]*<title>[\s\S]*<main>[\s\S]*<h1>/);
  assert.match(page, /<form method="post">[\s\S]*<button type="submit">Unsubscribe<\/button>/);
  assert.doesNotMatch(page, /script|evil|agent|<i>|Ada|example\.net/i);
  assert.equal(lines.length, 0);
  assert.deepEqual((await ask(url(unsubscribe))).body, answer.body);
});

test('one-click unsubscribe: 200 each time, one event', async (t) => {
  const { ask, url, events } = await startTestTracker(t, { trustedProxies: ['127.0.0.1'] });
  const path = url(unsubscribe);
  const multipart =
    '--b\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--b--\r\n';
  const forms = [
    ['application/x-www-form-urlencoded', 'List-Unsubscribe=One-Click'],
    ['application/x-www-form-urlencoded', 'List-Unsubscribe=One-Click'],
    ['multipart/form-data; boundary=b', multipart],
    ['text/plain', ''],
    ['application/x-www-form-urlencoded', 'x'.repeat(200_000)],
  ] as const;
  for (const [i, [type, body]] of forms.entries()) {
    const answer = await ask(path, {
      method: 'POST',
      headers: { 'Content-Type': type, 'X-Forwarded-For': `192.0.2.${Math.max(1, i)}` },
      body,
    });
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.location, undefined);
    assertCommon(answer);
  }
  const found = events();
  assert.equal(found.length, 4, 'the second request is the first one again');
  assert.equal(new Set(found.map(({ event }) => event.event_id)).size, 1);
  for (const { wrapper, event } of found) {
    assert.equal(wrapper, 'unsubscribe_event');
    assert.equal(event.type, 'list');
    assert.equal(event.user_agent, undefined);
  }
  const other = await ask(url({ ...unsubscribe, messageId: 'other' }), { method: 'POST' });
  assert.equal(other.status, 200);
  assert.notEqual(events().at(-1)!.event.event_id, found[0]!.event.event_id);
  assert.equal((await ask('/u/x', { method: 'POST', body: 'List-Unsubscribe=One-Click' })).status, 404);
  assert.equal(events().length, 5);
  const { counts } = JSON.parse((await ask('/health')).body.toString());
  assert.equal(counts.unusual_forms, 3);
});

test('an unsubscribe form that is cut off unsubscribes nobody', async (t) => {
  const { url, tracker, lines } = await startTestTracker(t);
  const socket = connect(tracker.port, '127.0.0.1').resume();
  socket.end(`POST ${url(unsubscribe)} HTTP/1.1\r\nHost: x\r\nContent-Length: 26\r\n\r\nList-Unsub`);
  await once(socket, 'close');
  assert.equal(lines.length, 0);
});

test('after its expiry a link still leads there but reports nothing; unsubscribing still counts', async (t) => {
  const { ask, url, events } = await startTestTracker(t);
  const link = await ask(url({ ...click, expiry: PAST }));
  assert.equal(link.status, 302);
  assert.equal(link.headers.location, click.target);
  assert.deepEqual((await ask(url({ ...open, expiry: PAST }))).body, PIXEL);
  assert.equal(events().length, 0);
  const path = url({ ...unsubscribe, expiry: PAST });
  assert.match((await ask(path)).body.toString(), /<form/);
  assert.equal((await ask(path, { method: 'POST' })).status, 200);
  assert.deepEqual(
    events().map(({ event }) => event.type),
    ['list'],
  );
});

test('a tagged link gives a click and an unsubscribe', async (t) => {
  const { ask, url, events } = await startTestTracker(t);
  await ask(url({ ...click, unsubscribe: true }), { headers: { 'Accept-Language': 'de-AT,de;q=0.9' } });
  const [first, second] = events();
  assert.equal(`${first!.wrapper} ${first!.event.type}`, 'track_event click');
  assert.equal(`${second!.wrapper} ${second!.event.type}`, 'unsubscribe_event link');
  assert.equal(second!.event.accept_language, 'de-AT,de;q=0.9');
  assert.notEqual(first!.event.event_id, second!.event.event_id);
});

test('the same fetch within two seconds is one event, a later one another', async (t) => {
  let now = Date.now();
  const clock = { ...systemClock, now: () => now };
  const { ask, url, lines } = await startTestTracker(t, { clock, trustedProxies: ['127.0.0.0/8'] });
  const path = url(open);
  await ask(path);
  now += 1999;
  await ask(path);
  assert.equal(lines.length, 1);
  await ask(path, { headers: { 'User-Agent': 'other' } });
  await ask(path, { headers: { 'X-Forwarded-For': '192.0.2.9' } });
  await ask(url({ ...open, messageId: 'other' }));
  await ask(url({ ...open, action: 'initial_open' }));
  assert.equal(lines.length, 5);
  now += 1;
  await ask(path);
  assert.equal(lines.length, 6);
});

test('Apple, the Gmail proxy and the Gmail prefetch are labelled', async (t) => {
  const { ask, url, events } = await startTestTracker(t);
  const agents = [
    MPP,
    'Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)',
    'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/42.0.2311.135 Safari/537.36 Edge/12.246 Mozilla/5.0',
    FIREFOX,
  ];
  for (const agent of agents) await ask(url(open), { headers: { 'User-Agent': agent } });
  const labels = events().map(({ event }) => {
    const parsed = event.user_agent_parsed as Record<string, unknown>;
    return [parsed.is_prefetched, parsed.is_proxy, parsed.engagement_class];
  });
  assert.deepEqual(labels, [
    [true, true, 'prefetch'],
    [false, true, 'proxy'],
    [true, false, 'prefetch'],
    [false, false, 'human'],
  ]);
});

test('clicks after HEAD on the same links are a scanner’s', async (t) => {
  let now = Date.now();
  const clock = { ...systemClock, now: () => now };
  const { ask, url, events } = await startTestTracker(t, { clock });
  const links = [1, 2, 3].map((linkIndex) => url({ ...click, linkIndex, unsubscribe: true }));
  const agent = { headers: { 'User-Agent': FIREFOX } };
  for (const link of links) await ask(link, { method: 'HEAD', ...agent });
  for (const link of links) await ask(link, agent);
  const classOf = (event: Record<string, unknown>) =>
    (event.user_agent_parsed as Record<string, unknown>).engagement_class;
  const clicks = events().filter(({ event }) => event.type === 'click');
  assert.equal(clicks.length, links.length);
  for (const { event } of events()) assert.equal(classOf(event), 'scanner');
  now += 60_000;
  await ask(links[0]!, agent);
  assert.equal(classOf(events().at(-1)!.event), 'human');
});

test('forwarded addresses count only from trusted proxies', async (t) => {
  const direct = await startTestTracker(t);
  await direct.ask(direct.url(open), {
    headers: { 'X-Forwarded-For': '192.0.2.1', 'X-Real-IP': '192.0.2.2' },
  });
  assert.equal(direct.events()[0]!.event.ip_address, '127.0.0.1');

  const behind = await startTestTracker(t, {
    trustedProxies: ['127.0.0.1', '10.0.0.0/8', '2001:db8:ffff::/48'],
  });
  const cases: [headers: Record<string, string>, address: string][] = [
    [{}, '127.0.0.1'],
    [{ 'X-Forwarded-For': '192.0.2.1' }, '192.0.2.1'],
    [{ 'X-Forwarded-For': '198.51.100.66, 192.0.2.1' }, '192.0.2.1'],
    [{ 'X-Forwarded-For': '198.51.100.66,192.0.2.1 , 10.1.2.3,2001:db8:ffff::1' }, '192.0.2.1'],
    [{ 'X-Forwarded-For': '10.1.2.3', 'X-Real-IP': '192.0.2.2' }, '192.0.2.2'],
    [{ 'X-Real-IP': '192.0.2.2' }, '192.0.2.2'],
    [{ 'X-Forwarded-For': '::ffff:192.0.2.1' }, '192.0.2.1'],
    [{ 'X-Forwarded-For': '192.0.2.1:4711' }, '192.0.2.1'],
    [{ 'X-Forwarded-For': '[2001:DB8:0:0::1]:4711' }, '2001:db8::1'],
    [{ 'X-Forwarded-For': 'unknown', 'X-Real-IP': '192.0.2.2' }, '127.0.0.1'],
    [{ 'X-Forwarded-For': '192.0.2.1, nonsense' }, '127.0.0.1'],
    [{ 'X-Forwarded-For': '0x7f.1' }, '127.0.0.1'],
    [{ 'X-Real-IP': 'nonsense' }, '127.0.0.1'],
  ];
  for (const [i, [headers, address]] of cases.entries()) {
    await behind.ask(behind.url(open), { headers: { ...headers, 'User-Agent': `case ${i}` } });
    assert.equal(behind.events().at(-1)!.event.ip_address, address, JSON.stringify(headers));
  }
  assert.equal(behind.lines.length, cases.length);
});

test('trusted proxies must be addresses or networks', async (t) => {
  for (const text of ['10.0.0.0/33', 'proxy.example', '10.0.0/8', '', '::/129']) {
    await assert.rejects(startTestTracker(t, { trustedProxies: [text] }), { name: 'UserError' }, text);
  }
});

test('health is for this host only and tells when events are lost', async (t) => {
  let disk = true;
  const { ask, url } = await startTestTracker(t, { events: { add: () => disk }, pendingEvents: () => 3 });
  const good = await ask('/health');
  assert.equal(good.status, 200);
  assert.equal(good.headers['content-type'], 'application/json');
  const { status, pending } = JSON.parse(good.body.toString());
  assert.deepEqual({ status, pending }, { status: 'ok', pending: 3 });
  assert.equal((await ask('/health', { headers: { 'X-Forwarded-For': '127.0.0.1' } })).status, 404);
  disk = false;
  assert.equal((await ask(url(click))).status, 302);
  const bad = await ask('/health');
  assert.equal(bad.status, 503);
  assert.equal(JSON.parse(bad.body.toString()).counts.dropped, 1);
});

test('readers are served even if recording throws', async (t) => {
  const events = {
    add(): boolean {
      throw new Error('closed');
    },
  };
  const { ask, url } = await startTestTracker(t, { events });
  assert.equal((await ask(url(click))).headers.location, click.target);
});

test('keys that are rotated or revoked while the tracker runs take effect', async (t) => {
  const { ask, url, ring, lines } = await startTestTracker(t);
  const old = url(click);
  await rotateKeys(ring.file);
  const mta = await openKeyRing(ring.file);
  const fresh = pathTo(mta, { ...click, messageId: 'fresh' });
  const answers = await Promise.all([ask(fresh), ask(fresh), ask(old)]);
  assert.deepEqual(
    answers.map(({ status }) => status),
    [302, 302, 302],
  );
  assert.equal(lines.length, 2);

  await revokeKey(ring.file, 1);
  await rotateKeys(ring.file);
  // A token of the key made last brings the news of the revoked one along.
  assert.equal((await ask(pathTo(await openKeyRing(ring.file), open))).status, 200);
  assert.equal((await ask(old)).status, 404);
  assert.equal((await ask(fresh)).status, 302);
});
