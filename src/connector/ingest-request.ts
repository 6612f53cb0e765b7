import type { Clock } from '../system/clock.ts';

/**
 * What the ingest service made of a batch:
 * - `taken`: stored; the sender may forget it.
 * - `later`: nothing wrong with it, send it again after a while (at least `retryAfterMs`).
 * - `mend`: whatever is sent will be refused until somebody mends key, URL or rights.
 * - `file`: this batch is refused, others may do.
 */
export type Answer =
  | { readonly kind: 'taken' }
  | { readonly kind: 'later'; readonly why: string; readonly retryAfterMs: number }
  | { readonly kind: 'mend' | 'file'; readonly why: string };

export interface IngestTarget {
  readonly url: string;
  readonly apiKey: string;
  readonly clock: Clock;
  readonly fetch?: typeof fetch;
  readonly timeoutMs?: number;
}

const LONGEST_ANSWER = 65_536;
/** How long a request that has begun may still take when the program ends. */
const GRACE = 5000;

/**
 * Posts one gzipped batch of event lines (SparkPost API, Events Ingest). Never throws: whatever happens is an
 * `Answer`. Redirects are not followed, because the key would go along. `stopping` shortens the wait for an answer
 * to a few seconds; the request in hand may still end well.
 */
export async function post(target: IngestTarget, body: Uint8Array, stopping: AbortSignal): Promise<Answer> {
  const cut = new AbortController();
  const timeout = target.timeoutMs ?? 60_000;
  const cancels = [target.clock.after(timeout, () => cut.abort(new Error(`no answer within ${timeout} ms`)))];
  const onStop = () =>
    cancels.push(target.clock.after(GRACE, () => cut.abort(new Error('the program is ending'))));
  if (stopping.aborted) onStop();
  else stopping.addEventListener('abort', onStop, { once: true });
  try {
    const response = await (target.fetch ?? fetch)(target.url, {
      method: 'POST',
      redirect: 'manual',
      headers: {
        authorization: target.apiKey,
        'content-type': 'application/x-ndjson',
        'content-encoding': 'gzip',
        'user-agent': 'posthorn',
      },
      body: body as Uint8Array<ArrayBuffer>,
      signal: cut.signal,
    });
    const text = await textOf(response);
    return answerOf(response, text);
  } catch (error) {
    return { kind: 'later', why: causeOf(cut.signal.aborted ? cut.signal.reason : error), retryAfterMs: 0 };
  } finally {
    stopping.removeEventListener('abort', onStop);
    for (const cancel of cancels) cancel();
  }
}

async function textOf(response: Response): Promise<string> {
  const reader = response.body?.getReader();
  if (!reader) return '';
  const decoder = new TextDecoder();
  let text = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return text + decoder.decode();
    text += decoder.decode(value, { stream: true });
    if (text.length > LONGEST_ANSWER) {
      await reader.cancel();
      return text.slice(0, LONGEST_ANSWER);
    }
  }
}

function answerOf(response: Response, text: string): Answer {
  const { status } = response;
  if (status === 200) {
    // A proxy or a wrong address answers 200 too; only the service answers with the batch's id.
    if (batchId(text) !== null) return { kind: 'taken' };
    return { kind: 'mend', why: `200 without results.id; ${target(response)} may be no ingest service` };
  }
  const why = `${status} ${response.statusText}${said(text)}`.trim();
  if (status === 429 || status === 408 || status >= 500) {
    return { kind: 'later', why, retryAfterMs: retryAfter(response) };
  }
  return { kind: status === 400 || status === 413 || status === 422 ? 'file' : 'mend', why };
}

function target(response: Response): string {
  try {
    return new URL(response.url).host;
  } catch {
    return 'the address';
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function batchId(text: string): string | null {
  const body = parsed(text) as { results?: { id?: unknown } } | null;
  const id = body?.results?.id;
  return typeof id === 'string' || typeof id === 'number' ? String(id) : null;
}

/** The service's own words, short. */
function said(text: string): string {
  const body = parsed(text) as { errors?: unknown; message?: unknown } | null;
  const first = Array.isArray(body?.errors) ? (body.errors[0] as { message?: unknown } | null) : body;
  const message =
    typeof first?.message === 'string' ? first.message : text.trimStart().startsWith('<') ? '' : text;
  const line = message.replace(/\s+/g, ' ').trim().slice(0, 200);
  return line === '' ? '' : `: ${line}`;
}

function retryAfter(response: Response): number {
  const seconds = Number(response.headers.get('retry-after') ?? 0);
  return Number.isFinite(seconds) && seconds > 0 ? Math.min(seconds, 3600) * 1000 : 0;
}

function causeOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const code = (cause as NodeJS.ErrnoException)?.code;
  const text = cause instanceof Error ? cause.message : String(cause);
  return text || (code ?? 'connection failed');
}
