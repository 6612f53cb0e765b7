import type { Engine } from '../../store/engine.ts';
import { dropDay } from '../../store/partitions.ts';
import { addDays, type Day, dayOf, daysFrom, earliest, latest, partitionOf, startOf } from './days.ts';
import { makeFacts } from './facts.ts';
import { gather } from './gather.ts';
import { type Inputs, Ledger } from './ledger.ts';
import type { Place } from './place.ts';
import { remember } from './recipients.ts';
import { actsTable, eventSumsTable, touchesTable } from './tables.ts';

/** A mail of a day can draw something until the end of the second day after it. */
const RESPONSE_DAYS = 2;
/** Days that stay open beyond the last day on which something of them can come: for clocks, and for outages of ours. */
const SPARE_DAYS = 1;

export interface RefreshOptions {
  /** Hours after which events are refused. */
  readonly eventAgeHours: number;
  /** Asked between statements: whether to stop here. What was not done is done by the next refresh. */
  readonly isStopped?: () => boolean;
}

/** What a refresh did. */
export interface Refreshed {
  readonly gathered: readonly Day[];
  readonly made: readonly Day[];
  readonly closed: readonly Day[];
}

/**
 * Brings the daily figures up to date with the stored events.
 *
 * Which days need it is not written down by ingest but read off the events themselves: the figures of a day note how
 * many rows of each day they were made from, so a day that received late events, or whose refresh was killed, differs
 * from its note and is made anew. A day is open while something of it may still come; then it is closed: its
 * recipients go into the memory of all recipients, and its figures stay as they are.
 */
export async function refresh(place: Place, now: number, options: RefreshOptions): Promise<Refreshed> {
  const { engine, retention } = place;
  const ledger = await Ledger.open(engine);
  const done = { gathered: [] as Day[], made: [] as Day[], closed: [] as Day[] };
  const isStopped = options.isStopped ?? (() => false);
  const today = dayOf(now);
  // Of older days part of the events may be gone already, so nothing is made from them any more.
  const firstWhole = addDays(today, -(Math.max(2, retention.events) - 1));
  const stored = await storedRows(engine, firstWhole);
  const days = Object.keys(stored).sort();

  // Closing that was broken off goes first: cohorts need all of a closed day or nothing.
  const closing = ledger.last('closing');
  if (closing !== null && !ledger.get('closed', closing)) await close(place, ledger, closing);
  const known = [ledger.first('gathered'), ...days].filter((day) => day !== null);
  if (closing === null && known.length === 0) return done;
  let first = closing === null ? earliest(known[0]!, ...known) : addDays(closing, 1);
  const last = latest(today, ...days);

  for (const day of daysFrom(latest(first, firstWhole), last)) {
    if (isStopped()) return done;
    const rows = stored[day] ?? 0;
    if ((ledger.get('gathered', day)?.[day] ?? 0) === rows) continue;
    await gather(place, day);
    await ledger.note('gathered', day, { [day]: rows });
    done.gathered.push(day);
  }

  // The latest days first: they are what people look at.
  for (const day of daysFrom(latest(first, firstWhole), last).reverse()) {
    if (isStopped()) return done;
    const inputs = inputsOf(ledger, first, day);
    const made = ledger.get('facts', day);
    if (made === undefined ? inputs[day] === undefined : isMadeFrom(made, inputs, first)) continue;
    await makeFacts(place, first, day);
    await ledger.note('facts', day, inputs);
    done.made.push(day);
  }

  const open = RESPONSE_DAYS + Math.ceil(options.eventAgeHours / 24) + SPARE_DAYS;
  const firstOpen = latest(addDays(today, -open), firstWhole);
  for (; first < firstOpen && !isStopped(); first = addDays(first, 1)) {
    if (ledger.get('gathered', first) === undefined) continue;
    await ledger.note('closing', first);
    await close(place, ledger, first);
    done.closed.push(first);
  }
  return done;
}

async function close(place: Place, ledger: Ledger, day: Day): Promise<void> {
  const { engine } = place;
  await remember(place, day);
  await ledger.note('closed', day);
  for (const table of [touchesTable, actsTable, eventSumsTable])
    await dropDay(engine.background, table, partitionOf(day), engine.cluster);
}

/** Rows of events by day, whatever their sign: every change adds some. */
async function storedRows(engine: Engine, from: Day): Promise<Record<Day, number>> {
  const rows = await engine.background.read<{ d: number; n: number }>(
    `SELECT toYYYYMMDD(ts) AS d, count() AS n FROM events
     WHERE ts >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') GROUP BY d`,
    { from: startOf(from) },
  );
  return Object.fromEntries(
    rows.map(({ d, n }) => [String(d).replace(/^(\d{4})(\d\d)(\d\d)$/, '$1-$2-$3'), n]),
  );
}

/** What the figures of a day depend on: recipients' past on the open days, and what its mails draw on the next two. */
function inputsOf(ledger: Ledger, first: Day, day: Day): Inputs {
  const inputs: Record<Day, number> = {};
  for (const one of daysFrom(first, addDays(day, RESPONSE_DAYS))) {
    const rows = ledger.get('gathered', one)?.[one] ?? 0;
    if (rows > 0) inputs[one] = rows;
  }
  return inputs;
}

/** Whether figures are up to date. Days closed since do not matter: closing changes no cohort. */
function isMadeFrom(made: Inputs, inputs: Inputs, first: Day): boolean {
  const days = new Set([...Object.keys(made).filter((day) => day >= first), ...Object.keys(inputs)]);
  return [...days].every((day) => made[day] === inputs[day]);
}
