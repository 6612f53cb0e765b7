import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import type { Clock } from '../../system/clock.ts';
import { systemClock } from '../../system/clock.ts';
import { bounceClasses } from '../ingest/bounce-classes.ts';
import { startTestService, type TestService } from '../test-service.ts';
import { metricNames } from './definitions.ts';

// Three days around the end of summer time in Europe and America's last day of it are in the data.
const NOW = Date.parse('2026-10-26T09:17:23Z');
const clock: Clock = { now: () => NOW, after: systemClock.after };

interface Raw {
  id: string;
  type: string;
  ts: number;
  message: string;
  campaign: string;
  template: string;
  domain: string;
  sender: string;
  ip: string;
  pool: string;
  subaccount: number;
  retries: number;
  queue: number;
  size: number;
  bounceClass: number;
  agent: string;
}

/** The same numbers in every run. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1664525 + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

const types: [ingest: string, shown: string, cls: string][] = [
  ['reception', 'injection', 'message_event'],
  ['delivery', 'delivery', 'message_event'],
  ['inband', 'bounce', 'message_event'],
  ['tempfail', 'delay', 'message_event'],
  ['rejection', 'policy_rejection', 'message_event'],
  ['outofband', 'out_of_band', 'message_event'],
  ['feedback', 'spam_complaint', 'message_event'],
  ['open', 'open', 'track_event'],
  ['initial_open', 'initial_open', 'track_event'],
  ['click', 'click', 'track_event'],
  ['amp_open', 'amp_open', 'track_event'],
  ['gen_fail', 'generation_failure', 'gen_event'],
  ['gen_rejection', 'generation_rejection', 'gen_event'],
  ['list', 'list_unsubscribe', 'unsubscribe_event'],
  ['link', 'link_unsubscribe', 'unsubscribe_event'],
];

const engagement = /open|click|unsubscribe|spam_complaint|out_of_band/;

const raws: Raw[] = [];
/** Events in random order: engagement of a message comes before and after its injection, of some without any. */
function generate(): string[] {
  const next = random(7);
  const pick = <T>(from: readonly T[]): T => from[Math.floor(next() * from.length)]!;
  const facts = () => ({
    campaign: pick(['', 'spring', 'summer-sale', 'Autumn']),
    template: pick(['', 't1', 't2']),
    domain: pick(['gmail.com', 'example.net', 'yahoo.co.uk', 'web.de']),
    sender: pick(['brand.example', 'shop.example']),
    ip: pick(['192.0.2.1', '192.0.2.2', 'mta-3']),
    pool: pick(['', 'p1', 'p2']),
    subaccount: pick([0, 0, 5, 12]),
  });
  const messages = Array.from({ length: 300 }, (_, i) => ({ message: `m${i}`, ...facts() }));
  const nothing = { campaign: '', template: '', domain: '', sender: '', ip: '', pool: '', subaccount: 0 };
  const lines: string[] = [];
  for (let i = 0; i < 2500; i++) {
    const [ingest, shown, cls] = pick(types);
    const isGeneration = shown.startsWith('generation');
    const event: Raw = {
      ...(isGeneration ? { message: '', ...facts() } : pick(messages)),
      id: `9${i}`,
      type: shown,
      ts: Math.floor((NOW - next() * 70 * 3_600_000) / 1000) * 1000,
      retries: pick([0, 0, 0, 1, 4]),
      queue: Math.floor(next() * 100_000),
      size: Math.floor(next() * 50_000),
      bounceClass: pick([0, 1, 10, 22, 25, 51, 80, 999]),
      agent: pick(['Firefox', 'Mozilla/5.0']),
    };
    const told = engagement.test(shown)
      ? {
          ...nothing,
          domain: shown === 'spam_complaint' || shown.endsWith('unsubscribe') ? event.domain : '',
        }
      : event;
    raws.push(event);
    lines.push(
      JSON.stringify({
        msys: {
          [cls]: {
            type: ingest,
            event_id: event.id,
            timestamp: String(event.ts / 1000),
            message_id: event.message,
            rcpt_to: told.domain && `u@${told.domain}`,
            friendly_from: told.sender && `x@${told.sender}`,
            campaign_id: told.campaign,
            template_id: told.template,
            sending_ip: told.ip,
            ip_pool: told.pool,
            subaccount_id: told.subaccount,
            num_retries: String(event.retries),
            queue_time: String(event.queue),
            msg_size: String(event.size),
            bounce_class: event.bounceClass === 0 ? '' : String(event.bounceClass),
            reason: `reason ${event.bounceClass}`,
            user_agent: event.agent,
          },
        },
      }),
    );
  }
  const known = new Set(raws.filter((e) => /injection|^delivery/.test(e.type)).map((e) => e.message));
  for (const event of raws) {
    if (!engagement.test(event.type) || known.has(event.message)) continue;
    const { domain } = event;
    const knowsDomain = !/open|click|out_of_band/.test(event.type);
    Object.assign(event, nothing, { domain: knowsDomain ? domain : '' });
  }
  assert.ok(raws.some((e) => engagement.test(e.type) && !known.has(e.message)));
  return lines;
}

