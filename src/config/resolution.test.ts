import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Config } from './index.ts';
import { errors, good, warnings } from './testing.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

const sources = [
  '<source 0/0>\nalways-allow-relaying no\nmax-message-size 1M\n</source>',
  '<source 198.51.100.0/24>\nalways-allow-relaying yes\n</source>',
  '<source 198.51.100.9>\nmax-message-size 9M\n</source>',
];

const mib = (n: number) => n * 1024 * 1024;

function source(config: Config, clientIp: string) {
  const found = config.sourceFor({ clientIp, listener: config.listeners[0] });
  return [found.get('always-allow-relaying'), found.get('max-message-size')];
}

test('C8.1 C8.2 C8.3 each directive comes from the closest network that sets it', () => {
  const config = good(sources.join('\n'));
  assert.deepEqual(source(config, '198.51.100.9'), [true, mib(9)]);
  assert.deepEqual(source(config, '198.51.100.10'), [true, mib(1)]);
  assert.deepEqual(source(config, '203.0.113.1'), [false, mib(1)]);
});

test('C8.4 whatever the order of the blocks', () => {
  assert.deepEqual(source(good(sources.toReversed().join('\n')), '198.51.100.9'), [true, mib(9)]);
});

const gate = `${sources.join('\n')}\nsmtp-listener 192.0.2.1:25 source=gate\n<source gate>\nmax-message-size 2M\n</source>`;

test("C8.5 the listener's source goes before the address", () => {
  assert.deepEqual(source(good(gate), '198.51.100.9'), [true, mib(2)]);
});

test("C8.6 the user's source goes before the listener's, and {auth} below it", () => {
  const config = good(
    `${gate}\n<smtp-user u>\npassword x\nsource big\n</smtp-user>\n<source big>\nmax-message-size 50M\n</source>\n<source {auth}>\nmax-message-size 40M\nprocess-x-job yes\n</source>`,
  );
  const found = config.sourceFor({
    clientIp: '198.51.100.9',
    listener: config.listeners[0],
    user: config.users.get('u'),
  });
  assert.equal(found.get('max-message-size'), mib(50));
  assert.equal(found.get('always-allow-relaying'), true);
  assert.equal(found.get('process-x-job'), true);
  assert.equal(found.origin('max-message-size')?.line, 20);
});

test('C8.7 C8.8 a source that nobody names has no effect, be its name a host name', () => {
  const config = good(
    '<source gate>\nmax-message-size 2M\n</source>\n<source localhost>\nalways-allow-relaying yes\n</source>',
  );
  assert.deepEqual(source(config, '127.0.0.1'), [false, Number.POSITIVE_INFINITY]);
});

test('C8.9 a mapped address is its IPv4 address', () => {
  const config = good('<source 10/8>\nmax-message-size 2M\n</source>');
  assert.deepEqual(source(config, '::ffff:10.1.1.1'), [false, mib(2)]);
});

test('C8.10 0/0 holds for IPv6 too, below ::/0', () => {
  const all = '<source 0/0>\nmax-message-size 2M\nprocess-x-job yes\n</source>';
  assert.equal(good(all).sourceFor({ clientIp: '2001:db8::1' }).get('max-message-size'), mib(2));
  const six = '<source ::/0>\nmax-message-size 3M\n</source>';
  for (const text of [`${all}\n${six}`, `${six}\n${all}`]) {
    const found = good(text).sourceFor({ clientIp: '2001:db8::1' });
    assert.equal(found.get('max-message-size'), mib(3));
    assert.equal(found.get('process-x-job'), true);
  }
});

test('C8.11 without sources everybody may connect and nobody may relay', () => {
  const config = good('host-id 1');
  const found = config.sourceFor({ clientIp: '127.0.0.1' });
  assert.equal(found.get('smtp-service'), true);
  assert.equal(config.isRelayAllowed({ local: 'a', domain: 'x.example' }, found), false);
});

