/** SPF, reverse DNS and DKIM of mail that comes in over SMTP, as its source asks (`check-…-inbound`). */
import { Readable } from 'node:stream';
import type { Settings } from '../../../config/index.ts';
import type { Resolver } from '../../../dns/index.ts';
import { Turnstile } from '../../../dns/turnstile.ts';
import { Header } from '../../../mail/header.ts';
import { type MaybeLater, type Reply, reply } from '../../../smtp/index.ts';
import type { Clock } from '../../../system/clock.ts';
import { reason } from '../../../system/durable-file.ts';
import type { Log } from '../../../system/log.ts';
import type { CheckedSession, CheckResult, ReceptionCheck } from '../reception-checks.ts';
import { checkIprev, IPREV_LOOKUPS } from './iprev.ts';
import { Lookups } from './lookups.ts';
import { forgedResults, type MethodResult, resultsField, withoutPieces } from './results-header.ts';

export interface InboundChecksDeps {
  readonly resolver: () => Pick<Resolver, 'query'>;
  readonly hostName: string;
  readonly clock: Clock;
  readonly log: Log;
}

/** RFC 7208 section 4.6.4 wants 20 seconds at least for SPF; the client waits for its reply meanwhile. */
const LONGEST_CHECK_MS = 20_000;
/** RFC 7208 section 4.6.4: 10 terms that ask, of which an MX asks for 10 hosts, both families, and some slack. */
const SPF_LOOKUPS = 250;
const SPF_TERMS = 10;
/** Signatures looked at: each costs a question and a public-key operation. Real mail has up to four. */
const MOST_SIGNATURES = 10;
/** The hashing is done in pieces between which others have their turn; of so many messages at a time. */
const MESSAGES_AT_A_TIME = 2;
const PIECE_BYTES = 16 * 1024;

type Bare = Omit<MethodResult, 'trace'>;

export class InboundChecks implements ReceptionCheck {
  readonly #deps: InboundChecksDeps;
  readonly #turnstile = new Turnstile(MESSAGES_AT_A_TIME);

  constructor(deps: InboundChecksDeps) {
    this.#deps = deps;
  }

  /** Reverse DNS, then SPF: either may refuse the sender. */
  atMail(session: CheckedSession): MaybeLater<CheckResult | null> {
    const { source } = session;
    return source.get('check-iprev-inbound') || source.get('check-spf-inbound')
      ? this.#sender(session)
      : null;
  }

