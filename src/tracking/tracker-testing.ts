import { mkdtemp, rm } from 'node:fs/promises';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { systemClock } from '../system/clock.ts';
import { silentLog } from '../system/log.ts';
import { type KeyRing, openKeyRing } from './key-ring.ts';
import { startTracker, type Tracker, type TrackerOptions } from './server.ts';
import { sealToken, type TokenKind, type TrackingToken } from './token.ts';

export const click: TrackingToken = {
  action: 'click',
  amp: false,
  expiry: 4_000_000_000,
  subaccount: 7,
  messageId: '0000a17c3e65f0d1b2c4',
  recipient: 'Ada@example.net',
  anonymised: false,
  linkIndex: 3,
  linkName: 'offer',
  campaign: 'january',
  target: 'https://shop.example/a?b=c&d=%41#f',
  unsubscribe: false,
  openTracking: true,
  initialPixel: true,
  clickTracking: true,
};
export const open: TrackingToken = { ...click, action: 'open', target: '', linkName: '', linkIndex: 0 };
export const unsubscribe: TrackingToken = { ...open, action: 'unsubscribe' };

export interface Answer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface TestTracker {
  readonly tracker: Tracker;
  readonly ring: KeyRing;
  /** Every line that was recorded. */
  readonly lines: string[];
  /** The events of those lines, each with its wrapper's name. */
  events(): { wrapper: string; event: Record<string, unknown> }[];
  /** Path of a tracked URL. */
  url(token: TrackingToken, sub?: string): string;
  ask(path: string, options?: AskOptions): Promise<Answer>;
}

export interface AskOptions {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: string;
}

/** A tracker with a key ring of its own, both gone after the test. */
export async function startTestTracker(
  t: TestContext,
  options: Partial<TrackerOptions> = {},
): Promise<TestTracker> {
  const dir = await mkdtemp(path.join(tmpdir(), 'tracker-'));
  const ring = await openKeyRing(path.join(dir, 'keys.json'), { create: true });
  const lines: string[] = [];
  const agent = new http.Agent({ keepAlive: true, maxSockets: 40 });
  let started: Tracker | null = null;
  t.after(async () => {
    agent.destroy();
    await started?.close();
    await rm(dir, { recursive: true });
  });
  const tracker = await startTracker({
    listen: { host: '127.0.0.1', port: 0 },
    ring,
    events: { add: (line) => lines.push(line) > 0 },
    log: silentLog,
    clock: systemClock,
    ...options,
  });
  started = tracker;
  return {
    tracker,
    ring,
    lines,
    events: () =>
      lines.map((line) => {
        const [[wrapper, event]] = Object.entries(JSON.parse(line).msys) as [
          [string, Record<string, unknown>],
        ];
        return { wrapper, event };
      }),
    url: (token, sub = 'a') => pathTo(ring, token, sub),
    ask: (url, ask) => request(agent, tracker.port, url, ask),
  };
}

const kinds: Record<TrackingToken['action'], TokenKind> = {
  initial_open: 'q',
  open: 'q',
  click: 'f',
  unsubscribe: 'u',
};

/** Path of a tracked URL, made with the active key. */
export function pathTo(ring: KeyRing, token: TrackingToken, sub = 'a'): string {
  const kind = kinds[token.action];
  const segment = kind === 'f' ? sub : '';
  const sealed = sealToken(ring.active!, kind, segment, token)!;
  return kind === 'f' ? `/f/${segment}/${sealed}` : `/${kind}/${sealed}`;
}

export function request(
  agent: http.Agent,
  port: number,
  url: string,
  { method = 'GET', headers = {}, body = '' }: AskOptions = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = http.request({ agent, host: '127.0.0.1', port, path: url, method, headers }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: Buffer.concat(chunks),
        }),
      );
    });
    asked.on('error', reject);
    asked.end(body);
  });
}
