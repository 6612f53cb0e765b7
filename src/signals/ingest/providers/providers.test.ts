import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import type { Found } from '../../../dns/index.ts';
import { createDnsServer, createResolver } from '../../../dns/index.ts';
import { systemClock } from '../../../system/clock.ts';
import { silentLog } from '../../../system/log.ts';
import type { UserError } from '../../../system/user-error.ts';
import { describeProvider } from './describe-provider.ts';
import { MailHostCache } from './mail-host-cache.ts';
import { builtInFile, ProviderTable } from './provider-table.ts';
import { Providers } from './providers.ts';

const table = ProviderTable.load();

test('the built-in list: names and keys that reports and alerts know, no domain at two providers', async () => {
  const of = (domain: string) => table.ofDomain(domain)?.provider;
  assert.deepEqual(of('gmail.com'), { name: 'Gmail', key: 'gmail', region: 'Global' });
  assert.deepEqual(of('mac.com'), { name: 'Apple', key: 'apple', region: 'Global' });
  assert.deepEqual(of('aol.com'), { name: 'Verizon Media Group', key: 'verizon_media', region: 'Global' });
  assert.equal(of('yahoo.co.uk')!.key, 'yahoo_uk');
  assert.equal(of('hotmail.com')!.name, 'Hotmail / Outlook');
  assert.equal(of('telia.com')!.region, 'Europe - Sweden');
  assert.equal(of('hinet.net')!.region, 'APAC - Taiwan');
  assert.equal(of('comcast.net')!.region, 'North America - USA');
  assert.equal(of('cs.stanford.edu')!.name, 'Educational Institution');
  assert.equal(of('edu'), undefined);
  assert.equal(of('notgmail.com'), undefined);
  const seen = new Set<string>();
  for (const line of (await readFile(builtInFile, 'utf8')).split('\n')) {
    const [kind, ...names] = line.trim().split(/\s+/);
    if (!line.startsWith(' ') || kind === undefined) continue;
    for (const name of names) {
      assert.ok(!seen.has(`${kind} ${name}`), `${kind} ${name} stands twice`);
      seen.add(`${kind} ${name}`);
    }
  }
});

test('a mail host tells whose a domain is; the longest ending counts, whole labels only', () => {
  const of = (host: string) => table.ofMailHost(host)?.provider.name;
  assert.equal(of('aspmx.l.google.com'), 'Gsuite');
  assert.equal(of('google.com'), 'Gsuite');
  assert.equal(of('evilgoogle.com'), undefined);
  assert.equal(of('firm-com.mail.protection.outlook.com'), 'Office 365');
  assert.equal(of('outlook-com.olc.protection.outlook.com'), 'Hotmail / Outlook');
  assert.equal(of('mx-eu.mail.am0.yahoodns.net'), 'Verizon Media Group');
  assert.equal(of('eu-smtp-inbound-1.mimecast.com'), 'Mimecast');
  assert.equal(of(''), undefined);
});

