/** Reads what a decoded reply says: the records at the end of its aliases, and how long they hold. */
import { isIP } from 'node:net';
import type { RecordType } from 'dns-packet';
import { domainToAscii } from '../mail/address.ts';
import type { Reply } from './exchange.ts';
import type { MxRecord, QueryType, RecordData } from './resolver.ts';

export const LONGEST_ALIAS_CHAIN = 8;
export const MOST_TTL = 86_400;
/** For "there is no such thing" when the answer names no SOA (RFC 2308 section 5), and at most. */
const NEGATIVE_TTL = 60;
const MOST_NEGATIVE_TTL = 10_800;
/** Records kept of one answer. A message has room for thousands; nobody needs them. */
const MOST_RECORDS = 200;
/** Characters kept of one TXT record; a policy or a key has a few hundred. */
const LONGEST_TEXT = 16_384;

/** Lower case, in A-labels, without the final dot; null for what can not be asked for. */
export function queryName(name: string): string | null {
  const ascii = domainToAscii(name.replace(/\.$/, ''));
  return ascii === null || ascii.startsWith('[') ? null : ascii;
}

/**
 * The records of `type` at the end of the aliases in this reply; null when they go in a circle. `seen` gets the names
 * that were left behind.
 */
export function follow(
  reply: Reply,
  asked: string,
  type: QueryType,
  seen: Set<string>,
): { name: string; records: RecordData[]; ttl: number } | null {
  const answers = reply.answers ?? [];
  // By owner, so that a long answer of many aliases is walked once and not once per alias.
  const aliases = new Map<string, (typeof answers)[number]>();
  for (const record of answers) {
    if (record.type === 'CNAME' && inClass(record) && !aliases.has(plain(record.name))) {
      aliases.set(plain(record.name), record);
    }
  }
  let name = asked;
  let ttl = MOST_TTL;
  for (;;) {
    const alias = type === 'CNAME' ? undefined : aliases.get(name);
    if (alias?.type !== 'CNAME' || seen.size > LONGEST_ALIAS_CHAIN) break;
    if (seen.has(name)) return null;
    seen.add(name);
    ttl = Math.min(ttl, alias.ttl ?? 0);
    name = plain(alias.data);
  }
  const records: RecordData[] = [];
  for (const record of answers) {
    if (record.type !== (type as RecordType) || !inClass(record) || plain(record.name) !== name) continue;
    const data = dataOf(record);
    if (data === null) continue;
    records.push(data);
    ttl = Math.min(ttl, 'ttl' in record ? (record.ttl ?? 0) : 0);
  }
  return { name, records: fewest(records), ttl };
}

/** As many as are kept; of MX records those that would be tried first. */
function fewest(records: RecordData[]): RecordData[] {
  if (records.length <= MOST_RECORDS) return records;
  const preference = (record: RecordData) => (record as MxRecord).preference ?? 0;
  return records.toSorted((a, b) => preference(a) - preference(b)).slice(0, MOST_RECORDS);
}

function dataOf(record: NonNullable<Reply['answers']>[number]): RecordData | null {
  switch (record.type) {
    case 'A':
    case 'AAAA':
      return isIP(record.data) === (record.type === 'A' ? 4 : 6) ? record.data : null;
    case 'CNAME':
    case 'PTR':
      return plain(record.data);
    case 'MX':
      return { preference: record.data.preference ?? 0, exchange: plain(record.data.exchange) };
    case 'TLSA':
      return record.data;
    case 'TXT':
      return [record.data]
        .flat()
        .map((part) => part.toString())
        .join('')
        .slice(0, LONGEST_TEXT);
    default:
      return null;
  }
}

function inClass(record: NonNullable<Reply['answers']>[number]): boolean {
  return 'class' in record && record.class === 'IN';
}

/** Lower case, without the final dot. */
function plain(name: string): string {
  return name.replace(/\.$/, '').toLowerCase();
}

/** How long "no" holds: as the zone's SOA says (RFC 2308 section 5), within reason. */
export function negativeTtl(reply: Reply): number {
  const soa = reply.authorities?.find((record) => record.type === 'SOA');
  if (soa?.type !== 'SOA') return NEGATIVE_TTL;
  return Math.min(soa.ttl ?? 0, soa.data.minimum ?? 0, MOST_NEGATIVE_TTL);
}
