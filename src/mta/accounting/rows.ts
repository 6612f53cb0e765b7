import type { Outcome } from '../../events/outcome.ts';
import { columnKey, expandColumns, type RecordType, titleOf } from './columns.ts';
import { csvRow } from './csv.ts';
import { type PrivacyPolicy, recipientCover } from './privacy.ts';
import { type QueueFilterEntry, queuePasses } from './queue-filter.ts';
import { accountingTime, type RowMaker, rowMaker, typeOf } from './values.ts';

/** What an `<acct-file>` writes, whether into a file or a pipe. */
export interface RecordOptions {
  /** `records`, in its order; default `d,b`. */
  readonly records: readonly RecordType[];
  /** Elements of each type's `record-fields`; a type that is not there has `*`. */
  readonly recordFields: ReadonlyMap<RecordType, readonly string[]>;
  /** `iso-times`; default true. */
  readonly isoTimes?: boolean;
  readonly userString?: string;
  /** Absent: every queue. An empty list writes nothing of a queue. */
  readonly queueFilter?: readonly QueueFilterEntry[];
  readonly privacy?: PrivacyPolicy;
  /** `map-header-to-field`: for a type and column, headers (without `header_`) in the order in which they are tried. */
  readonly mapHeaders?: ReadonlyMap<RecordType, ReadonlyMap<string, readonly string[]>>;
  /** `disable-acct-records`: true drops the record before it is offered to any sink. */
  readonly disabled?: (type: RecordType, queue: string) => boolean;
}

export interface Rows {
  /** The title line, without its end. */
  readonly title: string;
  /** Sentences for the operator about fields that mean nothing. */
  readonly warnings: readonly string[];
  /** The record of an outcome, without its line end; `null` if this sink does not want it. */
  row(outcome: Outcome): string | null;
}

/** Prepares the records of one sink: columns and their sources are worked out once, not per record. */
export function rowsOf(options: RecordOptions): Rows {
  const columnsOf = new Map<RecordType, readonly string[]>();
  const warnings: string[] = [];
  for (const type of options.records) {
    const expanded = expandColumns(type, options.recordFields.get(type) ?? ['*']);
    columnsOf.set(type, expanded.columns);
    warnings.push(...expanded.warnings.map((w) => `record-fields ${type}: ${w}`));
  }
  const title = titleOf(options.records, columnsOf);
  const values = {
    time: accountingTime(options.isoTimes ?? true),
    userString: options.userString ?? '',
    hide: recipientCover(options.privacy ?? { mode: 'retain' }),
  };
  const makers = new Map<RecordType, RowMaker>();
  for (const [type, columns] of columnsOf) {
    const mapped = new Map(
      [...(options.mapHeaders?.get(type) ?? [])].map(([column, headers]) => [columnKey(column), headers]),
    );
    makers.set(type, rowMaker(type, title, columns, values, mapped));
  }
  return {
    title: csvRow(title),
    warnings,
    row(outcome) {
      const type = typeOf[outcome.kind];
      const maker = makers.get(type);
      if (!maker) return null;
      const queue = queueOf(outcome);
      if (queue !== null) {
        if (options.disabled?.(type, queue)) return null;
        if (options.queueFilter && !queuePasses(options.queueFilter, queue)) return null;
      }
      return csvRow(maker(outcome));
    },
  };
}

/** The queue that an outcome comes from; `null` for receptions and reports. */
function queueOf(outcome: Outcome): string | null {
  if (outcome.kind === 'bounced') return outcome.queue;
  return 'attempt' in outcome ? outcome.attempt.queue : null;
}
