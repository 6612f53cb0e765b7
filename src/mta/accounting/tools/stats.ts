import { UserError } from '../../../system/user-error.ts';
import type { ToolStreams } from './find.ts';
import { type AcctRecord, acctRecords, Complaints, fieldKey } from './read-records.ts';
import { columns, type Report, type Table } from './report.ts';
import { printReports, type ReportFormat } from './report-print.ts';
import type { Ended, Statistic, StatisticKind, StatisticOptions } from './statistic.ts';
import { bounceStatistics, countOption } from './statistics-bounce.ts';
import { timeStatistics } from './statistics-time.ts';
import { placeStatistics } from './statistics-where.ts';
import { NameBudget, OTHERS } from './tally.ts';
import { periodSeconds, secondsOf } from './times.ts';

/** The nine statistics of the guide's section 11.4, in alphabetical order. */
export const statistics: ReadonlyMap<string, StatisticKind> = new Map(
  Object.entries({ ...bounceStatistics, ...timeStatistics, ...placeStatistics } as Record<
    string,
    StatisticKind
  >).sort(([a], [b]) => (a < b ? -1 : 1)),
);

/** What is printed when nothing was chosen: short enough to read. */
const usual = [
  'message-counts',
  'delivery-times',
  'top-rates',
  'top-domains',
  'bounce-categories',
  'top-bounce',
];

export interface StatsCall {
  readonly files: readonly string[];
  readonly chosen: readonly (readonly [name: string, options: StatisticOptions])[];
  readonly filters: readonly ((record: AcctRecord) => boolean)[];
  /** Seconds back from now. */
  readonly last: number | null;
  /** Field by whose values reports are split, and its name for people. */
  readonly by: { readonly key: string; readonly name: string } | null;
  readonly splitLimit: number;
  readonly format: ReportFormat;
  readonly quiet: boolean;
}

const splits: ReadonlyMap<string, string> = new Map([
  ['byEnvId', 'envId'],
  ['byJobId', 'jobId'],
  ['byFrom', 'orig'],
  ['byVmta', 'vmta'],
]);

const filters: ReadonlyMap<string, string> = new Map([
  ['envId', 'envId'],
  ['from', 'orig'],
  ['jobId', 'jobId'],
  ['vmta', 'vmta'],
  ['rcvSmtpUser', 'rcvSmtpUser'],
]);

/** The command line of `pmtastats`, whose options take their value as the next word. */
export function readStatsCall(argv: readonly string[]): StatsCall {
  const files: string[] = [];
  const chosen: [string, Map<string, string>][] = [];
  const kept: ((record: AcctRecord) => boolean)[] = [];
  let last: number | null = null;
  let by: { key: string; name: string } | null = null;
  let splitLimit = 5000;
  let topDomains: string | null = null;
  let format: ReportFormat = 'text';
  let quiet = false;
  const words = argv.flatMap((word) => {
    // As with our other commands the value may also stand behind an equals sign.
    const match = /^(--[\w-]+)=(.*)$/s.exec(word);
    return match ? [match[1]!, match[2]!] : [word];
  });
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    if (word === '-' || !word.startsWith('-')) {
      if (statistics.has(word) && files.length === 0) chosen.push([word, new Map()]);
      else files.push(word);
      continue;
    }
    const name = word.replace(/^--?/, '');
    const value = () => {
      const given = words[++i];
      if (given === undefined) throw new UserError(`--${name} needs a value`, { exitCode: 2 });
      return given;
    };
    const current = files.length === 0 ? chosen.at(-1) : undefined;
    const kind = current && statistics.get(current[0])!;
    const split = (field: string) => {
      if (by) throw new UserError(`--${name}: reports can be split by one field only`, { exitCode: 2 });
      by = { key: fieldKey(field), name: field };
    };
    if (current && kind && Object.hasOwn(kind.values, name)) current[1].set(name, value());
    else if (current && kind?.switches.includes(name)) current[1].set(name, '');
    else if (filters.has(name)) kept.push(startsWith(filters.get(name)!, value()));
    else if (name === 'toDomain') kept.push(ofDomain(value()));
    else if (name === 'header') kept.push(startsWith(`header_${value()}`, value()));
    else if (name === 'last') {
      const text = value();
      last = periodSeconds(text);
      if (last === null) throw new UserError(`--last ${text}: give a period like 1d12h`, { exitCode: 2 });
    } else if (splits.has(name)) split(splits.get(name)!);
    else if (name === 'byHeader') split(`header_${value()}`);
    else if (name === 'splitLimit') splitLimit = countOption(new Map([[name, value()]]), name);
    else if (name === 'topDomains') topDomains = value();
    else if (name === 'all') chosen.push(...[...statistics.keys()].map(named));
    else if (name === 'acctstats') chosen.push(...usual.map(named));
    else if (name === 'quiet') quiet = true;
    else if (name === 'json') format = 'json';
    else if (name === 'output') format = formatOf(value());
    else throw new UserError(`there is no option ${word} here`, { exitCode: 2 });
  }
  if (files.length === 0)
    throw new UserError('name an accounting file, or - for standard input', { exitCode: 2 });
  if (chosen.length === 0) chosen.push(...usual.map(named));
  for (const [name, options] of chosen) {
    for (const [option, standard] of Object.entries(statistics.get(name)!.values)) {
      const common = option === 'topDomains' ? topDomains : null;
      if (!options.has(option)) options.set(option, common ?? standard);
    }
    // Wrong values must be told before hours of reading.
    statistics.get(name)!.make(options, new NameBudget(0));
  }
  return { files, chosen, filters: kept, last, by, splitLimit, format, quiet };
}

