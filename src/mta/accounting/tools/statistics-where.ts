/** Statistics about where: top-domains, and the three by VirtualMTA. */
import { type Column, columns, type Table } from './report.ts';
import {
  DeliveryTime,
  type Ended,
  percent,
  type Statistic,
  type StatisticKind,
  type StatisticOptions,
} from './statistic.ts';
import { countOption } from './statistics-bounce.ts';
import { Count, type NameBudget, Named } from './tally.ts';
import { localTime } from './times.ts';

class Domain {
  recipients = 0;
  bounced = 0;
  readonly time = new DeliveryTime();
}

class TopDomains implements Statistic {
  readonly #top: number;
  readonly #times: boolean;
  readonly #domains: Named<Domain>;
  #recipients = 0;

  constructor(options: StatisticOptions, budget: NameBudget) {
    this.#top = countOption(options, 'topDomains');
    this.#times = !options.has('noDeliveryTimes');
    this.#domains = new Named(budget, () => new Domain());
  }

  add(ended: Ended): void {
    const of = this.#domains.get(ended.domain);
    this.#recipients++;
    of.recipients++;
    if (!ended.delivered) of.bounced++;
    of.time.add(ended);
  }

  tables(): Table[] {
    const tables = [
      this.#table('Domains by queued recipients', (d) => d.recipients),
      this.#table('Domains by bounces', (d) => d.bounced),
    ];
    if (this.#times) tables.push(this.#table('Domains by average time', (d) => d.time.average ?? -1));
    return tables;
  }

  #table(title: string, size: (domain: Domain) => number): Table {
    const times: Column[] = this.#times ? columns({ 'avg. time': 'duration', 'max. time': 'duration' }) : [];
    return {
      title,
      columns: [
        ...columns({ recipients: 'count', '%rcpt': 'percent', bounced: 'count', '%bounced': 'percent' }),
        ...times,
        ...columns({ domain: 'text' }),
      ],
      rows: this.#domains
        .top(this.#top, size)
        .map(([name, d]) => [
          d.recipients,
          percent(d.recipients, this.#recipients),
          d.bounced,
          percent(d.bounced, d.recipients),
          ...(this.#times ? [d.time.average, d.time.longest] : []),
          name,
        ]),
    };
  }
}

class Split {
  recipients = 0;
  bounced = 0;

  add(delivered: boolean): void {
    this.recipients++;
    if (!delivered) this.bounced++;
  }

  get cells(): (number | null)[] {
    return [
      this.recipients,
      this.recipients - this.bounced,
      this.bounced,
      percent(this.bounced, this.recipients),
    ];
  }
}

const splitColumns = columns({
  Recipients: 'count',
  Delivered: 'count',
  Bounced: 'count',
  'Bounced%': 'percent',
});

/** Parts of one key; neither VirtualMTAs nor addresses nor dates have a line break. */
const key = (...parts: string[]) => parts.join('\n');
const parts = (text: string, n: number) =>
  [...text.split('\n'), ...Array.from({ length: n }, () => '')].slice(0, n);

const inOrder = <T>(named: Named<T>) => named.entries().sort(([a], [b]) => (a < b ? -1 : 1));

function dateOf(at: number | null): string {
  return at === null ? '' : localTime(at).slice(0, 10);
}

class VmtaSummary implements Statistic {
  readonly #byDate: boolean;
  readonly #splits: Named<Split>;
  readonly #total = new Split();

  constructor(options: StatisticOptions, budget: NameBudget) {
    this.#byDate = options.has('byDate');
    this.#splits = new Named(budget, () => new Split());
  }

  add({ record, delivered, at }: Ended): void {
    this.#total.add(delivered);
    const date = this.#byDate ? dateOf(at) : '';
    this.#splits.get(key(date, record.get('vmta'), record.get('dlvsourceip'))).add(delivered);
  }

  tables(): Table[] {
    const heads = this.#byDate ? ['date', 'vmta', 'source ip'] : ['vmta', 'source ip'];
    return [
      {
        title: 'Recipients by VirtualMTA and source IP',
        columns: [...columns(Object.fromEntries(heads.map((h) => [h, 'text']))), ...splitColumns],
        rows: [
          ...inOrder(this.#splits).map(([name, split]) => [
            ...parts(name, 3).slice(-heads.length),
            ...split.cells,
          ]),
          ['total', ...heads.slice(1).map(() => ''), ...this.#total.cells],
        ],
      },
    ];
  }
}

class VmtaTimeBreakdown implements Statistic {
  readonly #hourly: boolean;
  readonly #days: Named<Split>;
  readonly #hours: Named<Split[]>;

  constructor(options: StatisticOptions, budget: NameBudget) {
    this.#hourly = !options.has('noHourly');
    this.#days = new Named(budget, () => new Split());
    this.#hours = new Named(budget, () => Array.from({ length: 24 }, () => new Split()));
  }

  add({ record, delivered, at }: Ended): void {
    if (at === null) return;
    const time = localTime(at);
    const name = key(record.get('vmta'), record.get('dlvsourceip'), time.slice(0, 10));
    this.#days.get(name).add(delivered);
    if (this.#hourly) this.#hours.get(name)[Number(time.slice(11, 13))]!.add(delivered);
  }

  tables(): Table[] {
    const daily: Table = {
      title: 'By day',
      columns: [...columns({ vmta: 'text', 'source ip': 'text', date: 'text' }), ...splitColumns],
      rows: inOrder(this.#days).map(([name, split]) => [...parts(name, 3), ...split.cells]),
    };
    const hourly = inOrder(this.#hours).map(([name, hours]): Table => {
      const [vmta, ip, date] = parts(name, 3);
      return {
        title: `By hour: ${vmta} ${ip} ${date}`,
        columns: [...columns({ hour: 'text' }), ...splitColumns],
        rows: hours.map((split, hour) => [`${String(hour).padStart(2, '0')}:00`, ...split.cells]),
      };
    });
    return [daily, ...hourly];
  }
}

class VmtaTopBounce implements Statistic {
  readonly #top: number;
  readonly #byDate: boolean;
  readonly #groups: Named<{ readonly split: Split; readonly domains: Named<Count> }>;

  constructor(options: StatisticOptions, budget: NameBudget) {
    this.#top = countOption(options, 'topBounced');
    this.#byDate = options.has('byDate');
    this.#groups = new Named(budget, () => ({
      split: new Split(),
      domains: new Named(budget, () => new Count()),
    }));
  }

  add({ record, delivered, domain, at }: Ended): void {
    const date = this.#byDate ? dateOf(at) : '';
    const group = this.#groups.get(key(date, record.get('vmta'), record.get('dlvsourceip')));
    group.split.add(delivered);
    if (!delivered) group.domains.get(domain).n++;
  }

  tables(): Table[] {
    return inOrder(this.#groups).map(([name, { split, domains }]) => {
      const title = parts(name, 3).filter((part) => part !== '');
      return {
        title: `Domains with most bounces: ${title.join(' ')}`,
        columns: columns({ bounced: 'count', '%bounced': 'percent', domain: 'text' }),
        rows: domains
          .top(this.#top, (c) => c.n)
          .map(([domain, { n }]) => [n, percent(n, split.bounced), domain]),
      };
    });
  }
}

export const placeStatistics = {
  'top-domains': {
    values: { topDomains: '10' },
    switches: ['noDeliveryTimes'],
    make: (options, budget) => new TopDomains(options, budget),
  },
  'vmta-summary': {
    values: {},
    switches: ['byDate'],
    make: (options, budget) => new VmtaSummary(options, budget),
  },
  'vmta-time-breakdown': {
    values: {},
    switches: ['noHourly'],
    make: (options, budget) => new VmtaTimeBreakdown(options, budget),
  },
  'vmta-top-bounce': {
    values: { topBounced: '20' },
    switches: ['byDate'],
    make: (options, budget) => new VmtaTopBounce(options, budget),
  },
} as const satisfies Record<string, StatisticKind>;