test('C8.12 a list is replaced as a whole', () => {
  const config = good(
    '<source 0/0>\nremove-header a\n</source>\n<source 10/8>\nremove-header b\n</source>\n<source 10.2/16>\nremove-header ""\n</source>',
  );
  const removed = (ip: string) => config.sourceFor({ clientIp: ip }).get('remove-header');
  assert.deepEqual(removed('192.0.2.1'), ['a']);
  assert.deepEqual(removed('10.1.1.1'), ['b']);
  assert.deepEqual(removed('10.2.1.1'), []);
});

test('C8.13 pickup begins from the defaults', () => {
  const config = good(
    '<source 0/0>\nprocess-x-job yes\n</source>\n<source {pickup}>\nretain-x-job yes\n</source>',
  );
  const found = config.sourceFor({ clientIp: null, reserved: '{pickup}' });
  assert.deepEqual([found.get('process-x-job'), found.get('retain-x-job')], [false, true]);
});

test('relaying: relay-domain, relay-address, local domains, always-allow-relaying', () => {
  const config = good(
    'host-name mx.own.example\nrelay-domain [*.]r.example\nrelay-address /@in(bound)?\\.example$/\nrelay-address a@One.example\n<source 10/8>\nalways-allow-relaying yes\n</source>',
  );
  const allowed = (address: string, ip = '192.0.2.1') => {
    const [local, domain] = address.split('@') as [string, string];
    return config.isRelayAllowed({ local, domain }, config.sourceFor({ clientIp: ip }));
  };
  assert.ok(allowed('a@inbound.example') && allowed('a@mx.own.example') && allowed('a@machine.example'));
  assert.ok(
    allowed('a@x.R.example') && allowed('A@one.example') && allowed('a@elsewhere.example', '10.0.0.1'),
  );
  assert.ok(!allowed('b@one.example') && !allowed('a@own.example'));
});

const shop = [
  '<domain x.shop.example>\nbounce-after 1h\n</domain>',
  '<domain *.shop.example>\nlog-commands yes\n</domain>',
  '<domain [*.]shop.example>\nbounce-after 4d\n</domain>',
  '<domain *>\nbounce-after 2d\n</domain>',
];

test('C9.1 C9.2 C9.3 C9.4 C9.5 each directive comes from the best pattern that sets it, whatever the order', () => {
  for (const order of [shop, shop.toReversed(), [shop[2], shop[0], shop[3], shop[1]]]) {
    const config = good(order.join('\n'));
    const of = (domain: string) => {
      const queue = config.queue(domain, '{default}');
      return [queue.get('bounce-after'), queue.get('log-commands')];
    };
    assert.deepEqual(of('x.shop.example'), [HOUR, true]);
    assert.deepEqual(of('y.shop.example'), [4 * DAY, true]);
    assert.deepEqual(of('shop.example'), [4 * DAY, false]);
    assert.deepEqual(of('other.example'), [2 * DAY, false]);
    assert.deepEqual(of('myshop.example'), [2 * DAY, false]);
    assert.deepEqual(of('[192.0.2.1]'), [2 * DAY, false]);
  }
});

test("C9.6 a VMTA's blocks go before those of the file level", () => {
  const config = good(
    '<domain q.example>\nmax-smtp-out 7\n</domain>\n<virtual-mta v>\n<domain *>\nmax-smtp-out 3\n</domain>\n</virtual-mta>',
  );
  assert.equal(config.queue('q.example', 'V').get('max-smtp-out'), 3);
  assert.equal(config.queue('q.example', '{default}').get('max-smtp-out'), 7);
});

