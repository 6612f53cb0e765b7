/** `type http-delivery`: one POST per recipient (guide sections 3.3.10.98, 10.20). */
import http from 'node:http';
import https from 'node:https';
import type { Config } from '../../config/index.ts';
import { Header } from '../../mail/header.ts';
import { statusTexts } from '../accounting/dsn-text.ts';
import type { ConnectionGrant } from '../queue/scheduler.ts';
import { type ConnectionAttempt, noAttempt } from './attempt.ts';
import type { Transport } from './delivery.ts';
import { HeaderFiles, type HeaderLine } from './http-headers-file.ts';
import { type PostEnds, type PostResult, post } from './http-post.ts';
import { returnPath } from './return-path.ts';
import { describeStatus, localStatus } from './status.ts';
import { type Handover, type Job, type WorkLoopDeps, workThrough } from './work-loop.ts';

export interface HttpDeliveryDeps extends WorkLoopDeps {
  /** Authorities to trust in place of the system's, for tests. */
  readonly ca?: string;
}

/** Answers that are about the service and not about the mail: the queue waits with them. */
const SERVICE_AWAY = new Set([429, 502, 503, 504]);

export class HttpDelivery implements Transport {
  readonly #deps: HttpDeliveryDeps;
  readonly #headerFiles = new HeaderFiles();

  constructor(deps: HttpDeliveryDeps) {
    this.#deps = deps;
  }

  async run(grant: ConnectionGrant, config: Config): Promise<void> {
    const { queue } = grant;
    const settings = config.queue(queue.domain, queue.vmta);
    const none = noAttempt(queue, config.vmtas.get(queue.vmta.toLowerCase())!, 'http-delivery');
    const misconfigured = (error: string): Handover => ({
      attempt: none,
      tried: [],
      queueFailure: { status: localStatus('4.3.5', 'system incorrectly configured', config), error },
    });
    const text = settings.get('http-delivery-url');
    const url = text ? new URL(text) : null;
    const file = settings.get('http-delivery-extra-headers');
    const extra = file ? await this.#headerFiles.lines(file, config) : [];
    // A grant is leave for one connection.
    const limits = { keepAlive: true, maxSockets: 1 };
    const agent =
      url?.protocol === 'https:'
        ? new https.Agent({ ...limits, rejectUnauthorized: true, minVersion: 'TLSv1.2', ca: this.#deps.ca })
        : new http.Agent(limits);
    try {
      await workThrough(this.#deps, grant, config, {
        attempt: none,
        atMost: 1,
        action: 'relayed',
        handOver: async (job) => {
          if (!url) return misconfigured('http-delivery-url is not set');
          if (typeof extra === 'string') return misconfigured(`http-delivery-extra-headers ${extra}`);
          return this.#handOver(job, none, url, extra, agent);
        },
      });
    } finally {
      agent.destroy();
    }
  }

  async #handOver(
    job: Job,
    none: ConnectionAttempt,
    url: URL,
    extra: readonly HeaderLine[],
    agent: http.Agent,
  ): Promise<Handover> {
    const { envelope, items, settings, config, queue } = job;
    const item = items[0]!;
    const recipient = envelope.recipients[item.index]!.address;
    const result = await post({
      url,
      headers: [
        ['Host', url.host],
        ['Content-Type', 'application/json'],
        ['User-Agent', 'Posthorn'],
        ...extra,
      ],
      body: httpDeliveryBody(returnPath(envelope, item.index), recipient, job.content),
      agent,
      connectTimeoutMs: settings.get('connect-timeout'),
      answerTimeoutMs: settings.get('smtp-data-termination-timeout'),
      clock: this.#deps.clock,
    });
    const attempt = { ...none, remoteHost: url.hostname, ...endsOf(result.ends) };
    if (result.kind === 'failed') {
      const status = localStatus('4.4.1', 'no answer from host', config);
      return { attempt, tried: [], queueFailure: { status, error: `${url.host}: ${result.error}` } };
    }
    const words = `${result.code} ${result.reason}`.trim();
    if (result.code === 200) {
      const status = describeStatus('2.0.0', statusTexts.success, `x-http;${words}`, config);
      return { attempt, tried: [{ item, result: { kind: 'delivered', status } }] };
    }
    this.#deps.log.info(`${queue.name}: ${url.host} answered ${words}${said(result)}`, {
      id: envelope.facts.spoolId,
      recipient,
    });
    const status = describeStatus('4.0.0', 'undefined status', `x-http;${words}`, config);
    const tried = [{ item, result: { kind: 'deferred' as const, status } }];
    if (!SERVICE_AWAY.has(result.code)) return { attempt, tried };
    // The recipient has its record; without this rest, so would every other one of the queue at once.
    return { attempt, tried, queueFailure: { status, error: `${url.host}: ${words}`, unrecorded: true } };
  }
}

function endsOf(ends: PostEnds): Partial<ConnectionAttempt> {
  const { localAddress, remoteAddress, tlsProtocol, tlsCipher } = ends;
  if (remoteAddress === '') return {};
  return { sourceIp: localAddress, destinationIp: remoteAddress, tlsProtocol, tlsCipher };
}

function said({ text }: Extract<PostResult, { kind: 'answered' }>): string {
  return text.trim() === '' ? '' : `: ${text.trim()}`;
}

/** The JSON of one request. A message with bytes beyond ASCII goes as Base64, so that none of them can change. */
export function httpDeliveryBody(from: string, to: string, message: Buffer): Buffer {
  const plain = message.every((octet) => octet < 0x80);
  const header = new Header(message);
  return Buffer.from(
    JSON.stringify({
      msg_from: from,
      rcpt_to: to,
      content: {
        email_rfc822: plain ? message.toString('latin1') : message.toString('base64'),
        ...(plain ? {} : { email_rfc822_is_base64: true }),
        // A null prototype: a header may be called __proto__.
        headers: header
          .entries(MOST_HEADERS)
          .map(([name, value]) =>
            Object.assign(Object.create(null) as object, { [name]: value.toWellFormed() }),
          ),
      },
    }),
  );
}

const MOST_HEADERS = 10_000;
