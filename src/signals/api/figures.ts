import type { StatementCount, StatementKind } from '../store/engine.ts';
import type { Answered } from './access-log.ts';

interface Backlog {
  readonly pending: number;
  readonly pendingBytes: number;
  readonly processed: number;
}

const SECONDS = [0.005, 0.025, 0.1, 0.5, 2.5, 10] as const;

/** What the service counts of itself, in the text form of Prometheus. */
export class Figures {
  /** `{operation,status}` → requests. Names come from declarations, so there are few. */
  readonly #requests = new Map<string, number>();
  /** Operation → cumulative counts by SECONDS, then all, then the sum of seconds. */
  readonly #seconds = new Map<string, number[]>();
  #malformed = 0;

  answered({ endpoint, route, status, ms }: Answered): void {
    const operation = endpoint?.id ?? route;
    const labels = `operation="${operation}",status="${status}"`;
    this.#requests.set(labels, (this.#requests.get(labels) ?? 0) + 1);
    const counts = this.#seconds.get(operation) ?? new Array<number>(SECONDS.length + 2).fill(0);
    for (const [i, bound] of SECONDS.entries()) if (ms / 1000 <= bound) counts[i]!++;
    counts[SECONDS.length]!++;
    counts[SECONDS.length + 1]! += ms / 1000;
    this.#seconds.set(operation, counts);
  }

  /** Bytes came that are no request. */
  malformed(): void {
    this.#malformed++;
  }

  text(backlog: Backlog, statements: Readonly<Record<StatementKind, StatementCount>>): string {
    const lines: string[] = [];
    const figure = (name: string, type: string, help: string, values: readonly string[]) => {
      lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...values);
    };
    figure(
      'posthorn_signals_requests_total',
      'counter',
      'Requests answered.',
      [...this.#requests].map(([labels, n]) => `posthorn_signals_requests_total{${labels}} ${n}`),
    );
    figure(
      'posthorn_signals_request_seconds',
      'histogram',
      'Time to answer.',
      [...this.#seconds].flatMap(([operation, counts]) => [
        ...[...SECONDS, '+Inf'].map(
          (le, i) =>
            `posthorn_signals_request_seconds_bucket{operation="${operation}",le="${le}"} ${counts[i]}`,
        ),
        `posthorn_signals_request_seconds_count{operation="${operation}"} ${counts[SECONDS.length]}`,
        `posthorn_signals_request_seconds_sum{operation="${operation}"} ${counts[SECONDS.length + 1]}`,
      ]),
    );
    const single = (name: string, type: string, help: string, value: number) =>
      figure(name, type, help, [`${name} ${value}`]);
    single(
      'posthorn_signals_malformed_total',
      'counter',
      'Connections that sent no valid HTTP.',
      this.#malformed,
    );
    single(
      'posthorn_signals_ingest_pending_batches',
      'gauge',
      'Batches taken and not yet processed.',
      backlog.pending,
    );
    single(
      'posthorn_signals_ingest_pending_bytes',
      'gauge',
      'Their size as they came, compressed.',
      backlog.pendingBytes,
    );
    single(
      'posthorn_signals_ingest_processed_total',
      'counter',
      'Batches processed since the start.',
      backlog.processed,
    );
    const kinds = Object.entries(statements);
    figure(
      'posthorn_signals_store_statements_total',
      'counter',
      'Statements that the event store was given, by how they ended.',
      kinds.flatMap(([kind, { done, failed }]) => [
        `posthorn_signals_store_statements_total{kind="${kind}",ended="well"} ${done}`,
        `posthorn_signals_store_statements_total{kind="${kind}",ended="failed"} ${failed}`,
      ]),
    );
    figure(
      'posthorn_signals_store_seconds_total',
      'counter',
      'Time that they took, without their time in the queue.',
      kinds.map(([kind, { seconds }]) => `posthorn_signals_store_seconds_total{kind="${kind}"} ${seconds}`),
    );
    return `${lines.join('\n')}\n`;
  }
}