test('C9.7 C9.8 C5.2 C5.3 VMTA before pool before file level', () => {
  const text = (own: string) =>
    `<virtual-mta v>\n${own}\n</virtual-mta>\n<virtual-mta-pool P>\nvirtual-mta v\n<domain q.example>\nretry-after 5m\n</domain>\n</virtual-mta-pool>\n<domain q.example>\nretry-after 30m\nbounce-after 1d\n</domain>`;
  const pool = good(text('')).queue('q.example', 'v');
  assert.deepEqual([pool.get('retry-after'), pool.get('bounce-after')], [[300_000], DAY]);
  const own = good(text('<domain q.example>\nretry-after 1m\n</domain>'));
  assert.deepEqual(own.queue('q.example', 'v').get('retry-after'), [60_000]);
  assert.deepEqual(own.queue('q.example', '{default}').get('retry-after'), [1_800_000]);
});

test('C9.9 * does not match reserved queues', () => {
  const config = good(
    '<domain *>\nqueue-to {sparkpost}\nmax-smtp-out 3\n</domain>\n<domain {SparkPost}>\nauth-password k\n</domain>',
  );
  const relay = config.queue('{sparkpost}', '{default}');
  assert.equal(relay.get('queue-to'), null);
  assert.equal(relay.get('max-smtp-out'), 20);
  assert.equal(relay.get('auth-password'), 'k');
  assert.equal(relay.get('add-x-msys-api-header'), true);
  assert.deepEqual(relay.get('smtp-hosts'), [[{ kind: 'host', name: 'smtp.sparkpostmail.com', port: 587 }]]);
  assert.equal(config.queue('x.example', '{default}').get('queue-to'), '{sparkpost}');
});

test('C9.10 C9.11 a daily count is not a limit of none, and rollup queues have their own block', () => {
  const config = good(
    '<domain *>\nmax-cold-virtual-mta-msg 5/d, 10/day\n</domain>\n<domain h.rollup>\nmax-smtp-out 2\n</domain>',
  );
  assert.deepEqual(config.queue('h.rollup', '{default}').get('max-cold-virtual-mta-msg'), [5, 10]);
  assert.equal(config.queue('h.rollup', '{default}').get('max-smtp-out'), 2);
  assert.deepEqual(good('').queue('a.example', '{default}').get('max-cold-virtual-mta-msg'), [0]);
});

test('C9.12 limits per source address keep their networks for best match', () => {
  const limits = good(
    '<domain *>\nsource-ip-max-smtp-out 192.0.2.0/24 4\nsource-ip-max-smtp-out 192.0.2.9 1\n</domain>',
  )
    .queue('a.example', '{default}')
    .get('source-ip-max-smtp-out');
  assert.deepEqual(
    limits.map((l) => [l.cidr.bits, l.limit, l.origin.line]),
    [
      [24, 4, 2],
      [32, 1, 3],
    ],
  );
});

test('domain literals: exact, then the smallest network, then *', () => {
  const config = good(
    '<domain [192.0.2/24]>\nmax-smtp-out 1\n</domain>\n<domain [0/0]>\nmax-smtp-out 2\n</domain>\n<domain [192.0.2.9]>\nmax-smtp-out 3\n</domain>',
  );
  const of = (d: string) => config.queue(d, '{default}').get('max-smtp-out');
  assert.deepEqual(['[192.0.2.9]', '[192.0.2.7]', '[198.51.100.1]', 'x.example'].map(of), [3, 1, 2, 20]);
});

test('limits in backoff mode default to their normal counterparts, connections to 20', () => {
  const queue = good('<domain *>\nmax-msg-rate 90/5m\nmax-smtp-out 2\n</domain>').queue(
    'a.example',
    '{default}',
  );
  assert.deepEqual(queue.get('backoff-max-msg-rate'), { count: 90, perMs: 300_000 });
  assert.equal(queue.get('backoff-max-smtp-out'), 20);
});

