import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Scope } from './declaration.ts';
import { Fault } from './diagnostic.ts';
import { allDirectives, directive, directivesIn, type Named } from './directives/index.ts';
import { load } from './testing.ts';
import { readInterval } from './values/quantities.ts';

/** A value that fits, by kind or by name. */
const SAMPLES: Readonly<Record<string, string>> = {
  boolean: 'yes',
  integer: '7',
  limit: '7',
  interval: '5m',
  'interval-list': '5m,10m',
  'boolean-or-interval': '5m',
  size: '20M',
  rate: '90/5m',
  'data-rate': '2m/90s',
  string: 'word',
  address: 'a@b.example',
  'address-list': 'a@b.example,c@d.example',
  cidr: '10/8',
  ip: '192.0.2.1',
  host: 'h.example',
  hostport: 'h.example:25',
  url: 'https://h.example/x',
  file: '/f.pem',
  directory: '/d',
  'domain-pattern': '[*.]a.example',
  'smtp-listener': '0/0:26',
  'smtp-source-host': '192.0.2.1 h.example',
  'auto-cold-virtual-mta': '192.0.2.1 h.example',
  alias: 'jo x@z.example',
  'relay-address': '/x@/',
  address_: 'postmaster',
  'domain-key': 's1,a.example,/k.pem',
  'domain-macro': 'm a,b',
  pickup: '/in /bad',
  'http-access': '10/8 monitor,deny-logs',
  'mx-connection-limit': '*.mx.example 5',
  'ip-connection-limit': '10/8 5',
  'enable-signals': 'true,subaccount=4',
  'http-api-key': 'a'.repeat(32),
  'api-key': '0123456789'.repeat(4),
  'domain-suffix': 'd.example',
  'dkim-identity': '@d.example',
  'second-dkim-identity': 'strict-from',
  'dkim-identity-fallback': 'a@d.example',
  'second-dkim-identity-fallback': '@d.example',
  'dkim-headers': 'x-a, /^x-b/',
  'second-dkim-headers': 'x-a',
  'disable-acct-records': 'd,tq',
  records: 'd,bounce',
  'record-fields': 'd *,!rcpt,header_subject',
  'map-header-to-field': 'd header_x-a rcpt',
  'queue-filter': '!a.example/v, *',
  'privacy-policy': 'retain',
  'source-ip-max-msg-rate': '10/8 5/m',
  'source-ip-max-connect-rate': '10/8 5/m',
  'source-ip-max-data-volume-rate': '10/8 5m/m',
  'source-ip-max-smtp-out': '10/8 5',
  'max-smtp-out-per-source-ip': '10/8 5',
  'max-cold-virtual-mta-msg': '5/d,10/day',
  'bounce-upon-no-mx': '45m',
  'smtp-hosts': 'h1.example, [192.0.2.8]:2525; lookup-mx:d.example',
  route: '[IPv6:2001:db8::1]:26',
  'delete-after': '8d',
  'tracking-domain': 't.example:81',
  header: 'x-a /x/ virtual-mta={default}',
  'rcpt-to': '/x/ recipient-priority=4',
  '*': 'call-to:LIST',
  reply: '/x/ skip-mx',
  '/regex/': '/x/ other',
  mx: '*.mx.example q.rollup',
  'from-domain': '*.a.example b.example',
  'sender-or-from': '*.a.example enable-signals',
  client: '192.0.2.2:0 h.example',
};

function sample(d: Named, scope: Scope): string {
  if (d.name === 'mail-from')
    return scope === 'rewrite-list' ? '*@a.example *@b.example' : '/x/ virtual-mta={default}';
  if (d.name === 'address' && scope === 'address-list') return 'postmaster';
  if (d.name === 'api-key' && scope === 'signals') return '0123456789'.repeat(4);
  const known = SAMPLES[d.name] ?? (d.type.kind === 'enum' ? d.type.words![0] : SAMPLES[d.type.kind]);
  if (known) return known;
  if (d.type.kind === 'name' || d.type.kind === 'list') return 'LIST';
  throw new Error(`no sample for ${d.name} (${d.type.kind})`);
}

