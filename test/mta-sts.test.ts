import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { createDnsServer, createResolver, createStsPolicies, stsAllows } from '../src/dns/index.ts';
import { makeSelfSignedCertificate } from '../src/smtp/index.ts';
import { systemClock } from '../src/system/clock.ts';
import { until } from '../src/system/testing.ts';

const HOST = '127.0.0.1';
const DAY = 86_400_000;
const ENFORCE =
  'version: STSv1\r\nmode: enforce\r\nmx: mail.brand.test\r\nmx: *.mx.test\r\nmax_age: 604800\r\n';

interface Under {
  /** TXT records by domain. */
  readonly txt: Map<string, string[]>;
  serve: (request: IncomingMessage, response: ServerResponse) => void;
  readonly asked: string[];
  now: number;
  timeoutMs: number;
  policy(domain: string): Promise<string>;
  close(): Promise<void>;
}

/** A domain `brand.test` with a policy host that has a certificate which is trusted here. */
async function start(t: TestContext, timeoutMs = 60_000, file?: string): Promise<Under> {
  const certificate = await makeSelfSignedCertificate({
    names: ['mta-sts.brand.test', 'mta-sts.slow.test'],
    days: 1,
  });
  const txt = new Map([['brand.test', ['v=STSv1; id=1;']]]);
  const under = {
    txt,
    asked: [] as string[],
    now: Date.now(),
    serve: (_: IncomingMessage, response: ServerResponse) => plain(response, ENFORCE),
  } as Under;
  const web = createServer({ key: certificate.key, cert: certificate.cert }, (request, response) => {
    under.asked.push(`${request.headers.host} ${request.url}`);
    under.serve(request, response);
  }).listen(0, HOST);
  await once(web, 'listening');
  const dns = createDnsServer({
    answer({ name, type }) {
      const texts = txt.get(name.replace(/^_mta-sts\./, ''));
      if (type === 'TXT' && texts) {
        return { code: 'NOERROR', answers: texts.map((data) => ({ type, name, ttl: 1, data })) };
      }
      if (type === 'A') return { code: 'NOERROR', answers: [{ type, name, ttl: 60, data: HOST }] };
      return { code: 'NOERROR', answers: [] };
    },
  });
  const port = await dns.listen(HOST, 0, 'a test');
  const clock = { now: () => under.now, after: systemClock.after };
  const resolver = createResolver({ servers: [{ address: HOST, port }], clock, attempts: 1 });
  t.after(async () => {
    web.closeAllConnections();
    web.close();
    await resolver.close();
    await dns.close();
  });
  const policies = createStsPolicies({
    resolver: () => resolver,
    clock,
    port: (web.address() as AddressInfo).port,
    ca: certificate.cert,
    timeoutMs,
    ...(file === undefined ? {} : { file }),
  });
  under.close = () => policies.close();
  under.policy = async (domain) => {
    const found = await policies.policyFor(domain);
    return found.kind === 'policy' ? `${found.policy.mode} ${found.policy.mx}` : `none: ${found.reason}`;
  };
  return under;
}

function plain(response: ServerResponse, text: string): void {
  response.writeHead(200, { 'content-type': 'text/plain; charset=utf-8' });
  response.end(text);
}

test('MTA-STS (RFC 8461): the policy is fetched once and kept for max_age', async (t) => {
  const under = await start(t);
  const expected = 'enforce mail.brand.test,*.mx.test';
  assert.equal(await under.policy('Brand.test'), expected);
  assert.deepEqual(under.asked, ['mta-sts.brand.test /.well-known/mta-sts.txt']);
  assert.equal(await under.policy('brand.test'), expected);
  assert.equal(under.asked.length, 1);

  under.txt.delete('brand.test');
  under.now += 6 * DAY;
  assert.equal(await under.policy('brand.test'), expected, 'the record is gone, the policy holds');
  under.now += 2 * DAY;
  assert.equal(await under.policy('brand.test'), 'none: it announces no policy');
});

test('MTA-STS: another id, or a day gone by, fetches anew; a failure leaves the old policy in force', async (t) => {
  const under = await start(t);
  await under.policy('brand.test');
  under.serve = (_, response) => plain(response, ENFORCE.replace('enforce', 'testing'));
  under.txt.set('brand.test', ['v=STSv1; id=2;']);
  under.now += 2000;
  assert.match(await under.policy('brand.test'), /^testing/);
  assert.equal(under.asked.length, 2);

  under.serve = (_, response) => {
    response.writeHead(500);
    response.end();
  };
  under.now += DAY;
  assert.match(await under.policy('brand.test'), /^testing/);
  assert.equal(under.asked.length, 3);
  under.now += 299_000;
  assert.match(await under.policy('brand.test'), /^testing/);
  assert.equal(under.asked.length, 3, 'not asked again within five minutes');
  under.now += 2000;
  await under.policy('brand.test');
  assert.equal(under.asked.length, 4);
});

test('MTA-STS: mode none ends a policy', async (t) => {
  const under = await start(t);
  under.serve = (_, response) => plain(response, 'version: STSv1\nmode: none\nmax_age: 60\n');
  assert.equal(await under.policy('brand.test'), 'none ');
});

