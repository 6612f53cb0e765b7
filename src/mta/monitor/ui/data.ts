/** What the data pages' JSON has (management guide, sections 4.2 to 4.5), as far as the pages show it. */

export interface Moved {
  readonly rcp: number;
  readonly msg: number;
  readonly kb: number;
}

export interface Window {
  readonly in: Moved;
  readonly out: Moved;
  readonly bounceProcessed: number;
  readonly feedbackLoopProcessed: number;
}

export interface Connections {
  readonly cur: number;
  readonly top: number;
  readonly max: number;
}

export interface Waiting {
  readonly rcp: number;
  readonly dom: number;
  readonly kb: number;
}

export interface StatusData {
  readonly mta: {
    readonly product: { readonly name: string; readonly version: string };
    readonly fullHostName: string;
  };
  readonly status: {
    readonly timeNow: string;
    readonly startupTime: string;
    readonly status: string;
    readonly traffic: {
      readonly [window in 'total' | 'lastHr' | 'topPerHr' | 'lastMin' | 'topPerMin']: Window;
    };
    readonly conn: { readonly smtpIn: Connections; readonly smtpOut: Connections };
    readonly resolver: { readonly namesCached: number; readonly queriesPending: number };
    readonly queue: Readonly<Record<string, Waiting>>;
    readonly spool: {
      readonly initPct: number;
      readonly files: { readonly inUse: number; readonly recycled: number };
      readonly totalRcp: number;
      readonly maxRcp: number;
    };
  };
}

export interface ChartMinute {
  readonly time: string;
  readonly smtpIn: number;
  readonly smtpOut: number;
}

export interface ErrorData {
  readonly time: string;
  readonly text: string;
}

export interface Row {
  readonly name: string;
  readonly rcp: number;
  readonly kb: number;
  readonly conn: number;
}

export interface DomainRow extends Row {
  readonly errors: readonly ErrorData[];
}

export interface QueueRow extends DomainRow {
  readonly paused: boolean;
  readonly mode: string;
  readonly backoffReason: string;
  readonly retryTime: string;
}

export interface VmtaRow extends Row {
  readonly dom: number;
  readonly pctOfTotal: number;
}

export interface JobRow extends Row {
  readonly dom: number;
  readonly paused: boolean;
  readonly schedStartTime: string;
}

export interface SummaryData extends StatusData {
  readonly domains: readonly DomainRow[];
  readonly chart: readonly ChartMinute[];
}

export interface RecipientEventData {
  readonly event: string;
  readonly time: string;
  readonly sourceIp: string;
  readonly rcpt: string;
  readonly jobId: string;
  readonly mta: string;
  readonly diag: string;
}

export interface QueueDetailData {
  readonly queue: QueueRow & {
    readonly modeEvents: readonly { readonly time: string; readonly mode: string; readonly reason: string }[];
    /** Only where they are tracked. */
    readonly rcptEvents?: readonly RecipientEventData[];
  };
  readonly disabledSources: readonly {
    readonly ip: string;
    readonly reenableTime: string;
    readonly reason: string;
  }[];
  readonly settings?: {
    readonly vmta: Readonly<Record<string, string>>;
    readonly queue: Readonly<Record<string, string>>;
  };
}
