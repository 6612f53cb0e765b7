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
  /** Whether `atContent` has anything to do for this source; not given: always. */
  wantsContent?(source: Settings<'source'>): boolean;
  /** The content is here and not yet taken. */
  atContent?(session: CheckedSession, content: Buffer): MaybeLater<CheckResult | null>;
}

/** Asks all checks; the first refusal ends it. The fields of those asked are put into `fields`. */
export function askChecks(
  checks: readonly ReceptionCheck[],
  ask: (check: ReceptionCheck) => MaybeLater<CheckResult | null> | undefined,
  fields: string[],
): MaybeLater<Reply | null> {
  // Most have nothing to say and say so at once; only one that must look something up makes the session wait.
  for (let i = 0; i < checks.length; i++) {
    const result = ask(checks[i]!);
    if (result instanceof Promise) return askOn(result, checks.slice(i + 1), ask, fields);
    const refusal = heard(result, fields);
    if (refusal) return refusal;
  }
  return null;
}

async function askOn(
  first: Promise<CheckResult | null>,
  others: readonly ReceptionCheck[],
  ask: (check: ReceptionCheck) => MaybeLater<CheckResult | null> | undefined,
  fields: string[],
): Promise<Reply | null> {
  return heard(await first, fields) ?? (await askChecks(others, ask, fields));
}

function heard(result: CheckResult | null | undefined, fields: string[]): Reply | null {
  if (!result) return null;
  fields.push(...result.fields);
  return result.refusal;
}
