import { createReadStream } from 'node:fs';
import http from 'node:http';
import { listen } from '../system/listen.ts';
import type { MailFiles } from './mail-files.ts';
import type { Done, Refused } from './records.ts';
import type { Listed, Tally } from './tally.ts';

export interface ControlOptions {
  readonly tally: Tally;
  readonly files: MailFiles;
  /** Path of the ledger, for `GET /v1/ledger`. */
  readonly ledger: () => string;
  readonly startedAt: number;
  /** Work that is under way beside planned actions (signature checks). */
  readonly busy: () => number;
  readonly reset: () => Promise<void>;
}

const MOST_LISTED = 1000;

/** What the platform's analytics should show after everything is done: compare with Signals. */
export interface Expected {
  /** Message copies (one per recipient) that the sink took, duplicates included. */
  readonly accepted: number;
  /** The same without copies that were taken before. */
  readonly messages: number;
  readonly duplicates: number;
  /** Taken, but the connection was cut instead of an answer. */
  readonly unanswered: number;
  /** Recipients refused for good, deferred for now, and all refusals by basic code. */
  readonly refused: number;
  readonly deferred: number;
  readonly byCode: Readonly<Record<string, number>>;
  /** Requests that the tracker answered as it must; machines included, and apart. */
  readonly opens: number;
  readonly initialOpens: number;
  readonly clicks: number;
  readonly unsubscribes: number;
  readonly machine: Readonly<Record<string, number>>;
  /** Requests without an answer: the tracker may have counted them. */
  readonly inDoubt: Readonly<
    Record<'opens' | 'initialOpens' | 'clicks' | 'unsubscribes' | 'oob' | 'fbl', number>
  >;
  /** Returned mail that was taken. */
  readonly oob: number;
  readonly fbl: number;
  readonly traps: number;
  readonly trackerFaults: Readonly<Record<string, number>>;
  readonly dkim: { readonly pass: number; readonly fail: number; readonly none: number };
  /** Planned actions and checks that are still to be done: 0 when quiet. */
  readonly pending: number;
}

/** Reads the expectation off the counters. */
export function expected(tally: Tally, busy: number): Expected {
  const counters = Object.entries(tally.counters());
  const ending = (prefix: string) =>
    Object.fromEntries(
      counters.filter(([name]) => name.startsWith(prefix)).map(([name, n]) => [name.slice(prefix.length), n]),
    );
  const n = (name: string) => tally.counter(name);
  return {
    accepted: n('total_messages'),
    messages: n('distinct'),
    duplicates: n('duplicate'),
    unanswered: n('unanswered'),
    refused: n('refused'),
    deferred: n('deferred'),
    byCode: ending('inband_'),
    opens: n('open'),
    initialOpens: n('initial_open'),
    clicks: n('click'),
    unsubscribes: n('unsubscribe'),
    machine: {
      ...Object.fromEntries(counters.filter(([name]) => /^(?:prefetch|scanner|bot)_/.test(name))),
    },
    inDoubt: {
      opens: n('open_in_doubt'),
      initialOpens: n('initial_open_in_doubt'),
      clicks: n('click_in_doubt'),
      unsubscribes: n('unsubscribe_in_doubt'),
      oob: n('oob_in_doubt'),
      fbl: n('fbl_in_doubt'),
    },
    oob: n('oob_sent'),
    fbl: n('fbl_sent'),
    traps: n('trap'),
    trackerFaults: ending('tracker_fault_'),
    dkim: { pass: n('pass_dkim'), fail: n('fail_dkim'), none: n('none_dkim') },
    pending: tally.pendingActions() + busy,
  };
}

/** The control interface: counters, ledger and expectation over HTTP. */
export class Control {
  readonly #options: ControlOptions;
  readonly #server: http.Server;

