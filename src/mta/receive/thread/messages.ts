/** What the main thread and the thread of SMTP reception say to each other. */

import type { LogEntry } from './forwarded-log.ts';
import type { HandedOver, Judged } from './hand-over.ts';
import type { DnsAnswered, DnsAsked } from './remote-resolver.ts';
import type { RootAsked, RootGiven } from './remote-root.ts';

/** What the thread starts with. */
export interface ReceptionThreadData {
  readonly hostName: string;
  /** Sessions open now, and the most that were open at one time: the thread writes, the main thread reads. */
  readonly sessions: Int32Array;
}

export type ToReception =
  /** To be brought into force; answered by `done` or `failed`. */
  | {
      readonly kind: 'apply';
      readonly ask: number;
      /** Names this configuration from now on. */
      readonly config: number;
      readonly file: string;
      readonly texts: ReadonlyMap<string, string>;
      readonly refusal: string | null;
    }
  /** No more connections; answered by `done` when all sessions have ended. */
  | { readonly kind: 'close'; readonly ask: number; readonly graceMs: number }
  /** Why no message can be taken now; null when all is well. */
  | { readonly kind: 'refusal'; readonly why: string | null }
  | { readonly kind: 'judged'; readonly messages: readonly Judged[] }
  | DnsAnswered
  | RootGiven;

export type FromReception =
  | { readonly kind: 'done'; readonly ask: number; readonly addresses: readonly string[] }
  /** In a sentence for the operator, who can mend it; where that cannot be, `fault` says whence it came. */
  | {
      readonly kind: 'failed';
      readonly ask: number;
      readonly message: string;
      readonly fault: string | null;
    }
  | HandedOver
  | DnsAsked
  | RootAsked
  | LogEntry
  /** How long messages took to come in, added up. */
  | {
      readonly kind: 'timed';
      readonly count: number;
      readonly mailFrom: number;
      readonly data: number;
      readonly total: number;
    }
  /** No session has this configuration any more, and it is not in force. */
  | { readonly kind: 'unused'; readonly config: number };
