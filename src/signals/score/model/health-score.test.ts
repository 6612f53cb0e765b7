import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { randomOf } from '../../metrics/history-testing.ts';
import { type SumName, type Sums, sums } from '../sums.ts';
import { components } from './components.ts';
import { golden } from './golden-scores.testing.ts';
import { healthScore } from './health-score.ts';
import {
  defaultModel,
  type ModelFile,
  parseModel,
  readModel,
  type ScoreModel,
  weightAt,
} from './score-model.ts';
import { ONE, rateOf, textOf, unitsOf } from './units.ts';

const full = (some: Partial<Record<SumName, number>>): Sums =>
  Object.fromEntries(sums.map((name) => [name, some[name] ?? 0])) as Record<SumName, number>;

const modelOf = (file: unknown): ScoreModel => {
  const model = parseModel(file);
  assert.ok(typeof model !== 'string', String(model));
  return model;
};

for (const { name, model, day, before, suppresses, expected } of golden) {
  test(`golden: ${name}`, () => {
    const score = healthScore(
      { day: full(day), before: before.map(full), suppresses },
      model ? modelOf(model) : defaultModel,
    );
    const told = score && {
      health_score: textOf(score.score),
      weights: score.parts.map((p) => [
        p.type,
        p.rate === null ? '0' : textOf(p.weight),
        p.rate === null ? null : textOf(p.rate),
      ]),
    };
    assert.deepEqual(told, expected);
  });
}

test('whatever the day and the model, the weights lead exactly from the base to the score', () => {
  const seed = Date.now() % 1_000_000;
  const random = randomOf(seed);
  const below = (n: number) => Math.floor(random() * n);
  for (let i = 0; i < 2000; i++) {
    const reach = random() < 0.5 ? 0.05 : 1;
    const curve = (better: 'more' | 'less') => {
      const weights = Array.from(
        { length: 1 + below(5) },
        () => Math.round((random() * 2 - 1) * reach * 1e6) / 1e6,
      );
      weights.sort((a, b) => (better === 'more' ? a - b : b - a));
      return weights.map((w, k) => [k / weights.length, w]);
    };
    const model = modelOf({
      version: 'random',
      base: Math.round(random() * 1e4) / 1e4,
      minimum_tracked_injections: 1,
      components: Object.fromEntries(components.map((c) => [c.type, curve(c.better)])),
    });
    const some = () => full(Object.fromEntries(sums.map((name) => [name, below(random() < 0.3 ? 3 : 5000)])));
    const day = { ...some(), tracked: 1 + below(1000), injections: 1 + below(5000) };
    const score = healthScore({ day, before: [some(), some()], suppresses: random() < 0.5 }, model);
    assert.ok(score, `seed ${seed}`);
    const sum = score.parts.reduce((a, p) => a + p.weight, model.base);
    assert.equal(sum, score.score, `seed ${seed}, case ${i}`);
    assert.ok(score.score >= 0n && score.score <= ONE, `seed ${seed}, case ${i}`);
    for (const part of score.parts) {
      // Shortened, never turned round or made longer.
      assert.ok(
        part.curveWeight >= 0n
          ? part.weight >= 0n && part.weight <= part.curveWeight
          : part.weight <= 0n && part.weight >= part.curveWeight,
        `seed ${seed}, case ${i}, ${part.type}`,
      );
      if (part.rate === null) assert.equal(part.weight, 0n);
    }
  }
});

