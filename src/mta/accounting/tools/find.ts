import { UserError } from '../../../system/user-error.ts';
import { expandColumns, recordType, recordTypes } from '../columns.ts';
import { type FindFormat, findFormats, findWriter } from './find-output.ts';
import { type AcctRecord, acctRecords, Complaints, fieldKey, type Title } from './read-records.ts';
import { fieldList, fieldsAndPattern, matchOf, type RecordMatch } from './record-match.ts';
import { orderOf, RecordSorter } from './sorted-records.ts';
import { isoTime, timeFields } from './times.ts';

export interface FindCall {
  readonly files: readonly string[];
  /** Codes of the record types that are looked at. */
  readonly types: ReadonlySet<string>;
  readonly matches: readonly RecordMatch[];
  readonly format: FindFormat;
  /** Columns that are printed; empty: those of the files. */
  readonly fields: readonly string[];
  readonly isoTimes: boolean;
  readonly sortBy: string | null;
}

/** Where a program of this folder reads and writes. */
export interface ToolStreams {
  readonly stdin: AsyncIterable<Buffer>;
  /** Resolves when there is room for more; `false` when nobody reads any more. */
  readonly write: (text: string) => Promise<boolean>;
  readonly complain: (line: string) => void;
}

/** Fields that have an option of their own. */
const fieldNames: ReadonlyMap<string, string> = new Map([
  ...recordTypes
    .flatMap((type) => expandColumns(type, ['*']).columns)
    .filter((name) => !/^header_/i.test(name))
    .map((name): [string, string] => [name.toLowerCase(), name]),
  ...expandColumns('d', [
    'totalSecondsQueued',
    'userString',
    'dlvTlsProtocol',
    'dlvTlsCipher',
    'rcvSmtpUser',
    'timeFirstAttempt',
  ]).columns.map((name): [string, string] => [name.toLowerCase(), name]),
  ...['to', 'from', 'dstIp', 'timeDelivered', 'size'].map((name): [string, string] => [
    name.toLowerCase(),
    name,
  ]),
]);

/** The command line of `pmtaacctfind`; throws a UserError about what it does not understand. */
export function readFindCall(argv: readonly string[]): FindCall {
  const files: string[] = [];
  const types = new Set<string>();
  const matches: RecordMatch[] = [];
  let format: FindFormat = 'standard';
  let fields: string[] = [];
  let isoTimes = false;
  let sortBy: string | null = null;
  let anyClass = false;
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i]!;
    if (word === '-' || !word.startsWith('-')) {
      files.push(word);
      continue;
    }
    if (word === '--') {
      files.push(...argv.slice(i + 1));
      break;
    }
    const equals = word.indexOf('=');
    const name = word.slice(0, equals < 0 ? undefined : equals).replace(/^--?/, '');
    const value = () => {
      const given = equals < 0 ? argv[++i] : word.slice(equals + 1);
      if (given === undefined) throw new UserError(`--${name} needs a value`, { exitCode: 2 });
      return given;
    };
    const key = name.toLowerCase();
    if (key === 'delivered' || key === 'bounced' || key === 'status' || key === 'mta') {
      anyClass = true;
      if (key === 'delivered') types.add('d');
      if (key === 'bounced') types.add('b');
    } else if (key === 'types') {
      anyClass = true;
      for (const type of typesIn(value())) types.add(type);
    } else if (key === 'match') {
      const { fields: of, pattern } = fieldsAndPattern(value());
      matches.push(matchOf(pattern, of));
    } else if (key === 'output') {
      ({ format, fields } = outputOf(value()));
    } else if (key === 'iso-times') isoTimes = true;
    else if (key === 'sortby') sortBy = fieldKey(value());
    else if (fieldNames.has(key) || /^(?:header[_:]|arf_)./.test(key)) matches.push(matchOf(value(), [name]));
    else throw new UserError(`there is no option ${word}`, { exitCode: 2 });
  }
  if (files.length === 0)
    throw new UserError('name an accounting file, or - for standard input', { exitCode: 2 });
  if (!anyClass) for (const type of ['d', 'b']) types.add(type);
  return { files, types, matches, format, fields, isoTimes, sortBy };
}