let service: TestService;
before(async () => {
  // The engine expires data by the machine's clock, which is years ahead of ours by and by.
  const retention = { events: 20_000, metrics: 20_000, messages: 20_000 };
  service = await startTestService({ clock, eventAgeHours: 24 * 5, retention });
  const lines = generate();
  for (let at = 0; at < lines.length; at += 1500) {
    const answer = await service.postBytes(gzipSync(lines.slice(at, at + 1500).join('\n')));
    assert.equal(answer.status, 200);
  }
  await service.signals.idle();
  const status = await service.get('/api/v1/ingest/status');
  assert.equal(status.body.results.events_stored, lines.length);
});
after(() => service.stop());

function category(code: number): string {
  return bounceClasses.find((c) => c.code === code)?.category ?? 'Undetermined';
}

/** The definitions again, as plainly as they can be written: over raw events, one pass per metric. */
function recompute(metric: string, events: readonly Raw[], unitOf: (ts: number) => string): number {
  const n = (which: (e: Raw) => boolean) => events.filter(which).length;
  const total = (which: (e: Raw) => boolean, amount: (e: Raw) => number) =>
    events.filter(which).reduce((sum, e) => sum + amount(e), 0);
  const distinct = (which: (e: Raw) => boolean) =>
    new Set(events.filter((e) => which(e) && e.message !== '').map((e) => `${unitOf(e.ts)} ${e.message}`))
      .size;
  const is =
    (...names: string[]) =>
    (e: Raw) =>
      names.includes(e.type);
  const failed = is('bounce', 'out_of_band');
  const of = (wanted: string) => (e: Raw) => failed(e) && category(e.bounceClass) === wanted;
  const open = is('open', 'amp_open');
  const initial = is('initial_open', 'amp_initial_open');
  const click = is('click', 'amp_click');
  const human = (e: Raw) => e.agent !== 'Mozilla/5.0';
  const delivered = is('delivery');
  const inband = (e: Raw) => e.type === 'bounce' && category(e.bounceClass) !== 'Admin';
  const outofband = (e: Raw) => e.type === 'out_of_band' && category(e.bounceClass) !== 'Admin';
  const rejected = is('policy_rejection', 'generation_failure', 'generation_rejection');
  switch (metric.replace(/_approx$/, '')) {
    case 'count_injected':
      return n(is('injection'));
    case 'count_policy_rejection':
      return n(is('policy_rejection'));
    case 'count_generation_failed':
      return n(is('generation_failure'));
    case 'count_generation_rejection':
      return n(is('generation_rejection'));
    case 'count_rejected':
      return n(rejected);
    case 'count_targeted':
      return n(is('injection')) + n(rejected);
    case 'count_delivered':
      return n(delivered);
    case 'count_delivered_first':
      return n((e) => delivered(e) && e.retries === 0);
    case 'count_delivered_subsequent':
      return n((e) => delivered(e) && e.retries > 0);
    case 'total_delivery_time_first':
      return total(
        (e) => delivered(e) && e.retries === 0,
        (e) => e.queue,
      );
    case 'total_delivery_time_subsequent':
      return total(
        (e) => delivered(e) && e.retries > 0,
        (e) => e.queue,
      );
    case 'total_msg_volume':
      return total(delivered, (e) => e.size);
    case 'count_inband_bounce':
      return n(inband);
    case 'count_outofband_bounce':
      return n(outofband);
    case 'count_bounce':
      return n(inband) + n(outofband);
    case 'count_hard_bounce':
      return n(of('Hard'));
    case 'count_soft_bounce':
      return n(of('Soft'));
    case 'count_block_bounce':
      return n(of('Block'));
    case 'count_undetermined_bounce':
      return n(of('Undetermined'));
    case 'count_admin_bounce':
      return n(of('Admin'));
    case 'count_sent':
      return n(delivered) + n(inband);
    case 'count_accepted':
      return n(delivered) - n(outofband);
    case 'count_delayed':
      return n(is('delay'));
    case 'count_delayed_first':
      return n((e) => e.type === 'delay' && e.retries === 0);
    case 'count_spam_complaint':
      return n(is('spam_complaint'));
    case 'count_unsubscribe':
      return n(is('list_unsubscribe', 'link_unsubscribe'));
    case 'count_rendered':
      return n(open);
    case 'count_initial_rendered':
      return n(initial);
    case 'count_clicked':
      return n(click);
    case 'count_unique_rendered':
      return distinct(open);
    case 'count_unique_initial_rendered':
      return distinct(initial);
    case 'count_unique_clicked':
      return distinct(click);
    case 'count_unique_confirmed_opened':
      return distinct((e) => open(e) || initial(e) || click(e));
    case 'count_nonprefetched_rendered':
      return n((e) => open(e) && human(e));
    case 'count_nonprefetched_initial_rendered':
      return n((e) => initial(e) && human(e));
    case 'count_nonprefetched_unique_rendered':
      return distinct((e) => open(e) && human(e));
    case 'count_nonprefetched_unique_initial_rendered':
      return distinct((e) => initial(e) && human(e));
    case 'count_nonprefetched_unique_confirmed_opened':
      return distinct((e) => (open(e) && human(e)) || (initial(e) && human(e)) || click(e));
    default:
      return 0;
  }
}

