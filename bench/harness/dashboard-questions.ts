/**
 * What dashboards ask of Signals: the calls that our own pages make when they are opened (`ui/src/pages`), and those of
 * the API as SparkPost's interface and clients make them. Each is asked with other campaigns, domains and messages
 * every time.
 */

export interface Question {
  /** The page that asks it when it is opened, or the end point. */
  readonly page: string;
  readonly name: string;
  /** Path below `/api/v1`, another one each time. */
  path(): string;
}

export interface Known {
  /** Milliseconds since the epoch: when the questions are asked. */
  readonly now: number;
  /** Message ids and recipients that are there. */
  readonly messages: readonly string[];
  readonly recipients: readonly string[];
}

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

/** What the tiles, the curve and the table of our overview are made of. */
const OVERVIEW =
  'count_injected,count_accepted,count_sent,count_bounce,count_delayed,count_delivered,count_rendered,count_clicked,count_spam_complaint,count_unique_confirmed_opened,count_unique_clicked';
const CAMPAIGNS =
  'count_injected,count_delivered,count_accepted,count_sent,count_bounce,count_delayed,count_rendered,count_unique_confirmed_opened,count_clicked,count_unique_clicked,count_spam_complaint';
/** What SparkPost's summary report asks for. */
const SUMMARY =
  'count_targeted,count_injected,count_sent,count_accepted,count_delivered,count_bounce,count_hard_bounce,count_soft_bounce,count_block_bounce,count_rejected,count_delayed,count_spam_complaint,count_unsubscribe,count_unique_confirmed_opened_approx,count_unique_clicked_approx';
const FEW = 'count_sent,count_unique_clicked_approx';

const metrics = '/metrics/deliverability';
const groups = [
  'domain',
  'watched-domain',
  'sending-domain',
  'campaign',
  'template',
  'subaccount',
  'sending-ip',
  'ip-pool',
  'vmta',
  'node',
  'mailbox-provider',
  'mailbox-provider-region',
];

let state = 7;
function random(below: number): number {
  state = (state * 1664525 + 1013904223) >>> 0;
  return Math.floor((state / 2 ** 32) * below);
}
const campaign = () => `campaign-${random(300)}`;
const domain = () => `d${random(3000)}.example`;

type Ask = (name: string, path: () => string) => void;

export function dashboardQuestions(known: Known): Question[] {
  const all: Question[] = [];
  const of =
    (page: string): Ask =>
    (name, path) =>
      all.push({ page, name, path });
  overview(of('page Overview'), known.now);
  events(of('page Events'), known);
  of('page Message')('history of a message', () => {
    const { now, messages } = known;
    return `/events/message?from=${iso(now - 11 * DAY)}&to=${iso(now + 60_000)}&per_page=1000&messages=${messages[random(messages.length)]!}`;
  });
  summaries(of('API summary and time series'), known.now);
  grouped(of('API grouped reports'), known.now);
  reasons(of('API reasons, links, attempts'), known.now);
  lists(of('API lists of names'));
  searches(of('API event search'), known);
  return all;
}

const iso = (ms: number) => new Date(ms).toISOString();
const minute = (ms: number) => iso(ms).slice(0, 16);
const back = (now: number, span: number) => `from=${minute(now - span)}&to=${minute(now)}`;

function overview(ask: Ask, now: number): void {
  for (const [span, precision, length, size] of [
    ['1 hour', '1min', HOUR, 60_000],
    ['24 hours', 'hour', DAY, HOUR],
    ['7 days', 'hour', 7 * DAY, HOUR],
    ['10 days', 'hour', 10 * DAY, HOUR],
    ['30 days', 'day', 30 * DAY, DAY],
    ['90 days', 'day', 90 * DAY, DAY],
  ] as const) {
    // Whole buckets, the last of them unfinished, and as many finished ones before.
    const from = Math.floor((now - length) / size) * size + size;
    const window = (ago: number, to: number) =>
      `from=${minute(from - ago)}&to=${minute(to)}&timezone=UTC&precision=${precision}`;
    const whole = window(0, now);
    ask(`totals, ${span}`, () => `${metrics}?${whole}&metrics=${OVERVIEW}`);
    ask(`course, ${span}`, () => `${metrics}/time-series?${whole}&metrics=${OVERVIEW}`);
    ask(`course of the time before, ${span}`, () => {
      return `${metrics}/time-series?${window(length, from)}&metrics=${OVERVIEW}`;
    });
    ask(`table of campaigns, ${span}`, () => `${metrics}/campaign?${whole}&metrics=${CAMPAIGNS}&limit=1000`);
    ask(`course of one campaign, ${span}`, () => {
      return `${metrics}/time-series?${whole}&metrics=${OVERVIEW}&campaigns=${campaign()}`;
    });
    ask(`table of campaigns, of one provider, ${span}`, () => {
      return `${metrics}/campaign?${whole}&metrics=${CAMPAIGNS}&limit=1000&mailbox_providers=Gmail`;
    });
  }
}

