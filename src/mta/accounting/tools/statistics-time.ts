/** Statistics about when: delivery-times, message-counts, top-rates. */
import { columns, type Table } from './report.ts';
import { type Ended, percent, type Statistic, type StatisticKind } from './statistic.ts';

const MINUTE = 60;
const HOUR = 3600;

/** Upper bounds of the intervals, in seconds; a delivery belongs to the first that it does not exceed. */
const bounds: readonly (readonly [seconds: number, name: string])[] = [
  [5, '5 sec.'],
  [30, '30 sec.'],
  ...[1, 2, 5, 10, 30].map((n): [number, string] => [n * MINUTE, `${n} min.`]),
  ...[1, 2, 3, 4, 5, 6, 8, 10, 12].map((n): [number, string] => [n * HOUR, `${n} h`]),
];

const percentiles = [50, 60, 70, 80, 90, 95, 96, 97, 98, 99, 100];

/**
 * Times from reception to delivery. The row of `n` percent is about the fastest n percent of the successful
 * deliveries (rounded up to whole recipients): their average, and the slowest of them. Exact: times are whole
 * seconds, so a count per second is all that must be kept.
 */
class DeliveryTimes implements Statistic {
  readonly #bySeconds = new Map<number, number>();
  #total = 0;

  add({ delivered, at, queuedAt }: Ended): void {
    if (!delivered || at === null || queuedAt === null) return;
    const seconds = Math.max(0, at - queuedAt);
    this.#bySeconds.set(seconds, (this.#bySeconds.get(seconds) ?? 0) + 1);
    this.#total++;
  }