/** The tags around a line so that it stands in a scope, with what those tags themselves require. */
function within(scope: Scope, line: string): string {
  const argument: Partial<Record<Scope, string>> = {
    domain: ' a.example',
    source: ' 0/0',
    'smtp-listener': ' 0/0:25',
    'transmissions-api-listener': ' 0/0:8443',
    'acct-file': ' /a.csv',
    spool: ' /s',
  };
  const bare: Scope[] = [
    'bounce-processor',
    'feedback-loop-processor',
    'email-patterns',
    'mx-rollup-list',
    'bounce-category-patterns',
    'aliases',
    'dns',
    'signals',
    'transmissions-api',
    'gm-imprinter',
  ];
  const open = (s: Scope) => `<${s}${argument[s] ?? (bare.includes(s) ? '' : ' NAME')}>`;
  if (scope === 'global') return line;
  const required: Partial<Record<Scope, string>> = {
    signals: `api-key ${'0123456789'.repeat(4)}\ncustomer-id 1\ntracking-domain t.example\n`,
    proxy: 'server h.example:1\nclient 192.0.2.2 h.example\n',
    'transmissions-api-listener': 'tls-certificate /f.pem\n',
  };
  const inner = `${open(scope)}\n${required[scope] ?? ''}${line}\n</${scope}>`;
  return scope === 'email-patterns' ? `<bounce-processor>\n${inner}\n</bounce-processor>` : inner;
}

/** Whatever a sample may refer to. */
const NAMED = [
  'pattern-list',
  'smtp-pattern-list',
  'address-list',
  'rewrite-list',
  'source-group',
  'signals-filter',
  'virtual-mta',
  'source',
]
  .map((t) => `<${t} LIST>\n</${t}>`)
  .concat('<proxy LIST>\nserver h.example:1\nclient 192.0.2.2 h.example\n</proxy>')
  .join('\n');

const errorsOf = (text: string) =>
  load(`${text}\n${NAMED}`, { '/f.pem': '' }).diagnostics.filter((d) => d.severity === 'error');

const SCOPES = [...new Set(allDirectives().flatMap((d) => d.scopes))];

test('every directive loads in each of its scopes with a value of its type, once or twice', () => {
  for (const scope of SCOPES) {
    for (const d of directivesIn(scope).values()) {
      if (d.name === 'include') continue;
      const line = d.name === '/regex/' ? sample(d, scope) : `${d.name} ${sample(d, scope)}`;
      const found = errorsOf(within(scope, `${line}\n${line}`));
      assert.deepEqual(
        found.map((e) => e.message),
        [],
        `${scope}: ${line}`,
      );
    }
  }
});

test('every directive is refused in every other scope', () => {
  const names = new Map(allDirectives().map((d) => [d.name, d]));
  for (const scope of SCOPES) {
    if (scope === 'signals' || scope === 'gm-imprinter') continue;
    const lines = [...names.values()]
      .filter((d) => !directive(scope, d.name) && d.name !== 'include' && /^[a-z]/.test(d.name))
      .map((d) => `${d.name} ${sample(d, d.scopes[0]!)}`);
    const found = errorsOf(within(scope, lines.join('\n'))).filter((e) =>
      /may not stand|unknown directive/.test(e.message),
    );
    assert.equal(found.length, lines.length, scope);
  }
});

test('wrong values: a boolean that is none, a word outside its list, a number that is none', () => {
  for (const d of allDirectives()) {
    const scope = d.scopes[0]!;
    const wrong: Record<string, string> = {
      boolean: 'maybe',
      enum: 'maybe',
      integer: '-1',
      limit: '1.5',
      interval: '5x',
      rate: '0/h',
      size: '7q',
      ip: '1.2.3',
      cidr: '1.2.3.4/33',
      address: 'a',
      host: 'a b',
      url: 'x',
    };
    const value = wrong[d.type.kind];
    if (value === undefined || d.ours) continue;
    assert.ok(errorsOf(within(scope, `${d.name} ${value}`)).length > 0, `${scope}: ${d.name} ${value}`);
  }
});

test('every default is a value of its own type', () => {
  for (const d of allDirectives()) {
    if (d.default === undefined) continue;
    const value = d.type.parse({ text: d.default, folder: '/' });
    assert.ok(!(value instanceof Fault), `${d.name} ${d.default}`);
  }
});

test('other spellings lead to directives of the same scope', () => {
  for (const d of allDirectives()) {
    if (!d.aliasOf) continue;
    for (const scope of d.scopes) assert.ok(directive(scope, d.aliasOf), `${d.name} > ${d.aliasOf}`);
  }
});

