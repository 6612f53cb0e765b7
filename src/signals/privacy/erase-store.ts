import { recipientsTable, touchesTable } from '../score/refresh/tables.ts';
import { localName, onCluster, type Table } from '../store/ddl.ts';
import type { EventStore } from '../store/event-store.ts';
import { engagement, reasons } from '../store/tables/metrics.ts';
import { linkClicksTable, straysTable } from '../store/tables/sealed.ts';
import { digestOf, digestOfFields, formsOf, scrubFields } from './scrub.ts';

/** Rows that one mutation rewrites; each rewrites the parts that they are in. */
const ROWS_PER_MUTATION = 500;
/** The new texts stand in the statement, which the engine takes up to a size (`backgroundSettings`); characters. */
const TEXT_PER_MUTATION = 4 * 2 ** 20;

interface Found {
  /** `cityHash64` of the text, in decimal digits. */
  readonly hash: string;
  readonly text: string;
}

/** Takes an address out of every table. May be run again, whole, however far it came. */
export async function eraseFromStore(
  store: EventStore,
  address: string,
  subaccount: number | null,
): Promise<{ readonly events: number }> {
  const events = await eraseData(store, 'events', address, subaccount);
  await eraseData(store, 'messages', address, subaccount);
  for (const [table, column] of [
    [engagement.table, 'link_name'],
    [straysTable, 'link_name'],
    [linkClicksTable, 'link_name'],
    [reasons.table, 'reason'],
  ] as const) {
    await eraseFromKey(store, table, column, address, subaccount);
  }
  await forget(store, address, subaccount);
  return { events };
}

const quote = (text: string) => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;

/** Replaces the texts of a column that have these hashes. */
function replaced(column: string, texts: ReadonlyMap<string, string>): string {
  if (texts.size === 0) return column;
  return `transform(cityHash64(${column}), CAST([${[...texts.keys()].join(', ')}], 'Array(UInt64)'), [${[...texts.values()].map(quote).join(', ')}], ${column})`;
}

/** `data` and, of `events`, the columns that repeat parts of it. */
async function eraseData(
  store: EventStore,
  table: 'events' | 'messages',
  address: string,
  subaccount: number | null,
): Promise<number> {
  const { engine } = store;
  const digest = digestOf(address);
  const isEvents = table === 'events';
  const whose = `(rcpt_to = {address:String} OR raw_rcpt_to = {address:String} OR rcpt_hash = {digest:String})`;
  const base64 = Buffer.from(digest, 'hex').toString('base64').replace(/=+$/, '');
  const scope = {
    address: address.toLowerCase(),
    digest,
    forms: [...formsOf(address), digest, base64],
    subaccount: subaccount ?? 0,
  };
  const key = isEvents ? 'event_id' : 'toString(h)';
  /** What was rewritten must not be found again, or this would never end. */
  const seen = new Set<string>();
  let count = 0;
  for (;;) {
    const found = await engine.background.read<
      Found & { key: string; reason: string; raw_reason: string; link_name: string; subject: string }
    >(
      `SELECT toString(cityHash64(data)) AS hash, data AS text, ${key} AS key
         ${isEvents ? ', reason, raw_reason, link_name, subject' : ''}
       FROM ${table}
       WHERE (${isEvents ? `${whose} OR ` : ''}multiSearchAnyCaseInsensitiveUTF8(data, {forms:Array(String)}))
         ${subaccount === null ? '' : 'AND subaccount_id = {subaccount:UInt32}'}
       LIMIT ${ROWS_PER_MUTATION}`,
      scope,
    );
    if (found.length === 0) return count;
    const rows = beginning(found);
    const data = new Map<string, string>();
    const own: string[] = [];
    for (const { hash, text } of rows) {
      if (seen.has(`${hash} ${table}`))
        throw new Error(`a row of ${table} that was to be cleaned is unchanged`);
      const fields = JSON.parse(text) as Record<string, unknown>;
      const isOwn = digestOfFields(fields) === digest;
      if (isOwn) own.push(hash);
      let clean = JSON.stringify(scrubFields(fields, address, isOwn ? 'erase' : 'mention'));
      // Whatever is left, in a name of the sender's own or an id, must not keep the row from being done.
      for (const form of scope.forms) clean = withoutText(clean, form);
      data.set(hash, clean);
    }
    const hashes = `CAST([${[...data.keys()].join(', ')}], 'Array(UInt64)')`;
    const ownHashes = `CAST([${own.join(', ')}], 'Array(UInt64)')`;
    const sets = [`data = ${replaced('data', data)}`];
    if (isEvents) {
      for (const column of ['rcpt_to', 'raw_rcpt_to', 'rcpt_hash']) {
        sets.push(`${column} = if(has(${ownHashes}, cityHash64(data)), '', ${column})`);
      }
      for (const column of ['reason', 'raw_reason', 'link_name', 'subject'] as const) {
        const texts = await hashesOf(
          store,
          rows.map((row) => row[column]),
          address,
          column,
        );
        if (texts.size > 0) sets.push(`${column} = ${replaced(column, texts)}`);
      }
    }
    const keys = rows.map((row) => (isEvents ? quote(row.key) : row.key)).join(', ');
    await engine.background.write(
      `ALTER TABLE ${localName(table, engine.cluster)}${onCluster(engine.cluster)} UPDATE ${sets.join(', ')}
       WHERE ${isEvents ? 'event_id' : 'h'} IN (${keys}) AND has(${hashes}, cityHash64(data))
       SETTINGS mutations_sync = 2`,
    );
    for (const hash of data.keys()) seen.add(`${hash} ${table}`);
    count += rows.length;
  }
}