test("the default curves pass through SparkPost's sample figures, and past engagement outweighs all else", () => {
  const observed: readonly (readonly [type: string, rate: number, least: number, most: number])[] = [
    ['Historical Engagement', 0.04, -0.134, -0.134],
    ['Historical Engagement', 0.077, -0.093, -0.093],
    ['Historical Engagement', 0.19, -0.013, -0.013],
    ['Historical Engagement', 0.27, 0.033, 0.033],
    ['Historical Engagement', 0.31, 0.041, 0.041],
    ['Suppression Hits', 0.21, -0.017, -0.01],
    ['Suppression Hits', 0.23, -0.017, -0.01],
    ['Complaints', 0.0004, -0.003, -0.003],
    ['Complaints', 0.0011, -0.005, -0.005],
    ['Complaints', 0.0014, -0.01, -0.007],
    ['Hard Bounces', 0.007, 0.001, 0.001],
    ['Hard Bounces', 0.036, -0.004, -0.004],
    ['Block Bounces', 0.0065, 0.0015, 0.0015],
    ['Block Bounces', 0.065, 0.0007, 0.0007],
    ['Transient Failures', 0.00005, 0.001, 0.005],
    ['Transient Failures', 0.0005, -0.004, -0.004],
    ['Other bounces', 0.0022, 0.004, 0.006],
    ['Other bounces', 0.023, -0.0025, 0.002],
    ['eng cohorts: new, 14-day', 0.37, -0.006, 0.004],
    ['eng cohorts: new, 14-day', 0.42, -0.006, 0.004],
    ['eng cohorts: unengaged', 0.17, -0.003, 0.002],
    ['eng cohorts: unengaged', 0.18, -0.003, 0.002],
    ['Spam Trap Hits', 0.0001, 0.0005, 0.0015],
    ['Spam Trap Hits', 0.0006, 0.0005, 0.0015],
    ['Unsubscribes', 0, 0.0005, 0.0015],
  ];
  for (const [type, rate, least, most] of observed) {
    const weight = weightAt(defaultModel.curves.get(type)!, unitsOf(rate));
    assert.ok(weight >= unitsOf(least) && weight <= unitsOf(most), `${type} at ${rate}: ${textOf(weight)}`);
  }
  const spread = (type: string) => {
    const curve = defaultModel.curves.get(type)!;
    const ends = curve[0]![1] - curve.at(-1)![1];
    return ends < 0n ? -ends : ends;
  };
  for (const { type } of components.slice(1)) {
    assert.ok(spread(type) * 4n <= spread('Historical Engagement'), type);
  }
});

test('rates and weights are rounded to the nearest of ten digits, halves away from zero', () => {
  assert.equal(textOf(rateOf(1, 3)), '0.3333333333');
  assert.equal(textOf(rateOf(2, 3)), '0.6666666667');
  assert.equal(textOf(rateOf(7, 3)), '1.0000000000');
  assert.equal(textOf(-1n), '-0.0000000001');
  assert.equal(textOf(unitsOf(-0.00612)), '-0.0061200000');
  const curve = [
    [0n, 0n],
    [2n, -1n],
  ] as const;
  assert.equal(weightAt(curve, 1n), -1n);
  // It is the weight that is rounded, wherever its line begins.
  const between = (from: bigint, to: bigint) =>
    weightAt(
      [
        [0n, from],
        [2n, to],
      ],
      1n,
    );
  assert.deepEqual([between(10n, 9n), between(9n, 10n)], [10n, 10n]);
  assert.deepEqual([between(-10n, -9n), between(-9n, -10n)], [-10n, -10n]);
});

test('a faulty model file is refused in one sentence that names the place', async () => {
  const good = defaultModel.source;
  const change = (more: Partial<Record<keyof ModelFile, unknown>>) => ({ ...good, ...more });
  const curves = (type: string, curve: unknown) =>
    change({ components: { ...good.components, [type]: curve } });
  const dir = await mkdtemp(path.join(tmpdir(), 'posthorn-model-'));
  const file = path.join(dir, 'model.json');
  try {
    for (const [value, fault] of [
      ['{', /is not JSON/],
      [[], /must be an object/],
      [change({ base: 1.5 }), /base must be a number from 0 to 1/],
      [change({ version: '' }), /version must be/],
      [change({ minimum_tracked_injections: 0 }), /minimum_tracked_injections must be/],
      [change({ components: null }), /components must be/],
      [curves('Complaints', undefined), /components\["Complaints"\] is missing/],
      [curves('Complaints', []), /list of 1 to 100 anchors/],
      [
        curves('Complaints', [
          [0, 0],
          [0, -1],
        ]),
        /anchor 2: the rate must be above/,
      ],
      [
        curves('Complaints', [
          [0, 0],
          [0.1, 0.1],
        ]),
        /anchor 2: less is better here, so the weight must not rise/,
      ],
      [
        curves('Historical Engagement', [
          [0, 0],
          [0.1, -0.1],
        ]),
        /more is better here/,
      ],
      [
        curves('Complaints', [
          [0, 0],
          [2, -0.1],
        ]),
        /anchor 2: the rate must be a number from 0 to 1/,
      ],
      [curves('Complaints', [[0, 'x']]), /anchor 1: the weight must be/],
      [curves('Complaints', [[0]]), /anchor 1 must be \[rate, weight\]/],
      [curves('complaints', [[0, 0]]), /has "complaints", which is none of Historical Engagement/],
    ] as const) {
      await writeFile(file, typeof value === 'string' ? value : JSON.stringify(value));
      await assert.rejects(readModel(file), (error: Error) => {
        assert.match(error.message, fault);
        assert.ok(error.message.startsWith(file));
        return true;
      });
    }
    await writeFile(file, JSON.stringify(change({ version: 'ours' })));
    assert.equal((await readModel(file)).version, 'ours');
    await assert.rejects(readModel(path.join(dir, 'none.json')), /cannot be read/);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
});
