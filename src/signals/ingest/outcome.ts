import { createHash } from 'node:crypto';
import type { Engine } from '../store/engine.ts';
import { CUSTOMER_ID } from './normalise.ts';

export type ErrorType = 'validation' | 'system' | 'decompress' | 'duplicate_batch' | 'empty_batch';

/** What became of a batch (SparkPost's `ingest_event`). */
export interface BatchOutcome {
  readonly batchId: string;
  /** When it was processed, milliseconds since the epoch. */
  readonly at: number;
  /** When it came, the same. */
  readonly arrivedAt: number;
  /** The node that sent it: by its events, else the label of the key. */
  readonly node: string;
  /** How late its events came: tenths of a second → events. */
  readonly lags: readonly (readonly [lag: number, events: number])[];
  /** Days from `at` that the batch and its failures can be fetched. */
  readonly keptDays: number;
  readonly succeeded: number;
  readonly failed: number;
  readonly duplicates: number;
  /** `null` for success. */
  readonly errorType: ErrorType | null;
}

const DAY = 86_400_000;

/** The outcome of a batch whose lines were all looked at, by SparkPost's order of decisions. */
export function outcomeOf(counts: {
  readonly succeeded: number;
  readonly failed: number;
  readonly duplicates: number;
}): ErrorType | null {
  const { succeeded, failed, duplicates } = counts;
  if (succeeded + failed + duplicates === 0) return 'empty_batch';
  if (failed > 0) return 'validation';
  return succeeded === 0 ? 'duplicate_batch' : null;
}

/** The same batch always gets the same event id, so that processing it again replaces its outcome. */
function eventIdOf(batchId: string): string {
  const hex = createHash('sha256').update(`outcome ${batchId}`).digest('hex');
  const variant = ((Number.parseInt(hex[16]!, 16) & 3) | 8).toString(16);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

/** The event as `GET /v1/events/ingest` shows it, but for `href`, which depends on the host that is asked. */
export function shownOutcome(outcome: BatchOutcome): Record<string, unknown> {
  const common = {
    type: outcome.errorType ? 'error' : 'success',
    event_id: eventIdOf(outcome.batchId),
    batch_id: outcome.batchId,
    customer_id: CUSTOMER_ID,
    timestamp: new Date(outcome.at).toISOString(),
    expiration_timestamp: new Date(outcome.at + outcome.keptDays * DAY).toISOString(),
    number_succeeded: outcome.succeeded,
    number_duplicates: outcome.duplicates,
  };
  if (!outcome.errorType) return common;
  return {
    ...common,
    number_failed: outcome.failed,
    error_type: outcome.errorType,
    retryable: outcome.errorType === 'system',
  };
}

const columns = [
  'batch_id',
  'event_id',
  'ts',
  'type',
  'error_type',
  'retryable',
  'number_succeeded',
  'number_failed',
  'number_duplicates',
  'data',
  'received',
  'node',
  'lags',
  'lag_counts',
];

const timeText = (ms: number) => new Date(ms).toISOString().replace('T', ' ').slice(0, 23);

/** Records the outcomes of batches. */
export async function storeOutcomes(
  engine: Engine,
  outcomes: readonly BatchOutcome[],
  token: string,
): Promise<void> {
  const lines = outcomes.map((outcome) => {
    const shown = shownOutcome(outcome);
    return JSON.stringify([
      outcome.batchId,
      shown.event_id,
      timeText(outcome.at),
      shown.type,
      outcome.errorType ?? '',
      outcome.errorType === 'system' ? 1 : 0,
      outcome.succeeded,
      outcome.failed,
      outcome.duplicates,
      JSON.stringify(shown),
      timeText(outcome.arrivedAt),
      outcome.node,
      outcome.lags.map(([lag]) => lag),
      outcome.lags.map(([, events]) => events),
    ]);
  });
  await engine.insert('ingest_events', columns, lines, token);
}
