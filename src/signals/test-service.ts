import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { type Clock, systemClock } from '../system/clock.ts';
import { silentLog } from '../system/log.ts';
import { type Signals, type SignalsOptions, startSignals } from './server.ts';

/** For tests: a real service on a free port with an empty folder, and short ways to talk to it. */
export interface TestService {
  readonly signals: Signals;
  readonly dir: string;
  readonly key: string;
  /** GET with the first key; status, headers and parsed body. */
  get(path: string, headers?: Record<string, string>): Promise<Answer>;
  send(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>;
  /** Posts a batch as it is; the answer of ingest. */
  postBytes(body: Uint8Array, headers?: Record<string, string>): Promise<Answer>;
  /** Posts lines, waits until they are processed, and gives the outcome event. */
  ingest(lines: readonly string[]): Promise<Record<string, unknown>>;
  outcome(batchId: string): Promise<Record<string, unknown>>;
  stop(): Promise<void>;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every shape
  readonly body: any;
}

export const TEST_KEY = '0123456789abcdef0123456789abcdef01234567';

export async function startTestService(
  options: Partial<SignalsOptions> & { clock?: Clock } = {},
): Promise<TestService> {
  const dir = await mkdtemp(path.join(tmpdir(), 'posthorn-signals-'));
  const signals = await startSignals({
    dataDir: dir,
    listen: { host: '127.0.0.1', port: 0 },
    adminKey: TEST_KEY,
    log: silentLog,
    clock: systemClock,
    ...options,
  });
  const send: TestService['send'] = async (method, where, body, headers = {}) => {
    const isBytes = body instanceof Uint8Array;
    const response = await fetch(signals.url + where, {
      method,
      headers: {
        authorization: TEST_KEY,
        ...(body !== undefined && !isBytes ? { 'content-type': 'application/json' } : {}),
        ...headers,
      },
      ...(body === undefined ? {} : { body: isBytes ? Buffer.from(body) : JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, headers: response.headers, text, body: parsed(text) };
  };
  const outcome: TestService['outcome'] = async (batchId) => {
    await signals.idle();
    const answer = await send('GET', `/api/v1/events/ingest?batch_ids=${batchId}`);
    return answer.body.results[0];
  };
  const postBytes: TestService['postBytes'] = (body, headers) =>
    send('POST', '/api/v1/ingest/events', body, {
      'content-type': 'application/x-ndjson',
      'content-encoding': 'gzip',
      ...headers,
    });
  return {
    signals,
    dir,
    key: TEST_KEY,
    send,
    get: (where, headers) => send('GET', where, undefined, headers),
    postBytes,
    outcome,
    async ingest(lines) {
      const answer = await postBytes(gzipSync(`${lines.join('\n')}\n`));
      if (answer.status !== 200) throw new Error(`ingest answered ${answer.status} ${answer.text}`);
      return outcome(answer.body.results.id);
    },
    async stop() {
      await signals.close();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const classOf: Readonly<Record<string, string>> = {
  open: 'track_event',
  initial_open: 'track_event',
  click: 'track_event',
  amp_open: 'track_event',
  amp_click: 'track_event',
  amp_initial_open: 'track_event',
  gen_fail: 'gen_event',
  gen_rejection: 'gen_event',
  list: 'unsubscribe_event',
  link: 'unsubscribe_event',
};

let nextId = 1_000_000;

/** A fresh event id. */
export function eventId(): string {
  return String(nextId++);
}

/** An ingest line with what its type needs; `fields` add and replace, `undefined` removes. */
export function line(type: string, fields: Record<string, unknown> = {}): string {
  const cls = classOf[type] ?? 'message_event';
  const event: Record<string, unknown> = {
    type,
    event_id: eventId(),
    timestamp: String(Math.floor(Date.now() / 1000) - 60),
    message_id: `m-${nextId}`,
    rcpt_to: 'ada@example.net',
    ...fields,
  };
  return JSON.stringify({ msys: { [cls]: event } });
}
