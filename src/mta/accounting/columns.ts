/** Codes in the `type` column. */
export type RecordType = 'd' | 'b' | 't' | 'tq' | 'r' | 'f' | 'rb' | 'rs';

export const recordTypes: readonly RecordType[] = ['d', 'b', 't', 'tq', 'r', 'f', 'rb', 'rs'];

const typeNames: ReadonlyMap<string, RecordType> = new Map([
  ['delivery', 'd'],
  ['bounce', 'b'],
  ['transient', 't'],
  ['transient-queue', 'tq'],
  ['receipt', 'r'],
  ['received', 'r'],
  ['feedback-loop', 'f'],
  ['fbl', 'f'],
  ['remote-bounce', 'rb'],
  ['remote-status', 'rs'],
  ...recordTypes.map((t): [string, RecordType] => [t, t]),
]);

/** The type that a configuration means by a short or long name, `null` if there is none. */
export function recordType(name: string): RecordType | null {
  return typeNames.get(name.trim().toLowerCase()) ?? null;
}

const attempted =
  'timeLogged timeQueued orig rcpt orcpt dsnAction dsnStatus dsnDiag dsnMta bounceCat srcType srcMta dlvType dlvSourceIp dlvDestinationIp dlvEsmtpAvailable dlvSize vmta jobId envId queue vmtaPool';

/** What `*` stands for. */
const defaults: Readonly<Record<RecordType, string>> = {
  d: attempted,
  b: attempted,
  t: attempted,
  tq: 'timeLogged dsnStatus dsnDiag dsnMta dlvType dlvSourceIp dlvDestinationIp vmta queue',
  r: 'timeLogged orig rcpt orcpt srcType srcMta rcvSourceIp rcvDestinationIp vmta jobId envId vmtaPool',
  rb: 'timeLogged orig rcpt orcpt dsnStatus dsnDiag dsnMta dsnReportingMta bounceCat srcType srcMta envId format',
  rs: 'timeLogged orig rcpt orcpt dsnAction dsnStatus dsnDiag dsnMta bounceCat srcType srcMta envId format',
  f: 'timeLogged repSourceIp feedbackType format userAgent envId orig rcpt reportingMta dlvSourceIp reportedDomain header_From header_Return-Path header_X-job header_Subject',
};

const optIn =
  'totalSecondsQueued userString dlvTlsProtocol dlvTlsCipher rcvSmtpUser timeFirstAttempt matched matchedRcpt';

const known: ReadonlyMap<string, string> = new Map(
  [...new Set([...Object.values(defaults).join(' ').split(' '), ...optIn.split(' ')])]
    .filter((name) => !name.startsWith('header_'))
    .map((name) => [name.toLowerCase(), name]),
);

/** Names of older releases, accepted and never written. */
const dropped: ReadonlySet<string> = new Set(['timeimprinted']);

/** What tells one column from another: letter case does not. */
export function columnKey(column: string): string {
  return column.toLowerCase();
}

export interface Columns {
  /** Column titles in order, without `type`. */
  readonly columns: readonly string[];
  /** One sentence for each element that means nothing, for the operator. */
  readonly warnings: readonly string[];
}

/**
 * Columns of one record type from the elements of its `record-fields` line: `*` is the default set, `!name` takes a
 * column out, `header_X` and `arf_X` add one. A repeated column keeps its first place.
 */
export function expandColumns(type: RecordType, elements: readonly string[]): Columns {
  const columns = new Map<string, string>();
  const out = new Set<string>();
  const warnings: string[] = [];
  const add = (column: string) => {
    if (!columns.has(columnKey(column))) columns.set(columnKey(column), column);
  };
  for (const element of elements.map((e) => e.trim())) {
    const name = element.startsWith('!') ? element.slice(1).trim() : element;
    const key = columnKey(name);
    const column = known.get(key) ?? (/^(?:header|arf)_./i.test(name) ? name : null);
    if (name === '*' && element === '*') defaults[type].split(' ').forEach(add);
    else if (name === '' || key === 'type') continue;
    else if (dropped.has(key)) warnings.push(`field "${name}" is of an older release and is not written`);
    else if (column === null) warnings.push(`"${name}" is no accounting field`);
    else if (element.startsWith('!')) out.add(key);
    else add(column);
  }
  for (const key of out) columns.delete(key);
  return { columns: [...columns.values()], warnings };
}

/** The title of a file: `type`, then every type's columns in the order of `records`, each once. */
export function titleOf(
  records: readonly RecordType[],
  columnsOf: ReadonlyMap<RecordType, readonly string[]>,
): string[] {
  const title = new Map<string, string>();
  for (const type of records) {
    for (const column of columnsOf.get(type) ?? []) {
      if (!title.has(columnKey(column))) title.set(columnKey(column), column);
    }
  }
  return ['type', ...title.values()];
}
