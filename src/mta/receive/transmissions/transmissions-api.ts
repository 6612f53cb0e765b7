/** Messages over HTTPS: `POST /api/v1/transmissions` (delivery guide, section 22). */
import { isAscii } from 'node:buffer';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Config } from '../../../config/index.ts';
import { SpoolWriteError } from '../../../spool/spool-write-error.ts';
import { suppressionFault } from '../recipient-rules.ts';
import { type ClientFacts, NO_VARIABLES, type Submission, type TakeMessage } from '../submission.ts';
import { ApiKeys } from './api-keys.ts';
import { parseTransmission, type Transmission } from './transmission.ts';
import type { TransmissionsLog } from './transmissions-log.ts';

export interface TransmissionsDeps {
  readonly config: () => Config;
  readonly takeMessage: TakeMessage;
  /** Why no message can be taken now (disk nearly full); null when all is well. */
  readonly spoolRefusal: () => string | null;
  readonly log: TransmissionsLog;
}

const PATH = '/api/v1/transmissions';
/** What a message may have when `max-message-size` sets no limit. */
const LARGEST_MESSAGE = 64 * 1024 * 1024;
const MOST_RECIPIENTS = 50_000;
/** JSON writes a line end as two or four characters, and everything beyond ASCII as six if it likes. */
const BODY_PER_MESSAGE = 2;
const BODY_BESIDES = 16 * 1024 * 1024;
/** Bodies being received or read, all together. */
const MOST_BYTES_AT_ONCE = 512 * 1024 * 1024;
/** Stored copies of one request: recipients with return paths of their own get one for each of these. */
const MOST_STORED = 256 * 1024 * 1024;

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

const MESSAGES: Readonly<Record<number, string>> = {
  400: 'bad request',
  403: 'forbidden',
  404: 'not found',
  405: 'method not allowed',
  413: 'request too large',
  500: 'internal error',
};

function failure(status: number, description: string): Answer {
  return { status, body: { errors: [{ message: MESSAGES[status], description }] } };
}

export class TransmissionsApi {
  readonly #deps: TransmissionsDeps;
  #keys = new ApiKeys([]);
  #keysOf: Config | null = null;
  #bytes = 0;

  constructor(deps: TransmissionsDeps) {
    this.#deps = deps;
  }

