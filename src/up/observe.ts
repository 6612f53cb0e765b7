/** What the running programs say about themselves, in one picture. */
import { readdir } from 'node:fs/promises';
import { getJson } from './http-json.ts';
import { HOST, type Ports } from './ports.ts';

/** A part is null while its program does not answer (it is being started again, say). */
export interface Observation {
  readonly mta: MtaCounts | null;
  readonly signals: SignalsCounts | null;
  readonly sink: SinkCounts | null;
  /** Event files of the tracker that are not uploaded yet. */
  readonly trackerFiles: number;
}

export interface MtaCounts {
  readonly totals: { readonly received: number; readonly delivered: number; readonly bounced: number };
  readonly queued: number;
  readonly backlog: { readonly outcomes: number; readonly eventFiles: number };
}

export interface SignalsCounts {
  readonly batches_received: number;
  readonly batches_processed: number;
  readonly batches_pending: number;
  readonly events_stored: number;
}

export interface SinkCounts {
  readonly accepted: number;
  readonly opens: number;
  readonly initialOpens: number;
  readonly clicks: number;
  readonly unsubscribes: number;
  readonly oob: number;
  readonly fbl: number;
  readonly pending: number;
  /** Requests and reports whose answer was lost: the other side may have counted them. */
  readonly inDoubt: {
    readonly opens: number;
    readonly initialOpens: number;
    readonly clicks: number;
    readonly unsubscribes: number;
    readonly oob: number;
    readonly fbl: number;
  };
}

export async function observe(ports: Ports, key: string, trackerDir: string): Promise<Observation> {
  const [mta, signals, sink, trackerFiles] = await Promise.all([
    getJson<{ data: MtaCounts }>(`http://${HOST}:${ports.management}/counters`),
    getJson<{ results: SignalsCounts }>(`http://${HOST}:${ports.signals}/api/v1/ingest/status`, {
      Authorization: key,
    }),
    getJson<SinkCounts>(`http://${HOST}:${ports.sinkControl}/v1/expected`),
    eventFilesIn(trackerDir),
  ]);
  return { mta: mta?.data ?? null, signals: signals?.results ?? null, sink, trackerFiles };
}

/** Nothing is under way anywhere: every recipient has an outcome, every event is in the store. */
export function isQuiet({ mta, signals, sink, trackerFiles }: Observation): boolean {
  return (
    mta !== null &&
    signals !== null &&
    sink !== null &&
    mta.queued === 0 &&
    mta.backlog.outcomes === 0 &&
    mta.backlog.eventFiles === 0 &&
    signals.batches_pending === 0 &&
    sink.pending === 0 &&
    trackerFiles === 0
  );
}

/** What is still under way, in words; for a wait that lasts. */
export function describeRest({ mta, signals, sink, trackerFiles }: Observation): string {
  const parts = [
    mta === null ? 'the MTA does not answer' : '',
    signals === null ? 'Signals does not answer' : '',
    sink === null ? 'the sink does not answer' : '',
    mta && mta.queued > 0 ? `${mta.queued} recipients queued` : '',
    mta && mta.backlog.outcomes > 0
      ? `${mta.backlog.outcomes} outcomes not yet in accounting and events`
      : '',
    mta && mta.backlog.eventFiles > 0 ? `${mta.backlog.eventFiles} event files of the MTA not uploaded` : '',
    trackerFiles > 0 ? `${trackerFiles} event files of the tracker not uploaded` : '',
    signals && signals.batches_pending > 0 ? `${signals.batches_pending} batches not processed` : '',
    sink && sink.pending > 0 ? `${sink.pending} actions of the sink to come` : '',
  ];
  return parts.filter((part) => part !== '').join(', ');
}

async function eventFilesIn(dir: string): Promise<number> {
  try {
    return (await readdir(dir)).filter((name) => /^sp1-.*\.json(\.part)?$/.test(name)).length;
  } catch {
    return 0;
  }
}
