import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { good } from '../../config/testing.ts';
import { SpoolWriteError } from '../../spool/spool-write-error.ts';
import { TestClock } from '../../system/testing.ts';
import { smallDisk } from '../testing.ts';
import { type ColdCounts, openColdCounts } from './cold-counts.ts';
import { localDay } from './cold-plan.ts';
import { Placements } from './placement.ts';

const DAY = 86_400_000;

function folder(t: TestContext): string {
  const dir = mkdtempSync(path.join(tmpdir(), 'cold-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

interface Under {
  readonly clock: TestClock;
  readonly counts: ColdCounts;
  /** Places messages to these domains, one after the other, and answers the VMTAs; `vmta` is what was chosen. */
  place(domains: string, options?: { vmta?: string; origin?: 'smtp' | 'pickup' | 'http' }): Promise<string>;
  /** The whole names of the queues that one message to these domains joins. */
  one(domains: readonly string[], copies?: boolean): Promise<string[]>;
  restart(): Promise<void>;
}

async function start(t: TestContext, text: string, rollup: Record<string, string> = {}): Promise<Under> {
  const config = good(text);
  const clock = new TestClock();
  const dir = folder(t);
  let counts = openColdCounts(dir);
  const make = () => new Placements({ cold: counts, rollup: (_, domain) => rollup[domain] ?? null, clock });
  let placements = make();
  t.after(() => counts.close());
  return {
    clock,
    get counts() {
      return counts;
    },
    async place(domains, { vmta = 'W', origin = 'smtp' } = {}) {
      const went: string[] = [];
      for (const domain of domains.split(' ')) {
        const placement = placements.begin(config, origin);
        went.push(placement.queue(domain, vmta).vmta);
        await placement.counted();
      }
      return went.join(' ');
    },
    async one(domains, copies = false) {
      const placement = placements.begin(config, 'smtp');
      const queues = domains.map((domain) => placement.queue(domain, 'W', copies));
      await placement.counted();
      return queues.map(({ domain, vmta }) => `${domain}/${vmta}`);
    },
    async restart() {
      await counts.close();
      counts = openColdCounts(dir);
      placements = make();
    },
  };
}

const warm = (cold: string, domains: string) => `
  <virtual-mta W>
    ${cold}
    ${domains}
  </virtual-mta>
  <virtual-mta C>
  </virtual-mta>
  <virtual-mta C1>
  </virtual-mta>
  <virtual-mta C2>
  </virtual-mta>`;
const plan = (text: string, domain = '*') =>
  `<domain ${domain}>\nmax-cold-virtual-mta-msg ${text}\n</domain>`;
const A5 = 'a.example a.example a.example a.example a.example';

test('D6.1: W: cold C; 2/day: the first two of each domain go to C', async (t) => {
  const under = await start(t, warm('cold-virtual-mta C', plan('2/day')));
  assert.equal(await under.place('a.example a.example a.example'), 'C C W');
  assert.equal(await under.place('b.example b.example b.example'), 'C C W');
});

test('D6.2: two cold VMTAs take turns, and the limit counts for each', async (t) => {
  const under = await start(t, warm('cold-virtual-mta C1\ncold-virtual-mta C2', plan('2/day')));
  assert.equal(await under.place(A5), 'C1 C2 C1 C2 W');
});

test('D6.3, D6.11: 1/day,3/day: 1, 3 and 3 of five, day by day', async (t) => {
  const under = await start(t, warm('cold-virtual-mta C', plan('1/day,3/day')));
  assert.equal(await under.place(A5), 'C W W W W');
  under.clock.advance(DAY);
  assert.equal(await under.place(A5), 'C C C W W');
  under.clock.advance(DAY);
  assert.equal(await under.place(A5), 'C C C W W');
});

test('D6.11: calendar days count, used or not; a plan may begin with a day of none', async (t) => {
  const under = await start(t, warm('cold-virtual-mta C', plan('0/d,1/d,2/d,3/d')));
  assert.equal(await under.place(A5), 'W W W W W');
  await under.restart();
  under.clock.advance(2 * DAY);
  assert.equal(await under.place(A5), 'C C W W W', 'the third day');
});

test('D6.4: a limit without a cold VMTA diverts nothing', async (t) => {
  const under = await start(t, `${warm('', '')}\n${plan('2/day')}`);
  assert.equal(await under.place(A5), 'W W W W W');
});

test('D6.5: the default is none', async (t) => {
  const under = await start(t, warm('cold-virtual-mta C', ''));
  assert.equal(await under.place(A5), 'W W W W W');
});

test('D6.6: only what comes over SMTP is diverted; mail merge counts recipients, a message counts once', async (t) => {
  const under = await start(t, warm('cold-virtual-mta C', plan('2/day')));
  for (const origin of ['pickup', 'http'] as const) {
    assert.equal(await under.place('a.example', { origin }), 'W');
  }
  const three = ['a.example', 'a.example', 'a.example'];
  assert.deepEqual(
    await under.one(three),
    three.map((d) => `${d}/C`),
  );
  assert.deepEqual(await under.one(three, true), ['a.example/C', 'a.example/W', 'a.example/W']);
});

test('D6.7: counters begin anew at midnight, local time', async (t) => {
  const under = await start(t, warm('cold-virtual-mta C', plan('1/day')));
  const midnight = new Date(under.clock.now());
  midnight.setHours(24, 0, 0, 0);
  under.clock.advance(midnight.getTime() - under.clock.now() - 1);
  assert.equal(await under.place('a.example a.example'), 'C W');
  under.clock.advance(1);
  assert.equal(await under.place('a.example a.example'), 'C W');
});

test('D6.8: counts and turns outlive a restart in the middle of the day', async (t) => {
  const under = await start(t, warm('cold-virtual-mta C1\ncold-virtual-mta C2', plan('2/day')));
  assert.equal(await under.place('a.example'), 'C1');
  await under.restart();
  assert.equal(await under.place('a.example a.example'), 'C2 C1');
  await under.restart();
  assert.equal(await under.place('a.example a.example'), 'C2 W');
});

test('D6.9: the cap counts the queue after queue-to, or after the roll-up that is known', async (t) => {
  const domains = `<domain *>\nqueue-to big\n</domain>\n${plan('1/day', 'big')}`;
  const under = await start(t, warm('cold-virtual-mta C', domains));
  assert.equal(await under.place('a.example a.example b.example b.example'), 'C W W W');
  const rolled = await start(
    t,
    warm('cold-virtual-mta C', `${plan('9/day')}\n${plan('1/day', 'q.rollup')}`),
    {
      'a.example': 'q.rollup',
      'b.example': 'q.rollup',
    },
  );
  assert.deepEqual(await rolled.one(['a.example', 'b.example', 'c.example']), [
    'q.rollup/C',
    'q.rollup/C',
    'c.example/C',
  ]);
  assert.equal(await rolled.place('b.example c.example'), 'W C');
});

test('D6.10: settings of diverted mail are those of C alone', () => {
  const config = good(`
    <virtual-mta W>
      cold-virtual-mta C
      <domain *>
        max-cold-virtual-mta-msg 2/day
        max-msg-rate 1000/h
      </domain>
    </virtual-mta>
    <virtual-mta C>
      <domain *>
        max-smtp-out 1
      </domain>
    </virtual-mta>`);
  assert.equal(config.queue('a.example', 'C').get('max-smtp-out'), 1);
  assert.equal(config.queue('a.example', 'C').origin('max-msg-rate'), null);
});

test('auto-cold-virtual-mta IP HOST: mail goes to the VMTA made of it', async (t) => {
  const text = `<virtual-mta W>\nauto-cold-virtual-mta 192.0.2.8 c.example\n${plan('1/day')}\n</virtual-mta>`;
  const under = await start(t, text);
  assert.equal(await under.place('a.example a.example'), 'W-cold W');
});

test('a message that was not accepted gives its count back', async (t) => {
  const under = await start(t, warm('cold-virtual-mta C', plan('1/day')));
  const placements = new Placements({ cold: under.counts, rollup: () => null, clock: under.clock });
  const config = good(warm('cold-virtual-mta C', plan('1/day')));
  const placement = placements.begin(config, 'smtp');
  assert.equal(placement.queue('a.example', 'W').vmta, 'C');
  placement.undo();
  assert.equal(await under.place('a.example a.example'), 'C W');
});

test('counts that no plan needs any more are dropped; those of plans with steps stay', async (t) => {
  const text = warm('cold-virtual-mta C', `${plan('1/day')}\n${plan('1/day,2/day', 'b.example')}`);
  const under = await start(t, text);
  await under.place('a.example b.example');
  const today = localDay(under.clock.now());
  await under.counts.purge(today);
  assert.equal(under.counts.get('c', 'a.example')?.count, 1);
  await under.counts.purge(today + 1);
  assert.equal(under.counts.get('c', 'a.example'), undefined);
  assert.equal(under.counts.get('c', 'b.example')?.first, today);
});

test('a full disk refuses counts with a reason, keeps the old ones, and does not end the program', async (t) => {
  const dir = smallDisk(t, '300k');
  if (!dir) return;
  const counts = openColdCounts(dir);
  t.after(() => counts.close());
  const day = 20_000;
  let refusal: unknown = null;
  let stored = 0;
  for (; !refusal && stored < 100_000; stored += 100) {
    const batch = Array.from({ length: 100 }, (_, i) =>
      counts.set('c', `${'long-name.'.repeat(8)}d${stored + i}.example`, {
        first: day,
        day,
        count: 1,
        steps: false,
      }),
    );
    const results = await Promise.allSettled(batch);
    const failed = results.find((one) => one.status === 'rejected');
    if (failed) refusal = failed.reason;
  }
  assert.ok(refusal instanceof SpoolWriteError, `after ${stored}: ${refusal}`);
  assert.match(refusal.message, /refused a write/);
  assert.equal(counts.get('c', `${'long-name.'.repeat(8)}d0.example`)?.count, 1);
  await counts.purge(day + 1);
});
