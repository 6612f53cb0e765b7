import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errors, good, warnings } from './testing.ts';

const SIGNALS = '<signals>\napi-key 00112233445566778899aabbccddeeff00112233\n</signals>\n';

/** `[VMTA, domain, subaccount]`: a number, null for none, false for "not sent". */
type Row = readonly [string, string, number | null | false];

function check(text: string, rows: readonly Row[]): void {
  const config = good(SIGNALS + text);
  for (const [vmta, domain, expected] of rows) {
    const { send, subaccount } = config.signalsDecision(vmta, domain);
    assert.deepEqual(send ? subaccount : false, expected, `${vmta} ${domain}`);
  }
}

const vmtas = (...names: string[]) => names.map((n) => `<virtual-mta ${n}>\n</virtual-mta>\n`).join('');

test('S2.1 U1 U2 on and off everywhere, and the default', () => {
  check('enable-signals false', [['{default}', 'a.example', false]]);
  check('enable-signals no', [['{default}', 'a.example', false]]);
  check(`enable-signals true\n${vmtas('promo')}`, [
    ['{default}', 'a.example', null],
    ['promo', 'a.example', null],
  ]);
  check('', [['{default}', 'a.example', null]]);
  assert.equal(good('enable-signals true').signalsDecision('{default}', 'a.example').send, false);
  assert.match(warnings('enable-signals true').join(), /without a <signals> block/);
});

test('S2.6 U3 U4 per VMTA, with subaccounts', () => {
  check(
    `enable-signals false\n<virtual-mta promo>\nenable-signals true, subaccount=31\n</virtual-mta>\n${vmtas('receipts')}`,
    [
      ['promo', 'a.example', 31],
      ['receipts', 'a.example', false],
      ['{default}', 'a.example', false],
    ],
  );
});

test('S2.8 U5 a pool speaks for its members', () => {
  check(
    `enable-signals false\n${vmtas('lane1', 'lane2', 'receipts')}<virtual-mta-pool lanes>\nvirtual-mta lane1\nvirtual-mta lane2\nenable-signals true,subaccount=40\n</virtual-mta-pool>`,
    [
      ['lane1', 'a.example', 40],
      ['lane2', 'a.example', 40],
      ['receipts', 'a.example', false],
    ],
  );
});

test('S2.4 S2.5 S2.9 U6 U7 filters by best match, not by order', () => {
  check(
    `enable-signals false\n<virtual-mta shared>\nenable-signals wide\n</virtual-mta>\n${vmtas('other')}<signals-filter wide>\nsender-or-from *.t1.example enable-signals,subaccount=61\nsender-or-from receipts.t1.example disable-signals\n</signals-filter>`,
    [
      ['shared', 'promo.t1.example', 61],
      ['shared', 'receipts.t1.example', false],
      ['shared', 't1.example', false],
      ['shared', 't2.example', false],
      ['other', 'promo.t1.example', false],
    ],
  );
});

test('S2.2 S2.3 I1 I2 the nearest value counts as a whole', () => {
  const filter = (name: string, ...lines: string[]) =>
    `<signals-filter ${name}>\n${lines.map((l) => `sender-or-from ${l}`).join('\n')}\n</signals-filter>\n`;
  check(
    `enable-signals g\n${vmtas('a', 'z')}<virtual-mta b>\nenable-signals v\n</virtual-mta>\n<virtual-mta c>\nenable-signals false\n</virtual-mta>\n<virtual-mta-pool P>\nenable-signals p\nvirtual-mta a\nvirtual-mta b\nvirtual-mta c\n</virtual-mta-pool>\n` +
      filter(
        'g',
        'n.t1.example enable-signals,subaccount=11',
        'r.t1.example disable-signals',
        '*.t1.example enable-signals,subaccount=12',
        '* enable-signals,subaccount=13',
      ) +
      filter('p', 's.t2.example enable-signals,subaccount=21') +
      filter('v', '* enable-signals,subaccount=31'),
    [
      ['z', 'n.t1.example', 11],
      ['z', 'r.t1.example', false],
      ['z', 'q.t1.example', 12],
      ['z', 'elsewhere.example', 13],
      ['a', 's.t2.example', 21],
      ['a', 'n.t1.example', false],
      ['b', 'anything.example', 31],
      ['c', 's.t2.example', false],
    ],
  );
  check(
    `enable-signals true,subaccount=1\n${vmtas('a')}<virtual-mta b>\nenable-signals true\n</virtual-mta>\n<virtual-mta-pool P>\nenable-signals true,subaccount=2\nvirtual-mta a\nvirtual-mta b\n</virtual-mta-pool>`,
    [
      ['a', 'x.example', 2],
      ['b', 'x.example', null],
      ['{default}', 'x.example', 1],
    ],
  );
});

test('syntax of the signals directives', () => {
  const block = (lines: string) => `<signals>\n${lines}\n</signals>`;
  const key = 'api-key 00112233445566778899aabbccddeeff00112233';
  for (const text of [
    block('api-key 0011'),
    block('api-key g0112233445566778899aabbccddeeff00112233'),
    block(''),
    block(`${key}\nengagement-tracking sparkpost`),
    block(`${key}\nengagement-tracking builtin\ncustomer-id 1`),
    `${SIGNALS}enable-signals true,subaccount=0`,
    `${SIGNALS}enable-signals false,subaccount=1`,
    `${SIGNALS}enable-signals nowhere`,
    `${SIGNALS}<signals-filter a>\nsender-or-from *.x.example disable-signals,subaccount=4\n</signals-filter>`,
    `${SIGNALS}<signals-filter a>\n</signals-filter>\n<signals-filter A>\n</signals-filter>`,
  ]) {
    errors(text);
  }
  const signals = good(
    block(`${key}\nengagement-tracking builtin\ncustomer-id 7\ntracking-domain t.example:8080`),
  ).signals!;
  assert.equal(signals.get('engagement-tracking'), 'sparkpost');
  assert.deepEqual(signals.get('tracking-domain'), { host: 't.example', port: 8080 });
  assert.equal(signals.get('min-free-space'), 20 * 1024 * 1024);
  assert.match(warnings(`<sparkpost-analytics>\n${key}\n</sparkpost-analytics>`).join(), /old tag/);
});