test('values of section 3', () => {
  assert.equal(readInterval('1w2d12h'), 820_800_000);
  assert.equal(readInterval('90s'), 90_000);
  assert.equal(readInterval('600'), 600_000);
  const read = (scope: Scope, name: string, text: string) =>
    directive(scope, name)!.type.parse({ text, folder: '/' });
  assert.equal(read('source', 'max-message-size', '2G'), 2_147_483_648);
  assert.equal(read('source', 'max-message-size', '0'), Number.POSITIVE_INFINITY);
  assert.equal(read('source', 'max-message-size', '1000'), 1000);
  assert.equal(read('source', 'max-rcpt-per-message', '0'), Number.POSITIVE_INFINITY);
  assert.equal(read('domain', 'max-msg-per-connection', '0'), Number.POSITIVE_INFINITY);
  assert.deepEqual(read('domain', 'max-msg-rate', '6/sec'), { count: 6, perMs: 1000 });
  assert.equal(read('domain', 'max-msg-rate', '0'), null);
  assert.deepEqual(read('domain', 'max-data-volume-rate', '2m/90s'), { count: 2_097_152, perMs: 90_000 });
  assert.equal(read('domain', 'backoff-to-normal-after', 'never'), Number.POSITIVE_INFINITY);
  for (const [name, text] of [
    ['max-msg-rate', '5/hour'],
    ['retry-after', Array(31).fill('1m').join(',')],
    ['connection-idle-timeout', '11m'],
    ['use-starttls', 'on'],
    ['use-starttls', '1'],
  ] as const) {
    assert.ok(read('domain', name, text) instanceof Fault, `${name} ${text}`);
  }
  const cidr = (text: string) =>
    read('global', 'http-mgmt-source', text) as { bits: number; bytes: number[] };
  assert.deepEqual([cidr('173.194/16').bytes, cidr('173.194/16').bits], [[173, 194, 0, 0], 16]);
  assert.equal(cidr('::1').bits, 128);
  assert.equal(cidr('2001:db8::/32').bits, 32);
  assert.deepEqual(read('global', 'name-server', '[::1]:53'), { ip: '::1', port: 53 });
  assert.deepEqual(read('global', 'name-server', '127.0.0.1'), { ip: '127.0.0.1', port: null });
});

/** The sources outside this folder, as one text. */
function elsewhere(): string {
  const src = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
  return readdirSync(src, { recursive: true, encoding: 'utf8' })
    .filter((f) => f.endsWith('.ts') && !f.endsWith('.test.ts') && !f.startsWith(`config${path.sep}`))
    .map((f) => readFileSync(path.join(src, f), 'utf8'))
    .join('\n');
}

/** Directives that reach the rest of the program resolved, under another name than their own. */
const HANDED_OUT: ReadonlySet<string> = new Set([
  'include',
  'domain-macro',
  'auto-cold-virtual-mta',
  'smtp-listener',
  'smtp-source-host',
  'relay-domain',
  'relay-address',
  'domain-key',
  'virtual-mta',
  'source',
  'password',
  'host-name',
  'alias',
  'address',
  'address-file',
  'body-pattern-file',
  'log-match-info',
  'domain',
  'reply',
  'header',
  'mail-from',
  'rcpt-to',
  'from-domain',
  '*',
  '/regex/',
  'mx',
  'sender-or-from',
  'enable-signals',
  'spool',
  'server',
  'client',
  'always-allow-relaying',
  'include-headers-from',
  'smtp-ip',
  'smtp-port',
  'spool-min-free-space',
]);

/** Whether a value is asked for by this name; a name that merely stands somewhere does not count. */
function reads(text: string, name: string): boolean {
  const quoted = `'${name.replaceAll('.', '\\.')}'`;
  return new RegExp(`(?:\\b(?:get|origin|limit)\\(\\s*|\\[)${quoted}`).test(text);
}

test('a directive marked honoured is read somewhere outside this folder', () => {
  const text = elsewhere();
  for (const d of allDirectives()) {
    if (typeof d.effect === 'object' && 'none' in d.effect) continue;
    const name = d.aliasOf ?? d.name;
    // The default of another directive that is read.
    const isDefault = allDirectives().some((o) => o.defaultFrom === `global:${name}` && reads(text, o.name));
    assert.ok(
      HANDED_OUT.has(name) || isDefault || reads(text, name),
      `${d.name} is marked honoured, but nothing reads it`,
    );
  }
});