const allMetrics = metricNames.join(',');
const get = async (path: string) => {
  const answer = await service.get(`/api/v1/metrics/${path}`);
  assert.equal(answer.status, 200, answer.text);
  return answer.body.results;
};

/** Wall clock of a zone by its own formatter, independent of the code under test. */
function wall(zone: string, ts: number): string {
  const parts = new Intl.DateTimeFormat('sv-SE', {
    timeZone: zone,
    dateStyle: 'short',
    timeStyle: 'medium',
  }).format(ts);
  return parts.replace(' ', 'T');
}

const minuteUnit = (ts: number) => new Date(ts).toISOString().slice(0, 16);
const dayUnit = (ts: number) => new Date(ts).toISOString().slice(0, 10);

test('the summary of a day equals a recomputation from raw events, for every metric', async () => {
  const [from, to] = ['2026-10-24T06:11', '2026-10-25T06:11'];
  const [row] = await get(`deliverability?from=${from}&to=${to}&metrics=${allMetrics}`);
  const [first, end] = [Date.parse(`${from}Z`), Date.parse(`${to}Z`)];
  const events = raws.filter((e) => e.ts >= first && e.ts < end);
  assert.ok(events.length > 500);
  assert.deepEqual(Object.keys(row), metricNames);
  for (const name of metricNames) assert.equal(row[name], recompute(name, events, minuteUnit), name);
});

