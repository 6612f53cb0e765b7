import assert from 'node:assert/strict';
import { test } from 'node:test';
import { good } from '../../config/testing.ts';
import { Header } from '../../mail/header.ts';
import { PoolRotation } from './pool-rotation.ts';
import { queueDomain } from './queue-domain.ts';
import { rewriteSender } from './rewrite.ts';
import { chooseVmta } from './vmta-choice.ts';

const VMTAS = ['v1', 'v2', 'v3'].map((name) => `<virtual-mta ${name}>\n</virtual-mta>`).join('\n');

interface Given {
  source?: string;
  global?: string;
  header?: string;
  sender?: string;
  to?: string[];
  localAddress?: string;
}

/** Answers `vmta` or `pool:vmta` for each message in turn, or the refusal. */
function chooser(fixed: Given) {
  const config = good(`${VMTAS}\n${fixed.global ?? ''}\n<source 0/0>\n${fixed.source ?? ''}\n</source>`);
  const source = config.sourceFor({ clientIp: '192.0.2.1' });
  const pools = new PoolRotation();
  return (given: Given = {}) => {
    const all = { ...fixed, ...given };
    const choice = chooseVmta({
      config,
      source,
      header: new Header(Buffer.from(`${all.header ?? ''}Subject: x\r\n\r\n`)),
      sender: all.sender ?? 'news@brand.test',
      recipients: (all.to ?? ['kim@a.test']).map((address) => ({ address })),
      session: { localAddress: all.localAddress ?? '127.0.0.1' },
      pools,
    });
    if ('code' in choice) return `${choice.code} ${choice.enhanced}`;
    return choice.pool === '' ? choice.vmta : `${choice.pool}:${choice.vmta}`;
  };
}

const choose = (given: Given) => chooser(given)();
const X = 'process-x-virtual-mta yes';
const POOL = '<virtual-mta-pool P>\nvirtual-mta v1\nvirtual-mta v2\n</virtual-mta-pool>';
const list = (rules: string) => `<pattern-list p>\n${rules}\n</pattern-list>`;

test('D3.1: the header selects for the whole message, in any case', () => {
  const given = { source: X, to: ['a@x.test', 'b@y.test', 'c@z.test'] };
  assert.equal(choose({ ...given, header: 'X-Virtual-MTA: v1\r\n' }), 'v1');
  assert.equal(choose({ ...given, header: 'x-virtual-mta:  V2 \r\n' }), 'v2');
});

test('D3.9: an unprocessed header selects nothing', () => {
  assert.equal(choose({ header: 'X-Virtual-MTA: v1\r\n', source: 'default-virtual-mta v2' }), 'v2');
});

test('ranks: header before pattern list before default-virtual-mta before {default}', () => {
  const given = {
    global: list('mail-from /brand/ virtual-mta=v2'),
    source: `${X}\npattern-list p\ndefault-virtual-mta v3`,
  };
  assert.equal(choose({ ...given, header: 'X-Virtual-MTA: v1\r\n' }), 'v1');
  assert.equal(choose(given), 'v2');
  assert.equal(choose({ ...given, sender: 'x@other.test' }), 'v3');
  assert.equal(choose({}), '{default}');
});

test('D3.2: rcpt-to: the first match decides for the whole message', () => {
  const given = {
    global: list('rcpt-to /@y\\.test$/ virtual-mta=v2\nrcpt-to /@z\\.test$/ virtual-mta=v3'),
    source: 'pattern-list p',
  };
  assert.equal(choose({ ...given, to: ['a@x.test', 'b@y.test', 'c@z.test'] }), 'v2');
  assert.equal(choose({ ...given, to: ['a@x.test', 'c@z.test'] }), 'v3');
  assert.equal(choose({ ...given, to: ['a@x.test'] }), '{default}');
});

test('D3.4: a rule that only sets the priority is the first match and chooses no VMTA', () => {
  const given = {
    global: list('rcpt-to /kim/ recipient-priority=9\nmail-from /news/ virtual-mta=v2'),
    source: 'pattern-list p\ndefault-virtual-mta v3',
  };
  assert.equal(choose(given), 'v3');
  assert.equal(choose({ ...given, to: ['lou@a.test'] }), 'v2');
});

test('D3.6: call-to goes on in the other list, and ends there', () => {
  const given = {
    global: `${list('mail-from /news/ call-to:q\nmail-from /news/ virtual-mta=v3')}
      <pattern-list q>
        rcpt-to /kim/ virtual-mta=v2
      </pattern-list>`,
    source: 'pattern-list p',
  };
  assert.equal(choose(given), 'v2');
  assert.equal(choose({ ...given, to: ['lou@a.test'] }), '{default}');
});

test('header rules see the raw value; address rules see it with and without brackets', () => {
  const given = {
    global: list(
      'header X-Class /^\\s*bulk/ virtual-mta=v1\nmail-from /^<news@/ virtual-mta=v2\nmail-from /^x@/ virtual-mta=v3',
    ),
    source: 'pattern-list p',
  };
  assert.equal(choose({ ...given, header: 'X-Class: bulk\r\n' }), 'v1');
  assert.equal(choose({ ...given, header: 'X-Class: not bulk\r\n' }), 'v2');
  assert.equal(choose({ ...given, sender: 'x@x.test' }), 'v3');
});

