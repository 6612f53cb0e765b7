import type { Answer } from 'dns-packet';
import { createDnsServer } from '../dns/index.ts';
import { UserError } from '../system/user-error.ts';
import type { Zone, ZoneRecord } from './zone.ts';

export interface SinkDns {
  readonly port: number;
  close(): Promise<void>;
}

const TTL = 60;
/** A port that the system chose for TCP may be taken for UDP: then another is tried. */
const MOST_TRIES = 10;

/** Answers for the zone over UDP and TCP on one port. */
export async function startSinkDns(zone: Zone, at: { host: string; port: number }): Promise<SinkDns> {
  for (let tries = 1; ; tries++) {
    const server = createDnsServer({
      answer: ({ name, type }) => {
        const { code, records } = zone.answer(name, type);
        return { code, answers: records.map((record) => resourceRecord(name, record)) };
      },
    });
    try {
      const port = await server.listen(at.host, at.port, 'DNS of the sink');
      return { port, close: () => server.close() };
    } catch (error) {
      await server.close().catch(() => {});
      if (!(error instanceof UserError) || at.port !== 0 || tries === MOST_TRIES) throw error;
    }
  }
}

function resourceRecord(name: string, record: ZoneRecord): Answer {
  const common = { name, ttl: TTL, class: 'IN' as const };
  switch (record.type) {
    case 'MX':
      return { ...common, type: 'MX', data: { preference: record.preference, exchange: record.exchange } };
    case 'TXT':
      return { ...common, type: 'TXT', data: pieces(record.data) };
    default:
      return { ...common, type: record.type, data: record.data };
  }
}

/** A TXT record is made of strings of at most 255 octets (RFC 1035 section 3.3.14). */
function pieces(text: string): Buffer[] {
  const bytes = Buffer.from(text);
  const parts: Buffer[] = [];
  for (let at = 0; at < bytes.length || at === 0; at += 255) parts.push(bytes.subarray(at, at + 255));
  return parts;
}