/** The first rows, at least one, whose texts are no more than a statement holds. */
function beginning<Row extends Found>(rows: readonly Row[]): readonly Row[] {
  let size = 0;
  const end = rows.findIndex(({ text }, i) => {
    size += text.length;
    return i > 0 && size > TEXT_PER_MUTATION;
  });
  return end < 0 ? rows : rows.slice(0, end);
}

/** Those of the texts that an address stands in, by hash, without it. */
async function hashesOf(
  store: EventStore,
  texts: readonly string[],
  address: string,
  column: string,
): Promise<Map<string, string>> {
  const changed = [...new Set(texts)].flatMap((text) => {
    const clean = String(scrubFields({ [column]: text }, address, 'mention')[column]);
    return clean === text ? [] : [[text, clean] as const];
  });
  if (changed.length === 0) return new Map();
  const [row] = await store.engine.background.read<{ hashes: string[] }>(
    'SELECT arrayMap(text -> toString(cityHash64(text)), {texts:Array(String)}) AS hashes',
    { texts: changed.map(([text]) => text) },
  );
  return new Map(changed.map(([, clean], i) => [row!.hashes[i]!, clean]));
}

function withoutText(text: string, part: string): string {
  const needle = part.toLowerCase();
  const hay = text.toLowerCase();
  if (needle === '' || !hay.includes(needle)) return text;
  if (hay.length !== text.length) return hay.split(needle).join('...');
  let out = '';
  let from = 0;
  for (let at = hay.indexOf(needle); at >= 0; at = hay.indexOf(needle, from)) {
    out += `${text.slice(from, at)}...`;
    from = at + needle.length;
  }
  return out + text.slice(from);
}

/** A column of the sorting key cannot be mutated: the days that have the address in it are written anew. */
async function eraseFromKey(
  store: EventStore,
  table: Table,
  column: string,
  address: string,
  subaccount: number | null,
): Promise<void> {
  const isTheirs = subaccount === null ? '1' : `subaccount_id = ${Math.trunc(subaccount)}`;
  const found = await store.engine.background.read<{ day: number; h: string; text: string }>(
    `SELECT DISTINCT toYYYYMMDD(t) AS day, toString(cityHash64(${column})) AS h, ${column} AS text FROM ${table.name}
     WHERE ${isTheirs} AND multiSearchAnyCaseInsensitiveUTF8(${column}, {forms:Array(String)})`,
    { forms: formsOf(address) },
  );
  const texts = new Map(
    found.map(({ h, text }) => {
      let clean = String(scrubFields({ [column]: text }, address, 'mention')[column]);
      for (const form of formsOf(address)) clean = withoutText(clean, form);
      return [h, clean];
    }),
  );
  for (const day of new Set(found.map((row) => row.day))) {
    await store.rewriteDay(
      table,
      day,
      `* REPLACE (if(${isTheirs}, ${replaced(column, texts)}, ${column}) AS ${column})`,
    );
  }
}

/** What the scores remember of a recipient. */
async function forget(store: EventStore, address: string, subaccount: number | null): Promise<void> {
  const { engine } = store;
  // A number and not the digest: the engine keeps the texts of mutations on disk.
  const r = Buffer.from(digestOf(address), 'hex').readBigUInt64LE(0);
  const only = subaccount === null ? '' : `AND sid = ${Math.trunc(subaccount)}`;
  for (const table of [recipientsTable, touchesTable]) {
    await engine.background.write(
      `ALTER TABLE ${localName(table.name, engine.cluster)}${onCluster(engine.cluster)}
       DELETE WHERE r = ${r} ${only}
       SETTINGS mutations_sync = 2`,
    );
  }
}