function typesIn(list: string): string[] {
  if (list === 'all') return [...recordTypes];
  return fieldList(list).map((name) => {
    const type = recordType(name);
    if (!type)
      throw new UserError(`--types ${name}: the types are ${recordTypes.join(', ')}, all`, { exitCode: 2 });
    return type;
  });
}

function outputOf(text: string): { format: FindFormat; fields: string[] } {
  const [, name = '', list = ''] = /^(\w+)(?:\[(.*)\])?$/s.exec(text) ?? [];
  const format = findFormats.find((f) => f === name.toLowerCase());
  if (!format) {
    throw new UserError(
      `--output ${text}: the formats are ${findFormats.join(', ')}, each with [FIELDS] behind it`,
      {
        exitCode: 2,
      },
    );
  }
  return { format, fields: fieldList(list) };
}

/** Prints what is wanted; answers whether every file could be read. */
export async function findRecords(call: FindCall, streams: ToolStreams): Promise<boolean> {
  const complaints = new Complaints(streams.complain);
  const out = new FindOutput(call, streams);
  const wanted = (record: AcctRecord) =>
    call.types.has(record.type) && call.matches.every((matches) => matches(record));
  const sorter = call.sortBy === null ? null : new RecordSorter(orderOf(call.sortBy));
  let reading = true;
  try {
    const union = new Map<string, string>();
    let last: Title | null = null;
    for await (const batch of acctRecords(call.files, streams.stdin, complaints)) {
      for (const record of batch) {
        if (!wanted(record)) continue;
        if (!sorter) out.add(record.title.columns, record.values, (key) => record.get(key));
        else {
          const { title } = record;
          if (title !== last) {
            last = title;
            for (const name of title.columns) {
              if (!union.has(fieldKey(name))) union.set(fieldKey(name), name);
            }
          }
          await sorter.add({ key: record.get(call.sortBy!), columns: title.columns, values: record.values });
        }
      }
      reading = reading && (await out.flush());
      if (!reading) break;
    }
    if (sorter && reading) {
      const columns = [...union.values()];
      for await (const { columns: own, values } of sorter.sorted()) {
        const byKey = new Map(own.map((name, i) => [fieldKey(name), values[i]!]));
        const get = (key: string) => byKey.get(key) ?? '';
        out.add(
          columns,
          columns.map((name) => get(fieldKey(name))),
          get,
        );
        reading = await out.flush(64 * 1024);
        if (!reading) break;
      }
    }
    if (reading) await out.end();
  } finally {
    await sorter?.close();
  }
  if (complaints.wrongLines > 0) streams.complain(`${complaints.wrongLines} wrong lines were left out`);
  return !complaints.failed;
}

class FindOutput {
  readonly #call: FindCall;
  readonly #streams: ToolStreams;
  readonly #writer;
  #text = '';
  #columns: readonly string[] | null = null;

  constructor(call: FindCall, streams: ToolStreams) {
    this.#call = call;
    this.#streams = streams;
    this.#writer = findWriter(call.format);
    this.#text = this.#writer.begin();
    if (call.fields.length === 0) return;
    this.#columns = call.fields;
    this.#text += this.#writer.columns(call.fields);
  }

  add(titleColumns: readonly string[], titleValues: readonly string[], get: (key: string) => string): void {
    const { fields, isoTimes } = this.#call;
    const columns = fields.length > 0 ? fields : titleColumns;
    if (columns !== this.#columns) {
      const same =
        this.#columns?.length === columns.length && columns.every((c, i) => c === this.#columns![i]);
      this.#columns = columns;
      if (!same) this.#text += this.#writer.columns(columns);
    }
    const own = fields.length > 0 ? fields.map((name) => get(fieldKey(name))) : titleValues;
    const values = isoTimes
      ? own.map((v, i) => (timeFields.has(fieldKey(columns[i]!)) ? isoTime(v) : v))
      : own;
    this.#text += this.#writer.record(columns, values);
  }

  /** Hands on what was added, if it is at least so long; `false` when nobody reads it any more. */
  async flush(least = 1): Promise<boolean> {
    if (this.#text.length < least) return true;
    const text = this.#text;
    this.#text = '';
    return await this.#streams.write(text);
  }

  async end(): Promise<void> {
    this.#text += this.#writer.end();
    await this.flush();
  }
}