  constructor(options: ControlOptions) {
    this.#options = options;
    this.#server = http.createServer(
      { requestTimeout: 10_000, headersTimeout: 10_000 },
      (request, response) => {
        this.#answer(request, response).catch((error: Error) => {
          if (!response.headersSent) json(response, 500, { error: error.message });
          else response.destroy();
        });
      },
    );
  }

  listen(host: string, port: number): Promise<number> {
    return listen(this.#server, host, port, 'control interface of the sink');
  }

  close(): Promise<void> {
    this.#server.closeAllConnections();
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }

  async #answer(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const { tally, files, ledger, busy, reset } = this.#options;
    const url = URL.parse(request.url ?? '/', 'http://sink');
    if (!url) return json(response, 400, { error: 'the address is not valid' });
    const method = request.method === 'HEAD' ? 'GET' : request.method;
    const raw = /^\/v1\/messages\/([^/]{1,100})\/raw$/.exec(url.pathname);
    switch (`${method} ${raw ? '/v1/messages/*/raw' : url.pathname}`) {
      case 'GET /':
        return this.#page(response);
      case 'GET /health':
        return json(response, 200, { ok: true });
      case 'GET /json':
        return json(response, 200, {
          startedRunning: new Date(this.#options.startedAt).toISOString(),
          ...tally.counters(),
        });
      case 'GET /v1/expected':
        return json(response, 200, expected(tally, busy()));
      case 'GET /v1/messages': {
        const where = conditions(url.searchParams);
        if (typeof where === 'string') return json(response, 400, { error: where });
        return json(response, 200, {
          messages: tally.list(where).map(shown),
          refusals: tally.refusals(where).map(({ k: _, ...refusal }: Refused) => refusal),
        });
      }
      case 'GET /v1/messages/*/raw': {
        const content = await files.kept(raw![1]!);
        if (!content) return json(response, 404, { error: 'no copy of this message is kept' });
        response.writeHead(200, { 'Content-Type': 'message/rfc822', 'X-Content-Type-Options': 'nosniff' });
        response.end(content);
        return;
      }
      case 'GET /v1/ledger':
        response.writeHead(200, { 'Content-Type': 'application/x-ndjson' });
        createReadStream(ledger())
          .on('error', () => response.destroy())
          .pipe(response);
        return;
      case 'POST /v1/reset':
        request.resume();
        await reset();
        return json(response, 200, { ok: true });
      default:
        return json(response, 404, { error: 'there is nothing at this address' });
    }
  }

  #page(response: http.ServerResponse): void {
    const { tally, busy } = this.#options;
    const rows = (values: Record<string, number>) =>
      Object.entries(values)
        .map(([name, n]) => `<tr><th scope="row">${escapeHtml(name)}</th><td>${n}</td></tr>`)
        .join('');
    const latest = tally
      .list({ limit: 20 })
      .map(
        ({ record, done }) =>
          `<tr><td>${new Date(record.at).toISOString()}</td><td>${escapeHtml(record.rcpt)}</td><td>${escapeHtml(record.label)}</td><td>${done.filter((d) => d.ok).length} of ${record.plan.length}</td></tr>`,
      )
      .join('');
    response.writeHead(200, {
      'Content-Type': 'text/html; charset=utf-8',
      'Content-Security-Policy': "default-src 'none'; style-src 'unsafe-inline'",
      'X-Content-Type-Options': 'nosniff',
    });
    response.end(
      `<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Bouncy sink</title>` +
        '<style>body{font-family:sans-serif;margin:2em}th,td{text-align:left;padding:.1em 1em .1em 0}</style></head>' +
        `<body><h1>Bouncy sink</h1><p>${tally.pendingActions() + busy()} actions pending.</p>` +
        `<h2>Counters</h2><table>${rows(tally.counters())}</table>` +
        '<h2>Latest messages</h2><table><tr><th scope="col">Time</th><th scope="col">Recipient</th>' +
        `<th scope="col">Behaviour</th><th scope="col">Actions done</th></tr>${latest}</table></body></html>`,
    );
  }
}

function shown({ record, done, dkim }: Listed): object {
  const { k: _, ...rest } = record;
  return { ...rest, dkim, done: done.map(({ k: _k, id: _id, ...action }: Done) => action) };
}

function conditions(
  query: URLSearchParams,
): { tag?: string; rcpt?: string; since?: number; limit: number } | string {
  const limit = Number(query.get('limit') ?? 100);
  if (!Number.isInteger(limit) || limit < 1 || limit > MOST_LISTED) {
    return `limit must be a whole number from 1 to ${MOST_LISTED}`;
  }
  const since = query.get('since');
  // Milliseconds since the epoch, or a date and time.
  const at = since === null ? undefined : /^\d+$/.test(since) ? Number(since) : Date.parse(since);
  if (Number.isNaN(at)) return 'since must be a time';
  return {
    limit,
    ...(query.has('tag') ? { tag: query.get('tag')! } : {}),
    ...(query.has('rcpt') ? { rcpt: query.get('rcpt')! } : {}),
    ...(at === undefined ? {} : { since: at }),
  };
}

function json(response: http.ServerResponse, status: number, value: unknown): void {
  const body = JSON.stringify(value);
  response.writeHead(status, {
    'Content-Type': 'application/json',
    'Content-Length': Buffer.byteLength(body),
    'Cache-Control': 'no-store',
  });
  response.end(body);
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
}
