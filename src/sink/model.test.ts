import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UserError } from '../system/user-error.ts';
import { draw, logNormal } from './draw.ts';
import { checkRates, decideAtRcpt, decideFate, defaultRates, type Rates, rateProfiles } from './model.ts';

const OFFERED = 30_000;

/** Percentages of all messages offered. */
function simulate(rates: Rates, seed: number): Map<string, number> {
  const counts = new Map<string, number>();
  const count = (name: string) => counts.set(name, (counts.get(name) ?? 0) + 1);
  for (let n = 0; n < OFFERED; n++) {
    const question = (purpose: string) => draw(seed, `message ${n}`, purpose);
    const atRcpt = decideAtRcpt(rates, question);
    if (atRcpt !== 'take') {
      count(atRcpt);
      continue;
    }
    const fate = decideFate(rates, question);
    if (fate.oob) count('oob');
    if (fate.fbl) count('fbl');
    if (fate.opens > 0) count('open');
    if (fate.opens > 1) count('openAgain');
    if (fate.clicks > 0) count('click');
    if (fate.clicks > 1) count('clickAgain');
    if (fate.unsubscribe) count('unsubscribe');
    if (fate.prefetch) count('prefetch');
    if (fate.scanner) count('scanner');
    if (fate.clicks > 0 && fate.opens === 0) count('click without open');
    if (fate.oob && fate.opens > 0) count('oob and open');
  }
  return counts;
}

test('each share is within three standard errors of the plan, and a second run is the same', () => {
  const counts = simulate(defaultRates, 42);
  const plan: [string, number][] = [
    ['hard', defaultRates.inbandHard],
    ['soft', defaultRates.inbandSoft],
    ['oob', defaultRates.oob],
    ['fbl', defaultRates.fbl],
    ['open', defaultRates.open],
    ['openAgain', defaultRates.openAgain],
    ['click', defaultRates.click],
    ['clickAgain', defaultRates.clickAgain],
    ['unsubscribe', defaultRates.unsubscribe],
    ['prefetch', defaultRates.prefetch],
    ['scanner', defaultRates.scanner],
  ];
  for (const [name, percent] of plan) {
    const p = percent / 100;
    const error = Math.sqrt(p * (1 - p) * OFFERED);
    const off = Math.abs((counts.get(name) ?? 0) - p * OFFERED);
    assert.ok(off <= 3 * error, `${name}: ${counts.get(name)} of ${OFFERED} for ${percent} %`);
  }
  assert.equal(counts.get('click without open'), undefined);
  assert.equal(counts.get('oob and open'), undefined);
  assert.deepEqual(simulate(defaultRates, 42), counts);
  assert.notDeepEqual(simulate(defaultRates, 43), counts);
});

test('rates that contradict each other are refused by name', () => {
  const refused = (change: Partial<Rates>, words: RegExp) =>
    assert.throws(
      () => checkRates({ ...defaultRates, ...change }),
      (error) => error instanceof UserError && words.test(error.message),
    );
  refused({ open: 30, click: 40 }, /click 40 is more than open 30/);
  refused({ click: 2 }, /clickAgain 3 is more than click 2/);
  refused({ openAgain: 31 }, /openAgain/);
  refused({ open: 99 }, /add up to 101/);
  refused({ trap: -1 }, /trap is -1/);
  refused({ oob: Number.NaN }, /oob is NaN/);
});

test('the named profiles contradict nothing', () => {
  for (const rates of rateProfiles.values()) checkRates(rates);
});

test('waiting times spread around their median', () => {
  const waits = Array.from({ length: 2001 }, (_, n) => logNormal(1000, 1, n / 2001)).sort((a, b) => a - b);
  assert.ok(Math.abs(waits[1000]! - 1000) < 10);
  assert.ok(waits[0]! > 0);
  assert.ok(waits[2000]! < 100_000);
});