  /** Answers one request. Never rejects. */
  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { log } = this.#deps;
    const config = this.#deps.config();
    let answer: Answer;
    try {
      answer = await this.#answer(request, config);
    } catch (error) {
      if (error instanceof ConnectionLost) return;
      log.log.error(`a transmission failed: ${(error as Error).stack ?? error}`);
      answer = failure(500, 'the request could not be served, try again later');
    }
    const text = JSON.stringify(answer.body);
    log.answered(request, answer.status, text);
    response.statusCode = answer.status;
    response.setHeader('Content-Type', 'application/json');
    response.setHeader('Content-Length', Buffer.byteLength(text));
    if (answer.status === 405) response.setHeader('Allow', 'POST');
    // What was not read of the body must not be taken for the next request.
    if (!request.complete) response.setHeader('Connection', 'close');
    response.end(text);
  }

  async #answer(request: IncomingMessage, config: Config): Promise<Answer> {
    const path = (request.url ?? '').split('?', 1)[0];
    if (path !== PATH) return failure(404, 'there is nothing at this address');
    if (request.method !== 'POST') return failure(405, 'only POST is possible here');
    if (!this.#keysFor(config).accepts(request.headers.authorization)) {
      this.#deps.log.log.warn('transmission refused: no valid key', { client: request.socket.remoteAddress });
      return failure(403, 'the Authorization header must hold a valid API key');
    }
    const type = (request.headers['content-type'] ?? '').split(';', 1)[0]!.trim().toLowerCase();
    if (type !== 'application/json') return failure(400, 'Content-Type must be application/json');
    const source = config.sourceFor({ clientIp: null, reserved: '{transmissions-api}' });
    const mostBytes = Math.min(source.get('max-message-size'), LARGEST_MESSAGE);
    const body = await this.#body(request, mostBytes * BODY_PER_MESSAGE + BODY_BESIDES);
    if (!Buffer.isBuffer(body)) return body;
    const client = clientOf(request);
    this.#deps.log.body(body, client.remoteAddress);
    const refusal = this.#deps.spoolRefusal();
    if (refusal !== null) {
      this.#deps.log.log.warn(`transmission refused: ${refusal}`);
      return failure(500, 'insufficient system storage, try again later');
    }
    const mostRecipients = Math.min(source.get('max-rcpt-per-message'), MOST_RECIPIENTS);
    const transmission = parseTransmission(body, { mostBytes, mostRecipients });
    if ('bad' in transmission) return failure(400, transmission.bad);
    return await this.#take(transmission, client, config, source);
  }

  #keysFor(config: Config): ApiKeys {
    if (this.#keysOf !== config) {
      this.#keysOf = config;
      this.#keys = new ApiKeys(config.transmissionsApi?.get('api-key') ?? []);
    }
    return this.#keys;
  }

  /** The whole body, or why it is not taken. */
  async #body(request: IncomingMessage, most: number): Promise<Buffer | Answer> {
    const tooLarge = failure(413, `the body has more than ${most} bytes`);
    if (Number(request.headers['content-length'] ?? 0) > most) return tooLarge;
    const pieces: Buffer[] = [];
    let size = 0;
    try {
      for await (const piece of request) {
        size += (piece as Buffer).length;
        this.#bytes += (piece as Buffer).length;
        if (size > most) return tooLarge;
        if (this.#bytes > MOST_BYTES_AT_ONCE) return failure(500, 'too much at once, try again later');
        pieces.push(piece as Buffer);
      }
    } catch {
      throw new ConnectionLost();
    } finally {
      this.#bytes -= size;
    }
    if (!request.complete) throw new ConnectionLost();
    return Buffer.concat(pieces);
  }

  /** Everything is on disk before a 200 is answered. */
  async #take(
    { recipients, rejected, content, campaignId, smtpUtf8 }: Transmission,
    client: ClientFacts,
    config: Config,
    source: Submission['source'],
  ): Promise<Answer> {
    // One stored message has one sender.
    const bySender = new Map<string, string[]>();
    for (const { address, returnPath } of recipients) {
      if (suppressionFault(address, config, source)) continue;
      const same = bySender.get(returnPath);
      if (same) same.push(address);
      else bySender.set(returnPath, [address]);
    }
    if (bySender.size === 0) return failure(400, 'every recipient is in a suppression list');
    if (bySender.size > 1 && bySender.size * content.length > MOST_STORED) {
      return failure(400, 'too many different return paths for a message of this size');
    }
    const eightBit = !isAscii(content);
    const verdicts = [...bySender].map(async ([returnPath, addresses]) => {
      const verdict = await this.#deps.takeMessage({
        origin: 'http',
        client,
        source,
        config,
        sender: { address: returnPath, envId: '', returnContent: '', eightBit, smtpUtf8, verp: false },
        recipients: addresses.map((address) => ({
          ...{ address, originalRecipient: '', notify: [], variables: NO_VARIABLES, refusal: null },
        })),
        merge: false,
        parts: [{ number: 1, content }],
        ...(campaignId ? { jobId: campaignId } : {}),
      });
      return { verdict, count: addresses.length };
    });
    let accepted = 0;
    let refused: Answer | null = null;
    let lost: unknown = null;
    for (const result of await Promise.allSettled(verdicts)) {
      if (result.status === 'rejected') lost = result.reason;
      else if (result.value.verdict.accepted) accepted += result.value.count;
      else {
        const { code, text } = result.value.verdict.reply;
        refused = failure(code >= 500 ? 400 : 500, [text].flat().join(' '));
      }
    }
    if (lost && !(lost instanceof SpoolWriteError)) throw lost;
    if (accepted === 0) {
      if (lost) this.#deps.log.log.error(`a message could not be stored: ${(lost as Error).message}`);
      return refused ?? failure(500, 'the message could not be stored, try again later');
    }
    const total = recipients.length + rejected;
    return {
      status: 200,
      body: { results: { total_accepted_recipients: accepted, total_rejected_recipients: total - accepted } },
    };
  }
}

/** The client went away before it had said everything. */
class ConnectionLost extends Error {}

function clientOf({ socket }: IncomingMessage): ClientFacts {
  const plain = (address = '') => address.replace(/^::ffff:(?=[\d.]+$)/, '');
  return {
    heloName: '',
    remoteAddress: plain(socket.remoteAddress),
    localAddress: plain(socket.localAddress),
    user: null,
    tls: true,
    esmtp: false,
  };
}