function named(name: string): [string, Map<string, string>] {
  return [name, new Map()];
}

function formatOf(text: string): ReportFormat {
  if (text === 'text' || text === 'html' || text === 'json') return text;
  throw new UserError(`--output ${text}: the formats are text, html and json`, { exitCode: 2 });
}

function startsWith(field: string, value: string): (record: AcctRecord) => boolean {
  const key = fieldKey(field);
  return (record) => record.get(key).startsWith(value);
}

function ofDomain(value: string): (record: AcctRecord) => boolean {
  const wanted = value.toLowerCase();
  return (record) => domainOf(record.get('rcpt')).startsWith(wanted);
}

function domainOf(address: string): string {
  return address.slice(address.lastIndexOf('@') + 1).toLowerCase();
}

/** Prints the statistics that are wanted; answers whether every file could be read. `now` in seconds. */
export async function printStats(call: StatsCall, streams: ToolStreams, now: number): Promise<boolean> {
  const complaints = new Complaints(call.quiet ? () => {} : streams.complain);
  const budget = new NameBudget();
  const wholeFile: Statistic[] = [];
  const counters = new Map<string, Counter>();
  const make = () => new Counter(call.chosen, budget, wholeFile);
  const first = make();
  if (!call.by) counters.set('', first);
  for await (const batch of acctRecords(call.files, streams.stdin, complaints)) {
    for (const record of batch) {
      const ended = endedOf(record);
      if (ended) for (const statistic of wholeFile) statistic.add(ended);
      const at = ended ? ended.at : secondsOf(record.get('timelogged'));
      if (call.last !== null && (at === null || at < now - call.last)) continue;
      if (!call.filters.every((keeps) => keeps(record))) continue;
      if (!ended && record.type !== 'r') continue;
      const value = call.by ? record.get(call.by.key) : '';
      const name = !counters.has(value) && call.by && counters.size >= call.splitLimit ? OTHERS : value;
      const counter = counters.get(name) ?? make();
      counters.set(name, counter);
      if (ended) counter.add(ended);
      else counter.addReceived(at);
    }
  }
  const reports = [...counters]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([value, counter]) => counter.report(call.by ? `${call.by.name}: ${value || '(none)'}` : ''));
  await streams.write(printReports(reports, call.format));
  if (budget.exhausted && !call.quiet) {
    streams.complain(`there are too many different names and reasons; the later ones are in ${OTHERS}`);
  }
  if (complaints.wrongLines > 0 && !call.quiet) {
    streams.complain(`${complaints.wrongLines} wrong lines were left out`);
  }
  return !complaints.failed;
}

function endedOf(record: AcctRecord): Ended | null {
  if (record.type !== 'd' && record.type !== 'b') return null;
  const size = record.get('dlvsize');
  return {
    record,
    delivered: record.type === 'd',
    at: secondsOf(record.get('timelogged')),
    queuedAt: secondsOf(record.get('timequeued')),
    domain: domainOf(record.get('rcpt')),
    size: /^\d{1,15}$/.test(size) ? Number(size) : 0,
  };
}

class Span {
  #first: number | null = null;
  #last: number | null = null;

  add(at: number | null): void {
    if (at === null) return;
    this.#first = this.#first === null ? at : Math.min(this.#first, at);
    this.#last = this.#last === null ? at : Math.max(this.#last, at);
  }

  get cells(): (number | null)[] {
    return [this.#first, this.#last];
  }
}

/** The statistics of one report. */
class Counter {
  readonly #statistics: readonly (readonly [name: string, statistic: Statistic])[];
  readonly #own: readonly Statistic[];
  readonly #received = new Span();
  readonly #ended = new Span();

  /** `wholeFile` takes the statistics that are about everything read, whatever was filtered; reports share them. */
  constructor(chosen: StatsCall['chosen'], budget: NameBudget, wholeFile: Statistic[]) {
    let shared = 0;
    const own: Statistic[] = [];
    this.#statistics = chosen.map(([name, options]) => {
      const make = () => statistics.get(name)!.make(options, budget);
      if (name !== 'top-rates') {
        const statistic = make();
        own.push(statistic);
        return [name, statistic];
      }
      wholeFile[shared] ??= make();
      return [name, wholeFile[shared++]!];
    });
    this.#own = own;
  }

  add(ended: Ended): void {
    this.#received.add(ended.queuedAt);
    this.#ended.add(ended.at);
    for (const statistic of this.#own) statistic.add(ended);
  }

  addReceived(at: number | null): void {
    this.#received.add(at);
  }

  report(about: string): Report {
    const timeFrame: Table = {
      title: 'Time Frame',
      columns: columns({ '': 'text', first: 'moment', last: 'moment' }),
      rows: [
        ['received', ...this.#received.cells],
        ['delivered/bounced', ...this.#ended.cells],
      ],
    };
    return {
      about,
      timeFrame,
      sections: this.#statistics.map(([name, statistic]) => ({ name, tables: statistic.tables() })),
    };
  }
}