test("an operator's file wins, and a fault in it names the line", async () => {
  const dir = await mkdtemp(path.join(tmpdir(), 'posthorn-providers-'));
  try {
    const file = path.join(dir, 'own.txt');
    await writeFile(
      file,
      '# ours\n\nOurs | other | Europe - Sweden\n  domain gmail.com\n  mx Ours.Example # host\n',
    );
    const own = ProviderTable.load(file);
    assert.equal(own.ofDomain('gmail.com')!.provider.name, 'Ours');
    assert.deepEqual([own.ofDomain('gmail.com')!.file, own.ofDomain('gmail.com')!.line], [file, 4]);
    assert.equal(own.ofMailHost('mx1.ours.example')!.line, 5);
    assert.equal(own.ofDomain('web.de')!.provider.name, 'WEB.DE');
    for (const [text, words] of [
      ['  domain x.example\n', /own.txt:1: a rule stands before the first provider/],
      ['X | nokey | Global\n', /own.txt:1: there is no key "nokey"/],
      ['X | other\n', /own.txt:1: this is no provider/],
      ['X | other | Global\n domains x.example\n', /own.txt:2: "domains" is no rule/],
      ['X | other | Global\n domain *.example\n', /own.txt:2: "\*.example" is no domain/],
      ['X | other | Global\n domain\n', /own.txt:2: "domain" names nothing/],
    ] as const) {
      await writeFile(file, text);
      assert.throws(
        () => ProviderTable.load(file),
        (error: UserError) => error.name === 'UserError' && words.test(error.message),
      );
    }
    assert.throws(() => ProviderTable.load(path.join(dir, 'none')), /cannot be read/);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
});

/** Answers by domain, counts what is asked, and how much of it at the same time. */
function fakeResolver(hosts: ReadonlyMap<string, string>) {
  const asked: string[] = [];
  const state = { now: 0, most: 0, broken: false };
  return {
    asked,
    state,
    async query(domain: string): Promise<Found> {
      asked.push(domain);
      state.most = Math.max(state.most, ++state.now);
      await new Promise((resolve) => setTimeout(resolve, 1));
      state.now--;
      if (state.broken) return { kind: 'failure', reason: 'nobody answers' };
      const host = hosts.get(domain);
      if (host === undefined) return { kind: 'nxdomain', authenticated: false };
      return {
        kind: 'answer',
        name: domain,
        records: [{ preference: 5, exchange: host }],
        ttl: 60,
        authenticated: false,
      };
    },
  };
}

async function until(done: () => boolean): Promise<void> {
  while (!done()) await new Promise((resolve) => setTimeout(resolve, 2));
}

test('an unknown domain is asked about in the background, once, and stays known over a restart', async () => {
  const dir = await mkdtemp(path.join(tmpdir(), 'posthorn-providers-'));
  const file = path.join(dir, 'mail-hosts.db');
  let ahead = 0;
  const clock = { ...systemClock, now: () => Date.now() + ahead };
  const resolver = fakeResolver(new Map([['firm.se', 'aspmx.l.google.com']]));
  const open = () =>
    new Providers(table, { resolver, cache: new MailHostCache(file), clock, log: silentLog });
  try {
    let providers = open();
    assert.equal(providers.of('firm.se').name, '');
    assert.equal(providers.of('firm.se').name, '');
    await until(() => providers.of('firm.se').name !== '');
    assert.equal(providers.of('firm.se').name, 'Gsuite');
    assert.equal(providers.of('nowhere.se').name, '');
    await until(() => resolver.asked.length === 2 && resolver.state.now === 0);
    for (const name of [
      'gmail.com',
      'x.example',
      'localhost',
      '',
      'a b.se',
      'x'.repeat(300),
      '192.0.2.1',
      '__proto__',
    ]) {
      providers.of(name);
    }
    providers.close();
    providers = open();
    assert.equal(providers.of('firm.se').name, 'Gsuite', 'read back');
    assert.equal(providers.of('nowhere.se').name, '');
    assert.deepEqual(resolver.asked, ['firm.se', 'nowhere.se']);
    // Out of date it still holds, while it is asked again.
    ahead = 8 * 86_400_000;
    resolver.state.broken = true;
    assert.equal(providers.of('firm.se').name, 'Gsuite');
    await until(() => resolver.asked.length === 3 && resolver.state.now === 0);
    assert.equal(providers.of('firm.se').name, 'Gsuite');
    await new Promise((resolve) => setTimeout(resolve, 5));
    assert.equal(resolver.asked.length, 3, 'a failure is not repeated at once');
    providers.close();
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
});

test('a flood of new domains is asked about a few at a time, and never waits', async () => {
  const dir = await mkdtemp(path.join(tmpdir(), 'posthorn-providers-'));
  const resolver = fakeResolver(new Map());
  const cache = new MailHostCache(path.join(dir, 'mail-hosts.db'));
  const providers = new Providers(table, { resolver, cache, clock: systemClock, log: silentLog });
  try {
    for (let i = 0; i < 100_000; i++) providers.of(`d${i}.se`);
    await until(() => resolver.asked.length > 200);
    assert.ok(resolver.state.most <= 8, `${resolver.state.most} at a time`);
    providers.close();
    const { length } = resolver.asked;
    await until(() => resolver.state.now === 0);
    assert.ok(resolver.asked.length <= length + 8, 'closed, it asks nothing more');
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
});

test('one domain can be tried: the rule, its line, the mail host, or why there is none', async () => {
  const server = createDnsServer({
    answer: ({ name, type }) =>
      type === 'MX' && name === 'firm.se'
        ? {
            code: 'NOERROR',
            answers: [
              {
                name,
                type,
                ttl: 60,
                data: { preference: 10, exchange: 'firm-se.mail.protection.outlook.com' },
              },
            ],
          }
        : { code: 'NXDOMAIN', answers: [] },
  });
  const port = await server.listen('127.0.0.1', 0, 'name server of a test');
  const resolver = createResolver({ servers: [{ address: '127.0.0.1', port }], clock: systemClock });
  try {
    const hosted = await describeProvider('Ada@Firm.SE', table, resolver);
    assert.equal(hosted.provider, 'Office 365');
    assert.equal(hosted.rule, 'mx mail.protection.outlook.com');
    assert.ok(hosted.line! > 1);
    assert.match(hosted.mailHost!, /^firm-se\./);
    const plain = await describeProvider('gmail.com.', table, null);
    assert.deepEqual([plain.provider, plain.mailHost, plain.why], ['Gmail', null, '']);
    const none = await describeProvider('nowhere.se', table, resolver);
    assert.deepEqual([none.provider, none.key], ['', 'other']);
    assert.match(none.why, /no mail host/);
    assert.match((await describeProvider('firm.se', table, null)).why, /was not asked/);
  } finally {
    await resolver.close();
    await server.close();
  }
});
