/** A message on its way in, whichever door it came by: SMTP, a pickup file, the HTTP API. */
import type { Config, Listener, Settings } from '../../config/index.ts';
import type { StatusFacts } from '../../events/outcome.ts';
import type { Reply } from '../../smtp/index.ts';
import type { NotifyRequest } from '../../spool/stored-message.ts';

/** Who handed the message over. Empty texts where the door does not know. */
export interface ClientFacts {
  readonly heloName: string;
  readonly remoteAddress: string;
  readonly localAddress: string;
  /** SMTP AUTH user; null when none. */
  readonly user: string | null;
  readonly tls: boolean;
  /** The client said EHLO. */
  readonly esmtp: boolean;
}

export interface SubmittedSender {
  /** As given, perhaps without a domain; '' is the null sender. */
  readonly address: string;
  /** ENVID of MAIL; '' when none. */
  readonly envId: string;
  /** RET of MAIL; '' when not given. */
  readonly returnContent: '' | 'full' | 'headers';
  /** BODY=8BITMIME was given. */
  readonly eightBit: boolean;
  readonly smtpUtf8: boolean;
  /** Each recipient gets a return path of its own (VERP parameter of MAIL). */
  readonly verp: boolean;
}

/** A merge variable's name in lower case, with its `*` if it is a reserved one; values: one character per octet. */
export type MergeVariables = ReadonlyMap<string, string>;

export const NO_VARIABLES: MergeVariables = new Map();

export interface SubmittedRecipient extends NotifyRequest {
  /** As given, perhaps without a domain. */
  readonly address: string;
  /** ORCPT without its type; '' when none. */
  readonly originalRecipient: string;
  /** Empty for ordinary mail. */
  readonly variables: MergeVariables;
  /** Taken only to be bounced, with this; null for a recipient like any other. */
  readonly refusal: StatusFacts | null;
}

export interface SubmittedPart {
  /** Positive and unique in its submission; 1 for the content of ordinary mail. */
  readonly number: number;
  readonly content: Buffer;
}

/** A submission received whole, with all that is known about how. */
export interface Submission {
  readonly origin: 'smtp' | 'pickup' | 'http';
  readonly client: ClientFacts;
  /** Where it came in over SMTP. */
  readonly listener?: Listener;
  readonly source: Settings<'source'>;
  /** The configuration that the session began with; a reload meanwhile does not change rules in mid-message. */
  readonly config: Config;
  readonly sender: SubmittedSender;
  /** At least one. */
  readonly recipients: readonly SubmittedRecipient[];
  /** Mail merge: the content is a template, and each recipient's message is one of its own. */
  readonly merge: boolean;
  /** In the order they came; one, unless this is mail merge. */
  readonly parts: readonly SubmittedPart[];
  /** Header fields, complete lines, that the door's checks add below our Received. */
  readonly addedFields?: readonly string[];
  /** `campaign_id` of the HTTP API: goes before X-Job. */
  readonly jobId?: string;
  /** What it was taken from, kept with the message on disk so that it is never taken twice: see `Spool.store`. */
  readonly claim?: string;
}

/** What became of a submission: responsibility was taken and it is on disk, or it was refused. */
export type Verdict =
  | { readonly accepted: true; readonly spoolId: string; readonly reply: Reply }
  | { readonly accepted: false; readonly reply: Reply };

/** Takes responsibility for a message or refuses it. Throws SpoolWriteError when the disk does not take it. */
export type TakeMessage = (submission: Submission) => Promise<Verdict>;

export function refused(reply: Reply): Verdict {
  return { accepted: false, reply };
}