test('MTA-STS: records that announce nothing', async (t) => {
  const under = await start(t);
  for (const [domain, ...texts] of [
    ['no.test'],
    ['two.test', 'v=STSv1; id=1;', 'v=STSv1; id=2;'],
    ['other.test', 'v=STSv2; id=1;'],
    ['noid.test', 'v=STSv1;'],
    ['bad.test', 'v=STSv1; id=a-b;'],
    ['long.test', `v=STSv1; id=${'a'.repeat(33)};`],
  ] as [string, ...string[]][]) {
    under.txt.set(domain, texts);
    assert.equal(await under.policy(domain), 'none: it announces no policy', domain);
  }
  under.txt.set('brand.test', ['something else', 'v=STSv1 ; x=y; id=ab12']);
  assert.match(await under.policy('brand.test'), /^enforce/);
  assert.equal(under.asked.length, 1);
});

const BAD: [what: string, serve: Under['serve'], expected: RegExp][] = [
  [
    'a redirect',
    (_, response) => {
      response.writeHead(302, { location: '/else' });
      response.end();
    },
    /status 302/,
  ],
  [
    'HTML',
    (_, response) => {
      response.writeHead(200, { 'content-type': 'text/html' });
      response.end(ENFORCE);
    },
    /not text\/plain/,
  ],
  ['too much', (_, response) => plain(response, ENFORCE + 'x'.repeat(70_000)), /too long/],
  ['nothing', () => {}, /no answer in 0.3 s/],
  ['a broken connection', (request) => request.socket.destroy(), /socket hang up/],
  ['another version', (_, response) => plain(response, ENFORCE.replace('STSv1', 'STSv9')), /version/],
  ['another mode', (_, response) => plain(response, ENFORCE.replace('enforce', 'maybe')), /mode/],
  ['no max_age', (_, response) => plain(response, ENFORCE.replace('max_age', 'age')), /max_age/],
  ['no mx', (_, response) => plain(response, 'version: STSv1\nmode: enforce\nmax_age: 60\n'), /names no mx/],
];

for (const [what, serve, expected] of BAD) {
  test(`MTA-STS: a policy host that answers with ${what} is no policy`, async (t) => {
    // Short only for the one that never answers.
    const under = await start(t, what === 'nothing' ? 300 : undefined);
    under.serve = serve;
    assert.match(await under.policy('brand.test'), expected);
  });
}

test('MTA-STS: a policy that is enforced outlives a restart, for max_age and no longer; others are forgotten', async (t) => {
  const dir = mkdtempSync(path.join(tmpdir(), 'posthorn-sts-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const file = path.join(dir, 'mta-sts.json');
  const first = await start(t, undefined, file);
  const expected = await first.policy('brand.test');
  assert.match(expected, /^enforce/);
  // What follows a kill: nothing was closed, the file alone is there.
  await until(() => existsSync(file));
  const text = readFileSync(file, 'utf8');
  writeFileSync(file, `{"domain":\nnull\n${text}{"domain":"x.test","id":"1","fetchedAt":"now"}\n`);
  const second = await start(t, undefined, file);
  second.txt.delete('brand.test');
  second.now = first.now + DAY;
  assert.equal(await second.policy('brand.test'), expected, 'a forger hides the record');
  assert.deepEqual(second.asked, []);

  second.txt.set('brand.test', ['v=STSv1; id=2;']);
  second.serve = (_, response) => plain(response, ENFORCE.replace('enforce', 'none'));
  second.now += 3_600_000;
  assert.match(await second.policy('brand.test'), /^none/);
  await second.close();
  assert.equal(readFileSync(file, 'utf8'), '');

  writeFileSync(file, text);
  const third = await start(t, undefined, file);
  third.txt.delete('brand.test');
  third.now = first.now + 8 * DAY;
  assert.equal(await third.policy('brand.test'), 'none: it announces no policy');
});

test('MTA-STS: the certificate of the policy host is verified', async (t) => {
  const under = await start(t);
  under.txt.set('other.test', ['v=STSv1; id=1;']);
  assert.match(await under.policy('other.test'), /^none: .*does not match/);
  assert.deepEqual(under.asked, []);
  const stranger = createStsPolicies({
    resolver: () => ({
      query: async (name, type) =>
        type === 'TXT'
          ? { kind: 'answer', name, records: ['v=STSv1; id=1;'], ttl: 1, authenticated: false }
          : type === 'A'
            ? { kind: 'answer', name, records: [HOST], ttl: 1, authenticated: false }
            : { kind: 'nodata', authenticated: false },
    }),
    clock: systemClock,
    port: await selfSignedPort(t),
  });
  const found = await stranger.policyFor('brand.test');
  assert.ok(found.kind === 'none');
  assert.match(found.reason, /self-signed certificate/);
});

async function selfSignedPort(t: TestContext): Promise<number> {
  const certificate = await makeSelfSignedCertificate({ names: ['mta-sts.brand.test'], days: 1 });
  const web = createServer({ key: certificate.key, cert: certificate.cert }, (_, response) =>
    plain(response, ENFORCE),
  ).listen(0, HOST);
  await once(web, 'listening');
  t.after(() => web.close());
  return (web.address() as AddressInfo).port;
}

test('MTA-STS: a wildcard in mx stands for one label', () => {
  const policy = { mode: 'enforce' as const, mx: ['mail.brand.test', '*.mx.test'], maxAge: 1 };
  assert.ok(stsAllows(policy, 'MAIL.brand.test.'));
  assert.ok(stsAllows(policy, 'a.mx.test'));
  assert.ok(!stsAllows(policy, 'a.b.mx.test'));
  assert.ok(!stsAllows(policy, 'mx.test'));
  assert.ok(!stsAllows(policy, 'other.brand.test'));
});