test('VMTA, pool and file level (section 10)', () => {
  const config = good(
    'smtp-source-host 192.0.2.1 a.example\nhost-name g.example\ndomain-key g,*,/g.pem\n<virtual-mta v>\n</virtual-mta>\n<virtual-mta w>\nsmtp-source-host 192.0.2.2 b.example\nhost-name w.example\nmax-smtp-out 4\ndomain-key w,a.example,/w.pem\n</virtual-mta>\n<virtual-mta-pool p>\nvirtual-mta v\nvirtual-mta w\nvirtual-mta w\nmax-smtp-out 10\ndomain-key p,a.example,/p.pem\n</virtual-mta-pool>',
  );
  const of = (name: string) => config.vmtas.get(name)!;
  assert.deepEqual(
    of('v').sourceHosts.map((s) => s.host),
    ['a.example'],
  );
  assert.deepEqual(
    of('w').sourceHosts.map((s) => s.host),
    ['b.example'],
  );
  assert.deepEqual(
    [of('v').hostName, of('w').hostName, of('{default}').hostName],
    ['g.example', 'w.example', 'g.example'],
  );
  assert.deepEqual(
    ['v', 'w', '{default}'].map((name) => of(name).settings.get('max-smtp-out')),
    [10, 4, Number.POSITIVE_INFINITY],
  );
  assert.deepEqual(
    config.domainKeys('W').map((k) => k.selector),
    ['w', 'p', 'g'],
  );
  assert.deepEqual(
    config.domainKeys('{default}').map((k) => k.selector),
    ['g'],
  );
  assert.deepEqual(config.pools.get('p')!.members, ['v', 'w', 'w']);
});

test('C5.4 C5.5 only one of the pools of a VMTA may have domain blocks', () => {
  const text = (second: string) =>
    `<virtual-mta v>\n</virtual-mta>\n<virtual-mta-pool a>\nvirtual-mta v\n<domain *>\n</domain>\n</virtual-mta-pool>\n<virtual-mta-pool b>\nvirtual-mta v\n${second}\n</virtual-mta-pool>`;
  assert.equal(good(text('')).vmtas.get('v')!.pool!.name, 'a');
  assert.match(errors(text('<domain x.example>\n</domain>'))[0]!.message, /in two pools/);
});

const macro = (macros: string, argument: string, more = '') => {
  const config = good(`${macros}\n<domain ${argument}>\nmax-smtp-out 1\n</domain>\n${more}`);
  return (domain: string) => config.queue(domain, '{default}').get('max-smtp-out') === 1;
};

test('C11.1 C11.2 C11.3 C11.4 C11.5 macros expand, with dots, whole, and within macros', () => {
  const post = macro('domain-macro nordic se, no, dk', 'post.$nordic');
  assert.ok(post('post.se') && post('post.dk') && !post('post.fi') && !post('x.post.se'));
  const dots = macro('domain-macro t .com,.net', 'acme$t');
  assert.ok(dots('acme.com') && dots('acme.net'));
  assert.ok(macro('domain-macro fam a.example,b.example', '$fam')('b.example'));
  const all = macro('domain-macro nordic se, no, dk\ndomain-macro all $nordic, fi', 'x.$all');
  assert.ok(all('x.dk') && all('x.fi'));
});

test('C11.6 a loop of macros is an error', () => {
  assert.match(errors('domain-macro a $b\ndomain-macro b $a')[0]!.message, /loop/);
});

test('C11.7 C11.8 a listed domain goes before an expanded one, which fills in what it lacks', () => {
  const blocks = [
    '<domain post.no>\nmax-smtp-out 9\n</domain>',
    '<domain post.$nordic>\nmax-smtp-out 1\nretry-after 5m\n</domain>',
  ];
  for (const order of [blocks, blocks.toReversed()]) {
    const config = good(`domain-macro nordic se, no\n${order.join('\n')}`);
    assert.equal(config.queue('post.no', '{default}').get('max-smtp-out'), 9);
    assert.equal(config.queue('post.se', '{default}').get('max-smtp-out'), 1);
    assert.deepEqual(config.queue('post.no', '{default}').get('retry-after'), [300_000]);
  }
});

