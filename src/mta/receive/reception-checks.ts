/**
 * Where checks of a session stand: SPF, reverse DNS, DKIM and their like. Reception asks each in turn at the moments it
 * has something to say about; a check may refuse, or add header fields to the message.
 */
import type { Config, Settings } from '../../config/index.ts';
import type { MaybeLater, Reply } from '../../smtp/index.ts';
import type { ClientFacts } from './submission.ts';

/** What a check may look at. */
export interface CheckedSession {
  readonly client: ClientFacts;
  readonly source: Settings<'source'>;
  readonly config: Config;
  /** Envelope sender as given; '' is the null sender. */
  readonly sender: string;
}

export interface CheckResult {
  readonly refusal: Reply | null;
  /** Complete header fields (`headerField`), put directly below our Received. */
  readonly fields: readonly string[];
  /** At content: what takes the place of the message's content; a mail merge's stays as it is. */
  readonly content?: Buffer;
}

/** A check that leaves out a moment, or answers null, has nothing to say then. */
export interface ReceptionCheck {
  atMail?(session: CheckedSession): MaybeLater<CheckResult | null>;
  atRcpt?(session: CheckedSession, recipient: string): MaybeLater<CheckResult | null>;
  /** At DATA, before content comes. */
  atData?(session: CheckedSession): MaybeLater<CheckResult | null>;
  /** The content is here and not yet taken. */
  atContent?(session: CheckedSession, content: Buffer): MaybeLater<CheckResult | null>;
}

/** Asks all checks; the first refusal ends it. The fields of those asked are put into `fields`. */
export async function askChecks(
  checks: readonly ReceptionCheck[],
  ask: (check: ReceptionCheck) => MaybeLater<CheckResult | null> | undefined,
  fields: string[],
): Promise<Reply | null> {
  for (const check of checks) {
    const result = await ask(check);
    if (!result) continue;
    fields.push(...result.fields);
    if (result.refusal) return result.refusal;
  }
  return null;
}