function events(ask: Ask, { now, recipients }: Known): void {
  ask('ingest status', () => '/ingest/status');
  ask('newest event', () => `/events/message?from=${iso(now - DAY)}&to=${iso(now + 60_000)}&per_page=1`);
  for (const [span, ms] of [
    ['24 hours', DAY],
    ['10 days', 10 * DAY],
  ] as const) {
    const window = `from=${iso(now - ms)}&to=${iso(now)}&per_page=25`;
    ask(`first page, ${span}`, () => `/events/message?${window}`);
    ask(`bounces and delays, ${span}`, () => `/events/message?${window}&events=bounce,delay`);
    ask(`of one campaign, ${span}`, () => `/events/message?${window}&campaigns=${campaign()}`);
    ask(`of one recipient, ${span}`, () => {
      return `/events/message?${window}&recipients=${encodeURIComponent(recipients[random(recipients.length)]!)}`;
    });
    ask(`of one domain, ${span}`, () => `/events/message?${window}&recipient_domains=${domain()}`);
    ask(`by words of a reason, ${span}`, () => `/events/message?${window}&reasons=5.1.10`);
    ask(`by words of the subject, ${span}`, () => `/events/message?${window}&subjects=news+${random(300)}`);
  }
}

function summaries(ask: Ask, now: number): void {
  for (const [span, precision, ms] of spans) {
    const window = `${back(now, ms)}&precision=${precision}`;
    ask(`summary, ${span}`, () => `${metrics}?${window}&metrics=${SUMMARY}`);
    ask(`time series by ${precision}, ${span}`, () => `${metrics}/time-series?${window}&metrics=${SUMMARY}`);
    ask(`time series of one campaign, ${span}`, () => {
      return `${metrics}/time-series?${window}&metrics=${SUMMARY}&campaigns=${campaign()}`;
    });
    ask(`time series of one subaccount, ${span}`, () => {
      return `${metrics}/time-series?${window}&metrics=${SUMMARY}&subaccounts=${random(20)}`;
    });
  }
  for (const [name, zone] of [
    ['Kolkata', 'Asia/Kolkata'],
    ['Kathmandu', 'Asia/Kathmandu'],
    ['New York', 'America/New_York'],
  ] as const) {
    ask(`time series by hour in ${name}, 7 days`, () => {
      return `${metrics}/time-series?${back(now, 7 * DAY)}&precision=hour&timezone=${zone}&metrics=${SUMMARY}`;
    });
  }
  ask('summary without precision, 24 hours', () => `${metrics}?${back(now, DAY)}&metrics=${SUMMARY}`);
  ask('summary without precision, 10 days', () => `${metrics}?${back(now, 10 * DAY)}&metrics=${SUMMARY}`);
}

const spans = [
  ['8 hours', '1min', 8 * HOUR],
  ['24 hours', 'hour', DAY],
  ['10 days', 'hour', 10 * DAY],
  ['30 days', 'day', 30 * DAY],
  ['90 days', 'day', 90 * DAY],
] as const;

function grouped(ask: Ask, now: number): void {
  for (const [span, precision, ms] of spans) {
    const window = `${back(now, ms)}&precision=${precision}`;
    for (const by of groups) {
      ask(`by ${by}, ${span}`, () => `${metrics}/${by}?${window}&metrics=${SUMMARY}&limit=100`);
    }
    ask(`by domain, of one campaign, ${span}`, () => {
      return `${metrics}/domain?${window}&metrics=${FEW}&campaigns=${campaign()}&limit=100`;
    });
    ask(`by domain, of one subaccount, ${span}`, () => {
      return `${metrics}/domain?${window}&metrics=${FEW}&subaccounts=${random(20)}&limit=100`;
    });
    ask(`by campaign, of one domain, ${span}`, () => {
      return `${metrics}/campaign?${window}&metrics=${FEW}&domains=${domain()}&limit=100`;
    });
    ask(`by campaign, of Gmail, ${span}`, () => {
      return `${metrics}/campaign?${window}&metrics=${FEW}&mailbox_providers=Gmail&limit=100`;
    });
  }
}

function reasons(ask: Ask, now: number): void {
  for (const [span, ms] of [
    ['24 hours', DAY],
    ['7 days', 7 * DAY],
    ['30 days', 30 * DAY],
  ] as const) {
    for (const report of [
      'bounce-reason',
      'bounce-reason/domain',
      'bounce-classification',
      'rejection-reason',
      'delay-reason',
      'delay-reason/domain',
      'link-name',
      'attempt',
    ]) {
      ask(`${report}, ${span}`, () => `${metrics}/${report}?${back(now, ms)}&limit=100`);
    }
    ask(`bounce-reason of one campaign, ${span}`, () => {
      return `${metrics}/bounce-reason?${back(now, ms)}&campaigns=${campaign()}&limit=100`;
    });
  }
}

function lists(ask: Ask): void {
  for (const list of ['domains', 'sending-domains', 'campaigns', 'templates', 'ip-pools', 'sending-ips']) {
    ask(list, () => `/metrics/${list}?limit=100&match=${list === 'domains' ? `d${random(99)}` : ''}`);
  }
}

function searches(ask: Ask, { now }: Known): void {
  for (const [span, ms] of [
    ['24 hours', DAY],
    ['10 days', 10 * DAY],
  ] as const) {
    const window = `from=${iso(now - ms)}&to=${iso(now)}`;
    ask(`a page of 5000 clicks, ${span}`, () => `/events/message?${window}&per_page=5000&events=click`);
    ask(`of one subaccount, ${span}`, () => `/events/message?${window}&subaccounts=${random(20)}`);
    ask(`of a domain and its subdomains, ${span}`, () => {
      return `/events/message?${window}&per_page=25&recipient_domains=d${random(3000)}`;
    });
    ask(`words of a subject that all have, ${span}`, () => {
      return `/events/message?${window}&per_page=25&subjects=news`;
    });
    ask(`a reason's words that are rare, ${span}`, () => {
      return `/events/message?${window}&per_page=25&reasons=${random(2 ** 31).toString(16)}`;
    });
  }
}