test('time series in four zones, one with a change of clocks, every bucket there', async () => {
  for (const zone of ['UTC', 'Europe/Berlin', 'America/St_Johns', 'Asia/Kathmandu']) {
    const rows = await get(
      `deliverability/time-series?from=2026-10-24T20:00&to=2026-10-25T12:00&precision=hour&timezone=${zone}&metrics=${allMetrics}`,
    );
    const local = (ts: number) => wall(zone, ts);
    const inside = raws.filter((e) => local(e.ts) >= '2026-10-24T20:00' && local(e.ts) < '2026-10-25T12:00');
    // In Berlin the hour from 02:00 comes twice.
    assert.equal(rows.length, zone === 'Europe/Berlin' ? 17 : 16, zone);
    let counted = 0;
    for (const row of rows) {
      const start = Date.parse(row.ts);
      assert.equal(row.ts.slice(0, 19), local(start), `${zone} ${row.ts}`);
      const events = raws.filter((e) => e.ts >= start && e.ts < start + 3_600_000);
      counted += events.length;
      for (const name of metricNames) {
        assert.equal(
          row[name],
          recompute(name, events, () => ''),
          `${zone} ${row.ts} ${name}`,
        );
      }
    }
    assert.equal(counted, inside.length, zone);
  }
});

test('days, weeks and months are UTC whatever the zone, and count a message once a day', async () => {
  for (const [precision, expected] of [
    ['day', ['2026-10-23', '2026-10-24', '2026-10-25', '2026-10-26']],
    ['week', ['2026-10-19', '2026-10-26']],
    ['month', ['2026-10-01']],
  ] as const) {
    const rows = await get(
      `deliverability/time-series?from=2026-10-23T05:00&to=2026-10-26T05:00&precision=${precision}&timezone=America/New_York&metrics=${allMetrics}`,
    );
    assert.deepEqual(
      rows.map((r: { ts: string }) => r.ts),
      expected.map((day) => `${day}T00:00:00+00:00`),
    );
    for (const [i, row] of rows.entries()) {
      const start = Date.parse(row.ts);
      const end = i + 1 < rows.length ? Date.parse(rows[i + 1].ts) : Date.parse('2026-11-30');
      const events = raws.filter((e) => e.ts >= start && e.ts < end);
      for (const name of metricNames)
        assert.equal(row[name], recompute(name, events, dayUnit), `${precision} ${name}`);
    }
  }
});

test('windows are rounded outwards to the precision', async () => {
  const cases: [precision: string, first: string, n: number][] = [
    ['1min', '2026-10-25T04:22', 135],
    ['5min', '2026-10-25T04:20', 28],
    ['15min', '2026-10-25T04:15', 10],
    ['hour', '2026-10-25T04:00', 3],
    ['12hr', '2026-10-25T00:00', 1],
  ];
  for (const [precision, first, n] of cases) {
    const query = `from=2026-10-25T04:22&to=2026-10-25T06:37&precision=${precision}&metrics=count_injected,count_unique_rendered`;
    const rows = await get(`deliverability/time-series?${query}`);
    assert.equal(rows[0].ts, `${first}:00+00:00`, precision);
    assert.equal(rows.length, n, precision);
    if (precision === '12hr') continue;
    const [total] = await get(`deliverability?${query}`);
    const sum = (name: string) => rows.reduce((s: number, r: Record<string, number>) => s + r[name]!, 0);
    assert.equal(total.count_injected, sum('count_injected'), precision);
    const start = Date.parse(`${first}Z`);
    const size = { '1min': 1, '5min': 5, '15min': 15, hour: 60 }[precision]! * 60_000;
    const events = raws.filter((e) => e.ts >= start && e.ts < start + n * size);
    const unit = precision === 'hour' ? (ts: number) => dayUnit(ts) + new Date(ts).getUTCHours() : minuteUnit;
    assert.equal(total.count_unique_rendered, recompute('count_unique_rendered', events, unit), precision);
  }
});

