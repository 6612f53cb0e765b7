import assert from 'node:assert/strict';
import { test } from 'node:test';
import { good } from '../../config/testing.ts';
import { Header } from '../../mail/header.ts';
import { PoolRotation } from './pool-rotation.ts';
import { queueDomain } from './queue-domain.ts';
import { rewriteSender } from './rewrite.ts';
import { chooseVmta, chooseVmtaForCopy } from './vmta-choice.ts';

const VMTAS = ['v1', 'v2', 'v3'].map((name) => `<virtual-mta ${name}>\n</virtual-mta>`).join('\n');

interface Given {
  source?: string;
  global?: string;
  header?: string;
  sender?: string;
  to?: string[];
  localAddress?: string;
  variables?: Record<string, string>;
  /** Each recipient is a mail merge copy with these variables. */
  copies?: Record<string, string>[];
}

/** Answers `vmta` or `pool:vmta` for each message in turn, `@` and the priority where it is not 50; or the refusal. */
function chooser(fixed: Given) {
  const config = good(`${VMTAS}\n${fixed.global ?? ''}\n<source 0/0>\n${fixed.source ?? ''}\n</source>`);
  const source = config.sourceFor({ clientIp: '192.0.2.1' });
  const pools = new PoolRotation();
  return (given: Given = {}) => {
    const all = { ...fixed, ...given };
    const question = {
      config,
      source,
      header: new Header(Buffer.from(`${all.header ?? ''}Subject: x\r\n\r\n`)),
      sender: all.sender ?? 'news@brand.test',
      session: { localAddress: all.localAddress ?? '127.0.0.1' },
      pools,
    };
    const show = (choice: ReturnType<typeof chooseVmta>) => {
      if ('code' in choice) return `${choice.code} ${choice.enhanced}`;
      const { pool, vmta, priority } = choice;
      return `${pool === '' ? vmta : `${pool}:${vmta}`}${priority === 50 ? '' : `@${priority}`}`;
    };
    const to = all.to ?? ['kim@a.test'];
    const map = (variables: Record<string, string> = {}) => new Map(Object.entries(variables));
    if (all.copies) {
      const { copies } = all;
      return to
        .map((address, i) => show(chooseVmtaForCopy(question, { address, variables: map(copies[i]) })))
        .join(' ');
    }
    const recipients = to.map((address) => ({ address }));
    return show(chooseVmta({ ...question, recipients, variables: map(all.variables) }));
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
  assert.equal(choose(given), 'v3@9');
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

test('ranks: *vmta before X-Virtual-MTA', () => {
  const given = { source: X, header: 'X-Virtual-MTA: v1\r\n', global: POOL };
  assert.equal(choose({ ...given, variables: { '*vmta': 'V2' } }), 'v2');
  assert.equal(choose({ ...given, variables: { '*vmta': 'p' } }), 'P:v1');
  assert.equal(choose({ ...given, variables: { '*vmta': 'gone' } }), '550 5.3.5');
});

test('D3.3: in mail merge rcpt-to decides for each recipient, mail-from too where it has its own *from', () => {
  const given = {
    global: list(
      'rcpt-to /@y\\.test$/ virtual-mta=v2\nmail-from /^own@/ virtual-mta=v3\nheader X-Class /bulk/ virtual-mta=v1',
    ),
    source: 'pattern-list p',
    to: ['a@x.test', 'b@y.test', 'c@z.test'],
  };
  assert.equal(choose({ ...given, copies: [] }), '{default} v2 {default}');
  assert.equal(choose({ ...given, copies: [{ '*from': 'own@b.test' }] }), 'v3 v2 {default}');
  assert.equal(choose({ ...given, copies: [], sender: 'own@b.test' }), 'v3 v2 v3');
  assert.equal(choose({ ...given, copies: [], header: 'X-Class: bulk\r\n' }), 'v1 v2 v1');
  const header = 'X-Virtual-MTA: v1\r\n';
  assert.equal(choose({ ...given, copies: [{}, {}, { '*vmta': 'v3' }], header, source: X }), 'v1 v1 v3');
});

test('D3.5: with X-Virtual-MTA a pattern rule may still set the priority', () => {
  const given = {
    global: list('mail-from /news/ virtual-mta=v2,recipient-priority=70'),
    source: `${X}\npattern-list p`,
  };
  assert.equal(choose({ ...given, header: 'X-Virtual-MTA: v1\r\n' }), 'v1@70');
  assert.equal(choose(given), 'v2@70');
  assert.equal(choose({ ...given, variables: { '*priority': '3' } }), 'v2@3', '*priority overrides');
  assert.equal(choose({ ...given, variables: { '*priority': '0' } }), '554 5.5.4');
  assert.equal(choose({ ...given, variables: { '*priority': '1e1' } }), '554 5.5.4');
});

test('D3.7: by-smtp-source-ip without a connection is {default}', () => {
  const source = 'default-virtual-mta by-smtp-source-ip';
  const global = '<virtual-mta ip>\nsmtp-source-host 192.0.2.5 ip.test\n</virtual-mta>';
  assert.equal(choose({ global, source, localAddress: '' }), '{default}');
});

test('D4.3: one member for a whole message; in mail merge each recipient gets the next', () => {
  const given = { global: POOL, source: 'default-virtual-mta P', to: ['a@x.test', 'b@x.test', 'c@x.test'] };
  const next = chooser(given);
  assert.deepEqual([next(), next()], ['P:v1', 'P:v2']);
  assert.equal(choose({ ...given, copies: [] }), 'P:v1 P:v2 P:v1');
});

test('D4.5, D4.6: members inherit the values of their pool, each for itself, by whatever way they were chosen', () => {
  const config = good(
    `${VMTAS}\n<virtual-mta-pool P>\nvirtual-mta v1\nvirtual-mta v2\nmax-smtp-out 10\n<domain a.test>\nmax-smtp-out 3\n</domain>\n</virtual-mta-pool>`,
  );
  for (const name of ['v1', 'v2']) {
    assert.equal(config.vmtas.get(name)!.settings.get('max-smtp-out'), 10);
    assert.equal(config.queue('a.test', name).get('max-smtp-out'), 3);
  }
  assert.equal(config.vmtas.get('v3')!.settings.get('max-smtp-out'), Number.POSITIVE_INFINITY);
});

// reject-invalid-virtual-mta | invalid-virtual-mta-fallback | name missing | header present but empty
const GONE = 'X-Virtual-MTA: gone\r\n';
const EMPTY = 'X-Virtual-MTA: \r\n';
const ALLOW = 'allow-empty-x-virtual-mta yes';
const FALLBACK = 'invalid-virtual-mta-fallback V3';
const INVALID: [
  row: string,
  source: string,
  global: string,
  missing: string,
  empty: string,
  allowed: string,
][] = [
  [
    'true (default) | any | message refused at submission | refused, unless',
    X,
    '',
    '550 5.3.5',
    '550 5.3.5',
    '{default}',
  ],
  [
    'true (default) | any (set) | refused | refused, unless',
    X,
    FALLBACK,
    '550 5.3.5',
    '550 5.3.5',
    '{default}',
  ],
  [
    'false | set | queued to the fallback | as missing name, unless',
    `${X}\nreject-invalid-virtual-mta no`,
    FALLBACK,
    'v3',
    'v3',
    '{default}',
  ],
  [
    'false | not set | accepted, bounced with 5.3.5 | same, unless',
    `${X}\nreject-invalid-virtual-mta no`,
    '',
    'gone',
    '{invalid}',
    '{default}',
  ],
];
for (const [row, source, global, missing, empty, allowed] of INVALID) {
  test(`reject-invalid-virtual-mta ${row} allow-empty-x-virtual-mta => {default}`, () => {
    const given = { source: `${source}\ndefault-virtual-mta v1`, global };
    assert.equal(choose({ ...given, header: GONE }), missing);
    assert.equal(choose({ ...given, header: EMPTY }), empty);
    assert.equal(choose({ ...given, source: `${given.source}\n${ALLOW}`, header: EMPTY }), allowed);
  });
}

test('an invalid name that is taken all the same never looks like anything but a name; a fallback may be a pool', () => {
  const source = `${X}\nreject-invalid-virtual-mta no`;
  for (const name of ['a/b', 'a b', 'x'.repeat(101), '\u0001', '*']) {
    assert.equal(choose({ source, header: `X-Virtual-MTA: ${name}\r\n` }), '{invalid}', name);
  }
  const global = `${POOL}\ninvalid-virtual-mta-fallback p`;
  assert.equal(choose({ source, header: GONE, global }), 'P:v1');
});

test('a pool without members is a name that does not exist', () => {
  const given = { global: '<virtual-mta-pool empty>\n</virtual-mta-pool>', source: X };
  assert.equal(choose({ ...given, header: 'X-Virtual-MTA: empty\r\n' }), '550 5.3.5');
});

test('call-to in a circle, and nested lists, end', () => {
  const global = `<pattern-list p>
      mail-from /news/ <pattern-list>
        rcpt-to /lou/ virtual-mta=v1
      </pattern-list>
      rcpt-to /kim/ call-to:q
      * virtual-mta=v3
    </pattern-list>
    <pattern-list q>
      * call-to:p
    </pattern-list>`;
  const given = { global, source: 'pattern-list p' };
  assert.equal(choose({ ...given, to: ['lou@a.test'] }), 'v1');
  assert.equal(choose({ ...given, to: ['kim@a.test'] }), '{default}');
  assert.equal(choose({ ...given, to: ['pat@a.test'] }), 'v3');
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
  const rewritten = (sender: string) => rewriteSender(config, source.get('rewrite-list'), sender);
  assert.equal(rewritten('Boss@BRAND.test'), 'chief@brand.test');
  assert.equal(rewritten('news@brand.test'), 'return@bounces.test');
  assert.equal(rewritten('Kim@shop.test'), 'Kim@bounces.test');
  assert.equal(rewritten('info@x.test'), 'info@other.test');
  assert.equal(rewritten('kim@x.test'), 'kim@x.test');
  assert.equal(rewritten(''), '', 'the null sender stays unless a rule names it');
});