test('D3.7: by-smtp-source-ip takes the first VMTA with the local address of the connection', () => {
  const given = {
    global:
      '<virtual-mta ip>\nsmtp-source-host 192.0.2.5 ip.test\n</virtual-mta>\n<virtual-mta later>\nsmtp-source-host 192.0.2.5 x.test\n</virtual-mta>',
    source: 'default-virtual-mta by-smtp-source-ip',
  };
  assert.equal(choose({ ...given, localAddress: '192.0.2.5' }), 'ip');
  assert.equal(choose({ ...given, localAddress: '192.0.2.6' }), '{default}');
});

test('D3.8: a name may be a pool’s, from the header, a pattern or the default', () => {
  for (const given of [
    { source: X, header: 'X-Virtual-MTA: p\r\n' },
    { source: 'pattern-list p', pattern: list('mail-from /news/ virtual-mta=P') },
    { source: 'default-virtual-mta P' },
  ]) {
    assert.equal(choose({ ...given, global: `${POOL}\n${'pattern' in given ? given.pattern : ''}` }), 'P:v1');
  }
});

test('D4.1: the members of a pool take turns', () => {
  const next = chooser({ global: POOL, source: 'default-virtual-mta P' });
  assert.deepEqual([next(), next(), next(), next()], ['P:v1', 'P:v2', 'P:v1', 'P:v2']);
});

test('D4.2: one counter per pool, whatever the domain', () => {
  const next = chooser({ global: POOL, source: 'default-virtual-mta P' });
  assert.deepEqual([next({ to: ['a@x.test'] }), next({ to: ['b@y.test'] })], ['P:v1', 'P:v2']);
});

test('D4.4: a member named twice has two turns', () => {
  const next = chooser({
    global: '<virtual-mta-pool P>\nvirtual-mta v1\nvirtual-mta v1\nvirtual-mta v2\n</virtual-mta-pool>',
    source: 'default-virtual-mta P',
  });
  const seen = Array.from({ length: 6 }, () => next());
  assert.deepEqual(
    [seen.filter((v) => v === 'P:v1').length, seen.filter((v) => v === 'P:v2').length],
    [4, 2],
  );
});

test('a name that does not exist: refused, or the fallback, or taken to bounce', () => {
  const header = 'X-Virtual-MTA: gone\r\n';
  assert.equal(choose({ source: X, header }), '550 5.3.5');
  const lax = `${X}\nreject-invalid-virtual-mta no`;
  assert.equal(choose({ source: lax, header }), 'gone');
  assert.equal(choose({ source: lax, header, global: 'invalid-virtual-mta-fallback V3' }), 'v3');
  assert.equal(choose({ source: lax, header, global: `${POOL}\ninvalid-virtual-mta-fallback p` }), 'P:v1');
});

test('an empty header: refused unless allowed, then {default}', () => {
  const header = 'X-Virtual-MTA:\r\n';
  assert.equal(choose({ source: `${X}\ndefault-virtual-mta v1`, header }), '550 5.3.5');
  assert.equal(
    choose({ source: `${X}\nallow-empty-x-virtual-mta yes\ndefault-virtual-mta v1`, header }),
    '{default}',
  );
});

test('D10.1: queue-to names the queue’s domain; D10.4: once', () => {
  const config = good(`
    <domain [*.]m.example>
      queue-to big.q
    </domain>
    <domain big.q>
      smtp-hosts [192.0.2.1]
      queue-to other.q
    </domain>
    <domain other.q>
      smtp-hosts [192.0.2.1]
    </domain>`);
  assert.equal(queueDomain(config, 'm.example', '{default}'), 'big.q');
  assert.equal(queueDomain(config, 'x.m.example', '{default}'), 'big.q');
  assert.equal(queueDomain(config, 'n.example', '{default}'), 'n.example');
});

test('rewrite-list: the first rule that fits, local part and domain each kept where the rule has *', () => {
  const config = good(`
    <rewrite-list r>
      mail-from boss@brand.test chief@brand.test
      mail-from *@brand.test return@bounces.test
      mail-from *@shop.test *@bounces.test
      mail-from info@* info@other.test
    </rewrite-list>
    <source 0/0>
      rewrite-list r
    </source>`);
  const source = config.sourceFor({ clientIp: '192.0.2.1' });
  const rewritten = (sender: string) => rewriteSender(config, source, sender);
  assert.equal(rewritten('Boss@BRAND.test'), 'chief@brand.test');
  assert.equal(rewritten('news@brand.test'), 'return@bounces.test');
  assert.equal(rewritten('Kim@shop.test'), 'Kim@bounces.test');
  assert.equal(rewritten('info@x.test'), 'info@other.test');
  assert.equal(rewritten('kim@x.test'), 'kim@x.test');
  assert.equal(rewritten(''), '', 'the null sender stays unless a rule names it');
});