test('group-bys give one row per value, with the same sums', async () => {
  const [from, to] = ['2026-10-25T00:00', '2026-10-26T00:00'];
  const [first, end] = [Date.parse(`${from}Z`), Date.parse(`${to}Z`)];
  const groups: [path: string, key: string, of: (e: Raw) => string | number][] = [
    ['domain', 'domain', (e) => e.domain],
    ['sending-domain', 'sending_domain', (e) => e.sender],
    ['sending-ip', 'sending_ip', (e) => e.ip],
    ['campaign', 'campaign_id', (e) => e.campaign],
    ['template', 'template_id', (e) => e.template],
    ['ip-pool', 'ip_pool', (e) => e.pool],
    ['subaccount', 'subaccount_id', (e) => e.subaccount],
  ];
  for (const [path, key, of] of groups) {
    const rows = await get(`deliverability/${path}?from=${from}&to=${to}&metrics=${allMetrics}`);
    const events = raws.filter((e) => e.ts >= first && e.ts < end);
    const values = new Set(events.map(of));
    values.delete('');
    assert.deepEqual(new Set(rows.map((r: Record<string, string>) => r[key])), values, path);
    for (const row of rows) {
      const own = events.filter((e) => of(e) === row[key]);
      for (const name of metricNames) {
        assert.equal(row[name], recompute(name, own, minuteUnit), `${path} ${row[key]} ${name}`);
      }
    }
    const column = rows.map((r: Record<string, number>) => r[metricNames[0]!]!);
    assert.deepEqual(
      column,
      [...column].sort((a, b) => b - a),
      `${path} is sorted`,
    );
  }
  const providers = await get(
    `deliverability/mailbox-provider?from=${from}&metrics=count_injected,count_delivered&order_by=count_delivered`,
  );
  assert.deepEqual(
    new Set(providers.map((r: { mailbox_provider: string }) => r.mailbox_provider)),
    new Set(['Gmail', 'Verizon Media Group', 'WEB.DE']),
  );
  const one = await get(`deliverability/domain?from=${from}&metrics=count_injected&limit=1`);
  assert.equal(one.length, 1);
  const watched = await get(`deliverability/watched-domain?from=${from}&metrics=count_injected`);
  assert.deepEqual(
    new Set(watched.map((r: { watched_domain: string }) => r.watched_domain)),
    new Set(['gmail.com', 'yahoo.co.uk', 'web.de']),
  );
});

test('filters: simple ones, with a delimiter, and query_filters', async () => {
  const window = 'from=2026-10-24T00:00&to=2026-10-26T09:00&metrics=count_injected';
  const expected = (which: (e: Raw) => boolean) =>
    raws.filter(
      (e) =>
        e.type === 'injection' &&
        e.ts >= Date.parse('2026-10-24T00:00Z') &&
        e.ts < Date.parse('2026-10-26T09:00Z') &&
        which(e),
    ).length;
  const counted = async (query: string) => (await get(`deliverability?${query}`))[0].count_injected;
  assert.equal(
    await counted(`${window}&campaigns=spring,summer-sale&domains=gmail.com&subaccounts=0`),
    expected((e) => /spring|summer/.test(e.campaign) && e.domain === 'gmail.com' && e.subaccount === 0),
  );
  assert.equal(
    await counted(`${window};count_delivered&delimiter=;&sending_ips=192.0.2.1;mta-3`),
    expected((e) => e.ip !== '192.0.2.2'),
  );
  const filters = {
    groupings: [
      { AND: { domains: { eq: ['gmail.com', 'web.de'] }, campaigns: { notLike: ['SUMMER'] } } },
      { OR: { subaccounts: { eq: [5] }, sending_domains: { like: ['shop'] } } },
    ],
  };
  assert.equal(
    await counted(`${window}&campaigns=none&query_filters=${encodeURIComponent(JSON.stringify(filters))}`),
    expected(
      (e) =>
        (e.domain === 'gmail.com' || e.domain === 'web.de') &&
        e.campaign !== 'summer-sale' &&
        (e.subaccount === 5 || e.sender === 'shop.example'),
    ),
  );
});

