import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { openEventFiles } from '../connector/event-files.ts';
import { startUploader, type Uploader } from '../connector/uploader.ts';
import { systemClock } from '../system/clock.ts';
import { reason } from '../system/durable-file.ts';
import { createLog, type Log } from '../system/log.ts';
import { UserError } from '../system/user-error.ts';
import { openKeyRing } from '../tracking/key-ring.ts';
import { startTracker } from '../tracking/server.ts';
import { hostAndPort } from './option-values.ts';
import { untilStopped } from './until-stopped.ts';

export const help = `posthorn tracker: answers opens, clicks and unsubscribes in delivered mail

Usage: posthorn tracker --listen HOST:PORT --keys FILE --data DIR [options]

  --listen HOST:PORT      where links and pixels lead to, directly or through a web server in front
  --keys FILE             the tracking keys, shared with the MTAs; made if there is no such file
  --data DIR              event files until they are uploaded
  --ingest-url URL        where events go, such as https://signals.example/api/v1/ingest/events;
                          without it they stay in DIR
  --ingest-key-file FILE  file with the API key for that; default is the environment's POSTHORN_INGEST_KEY
  --server-header NAME    value of the Server field (default msys-http)
  --trusted-proxy CIDR    a web server in front whose X-Forwarded-For is believed; may be repeated

Answers GET /health on the same port, to this host only. Runs in the foreground. SIGTERM or Ctrl-C stops it in order.
Exit status: 0 done, 1 failed, 2 wrong usage.
`;

/** Half of what may be lost, since the disk takes its time too. */
const SYNC_MS = 100;
const LAST_UPLOADS_MS = 5000;

export async function run(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      listen: { type: 'string' },
      keys: { type: 'string' },
      data: { type: 'string' },
      'ingest-url': { type: 'string' },
      'ingest-key-file': { type: 'string' },
      'server-header': { type: 'string', default: 'msys-http' },
      'trusted-proxy': { type: 'string', multiple: true, default: [] },
    },
  });
  for (const name of ['listen', 'keys', 'data'] as const) {
    if (!values[name]) {
      throw new UserError(`--${name} is missing; see "posthorn tracker --help"`, { exitCode: 2 });
    }
  }
  const serverHeader = values['server-header'];
  if (!/^[\x21-\x7e](?:[\x20-\x7e]{0,98}[\x21-\x7e])?$/.test(serverHeader)) {
    throw new UserError('--server-header must be 1 to 100 printable ASCII characters', { exitCode: 2 });
  }
  const address = hostAndPort('--listen', values.listen!);
  const target = await ingestTarget(values['ingest-url'], values['ingest-key-file']);
  const dir = path.resolve(values.data!);
  const log = createLog(process.stderr, 'tracker');
  const clock = systemClock;

  const stopped = untilStopped();
  const ring = await openKeyRing(values.keys!, { create: true });
  const events = await openEventFiles({ dir, clock, log, syncMs: SYNC_MS });
  let uploader: Uploader | null = null;
  const tracker = await startTracker({
    listen: address,
    ring,
    events,
    log,
    clock,
    serverHeader,
    trustedProxies: values['trusted-proxy'],
    pendingEvents: () => uploader?.pending() ?? 0,
  }).catch(async (error: unknown) => {
    await events.close();
    throw error;
  });
  if (target) uploader = startUploader({ dir, ...target, log, clock });
  process.stdout.write(`posthorn tracker listens on port ${tracker.port}\n`);

  await stopped;
  await tracker.close();
  const written = await events.close().then(
    () => true,
    (error: unknown) => {
      log.error('the last events could not be written', { reason: reason(error) });
      return false;
    },
  );
  if (uploader) await sendRest(uploader, log);
  return written ? 0 : 1;
}

/** What is not sent in time waits in its files for the next start. */
async function sendRest(uploader: Uploader, log: Log): Promise<void> {
  const until = performance.now() + LAST_UPLOADS_MS;
  while (!uploader.idle() && performance.now() < until) {
    await new Promise<void>((resolve) => systemClock.after(50, resolve));
  }
  await uploader.close();
  const left = uploader.pending();
  if (left > 0) log.warn('event files are left for the next start', { files: left });
}

async function ingestTarget(
  url: string | undefined,
  keyFile: string | undefined,
): Promise<{ url: string; apiKey: string } | null> {
  if (url === undefined) return null;
  const parsed = URL.parse(url);
  if (!parsed || (parsed.protocol !== 'http:' && parsed.protocol !== 'https:')) {
    throw new UserError(`--ingest-url ${url} is not an http or https address`, { exitCode: 2 });
  }
  const apiKey = (keyFile === undefined ? process.env.POSTHORN_INGEST_KEY : await keyIn(keyFile))?.trim();
  if (!apiKey) {
    throw new UserError(
      '--ingest-url needs an API key: name its file with --ingest-key-file, or set POSTHORN_INGEST_KEY',
      { exitCode: 2 },
    );
  }
  // Whatever cannot stand in a header field would fail at the first upload, with the key in the message.
  if (!/^[\x21-\x7e]{1,512}$/.test(apiKey)) {
    throw new UserError('the API key for --ingest-url is not one word of printable ASCII', { exitCode: 2 });
  }
  return { url, apiKey };
}

async function keyIn(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new UserError(`the API key file ${file} cannot be read: ${reason(error)}`, { cause: error });
  }
}
