/**
 * The account of a run: what went in, what came out, and what every view says about it, line by line. A line
 * balances when its two sides are equal after what a kill may repeat has been named and counted.
 */
export interface Line {
  readonly name: string;
  readonly left: Side;
  readonly right: Side;
  /** Counted beside the balance: copies made because a kill cut an answer in flight. */
  readonly repeated?: { readonly label: string; readonly count: number };
  readonly balances: boolean;
}

interface Side {
  readonly label: string;
  readonly count: number;
}

export interface Reconciliation {
  readonly lines: readonly Line[];
  readonly balances: boolean;
}

/** Distinct recipients of distinct messages: the key under which both ends know them. */
export type Keys = ReadonlySet<string>;

/** Counts of all records by type, and the records of mail that the generator submitted. */
export interface AccountingCounts {
  readonly byType: ReadonlyMap<string, number>;
  readonly received: Recipients;
  readonly delivered: Recipients;
  readonly bounced: Recipients;
}

/** Records, and the distinct recipients that they are about. */
export interface Recipients {
  readonly keys: Keys;
  readonly count: number;
}

/** What the sink did and had an answer to; `inDoubt`: tries whose answer was lost, so each may count once more. */
export interface Made {
  readonly count: number;
  readonly inDoubt: number;
}

export interface RunFacts {
  /** Recipients for which the generator has a `250`. */
  readonly submitted: Keys;
  /** Submissions whose answer was lost and that were made again. */
  readonly inDoubt: number;
  readonly accounting: AccountingCounts;
  readonly queued: number;
  readonly sink: {
    /** `250` answers, repeats included in the count. */
    readonly accepted: Recipients;
    readonly initialOpens: Made;
    readonly opens: Made;
    readonly clicks: Made;
    readonly unsubscribes: Made;
    /** Reports sent back. */
    readonly remoteBounces: Made;
    readonly complaints: Made;
  };
  /** Events in the store by public type. */
  readonly events: ReadonlyMap<string, number>;
}

/** Accounting type beside the event type that says the same thing. */
const TYPES: readonly (readonly [record: string, event: string, words: string])[] = [
  ['r', 'injection', 'received'],
  ['d', 'delivery', 'delivered'],
  ['b', 'bounce', 'bounced'],
  ['t', 'delay', 'deferred'],
  ['rb', 'out_of_band', 'remote bounces'],
  ['f', 'spam_complaint', 'complaints'],
];

export function reconcile(run: RunFacts): Reconciliation {
  const { accounting, sink, events } = run;
  const rows = (type: string) => accounting.byType.get(type) ?? 0;
  const lines: Line[] = [];
  const equal = (name: string, left: Side, right: Side, repeated?: Line['repeated'], alsoEqual = true) => {
    lines.push({ name, left, right, repeated, balances: left.count === right.count && alsoEqual });
  };

  const resubmitted = accounting.received.count - accounting.received.keys.size;
  equal(
    'submitted = accepted',
    { label: 'recipients acknowledged to the generator', count: run.submitted.size },
    { label: 'recipients in accounting (r)', count: accounting.received.keys.size },
    { label: 'accepted twice: the answer was cut and the generator sent again', count: resubmitted },
    // Another acceptance of the same recipient is explained only by an answer that the generator did not get.
    sameKeys(run.submitted, accounting.received.keys) && resubmitted <= run.inDoubt,
  );
  equal(
    'accepted = delivered + bounced + queued',
    { label: 'records r', count: rows('r') },
    { label: 'records d + b, and in the queue', count: rows('d') + rows('b') + run.queued },
  );
  const repeats = sink.accepted.count - accounting.delivered.count;
  // Killed before it could record the sink's 250, the mta offers again, and then the sink may refuse.
  const refusedLater = (key: string) =>
    accounting.bounced.keys.has(key) && !accounting.delivered.keys.has(key);
  const kept = new Set([...sink.accepted.keys].filter((key) => !refusedLater(key)));
  const refused = sink.accepted.keys.size - kept.size;
  equal(
    'delivered = taken by the sink',
    { label: 'recipients in accounting (d)', count: accounting.delivered.keys.size },
    {
      label: `recipients in the sink${refused > 0 ? `, without ${refused} that it refused when offered again` : ''}`,
      count: kept.size,
    },
    { label: 'delivered again: killed between the sink’s 250 and our record', count: repeats },
    sameKeys(accounting.delivered.keys, kept) && repeats >= 0,
  );
  const reports = new Map([
    ['rb', sink.remoteBounces],
    ['f', sink.complaints],
  ]);
  for (const [record, event, words] of TYPES) {
    const left = { label: `accounting ${record}`, count: rows(record) };
    const right = { label: event, count: events.get(event) ?? 0 };
    const name = `${words}: records = events`;
    const sent = reports.get(record);
    if (!sent) {
      equal(name, left, right);
      continue;
    }
    // Of a report that says the same again there is a record, and no event.
    const again = left.count - right.count;
    const repeated = { label: 'said again: the answer was cut and the sink tried again', count: again };
    lines.push({ name, left, right, repeated, balances: again >= 0 && again <= sent.inDoubt });
  }
  const done = (name: string, made: Made, right: Side) => {
    const more = right.count - made.count;
    lines.push({
      name,
      left: { label: 'answered to the sink', count: made.count },
      right,
      repeated: { label: 'counted again: the answer was cut and the sink tried again', count: more },
      balances: more >= 0 && more <= made.inDoubt,
    });
  };
  for (const [words, sent, record] of [
    ['remote bounces', sink.remoteBounces, 'rb'],
    ['complaints', sink.complaints, 'f'],
  ] as const) {
    done(`${words}: sent back = recorded`, sent, { label: `accounting ${record}`, count: rows(record) });
  }
  for (const [words, made, event] of [
    ['initial opens', sink.initialOpens, 'initial_open'],
    ['opens', sink.opens, 'open'],
    ['clicks', sink.clicks, 'click'],
    ['unsubscribes', sink.unsubscribes, 'list_unsubscribe'],
  ] as const) {
    done(`${words}: made = recorded`, made, { label: event, count: events.get(event) ?? 0 });
  }
  return { lines, balances: lines.every((line) => line.balances) };
}

function sameKeys(a: Keys, b: Keys): boolean {
  if (a.size !== b.size) return false;
  for (const key of a) if (!b.has(key)) return false;
  return true;
}

/** The table as text, one line each, with a mark that does not need colour. */
export function formatReconciliation({ lines, balances }: Reconciliation): string {
  const rows = lines.map((line) => [
    line.balances ? 'ok' : 'OFF',
    line.name,
    String(line.left.count),
    String(line.right.count),
    line.repeated && line.repeated.count > 0 ? `+${line.repeated.count} ${line.repeated.label}` : '',
  ]);
  const titles = ['', 'line', 'left', 'right', 'repeated'];
  const widths = titles.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]!.length)));
  const print = (row: readonly string[]) =>
    row
      .map((cell, i) => (i === 2 || i === 3 ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)))
      .join('  ')
      .trimEnd();
  const off = lines.filter((line) => !line.balances);
  return [
    print(titles),
    ...rows.map(print),
    '',
    balances
      ? 'Every line balances.'
      : `${off.length} of ${lines.length} lines do not balance: ${off.map((line) => line.name).join('; ')}.`,
  ].join('\n');
}