  async #sender(session: CheckedSession): Promise<CheckResult | null> {
    const { source, client, sender } = session;
    const results: MethodResult[] = [];
    if (source.get('check-iprev-inbound')) {
      const iprev = await this.#run(IPREV_LOOKUPS, source.get('trace-iprev-check'), 'iprev', (lookups) =>
        checkIprev(client, lookups),
      );
      const refusal = iprevRefusal(iprev, session);
      if (refusal) return this.#refused(refusal, iprev, session);
      results.push(iprev);
    }
    if (source.get('check-spf-inbound')) {
      const result = await this.#run(SPF_LOOKUPS, source.get('trace-spf-check'), 'spf', (lookups) =>
        this.#spf(session, lookups),
      );
      const refusal = spfRefusal(result, session);
      if (refusal) return this.#refused(refusal, result, session);
      results.push(result);
    }
    if (results.length === 0) return null;
    this.#deps.log.info('sender checked', {
      client: client.remoteAddress,
      sender,
      results: results.map(({ method, result }) => `${method}=${result}`).join(' '),
    });
    return { refusal: null, fields: [resultsField(this.#deps.hostName, results)] };
  }

  wantsContent(source: Settings<'source'>): boolean {
    return (
      source.get('check-dkim-inbound') || source.get('check-spf-inbound') || source.get('check-iprev-inbound')
    );
  }

  /** DKIM, which refuses nothing; and away with results that claim to be ours. */
  async atContent(session: CheckedSession, content: Buffer): Promise<CheckResult | null> {
    const { source, config } = session;
    if (!this.wantsContent(source)) return null;
    const dkim = source.get('check-dkim-inbound');
    const header = new Header(content);
    const fields: string[] = [];
    if (dkim) fields.push(resultsField(this.#deps.hostName, await this.#dkim(session, content, header)));
    const forged = forgedResults(header, [this.#deps.hostName, ...config.hostNames]);
    if (forged.length === 0) return { refusal: null, fields };
    this.#deps.log.warn('forged Authentication-Results taken out', {
      client: session.client.remoteAddress,
      fields: forged.length,
    });
    return { refusal: null, fields, content: withoutPieces(content, forged) };
  }

  async #spf({ client, sender, source }: CheckedSession, lookups: Lookups): Promise<Bare> {
    const voids = source.get('check-spf-inbound-max-void-lookups');
    const helo = client.heloName;
    const { spf } = await import('mailauth/lib/spf/index.js');
    const found = await spf({
      sender,
      ip: client.remoteAddress,
      helo,
      mta: this.#deps.hostName,
      maxResolveCount: SPF_TERMS,
      // The library takes 0 for "not given"; more than -1 is what "more than none" means.
      maxVoidCount: voids === 0 ? -1 : voids,
      maxElapsedTime: LONGEST_CHECK_MS,
      resolver: lookups.resolve as never,
      strict: true,
    });
    const { result, comment } = found.status as { result: string; comment?: string | false };
    return {
      method: 'spf',
      result,
      comment: typeof comment === 'string' ? comment : '',
      // RFC 8601 section 2.7.2: the identity that was checked.
      properties: sender === '' ? [['smtp.helo', helo]] : [['smtp.mailfrom', sender]],
    };
  }

  async #dkim(session: CheckedSession, content: Buffer, header: Header): Promise<MethodResult[]> {
    const plain = (result: string, comment: string): MethodResult => ({
      ...{ method: 'dkim', result, comment, properties: [], trace: [] },
    });
    const signatures = header.all('dkim-signature');
    if (signatures.length === 0) return [plain('none', 'the message is not signed')];
    if (content.length > session.source.get('check-dkim-inbound-max-size')) {
      return [plain('temperror', 'the message is too large to be checked')];
    }
    const asked = withoutPieces(content, signatures.slice(MOST_SIGNATURES));
    const lookups = new Lookups(this.#deps.resolver(), MOST_SIGNATURES);
    // Loaded when they are needed: the library is half of what the server would load at its start.
    const { dkimVerify } = await import('mailauth/lib/dkim/verify.js');
    let over = false;
    const found = await this.#inTime(
      this.#turnstile.pass(async (): Promise<{ readonly results: unknown }> => {
        // The library takes a buffer in one go, and a large one takes it a second.
        const input = Readable.from(
          inPieces(asked, () => over),
          { objectMode: false, highWaterMark: 1 },
        );
        return dkimVerify(input, { resolver: lookups.resolve as never, strict: true } as never);
      }),
    );
    over = true;
    if (typeof found === 'string') return [plain('temperror', found)];
    const trace = session.source.get('trace-dkim-check') ? lookups.trace : [];
    const results = (found.results as unknown as DkimResult[]).map(
      ({ status, signingDomain, selector, algo, signature }, i): MethodResult => ({
        method: 'dkim',
        result: status.result,
        comment: typeof status.comment === 'string' ? status.comment : '',
        properties: [
          ['header.d', signingDomain || ''],
          ['header.s', selector || ''],
          ['header.a', algo || ''],
          // Tells signatures of one domain apart (RFC 6008).
          ['header.b', (signature || '').slice(0, 8)],
        ],
        trace: i === 0 ? trace : [],
      }),
    );
    return results.length > 0 ? results : [plain('none', 'the message is not signed')];
  }

  /** One check, within its time and its number of questions. */
  async #run(
    most: number,
    traced: boolean,
    method: MethodResult['method'],
    check: (lookups: Lookups) => Promise<Bare>,
  ): Promise<MethodResult> {
    const lookups = new Lookups(this.#deps.resolver(), most);
    const found = await this.#inTime(check(lookups));
    const trace = traced ? lookups.trace : [];
    return typeof found === 'string'
      ? { method, result: 'temperror', comment: found, properties: [], trace }
      : { ...found, trace };
  }

  /** What comes of it; text when it takes too long or fails. */
  async #inTime<T extends object>(work: Promise<T>): Promise<T | string> {
    let cancel = () => {};
    const late = new Promise<string>((resolve) => {
      cancel = this.#deps.clock.after(LONGEST_CHECK_MS, () => resolve('the check took too long'));
    });
    try {
      return await Promise.race([work, late]);
    } catch (error) {
      this.#deps.log.warn(`a check of incoming mail failed: ${reason(error)}`);
      return 'the check failed';
    } finally {
      cancel();
    }
  }

  #refused(
    refusal: Reply,
    { method, result }: MethodResult,
    { client, sender }: CheckedSession,
  ): CheckResult {
    this.#deps.log.info(`sender refused: ${method}=${result}`, { client: client.remoteAddress, sender });
    return { refusal, fields: [] };
  }
}

interface DkimResult {
  readonly status: { readonly result: string; readonly comment?: string | false };
  readonly signingDomain?: string | false;
  readonly selector?: string | false;
  readonly algo?: string;
  readonly signature?: string;
}

/** Pieces of a message, one per turn of the event loop; none any more once nobody waits for the outcome. */
async function* inPieces(content: Buffer, over: () => boolean): AsyncGenerator<Buffer> {
  for (let at = 0; at < content.length && !over(); at += PIECE_BYTES) {
    yield content.subarray(at, at + PIECE_BYTES);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Codes of RFC 7372 section 3.2. */
function spfRefusal({ result }: MethodResult, { source }: CheckedSession): Reply | null {
  if (result === 'fail' && source.get('reject-spf-check-fail')) {
    return reply(550, '5.7.23', 'SPF: the sender does not permit your address');
  }
  if (result === 'permerror' && source.get('reject-spf-check-permerror')) {
    return reply(550, '5.7.24', 'SPF: the record of the sender is broken');
  }
  if (result === 'temperror' && source.get('reject-spf-check-temperror')) {
    return reply(451, '4.7.24', 'SPF could not be checked, try again later');
  }
  return null;
}

/** Codes of RFC 7372 section 3.3. */
function iprevRefusal({ result }: MethodResult, { source }: CheckedSession): Reply | null {
  if (result === 'fail' && source.get('reject-iprev-check-fail')) {
    return reply(550, '5.7.25', 'the name of your address does not have your address');
  }
  if (result === 'permerror' && source.get('reject-iprev-check-permerror')) {
    return reply(550, '5.7.25', 'your address has no name');
  }
  if (result === 'temperror' && source.get('reject-iprev-check-temperror')) {
    return reply(451, '4.7.25', 'the name of your address could not be looked up, try again later');
  }
  return null;
}
