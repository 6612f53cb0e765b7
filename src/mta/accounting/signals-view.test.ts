import assert from 'node:assert/strict';
import { readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { generatedOutcomes, outcomeKinds, sampleOutcome } from '../../events/testing.ts';
import { systemClock } from '../../system/clock.ts';
import { silentLog } from '../../system/log.ts';
import { createSignalsView, type SignalsViewOptions } from './signals-view.ts';
import { typeOf } from './values.ts';

async function bench(t: { after(f: () => Promise<void>): void }, more: Partial<SignalsViewOptions> = {}) {
  const home = await mkdtemp(path.join(tmpdir(), 'signals-view-'));
  const dir = path.join(home, 'events');
  const view = createSignalsView(
    {
      dir,
      nodeName: 'mta1',
      privacy: 'retain',
      decide: () => ({ send: true, subaccount: 0 }),
      maxAgeMs: 60_000,
      ...more,
    },
    { clock: systemClock, log: silentLog, owner: 'journal' },
  );
  t.after(async () => {
    await view.close();
    await rm(home, { recursive: true, force: true });
  });
  const events = (): Record<string, unknown>[] =>
    readdirSync(dir)
      .filter((n) => n.startsWith('sp1-'))
      .sort()
      .flatMap((n) => readFileSync(path.join(dir, n), 'utf8').split('\n').slice(0, -1))
      .map((line) => JSON.parse(line).msys.message_event);
  return { view, dir, home, events };
}

test('what the configuration decides to send is written, under its subaccount', async (t) => {
  const { view, events } = await bench(t, {
    decide: (o) => ({ send: o.kind !== 'deferred', subaccount: o.kind === 'bounced' ? 31 : 0 }),
  });
  await view.open(null);
  for (const [seq, kind] of outcomeKinds.entries()) view.write(seq, sampleOutcome(kind));
  await view.flush();
  assert.deepEqual(
    events().map((e) => [e.type, e.subaccount_id]),
    [
      ['reception', undefined],
      ['delivery', undefined],
      ['inband', 31],
      ['outofband', undefined],
      ['feedback', undefined],
    ],
  );
});

test('a failed flush: opened again at the checkpoint and told again, every event is there once', async (t) => {
  const { view, dir, home, events } = await bench(t, { maxBytes: 5000 });
  const outcomes = generatedOutcomes(200, 5).filter((o) => typeOf[o.kind].length === 1);
  await view.open(null);
  outcomes.slice(0, 50).forEach((o, seq) => {
    view.write(seq, o);
  });
  const checkpoint = await view.flush();
  outcomes.slice(50).forEach((o, i) => {
    view.write(50 + i, o);
  });
  renameSync(dir, `${home}/away`);
  writeFileSync(dir, '');
  await assert.rejects(view.flush());
  await assert.rejects(view.open(checkpoint));
  await assert.rejects(view.flush());
  await rm(dir);
  renameSync(`${home}/away`, dir);
  await view.open(checkpoint);
  outcomes.slice(50).forEach((o, i) => {
    view.write(50 + i, o);
  });
  await view.flush();
  const ids = events().map((e) => e.event_id);
  const sent = outcomes.filter((o) => !('sentTo' in o) || o.matched);
  assert.equal(ids.length, sent.length);
  assert.equal(new Set(ids).size, ids.length);
});
