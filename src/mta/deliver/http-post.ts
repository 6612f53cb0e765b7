/** One POST whose answer is bounded in size and time. */
import http from 'node:http';
import https from 'node:https';
import type { TLSSocket } from 'node:tls';
import type { Clock } from '../../system/clock.ts';
import { printable } from '../../system/log.ts';

export interface PostOptions {
  readonly url: URL;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: Buffer;
  readonly agent: http.Agent;
  readonly connectTimeoutMs: number;
  /** From the connection to the end of the answer. */
  readonly answerTimeoutMs: number;
  readonly clock: Clock;
}

/** The two ends of the connection that was used; '' where there was none. */
export interface PostEnds {
  readonly localAddress: string;
  readonly remoteAddress: string;
  readonly tlsProtocol: string;
  readonly tlsCipher: string;
}

export type PostResult =
  | {
      readonly kind: 'answered';
      readonly code: number;
      readonly reason: string;
      readonly text: string;
      readonly ends: PostEnds;
    }
  | { readonly kind: 'failed'; readonly error: string; readonly ends: PostEnds };

/** Octets of an answer's body that are kept, and that are read at all. */
const MOST_KEPT = 500;
const MOST_READ = 64 * 1024;
const LARGEST_HEADER = 16 * 1024;

export function post(options: PostOptions): Promise<PostResult> {
  const { url, body, agent, clock } = options;
  return new Promise((resolve) => {
    let ends: PostEnds = { localAddress: '', remoteAddress: '', tlsProtocol: '', tlsCipher: '' };
    let cancel = () => {};
    let over = false;
    const finish = (result: PostResult) => {
      if (over) return;
      over = true;
      cancel();
      resolve(result);
    };
    const { request } = url.protocol === 'https:' ? https : http;
    const sent = request(url, {
      method: 'POST',
      agent,
      maxHeaderSize: LARGEST_HEADER,
      headers: [...options.headers, ['Content-Length', String(body.length)]].flat(),
    });
    const limit = (ms: number, what: string) => {
      cancel();
      cancel = clock.after(ms, () => sent.destroy(new Error(`${what} within ${Math.round(ms / 1000)} s`)));
    };
    limit(options.connectTimeoutMs, 'no connection');
    sent.on('error', (error) => finish({ kind: 'failed', error: wordsOf(error), ends }));
    sent.once('socket', (socket) => {
      const connected = () => {
        const tls = socket as Partial<TLSSocket>;
        ends = {
          localAddress: socket.localAddress ?? '',
          remoteAddress: socket.remoteAddress ?? '',
          tlsProtocol: tls.encrypted ? (tls.getProtocol?.() ?? '') : '',
          tlsCipher: tls.encrypted ? (tls.getCipher?.().name ?? '') : '',
        };
        limit(options.answerTimeoutMs, 'no answer');
      };
      if (!socket.connecting) connected();
      else socket.once(url.protocol === 'https:' ? 'secureConnect' : 'connect', connected);
    });
    sent.once('response', (response) => {
      const kept: Buffer[] = [];
      let read = 0;
      const answered = () =>
        finish({
          kind: 'answered',
          code: response.statusCode ?? 0,
          reason: printable((response.statusMessage ?? '').slice(0, MOST_KEPT)),
          text: Buffer.concat(kept).toString('utf8').slice(0, MOST_KEPT),
          ends,
        });
      response.on('data', (chunk: Buffer) => {
        if (read < MOST_KEPT) kept.push(chunk.subarray(0, MOST_KEPT - read));
        read += chunk.length;
        // The status has said it all; a body without end is not waited for.
        if (read > MOST_READ) {
          answered();
          sent.destroy();
        }
      });
      response.once('end', answered);
      response.once('error', (error) => finish({ kind: 'failed', error: wordsOf(error), ends }));
      response.once('close', () => finish({ kind: 'failed', error: 'the answer broke off', ends }));
    });
    sent.end(body);
  });
}

function wordsOf(error: NodeJS.ErrnoException): string {
  return error.code && !error.message.includes(error.code) ? `${error.code} ${error.message}` : error.message;
}
