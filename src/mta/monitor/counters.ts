import type { Outcome, OutcomeView } from '../../events/outcome.ts';

/** Totals since the spool was made: recipients by what became of them. */
export interface Totals {
  received: number;
  delivered: number;
  bounced: number;
  deferred: number;
  queueDeferred: number;
  remoteBounces: number;
  remoteStatuses: number;
  complaints: number;
  /** Of those three, the ones that match no message of ours. */
  unmatchedReports: number;
  /** And the ones that say again what was reported before. */
  repeatedReports: number;
}

const NONE: Totals = {
  received: 0,
  delivered: 0,
  bounced: 0,
  deferred: 0,
  queueDeferred: 0,
  remoteBounces: 0,
  remoteStatuses: 0,
  complaints: 0,
  unmatchedReports: 0,
  repeatedReports: 0,
};

const FIELD: Record<Outcome['kind'], keyof Totals> = {
  received: 'received',
  delivered: 'delivered',
  bounced: 'bounced',
  deferred: 'deferred',
  'queue-deferred': 'queueDeferred',
  'remote-bounce': 'remoteBounces',
  'remote-status': 'remoteStatuses',
  complaint: 'complaints',
};

/** The counters are a view of the outcomes like any other: exact across restarts, since the checkpoint is the counts. */
export class CountersView implements OutcomeView {
  readonly name = 'counters';
  readonly #onOutcome: (outcome: Outcome) => void;
  #totals: Totals = { ...NONE };

  /** `onOutcome` sees each once more: for figures that a restart may forget. */
  constructor(onOutcome: (outcome: Outcome) => void = () => {}) {
    this.#onOutcome = onOutcome;
  }

  get totals(): Readonly<Totals> {
    return this.#totals;
  }

  async open(stored: unknown): Promise<number> {
    this.#totals = { ...NONE, ...(stored as Partial<Totals> | null) };
    return 0;
  }

  write(_seq: number, outcome: Outcome): void {
    this.#totals[FIELD[outcome.kind]]++;
    this.#onOutcome(outcome);
    if (!('sentTo' in outcome) || outcome.matched) return;
    this.#totals[outcome.repeated ? 'repeatedReports' : 'unmatchedReports']++;
  }

  async flush(): Promise<unknown> {
    return { ...this.#totals };
  }

  async close(): Promise<void> {}
}
