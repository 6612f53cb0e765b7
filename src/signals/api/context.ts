import type { Clock } from '../../system/clock.ts';
import type { Log } from '../../system/log.ts';
import type { Accounts, Caller } from '../accounts/accounts.ts';
import type { BatchFiles } from '../ingest/batch-files.ts';
import type { Processor } from '../ingest/processor.ts';
import type { Erasure } from '../privacy/erasure.ts';
import type { Scores } from '../score/scores.ts';
import type { EventStore } from '../store/event-store.ts';
import type { AccessLog } from './access-log.ts';
import type { Figures } from './figures.ts';
import type { RateLimit } from './rate-limit.ts';
import type { Throttle } from './throttle.ts';

/** What the end points work with. */
export interface Services {
  readonly accounts: Accounts;
  readonly store: EventStore;
  readonly files: BatchFiles;
  readonly processor: Processor;
  readonly scores: Scores;
  /** Rows of the `watched-domain` report. */
  readonly watchedDomains: readonly string[];
  readonly erasure: Erasure;
  readonly clock: Clock;
  readonly log: Log;
  /** Batches processed before this run, as far as their outcomes are still kept. */
  readonly processedBefore: number;
  readonly ingest: IngestLimits;
  /** Ingest requests whose bodies are being received now. */
  readonly receiving: { now: number };
  /** How many events are stored; counted at most twice a second. */
  readonly eventsStored: () => Promise<number>;
  /** Subaccounts that events, keys have named, ascending. */
  readonly subaccountIds: () => Promise<readonly number[]>;
  /** Failed sign-ins, by address. */
  readonly signInFailures: Throttle;
  /** Requests of each caller. */
  readonly rateLimit: RateLimit;
  readonly accessLog: AccessLog;
  readonly figures: Figures;
  /** Of the program. */
  readonly version: string;
}

export interface IngestLimits {
  /** Bytes of one request, compressed. */
  readonly body: number;
  /** Requests whose bodies are being received at the same time. */
  readonly concurrent: number;
  /** Bytes that may wait to be processed; more is refused for now. */
  readonly pendingBytes: number;
}

export const defaultIngestLimits: IngestLimits = {
  body: 5 * 1024 * 1024,
  concurrent: 64,
  pendingBytes: 4 * 2 ** 30,
};

declare module 'fastify' {
  interface FastifyRequest {
    /** Bytes of the body, where something has counted them. */
    bytesIn: number | null;
    /** Who asks; set before the handler of every route that needs a grant. */
    caller: Caller | null;
  }
}
