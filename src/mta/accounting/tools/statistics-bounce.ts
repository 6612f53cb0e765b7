/** Statistics about why: bounce-categories, top-bounce. */
import { UserError } from '../../../system/user-error.ts';
import { generalReason } from './reasons.ts';
import { columns, type Table } from './report.ts';
import {
  type Ended,
  percent,
  type Statistic,
  type StatisticKind,
  type StatisticOptions,
} from './statistic.ts';
import { Count, type NameBudget, Named } from './tally.ts';

/** A value of an option that must be a whole number. */
export function countOption(options: StatisticOptions, name: string): number {
  const text = options.get(name)!;
  if (!/^\d{1,9}$/.test(text)) throw new UserError(`--${name} ${text}: give a whole number`, { exitCode: 2 });
  return Number(text);
}

class Category {
  recipients = 0;
  readonly reasons: Named<Count>;
  readonly domains: Named<{ readonly count: Count; readonly reasons: Named<Count> }>;

  constructor(budget: NameBudget) {
    const counts = () => new Named(budget, () => new Count());
    this.reasons = counts();
    this.domains = new Named(budget, () => ({ count: new Count(), reasons: counts() }));
  }

  add(domain: string, why: string): void {
    this.recipients++;
    this.reasons.get(why).n++;
    const of = this.domains.get(domain);
    of.count.n++;
    of.reasons.get(why).n++;
  }
}

class BounceCategories implements Statistic {
  readonly #top: number;
  readonly #chosen: string;
  readonly #byDsn: number;
  readonly #byDomain: number;
  readonly #byBoth: number;
  readonly #categories: Named<Category>;
  #recipients = 0;
  #bounced = 0;
  #permanent = 0;
  #transient = 0;

  constructor(options: StatisticOptions, budget: NameBudget) {
    this.#top = countOption(options, 'topCategories');
    this.#chosen = options.get('bounceCat')!;
    this.#byDsn = countOption(options, 'byDsn');
    this.#byDomain = countOption(options, 'byDomain');
    this.#byBoth = countOption(options, 'byDsnAndDomain');
    this.#categories = new Named(budget, () => new Category(budget));
  }

  add({ record, delivered, domain }: Ended): void {
    this.#recipients++;
    if (delivered) return;
    this.#bounced++;
    const status = record.get('dsnstatus');
    if (status.startsWith('5.')) this.#permanent++;
    else if (status.startsWith('4.')) this.#transient++;
    this.#categories.get(record.get('bouncecat') || '(none)').add(domain, generalReason(record));
  }

  tables(): Table[] {
    const top = this.#categories.top(this.#top, (c) => c.recipients);
    return [
      {
        title: 'Bounces',
        columns: columns({ '': 'text', recipients: 'count', '%': 'percent' }),
        rows: [
          ['total bounced', this.#bounced, percent(this.#bounced, this.#recipients)],
          ['with 5.X.X', this.#permanent, percent(this.#permanent, this.#bounced)],
          ['with 4.X.X', this.#transient, percent(this.#transient, this.#bounced)],
        ],
      },
      {
        title: 'Bounces by category',
        columns: columns({ bounced: 'count', '%bounced': 'percent', category: 'text' }),
        rows: top.map(([name, { recipients }]) => [recipients, percent(recipients, this.#bounced), name]),
      },
      ...this.#chosenCategories().flatMap(([name, category]) => this.#details(name, category)),
    ];
  }

  /** A number means so many of the largest. */
  #chosenCategories(): [string, Category][] {
    const all = this.#categories.top(Number.MAX_SAFE_INTEGER, (c) => c.recipients);
    if (this.#chosen === 'all') return all;
    if (/^\d+$/.test(this.#chosen)) return all.slice(0, Number(this.#chosen));
    return all.filter(([name]) => name.toLowerCase() === this.#chosen.toLowerCase());
  }

  #details(name: string, category: Category): Table[] {
    const counted = columns({ bounced: 'count', '%bounced': 'percent' });
    const of = (n: number) => [n, percent(n, category.recipients)];
    const pairs = category.domains
      .entries()
      .flatMap(([domain, { reasons }]) => reasons.entries().map(([why, { n }]) => ({ domain, why, n })))
      .sort((a, b) => b.n - a.n || (a.domain < b.domain ? -1 : 1))
      .slice(0, this.#byBoth);
    return [
      {
        title: `${name} by reason`,
        columns: [...counted, ...columns({ reason: 'text' })],
        rows: category.reasons.top(this.#byDsn, (c) => c.n).map(([why, { n }]) => [...of(n), why]),
      },
      {
        title: `${name} by domain`,
        columns: [...counted, ...columns({ domain: 'text' })],
        rows: category.domains
          .top(this.#byDomain, (d) => d.count.n)
          .map(([domain, { count }]) => [...of(count.n), domain]),
      },
      {
        title: `${name} by domain and reason`,
        columns: [...counted, ...columns({ domain: 'text', reason: 'text' })],
        rows: pairs.map(({ domain, why, n }) => [...of(n), domain, why]),
      },
    ];
  }
}

class TopBounce implements Statistic {
  readonly #topDomains: number;
  readonly #topReasons: number;
  readonly #domains: Named<{ recipients: number; bounced: number; readonly reasons: Named<Count> }>;
  #bounced = 0;

  constructor(options: StatisticOptions, budget: NameBudget) {
    this.#topDomains = countOption(options, 'topDomains');
    this.#topReasons = countOption(options, 'topStatusCodes');
    this.#domains = new Named(budget, () => ({
      recipients: 0,
      bounced: 0,
      reasons: new Named(budget, () => new Count()),
    }));
  }

  add({ record, delivered, domain }: Ended): void {
    const of = this.#domains.get(domain);
    of.recipients++;
    if (delivered) return;
    this.#bounced++;
    of.bounced++;
    of.reasons.get(generalReason(record)).n++;
  }

  tables(): Table[] {
    const top = this.#domains
      .top(this.#topDomains, (d) => d.bounced)
      .filter(([, { bounced }]) => bounced > 0);
    return [
      {
        title: 'Domains with most bounces',
        columns: columns({ bounced: 'count', '%bounced': 'percent', '%domain': 'percent', domain: 'text' }),
        rows: top.map(([name, { bounced, recipients }]) => [
          bounced,
          percent(bounced, this.#bounced),
          percent(bounced, recipients),
          name,
        ]),
        note: '%bounced is of all bounces, %domain of the recipients at the domain',
      },
      ...top.map(
        ([name, { bounced, reasons }]): Table => ({
          title: `Reasons at ${name}`,
          columns: columns({ bounced: 'count', '%bounced': 'percent', reason: 'text' }),
          rows: reasons
            .top(this.#topReasons, (c) => c.n)
            .map(([why, { n }]) => [n, percent(n, bounced), why]),
        }),
      ),
    ];
  }
}

export const bounceStatistics = {
  'bounce-categories': {
    values: {
      topCategories: '10',
      bounceCat: 'spam-related',
      byDsn: '10',
      byDomain: '10',
      byDsnAndDomain: '10',
    },
    switches: [],
    make: (options, budget) => new BounceCategories(options, budget),
  },
  'top-bounce': {
    values: { topDomains: '10', topStatusCodes: '10' },
    switches: [],
    make: (options, budget) => new TopBounce(options, budget),
  },
} as const satisfies Record<string, StatisticKind>;