  tables(): Table[] {
    const sorted = [...this.#bySeconds].sort(([a], [b]) => a - b);
    return [this.#percentTable(sorted), this.#histogram(sorted, false), this.#histogram(sorted, true)];
  }

  #percentTable(sorted: readonly (readonly [seconds: number, n: number])[]): Table {
    const rows = percentiles.map((p) => {
      const wanted = Math.ceil((this.#total * p) / 100);
      let left = wanted;
      let sum = 0;
      let slowest: number | null = null;
      for (const [seconds, n] of sorted) {
        if (left === 0) break;
        const taken = Math.min(left, n);
        left -= taken;
        sum += taken * seconds;
        slowest = seconds;
      }
      return [p, wanted, wanted === 0 ? null : sum / wanted, slowest];
    });
    return {
      title: 'Delivery times of the fastest recipients',
      columns: columns({
        percent: 'percent',
        recipients: 'count',
        'avg. time': 'duration',
        'max. time': 'duration',
      }),
      rows,
    };
  }

  #histogram(sorted: readonly (readonly [seconds: number, n: number])[], cumulative: boolean): Table {
    const counts = Array.from({ length: bounds.length + 1 }, () => 0);
    for (const [seconds, n] of sorted) {
      const place = bounds.findIndex(([bound]) => seconds <= bound);
      counts[place < 0 ? bounds.length : place]! += n;
    }
    let sum = 0;
    const rows = counts.map((n, i) => {
      sum += n;
      const value = cumulative ? sum : n;
      const name = i < bounds.length ? bounds[i]![1] : 'later';
      return [i === bounds.length && cumulative ? 'all' : name, value, percent(value, this.#total)];
    });
    return {
      title: cumulative ? 'Recipients delivered within' : 'Recipients per interval (up to)',
      columns: columns({ time: 'text', recipients: 'count', '%': 'percent' }),
      rows,
    };
  }
}

class Volume {
  recipients = 0;
  bytes = 0;
  #sized = 0;
  #least = Number.POSITIVE_INFINITY;
  #most = 0;

  add(size: number): void {
    this.recipients++;
    if (size === 0) return;
    this.#sized++;
    this.bytes += size;
    this.#least = Math.min(this.#least, size);
    this.#most = Math.max(this.#most, size);
  }

  /** Smallest, average and largest; of nothing nothing. */
  get sizes(): (number | null)[] {
    return this.#sized === 0 ? [null, null, null] : [this.#least, this.bytes / this.#sized, this.#most];
  }
}

/** How many recipients and bytes; rates are over the time from the first to the last of them. */
class MessageCounts implements Statistic {
  readonly #delivered = new Volume();
  readonly #bounced = new Volume();
  readonly #all = new Volume();
  #first = Number.POSITIVE_INFINITY;
  #last = Number.NEGATIVE_INFINITY;

  add({ delivered, size, at }: Ended): void {
    (delivered ? this.#delivered : this.#bounced).add(size);
    this.#all.add(size);
    if (at === null) return;
    this.#first = Math.min(this.#first, at);
    this.#last = Math.max(this.#last, at);
  }

  tables(): Table[] {
    // Both ends belong to the window: a single second is one second long.
    const seconds = this.#last >= this.#first ? this.#last - this.#first + 1 : 0;
    const row = (name: string, v: Volume) => [
      name,
      v.recipients,
      percent(v.recipients, this.#all.recipients),
      v.bytes,
      seconds === 0 ? null : (v.recipients * 60) / seconds,
      seconds === 0 ? null : v.bytes / 1024 / seconds,
    ];
    return [
      {
        title: 'Recipients',
        columns: columns({
          '': 'text',
          recipients: 'count',
          '%': 'percent',
          kbytes: 'kb',
          'rcpt./min.': 'rate',
          'kbytes/s': 'rate',
        }),
        rows: [row('deliveries', this.#delivered), row('bounces', this.#bounced), row('total', this.#all)],
      },
      {
        title: 'Message size (kbytes)',
        columns: columns({ 'min.': 'kb', 'avg.': 'kb', 'max.': 'kb' }),
        rows: [this.#all.sizes],
      },
    ];
  }
}

/** The best minute, five minutes and hour. Windows begin at whole minutes, so that a count per minute is enough. */
class TopRates implements Statistic {
  readonly #minutes = new Map<number, { recipients: number; bytes: number }>();

  add({ at, size, delivered }: Ended): void {
    if (at === null || !delivered) return;
    const minute = Math.floor(at / MINUTE);
    const found = this.#minutes.get(minute) ?? { recipients: 0, bytes: 0 };
    found.recipients++;
    found.bytes += size;
    this.#minutes.set(minute, found);
  }

  tables(): Table[] {
    const minutes = [...this.#minutes].sort(([a], [b]) => a - b);
    const best = (length: number, value: (m: { recipients: number; bytes: number }) => number) => {
      let top = { sum: 0, from: null as number | null };
      let sum = 0;
      let oldest = 0;
      for (const [minute, m] of minutes) {
        sum += value(m);
        while (minutes[oldest]![0] <= minute - length) sum -= value(minutes[oldest++]![1]);
        if (sum > top.sum) top = { sum, from: minutes[oldest]![0] * MINUTE };
      }
      return top.from === null ? [null, null] : [top.sum, top.from];
    };
    const windows: readonly (readonly [string, number])[] = [
      ['minute', 1],
      ['five minutes', 5],
      ['hour', 60],
    ];
    return [
      {
        title: 'Best recipient rates',
        columns: columns({ within: 'text', recipients: 'count', from: 'moment' }),
        rows: windows.map(([name, length]) => [name, ...best(length, (m) => m.recipients)]),
      },
      {
        title: 'Best volume rates',
        columns: columns({ within: 'text', kbytes: 'kb', from: 'moment' }),
        rows: windows.map(([name, length]) => [name, ...best(length, (m) => m.bytes)]),
      },
    ];
  }
}

export const timeStatistics = {
  'delivery-times': { values: {}, switches: [], make: () => new DeliveryTimes() },
  'message-counts': { values: {}, switches: [], make: () => new MessageCounts() },
  'top-rates': { values: {}, switches: [], make: () => new TopRates() },
} as const satisfies Record<string, StatisticKind>;
