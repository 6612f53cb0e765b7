/** Collects both sides of every line of the reconciliation from where they are written down. */
import { createReadStream } from 'node:fs';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { csvRows } from './csv-rows.ts';
import { SUBMISSION_USER } from './demo-files.ts';
import { getJson } from './http-json.ts';
import type { Observation } from './observe.ts';
import { HOST, type Ports } from './ports.ts';
import type { AccountingCounts, Made, Recipients, RunFacts } from './reconciliation.ts';

const EVENT_TYPES = [
  'injection',
  'delivery',
  'bounce',
  'delay',
  'out_of_band',
  'spam_complaint',
  'initial_open',
  'open',
  'click',
  'list_unsubscribe',
] as const;

/** Everything in the data folder counts, so a second run over the same folder balances too. */
export async function collectFacts(
  dataDir: string,
  ports: Ports,
  key: string,
  observation: Observation,
): Promise<RunFacts> {
  const [submission, accounting, taken, events] = await Promise.all([
    submitted(path.join(dataDir, 'generate')),
    accountingCounts(path.join(dataDir, 'mta', 'accounting')),
    takenBySink(path.join(dataDir, 'sink')),
    eventCounts(ports, key),
  ]);
  const { sink, mta } = observation;
  return {
    submitted: submission.keys,
    inDoubt: submission.inDoubt,
    accounting,
    queued: mta?.queued ?? 0,
    sink: {
      accepted: taken,
      initialOpens: made(sink?.initialOpens, sink?.inDoubt.initialOpens),
      opens: made(sink?.opens, sink?.inDoubt.opens),
      clicks: made(sink?.clicks, sink?.inDoubt.clicks),
      unsubscribes: made(sink?.unsubscribes, sink?.inDoubt.unsubscribes),
      remoteBounces: made(sink?.oob, sink?.inDoubt.oob),
      complaints: made(sink?.fbl, sink?.inDoubt.fbl),
    },
    events,
  };
}

function made(count = 0, inDoubt = 0): Made {
  return { count, inDoubt };
}

/** A recipient of a message, as the generator, accounting and the sink all can name it. */
function keyOf(messageId: string, recipient: string): string {
  return `${messageId.replace(/^<|>$/g, '')} ${recipient.toLowerCase()}`;
}

async function submitted(dir: string): Promise<{ keys: Set<string>; inDoubt: number }> {
  const keys = new Set<string>();
  let inDoubt = 0;
  for await (const line of ledgerLines(dir)) {
    const message = line as {
      id: string;
      outcome: string;
      recipients: string[];
      rejected: { address: string }[];
      inDoubt: number;
    };
    inDoubt += message.inDoubt * message.recipients.length;
    if (message.outcome !== 'accepted') continue;
    const rejected = new Set(message.rejected.map(({ address }) => address));
    for (const recipient of message.recipients) {
      if (!rejected.has(recipient)) keys.add(keyOf(message.id, recipient));
    }
  }
  return { keys, inDoubt };
}

async function accountingCounts(dir: string): Promise<AccountingCounts> {
  const byType = new Map<string, number>();
  const submitted = { r: new Counted(), d: new Counted(), b: new Counted() };
  for (const name of await namesIn(dir, /\.csv$/)) {
    for await (const row of csvRows(path.join(dir, name))) {
      const type = row.get('type') ?? '';
      byType.set(type, (byType.get(type) ?? 0) + 1);
      // Other mail comes in too (reports); the generator's is known by its user.
      if ((type === 'r' || type === 'd' || type === 'b') && row.get('rcvSmtpUser') === SUBMISSION_USER) {
        submitted[type].add(row.get('header_Message-ID') ?? '', row.get('rcpt') ?? '');
      }
    }
  }
  return { byType, received: submitted.r, delivered: submitted.d, bounced: submitted.b };
}

async function takenBySink(dir: string): Promise<Recipients> {
  const taken = new Counted();
  for await (const line of ledgerLines(dir)) {
    const record = line as { k: string; mid: string; rcpt: string };
    if (record.k === 'accepted') taken.add(record.mid, record.rcpt);
  }
  return taken;
}

class Counted implements Recipients {
  readonly keys = new Set<string>();
  count = 0;

  add(messageId: string, recipient: string): void {
    this.count++;
    this.keys.add(keyOf(messageId, recipient));
  }
}

async function eventCounts(ports: Ports, key: string): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  // A little into the future, so that an event of this second is within the range.
  const to = new Date(Date.now() + 60_000).toISOString();
  const from = new Date(Date.now() - 10 * 86_400_000).toISOString();
  for (const type of EVENT_TYPES) {
    const query = new URLSearchParams({ events: type, from, to, per_page: '1' });
    const answer = await getJson<{ total_count: number }>(
      `http://${HOST}:${ports.signals}/api/v1/events/message?${query}`,
      { Authorization: key },
    );
    if (answer) counts.set(type, answer.total_count);
  }
  return counts;
}

/** JSON objects of a ledger and of the file before it, oldest first; a last line that is not whole is left out. */
async function* ledgerLines(dir: string): AsyncGenerator<object> {
  for (const name of await namesIn(dir, /^ledger(\.1)?\.ndjson$/)) {
    for await (const line of createInterface({ input: createReadStream(path.join(dir, name)) })) {
      try {
        yield JSON.parse(line) as object;
      } catch {
        // Torn by a kill: its writer takes it back when it starts again.
      }
    }
  }
}

async function namesIn(dir: string, pattern: RegExp): Promise<string[]> {
  try {
    return (await readdir(dir)).filter((name) => pattern.test(name)).sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