test('C11.9 C11.10 C11.11 wildcards and products expand; the longest name counts; undefined is an error', () => {
  const wild = macro('domain-macro m a.example', '[*.]$m');
  assert.ok(wild('a.example') && wild('x.a.example'));
  const product = macro('domain-macro a x,y\ndomain-macro b com,net', '$a.$b');
  assert.ok(product('x.net') && product('y.com'));
  assert.ok(macro('domain-macro nordic se', '$nordic.x')('se.x'));
  const [error] = errors('domain-macro nordic se\n<domain x.$nordik>\n</domain>');
  assert.match(error!.message, /\$nordik is not defined/);
  assert.equal(error!.hint, 'did you mean $nordic?');
  assert.ok(good('<domain x.$late>\n</domain>\ndomain-macro late se'));
});

test('C11.12 no other directive expands macros', () => {
  const queue = good(
    'domain-macro to a,b\n<domain *>\ncommand "x $to"\nfile-destination /m/$to\n</domain>',
  ).queue('a', '{default}');
  assert.equal(queue.get('command'), 'x $to');
  assert.equal(queue.get('file-destination'), '/m/$to');
});

test('macro bombs are refused quickly', () => {
  const bomb = Array.from({ length: 30 }, (_, i) => `domain-macro m${i + 1} $m${i}, $m${i}`).join('\n');
  assert.match(errors(`domain-macro m0 a, b\n${bomb}`)[0]!.message, /more than 200000/);
  const wide = `domain-macro w ${Array.from({ length: 1000 }, (_, i) => `a${i}`).join(',')}\n<domain $w.$w>\n</domain>`;
  assert.match(errors(wide)[0]!.message, /more than 200000/);
});

test('what is remembered of recipient domains is bounded, and equal settings are one object', () => {
  const config = good('<domain *>\nmax-smtp-out 2\n</domain>');
  const first = config.queue('a1.example', '{default}');
  for (let i = 0; i < 250_000; i += 50) assert.equal(config.queue(`b${i}.example`, '{default}'), first);
});

test('tracking: VMTA, pool, domain, source, file level in this order', () => {
  const text = (lines: { v?: string; d?: string; s?: string }) =>
    `track-opens no\n<virtual-mta v>\n${lines.v ?? ''}\n</virtual-mta>\n<domain *>\n${lines.d ?? ''}\n</domain>\n<source 0/0>\n${lines.s ?? ''}\n</source>`;
  const of = (lines: { v?: string; d?: string; s?: string }) => {
    const config = good(text(lines));
    const source = config.sourceFor({ clientIp: '192.0.2.1' });
    return config.tracking({ vmta: 'v', domain: 'a.example', source }).get('track-opens');
  };
  assert.equal(of({}), false);
  assert.equal(of({ s: 'track-opens yes' }), true);
  assert.equal(of({ s: 'track-opens yes', d: 'track-opens no' }), false);
  assert.equal(of({ s: 'track-opens yes', d: 'track-opens no', v: 'track-opens yes' }), true);
  assert.equal(good('').tracking({ vmta: 'v', domain: 'a', source: null }).get('track-opens'), null);
});

test('a VMTA that is warmed up from an address alone', () => {
  const config = good('<virtual-mta w>\nauto-cold-virtual-mta 192.0.2.8 c.example\n</virtual-mta>');
  assert.deepEqual(config.vmtas.get('w')!.settings.get('cold-virtual-mta'), ['w-cold']);
  assert.equal(config.vmtas.get('w-cold')!.sourceHosts[0]!.host, 'c.example');
  assert.ok(
    warnings('<virtual-mta w>\nauto-cold-virtual-mta 192.0.2.8 c.example\n</virtual-mta>').length > 0,
  );
});

test('directives of one type that are not set do not share what that means', () => {
  const config = good(
    '<bounce-processor>\n<address-list>\ndomain b.example\n</address-list>\n</bounce-processor>',
  );
  assert.deepEqual(config.bounceProcessor!.settings.get('forward-unmatched-to'), []);
  assert.equal(config.sourceFor({ clientIp: '192.0.2.1' }).get('bcc'), null);
});
