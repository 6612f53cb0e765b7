/** For tests: the real command `posthorn signals` as a process of its own, on a free port. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { TEST_KEY } from './test-service.ts';

const command = new URL('../cli/signals.ts', import.meta.url).href;

export interface ServiceProcess {
  readonly child: ChildProcess;
  /** Code and signal, when it has ended. */
  readonly exited: Promise<unknown[]>;
  /** Its address once it answers; `null` when it ends before that. */
  readonly ready: Promise<string | null>;
  /** What it has logged. */
  log(): string;
}

export function beginService(
  dir: string,
  given: { node?: readonly string[]; options?: readonly string[]; env?: Record<string, string> } = {},
): ServiceProcess {
  const child = spawn(
    process.execPath,
    [
      ...(given.node ?? []),
      '--input-type=module',
      '-e',
      `const { run } = await import(${JSON.stringify(command)}); process.exitCode = await run(process.argv.slice(1));`,
      '--',
      ...['--data', dir, '--listen', '127.0.0.1:0', '--no-mx-lookup', '--log-requests', 'none'],
      ...(given.options ?? []),
    ],
    {
      env: { ...process.env, POSTHORN_ADMIN_KEY: TEST_KEY, ...given.env },
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  );
  const logged: string[] = [];
  const ready = new Promise<string | null>((resolve) => {
    const lines = createInterface({ input: child.stderr! });
    lines.on('line', (text) => {
      if (logged.length < 10_000) logged.push(text);
      const url = /ready url=(\S+)/.exec(text)?.[1];
      if (url) resolve(url);
    });
    lines.on('close', () => resolve(null));
  });
  return { child, exited: once(child, 'exit'), ready, log: () => logged.join('\n') };
}

/** Posts a batch to a service at `url`; the id that it answers. Throws for every other answer. */
export async function postBatch(url: string, body: Uint8Array): Promise<string> {
  const response = await fetch(`${url}/api/v1/ingest/events`, {
    method: 'POST',
    headers: { authorization: TEST_KEY, 'content-type': 'application/x-ndjson', 'content-encoding': 'gzip' },
    body: Buffer.from(body),
  });
  const text = await response.text();
  if (response.status !== 200) throw new Error(`${response.status} ${text}`);
  return (JSON.parse(text) as { results: { id: string } }).results.id;
}

/** The outcome of a batch, waited for. */
export async function outcomeAt(url: string, id: string): Promise<Record<string, unknown>> {
  for (;;) {
    const response = await fetch(`${url}/api/v1/events/ingest?batch_ids=${id}`, {
      headers: { authorization: TEST_KEY },
    });
    const body = (await response.json()) as { results?: Record<string, unknown>[] };
    if (body.results?.[0]) return body.results[0];
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
