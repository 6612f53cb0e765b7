// How long the daily figures of the scores take, and in how much memory, beside what the engine itself needs to copy
// the same events once.
//
//   npm run bench -- scores [--mails 1000000] [--days 3]
import path from 'node:path';
import { refresh } from '../src/signals/score/refresh/refresh.ts';
import { openEmbedded } from '../src/signals/store/engine.ts';
import { defaultRetention } from '../src/signals/store/retention.ts';
import { migrate } from '../src/signals/store/schema.ts';
import { temporaryFolder } from '../test/program.ts';
import { given, number } from './harness/given.ts';
import { Report } from './harness/report.ts';

const { mails, days } = given({ mails: number(1_000_000), days: number(3) });
const DAY = 86_400_000;

const engine = await openEmbedded(path.join(temporaryFolder(), 'clickhouse'));
const resident = () => Math.round(process.memoryUsage.rss() / 2 ** 20);
let peak = 0;
const watch = setInterval(() => {
  peak = Math.max(peak, resident());
}, 50);

let report: Report;

async function timed<T>(name: string, who: string, work: () => Promise<T>): Promise<T> {
  peak = 0;
  const began = performance.now();
  const result = await work();
  const seconds = (performance.now() - began) / 1000;
  report.figure(name, who, 's', [seconds]);
  report.figure('  most memory', who, 'MiB', [peak]);
  return result;
}

try {
  await migrate(engine, defaultRetention);
  // The roll-ups are not what is measured here.
  for (const { name } of await engine.read<{ name: string }>(
    `SELECT name FROM system.tables WHERE database = currentDatabase() AND engine = 'MaterializedView'`,
  )) {
    await engine.write(`DROP VIEW ${name} SYNC`);
  }
  const today = Math.floor(Date.now() / DAY) * DAY;
  for (let back = days - 1; back >= 0; back--) {
    const start = today - back * DAY;
    // Of five mails one is opened and one is delayed; everyone is mailed once a day.
    await engine.write(
      `INSERT INTO events (ts, event_id, type, sign, version, campaign_id, ip_pool, sending_domain, mailbox_provider, message_id, rcpt_to, marks)
       SELECT fromUnixTimestamp64Milli(toInt64({start:Int64} + intDiv(number * 43200000, {mails:UInt64}) + e.2 * 60000), 'UTC'),
         concat(toString({start:Int64}), '-', toString(number), '-', e.1), e.1, 1, 1,
         concat('campaign-', toString(number % 200)), concat('pool-', toString(number % 5)),
         concat('d', toString(number % 20), '.example'), concat('provider-', toString(number % 40)),
         concat('m', toString({start:Int64}), '-', toString(number)),
         concat('person', toString(cityHash64(number)), '@example.net'), if(e.1 = 'injection', 5, 0)
       FROM (
         SELECT number, arrayJoin(arrayFilter(x -> x.1 != '', [('injection', 0), ('delivery', 1),
           (if(number % 5 = 0, 'open', ''), 2), (if(number % 5 = 1, 'delay', ''), 3)])) AS e
         FROM numbers({mails:UInt64}))`,
      { start, mails },
    );
  }
  const [{ n, engineVersion } = { n: 0, engineVersion: '' }] = await engine.read<{
    n: number;
    engineVersion: string;
  }>('SELECT count() AS n, version() AS engineVersion FROM events');
  report = new Report('scores', {
    engine: `ClickHouse ${engineVersion}`,
    mails: `${mails} a day on ${days} days`,
    events: n,
  });
  await timed('a copy of all events, all columns', 'clickhouse', async () => {
    await engine.write('CREATE TABLE copied AS events');
    await engine.write('INSERT INTO copied SELECT * FROM events');
    await engine.write('DROP TABLE copied SYNC');
  });
  const place = { engine, retention: defaultRetention };
  const first = await timed('first refresh: every day', 'posthorn', () =>
    refresh(place, Date.now(), { eventAgeHours: 24 }),
  );
  console.log(`  days: ${first.made.join(' ')}`);
  await engine.write(
    `INSERT INTO events (ts, event_id, type, sign, version, message_id, rcpt_to) VALUES (fromUnixTimestamp64Milli({ts:Int64}, 'UTC'), 'one-more', 'open', 1, 1, 'x', 'y@example.net')`,
    { ts: today + 1000 },
  );
  const next = await timed('a refresh after one more event of today', 'posthorn', () =>
    refresh(place, Date.now(), { eventAgeHours: 24 }),
  );
  console.log(`  days: ${next.made.join(' ')}`);
  report.save();
} finally {
  clearInterval(watch);
  await engine.close();
}