test('reports on reasons agree with raw events', async () => {
  const all = (which: (e: Raw) => boolean) =>
    raws.filter((e) => e.ts >= Date.parse('2026-10-23') && e.ts < NOW && which(e));
  const classes = await get(
    'deliverability/bounce-classification?from=2026-10-23T00:00&metrics=count_bounce',
  );
  const bounced = all((e) => /^(bounce|out_of_band)$/.test(e.type) && category(e.bounceClass) !== 'Admin');
  assert.equal(
    classes.reduce((s: number, r: { count_bounce: number }) => s + r.count_bounce, 0),
    bounced.length,
  );
  const hard = classes.find((r: { classification_id: number }) => r.classification_id === 10);
  assert.equal(hard.bounce_category_name, 'Hard');
  assert.equal(hard.count_bounce, bounced.filter((e) => e.bounceClass === 10).length);
  const rejected = await get('deliverability/rejection-reason/domain?from=2026-10-23T00:00&metrics=');
  assert.equal(
    rejected.reduce((s: number, r: { count_rejected: number }) => s + r.count_rejected, 0),
    all((e) => /rejection|failure/.test(e.type)).length,
  );
  const delays = await get('deliverability/delay-reason?from=2026-10-23T00:00');
  assert.equal(
    delays.reduce((s: number, r: { count_delayed_first: number }) => s + r.count_delayed_first, 0),
    all((e) => e.type === 'delay' && e.retries === 0).length,
  );
});

test('lists for type-ahead', async () => {
  assert.deepEqual(await get('campaigns'), { campaigns: ['Autumn', 'spring', 'summer-sale'] });
  assert.deepEqual(await get('campaigns?match=SUM&limit=100'), { campaigns: ['summer-sale'] });
  assert.deepEqual(await get('sending-ips?from=2020-01-01T00:00&to=2020-01-02T00:00'), { 'sending-ips': [] });
  assert.deepEqual(await get('subject-campaigns'), { 'subject-campaigns': [] });
});

test('requests that make no sense are 400 and say why', async () => {
  const cases = [
    'deliverability?metrics=count_injected',
    'deliverability?from=2026-10-25T00:00',
    'deliverability?from=2026-10-25T00:00&metrics=count_nonsense',
    'deliverability?from=yesterday&metrics=count_injected',
    'deliverability?from=2026-02-30T00:00&metrics=count_injected',
    'deliverability?from=2026-10-25T00:00&to=2026-10-24T00:00&metrics=count_injected',
    'deliverability?from=2026-10-25T00:00&metrics=count_injected&timezone=Mars/Olympus',
    'deliverability?from=2026-10-25T00:00&metrics=count_injected&precision=second',
    'deliverability?from=2026-10-25T00:00&metrics=count_injected&precision=week',
    'deliverability/time-series?from=2026-10-20T00:00&metrics=count_injected&precision=1min',
    'deliverability/campaign?from=2026-10-25T00:00&metrics=count_injected&limit=0',
    'deliverability/campaign?from=2026-10-25T00:00&metrics=count_injected&order_by=count_sent',
    'deliverability?from=2026-10-25T00:00&metrics=count_injected&query_filters={}',
    'deliverability?from=2026-10-25T00:00&metrics=count_injected&query_filters={"groupings":[{"XOR":{}}]}',
  ];
  for (const path of cases) {
    const answer = await service.get(`/api/v1/metrics/${path}`);
    assert.equal(answer.status, 400, path);
    assert.ok(answer.body.errors[0].message, path);
  }
});
