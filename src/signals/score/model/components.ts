import { type Sums, totalOfCohorts, trapHits } from '../sums.ts';

/** A day's sums and what goes with them. */
export interface DayOfRow {
  readonly day: Sums;
  /** The three days before, as far as they are there. */
  readonly before: readonly Sums[];
  /** Whether the sender has suppression lists: something of its own was stopped by one that day. */
  readonly suppresses: boolean;
}

/** One of the parts that a score is made of. */
export interface Component {
  /** SparkPost's name, capitals and all: its web interface knows no others. */
  readonly type: string;
  readonly better: 'more' | 'less';
  readonly numerator: (row: DayOfRow) => number;
  readonly denominator: (row: DayOfRow) => number;
  /** Whether there is anything to measure by. */
  readonly isMeasured: (row: DayOfRow) => boolean;
}

const injections = ({ day }: DayOfRow) => day.injections;
const always = () => true;
const sumOf = (days: readonly Sums[], of: (day: Sums) => number) =>
  days.reduce((sum, day) => sum + of(day), 0);

function perInjection(
  type: string,
  better: Component['better'],
  of: (day: Sums) => number,
  isMeasured: Component['isMeasured'] = always,
): Component {
  return { type, better, numerator: ({ day }) => of(day), denominator: injections, isMeasured };
}

/** The twelve components, in the order in which they are listed. */
export const components: readonly Component[] = [
  {
    type: 'Historical Engagement',
    better: 'more',
    numerator: ({ before }) => sumOf(before, (day) => totalOfCohorts(day, 'eng')),
    denominator: ({ before }) => sumOf(before, (day) => day.injections),
    isMeasured: ({ before }) => sumOf(before, (day) => day.tracked + totalOfCohorts(day, 'eng')) > 0,
  },
  perInjection('Hard Bounces', 'less', (day) => day.hard_bounces),
  perInjection('Block Bounces', 'less', (day) => day.block_bounces),
  perInjection('Other bounces', 'less', (day) => day.other_bounces),
  perInjection('Transient Failures', 'less', (day) => day.delayed),
  perInjection('Complaints', 'less', (day) => day.complaints),
  perInjection('Unsubscribes', 'less', (day) => day.unsubscribes),
  perInjection('Spam Trap Hits', 'less', trapHits),
  perInjection(
    'List Quality',
    'less',
    (day) => day.list_quality,
    ({ day }) => day.clear_addresses > 0,
  ),
  perInjection(
    'Suppression Hits',
    'less',
    (day) => day.suppressed,
    ({ suppresses }) => suppresses,
  ),
  perInjection('eng cohorts: new, 14-day', 'more', (day) => day.c_new + day.c_14d),
  perInjection('eng cohorts: unengaged', 'less', (day) => day.c_uneng),
];
