import { domainToAscii } from '../mail/address.ts';

/** A resource record as the pretended internet holds it. */
export type ZoneRecord =
  | { readonly type: 'A' | 'AAAA'; readonly data: string }
  | { readonly type: 'MX'; readonly preference: number; readonly exchange: string }
  | { readonly type: 'TXT'; readonly data: string };

export interface ZoneAnswer {
  readonly code: 'NOERROR' | 'NXDOMAIN' | 'SERVFAIL' | 'REFUSED';
  readonly records: readonly ZoneRecord[];
}

/** Records of other domains: name in lower case → its records. */
export type OtherRecords = ReadonlyMap<string, readonly ZoneRecord[]>;

/** Providers' mail hosts, so that a roll-up by MX sees what it would see outside. */
const HOST_LABELS = new Map<string, readonly string[]>([
  ['gmail', ['gmail-smtp-in.l.google', 'alt1.gmail-smtp-in.l.google']],
  ['yahoo', ['mta5.am0.yahoodns', 'mta6.am0.yahoodns', 'mta7.am0.yahoodns']],
  ['microsoft', ['hotmail-com.olc.protection.outlook']],
  ['apple', ['mx01.mail.icloud', 'mx02.mail.icloud']],
  ['comcast', ['mx1a1.comcast', 'mx2c1.comcast']],
]);
const MAIL_HOSTS = ['mx1', 'mx2'];

/**
 * What the sink's DNS says. It owns its domain: every name below it takes mail through hosts below `mx.DOMAIN`, except
 * under `nx.` (does not exist), `nullmx.` (takes no mail, RFC 7505) and `servfail.` (broken). Other names have the
 * records given by the operator, or do not exist.
 */
export class Zone {
  readonly #domain: string;
  readonly #address: string;
  readonly #other: OtherRecords;

  /** `address`: IPv4 address at which the sink's SMTP listens. */
  constructor(domain: string, address: string, other: OtherRecords) {
    this.#domain = domain;
    this.#address = address;
    this.#other = other;
  }

  answer(name: string, type: string): ZoneAnswer {
    const asked = domainToAscii(name.replace(/\.$/, '')) ?? '';
    const records = this.#records(asked);
    if (typeof records === 'string') return { code: records, records: [] };
    return { code: 'NOERROR', records: records.filter((record) => record.type === type) };
  }

  /** Texts of the TXT records of a name, for checks inside this process. */
  texts(name: string): string[] {
    return this.answer(name, 'TXT').records.flatMap((record) => (record.type === 'TXT' ? [record.data] : []));
  }

  #records(name: string): readonly ZoneRecord[] | 'NXDOMAIN' | 'SERVFAIL' {
    const other = this.#other.get(name);
    if (other) return other;
    if (name !== this.#domain && !name.endsWith(`.${this.#domain}`)) {
      // A name that only has names below it exists too (RFC 8020).
      for (const known of this.#other.keys()) if (known.endsWith(`.${name}`)) return [];
      return 'NXDOMAIN';
    }
    const labels = name === this.#domain ? [] : name.slice(0, -this.#domain.length - 1).split('.');
    const address: ZoneRecord = { type: 'A', data: this.#address };
    const last = labels.at(-1);
    if (last === 'mx') return [address];
    if (labels.some((label) => label.startsWith('_'))) return 'NXDOMAIN';
    if (last === 'nx') return 'NXDOMAIN';
    if (last === 'servfail') return 'SERVFAIL';
    if (last === 'nullmx') return [{ type: 'MX', preference: 0, exchange: '.' }];
    const hosts = labels.map((label) => HOST_LABELS.get(label)).find((found) => found) ?? MAIL_HOSTS;
    return [
      address,
      ...hosts.map(
        (host, n): ZoneRecord => ({
          type: 'MX',
          preference: (n + 1) * 10,
          exchange: `${host}.mx.${this.#domain}`,
        }),
      ),
      { type: 'TXT', data: 'v=spf1 ip4:127.0.0.0/8 -all' },
    ];
  }
}

/**
 * Reads records of other domains as a person writes them, one per line: `NAME TYPE DATA`, where MX data is
 * `PREFERENCE HOST` and TXT data the text to the end of the line. Lines that begin with `#` say nothing. Returns the
 * first line that cannot be read as a string.
 */
export function readRecords(text: string): OtherRecords | string {
  const records = new Map<string, ZoneRecord[]>();
  for (const line of text.split(/\r?\n/)) {
    if (line.trim() === '' || line.startsWith('#')) continue;
    const parts = /^(\S+)\s+(A|AAAA|MX|TXT)\s+(\S.*)$/i.exec(line.trim());
    const name = domainToAscii((parts?.[1] ?? '').replace(/\.$/, ''));
    const record = parts && name ? readRecord(parts[2]!.toUpperCase(), parts[3]!.trim()) : null;
    if (!name || !record) return line;
    const list = records.get(name);
    if (list) list.push(record);
    else records.set(name, [record]);
  }
  return records;
}

function readRecord(type: string, data: string): ZoneRecord | null {
  switch (type) {
    case 'A':
    case 'AAAA':
      return /^[0-9a-f.:]+$/i.test(data) ? { type, data } : null;
    case 'MX': {
      const parts = /^(\d{1,5})\s+(\S+)$/.exec(data);
      return parts ? { type: 'MX', preference: Number(parts[1]), exchange: parts[2]!.toLowerCase() } : null;
    }
    default:
      return { type: 'TXT', data: data.replace(/^"(.*)"$/, '$1') };
  }
}
