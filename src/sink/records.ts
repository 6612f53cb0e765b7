/**
 * The sink's ledger: one JSON object per line. Everything else that the sink knows (counters, what is still to do, how
 * often somebody tried) is a view of these records and can be made again from them.
 */
export type LedgerRecord = Accepted | Refused | Dropped | Done | Authenticated | Snapshot;

/** A copy of a message for one recipient that the sink took. On disk before the sender hears `250`. */
export interface Accepted {
  readonly k: 'accepted';
  /** Names this copy: transaction and position of the recipient in it. */
  readonly id: string;
  /** Milliseconds since the epoch. */
  readonly at: number;
  /** Message-ID without brackets; a hash of the content when there is none. */
  readonly mid: string;
  readonly rcpt: string;
  /** Envelope sender, '' for the null sender. */
  readonly from: string;
  readonly client: string;
  readonly label: string;
  readonly provider: string;
  /** Reply to the final dot; '' when the sink dropped the connection instead of answering. */
  readonly reply: string;
  readonly size: number;
  /** ENVID and ORCPT of the envelope (RFC 3461), '' when not given. */
  readonly envid: string;
  readonly orcpt: string;
  /** TLS version of the connection, '' without TLS. */
  readonly tls: string;
  readonly tag: string;
  /** This message was taken for this recipient before. Nobody acts on the second copy. */
  readonly dup: boolean;
  /** Counted as spam trap hit. */
  readonly trap: boolean;
  /** Images and links that point to no tracker, so nobody fetches them. */
  readonly foreignImages: number;
  readonly foreignLinks: number;
  /** What people and machines will do with it, in this order. */
  readonly plan: readonly PlannedAction[];
}

export type ActionKind = 'initial_open' | 'open' | 'click' | 'unsubscribe' | 'oob' | 'fbl' | 'autoreply';
/** Who acts: a person, a proxy fetching ahead of the person, a security scanner, a link previewer. */
export type Actor = 'person' | 'prefetch' | 'scanner' | 'bot';

export interface PlannedAction {
  readonly kind: ActionKind;
  readonly who: Actor;
  /** Milliseconds since the epoch. */
  readonly due: number;
  /** What to fetch; '' for mail that is sent back. */
  readonly url: string;
  /** User agent, or for mail sent back its variant: the status code, the feedback type. */
  readonly how: string;
}

/** A recipient or transaction that the sink did not take: a deferral when the code is below 500. */
export interface Refused {
  readonly k: 'refused';
  readonly at: number;
  readonly stage: 'rcpt' | 'data' | 'dot';
  readonly rcpt: string;
  readonly from: string;
  readonly client: string;
  readonly label: string;
  readonly provider: string;
  readonly code: number;
  readonly reply: string;
  /** 1 for the first try of this sender and recipient. */
  readonly attempt: number;
  readonly tag: string;
}

/** The connection was closed (or kept silent) on purpose. */
export interface Dropped {
  readonly k: 'dropped';
  readonly at: number;
  readonly stage: 'rcpt' | 'data' | 'dot';
  readonly rcpt: string;
  readonly from: string;
  readonly client: string;
  readonly label: string;
}

/** One planned action was carried out, or given up. */
export interface Done {
  readonly k: 'done';
  readonly at: number;
  readonly id: string;
  /** Position in the plan. */
  readonly n: number;
  readonly kind: ActionKind;
  readonly who: Actor;
  /** The other side took it: 200 with a picture, a redirect, 250. */
  readonly ok: boolean;
  /** A request was sent and no answer came back: the other side may have counted it (once more, when `ok`). */
  readonly doubt: boolean;
  /** HTTP status or SMTP reply code, 0 when there was no answer. */
  readonly status: number;
  /** What was wrong, '' when nothing. */
  readonly fault: string;
  readonly tries: number;
}

/** Result of looking at a message's DKIM signatures, after it was accepted. */
export interface Authenticated {
  readonly k: 'auth';
  readonly at: number;
  readonly id: string;
  readonly dkim: 'pass' | 'fail' | 'none';
}

/** First line of a ledger that continues another: the counters up to here, and the copies with something left to do. */
export interface Snapshot {
  readonly k: 'snapshot';
  readonly at: number;
  readonly counters: Readonly<Record<string, number>>;
  readonly open: readonly { readonly record: Accepted; readonly done: readonly number[] }[];
}
