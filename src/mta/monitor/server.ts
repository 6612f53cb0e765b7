/** The management interface over HTTP: status, queues, explanations, settings, health; reload for administrators. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type Config, cidrContains, ipBytes } from '../../config/index.ts';
import type { Clock } from '../../system/clock.ts';
import { listen } from '../../system/listen.ts';
import type { Log } from '../../system/log.ts';
import { UserError } from '../../system/user-error.ts';
import { describeHold } from '../queue/hold.ts';
import type { Scheduler } from '../queue/scheduler.ts';
import { CONTENT_TYPES, type Format, printFailure, printSuccess, type Tree } from './answer.ts';
import { CLIENT_HEADER } from './client-header.ts';
import { uploadedFile } from './config-upload.ts';
import type { Totals } from './counters.ts';
import { queuePattern } from './queue-pattern.ts';
import { settingsText, settingsTree } from './settings.ts';
import { queuesTree, type StatusSources, statusTree } from './status.ts';
import { explainText, queuesText, statusText } from './text.ts';

export interface MonitorDeps {
  readonly config: () => Config;
  readonly status: StatusSources;
  readonly scheduler: Scheduler;
  /** A queue has work that it had not before. */
  readonly kick: () => void;
  readonly totals: () => Readonly<Totals>;
  /**
   * Brings the configuration's files into force, the main file replaced by `newText` when that is given; answers
   * what the operator should know. UserError: nothing has changed.
   */
  readonly reload: (newText?: string) => Promise<readonly string[]>;
  /** Outcomes and event files not yet where they belong. */
  readonly backlog: () => { readonly outcomes: number; readonly eventFiles: number };
  readonly clock: Clock;
  readonly log: Log;
}

export interface Monitor {
  readonly port: number;
  close(): Promise<void>;
}

type Level = 'none' | 'monitor' | 'operator' | 'admin';

const DEFAULT_MAX_ITEMS = 20;

/** Opens the management port; null when `http-mgmt-port` is 0. */
export async function openMonitor(deps: MonitorDeps): Promise<Monitor | null> {
  const { global } = deps.config();
  const port = global.get('http-mgmt-port');
  if (port === 0) return null;
  const server = createServer({ maxHeaderSize: 16 * 1024 }, (request, response) => {
    handle(deps, request, response).catch((error: Error) => {
      deps.log.error(`management request failed: ${error.stack}`);
      if (!response.headersSent) send(response, 500, 'json', printFailure('internal fault', 'json'));
    });
  });
  server.requestTimeout = 30_000;
  server.headersTimeout = 10_000;
  const origin = global.origin('http-mgmt-port');
  const where = origin ? `${origin.file}:${origin.line}` : 'default';
  // Every interface, as PowerMTA does; `http-access` decides who is answered, and its default is nobody.
  const host = loopbackOnly(deps.config()) ? '127.0.0.1' : '0.0.0.0';
  const bound = await listen(server, host, port, `http-mgmt-port, ${where}`);
  return {
    port: bound,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function handle(deps: MonitorDeps, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = URL.parse(request.url ?? '/', 'http://localhost');
  if (!url) return send(response, 400, 'json', printFailure('the address of the page is malformed', 'json'));
  const asked = url.searchParams.get('format');
  const format: Format = asked === 'xml' || asked === 'dom' || asked === 'text' ? asked : 'json';
  const path = url.pathname.replace(/\/+$/, '') || '/';
  if (path === '/health') {
    const ready = !deps.status.shuttingDown();
    send(response, ready ? 200 : 503, 'json', `${JSON.stringify({ status: ready ? 'ok' : 'stopping' })}\n`);
    return;
  }
  const level = accessLevel(deps.config(), request.socket.remoteAddress ?? '');
  if (level === 'none') {
    deps.log.warn('management access refused', { client: request.socket.remoteAddress });
    send(response, 403, format, printFailure('http-access gives your address no access', format));
    return;
  }
  if (request.method === 'POST' && (path === '/command' || path === '/configFile')) {
    if (level !== 'admin' || request.headers[CLIENT_HEADER] === undefined) {
      request.resume();
      deps.log.warn('change refused', { client: request.socket.remoteAddress, path });
      const needs = `this needs http-access admin and the header ${CLIENT_HEADER}`;
      send(response, 403, format, printFailure(needs, format));
      return;
    }
    const text = path === '/configFile' ? await uploadedFile(request) : undefined;
    if (text === null) {
      send(response, 400, format, printFailure('the form has no field "file", or it is too large', format));
      return;
    }
    if (text === undefined) request.resume();
    const command = text === undefined ? url.searchParams.get('command') : 'reload';
    if (command === 'reload') await reload(deps, response, text, format);
    else if (command === 'schedule') {
      const done = schedule(deps, url.searchParams);
      deps.log.info(done, { queue: url.searchParams.get('queue') });
      send(response, 200, format, printSuccess('', format, done));
    } else send(response, 404, format, printFailure('Unknown command.', format));
    return;
  }
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('Allow', 'GET, HEAD');
    send(response, 405, format, printFailure('only reading is possible here', format));
    return;
  }
  const now = deps.clock.now();
  const tree = answer(deps, path, url.searchParams, now);
  if (typeof tree === 'string') send(response, 404, format, printFailure(tree, format));
  else send(response, 200, format, format === 'text' ? text(path, tree) : printSuccess(tree, format));
}

async function reload(
  deps: MonitorDeps,
  response: ServerResponse,
  newText: string | undefined,
  format: Format,
): Promise<void> {
  try {
    const notes = await deps.reload(newText);
    send(response, 200, format, printSuccess('', format, ['Configuration reloaded.', ...notes].join('\n')));
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    deps.log.error(`reload failed, nothing has changed: ${error.message}`);
    send(response, 409, format, printFailure(error.message, format));
  }
}

/** Ends the wait of the queues that match, with `retryRecipients` that of their recipients too. */
function schedule({ scheduler, kick, clock }: MonitorDeps, query: URLSearchParams): string {
  const matches = queuePattern(query.get('queue') ?? '');
  const queues = [...scheduler.queues()].filter(
    (queue) => queue.size > 0 && matches(queue.domain, queue.vmta),
  );
  for (const queue of queues) scheduler.schedule(queue, query.get('retryRecipients') === 'true', clock.now());
  kick();
  return `${queues.length} of ${queues.length} matching queues scheduled.`;
}

/** The data behind a path; text when there is none. */
function answer(deps: MonitorDeps, path: string, query: URLSearchParams, now: number): Tree | string {
  switch (path) {
    case '/':
    case '/status':
      return statusTree(deps.status, now);
    case '/queues': {
      const most = Number(query.get('maxitems') ?? DEFAULT_MAX_ITEMS);
      return queuesTree(deps.scheduler, now, Number.isInteger(most) && most >= 0 ? most : DEFAULT_MAX_ITEMS);
    }
    case '/settings':
      return settingsTree(deps.config(), query.get('queue') ?? '');
    case '/explain':
      return explain(deps.scheduler, query.get('queue') ?? '', now);
    case '/counters': {
      let queued = 0;
      for (const queue of deps.scheduler.queues()) queued += queue.size;
      return { totals: { ...deps.totals() }, queued, backlog: { ...deps.backlog() } };
    }
    default:
      return `there is no page ${path}`;
  }
}

function text(path: string, tree: Tree): string {
  switch (path) {
    case '/queues':
      return queuesText(tree);
    case '/settings':
      return settingsText(tree);
    case '/explain':
      return explainText(tree);
    case '/counters':
      return printSuccess(tree, 'dom');
    default:
      return statusText(tree);
  }
}

/** Why a queue's mail waits. */
function explain(scheduler: Scheduler, name: string, now: number): Tree | string {
  const slash = name.lastIndexOf('/');
  const queue = slash > 0 ? scheduler.find(name.slice(0, slash), name.slice(slash + 1)) : undefined;
  if (!queue) return `there is no queue "${name.slice(0, 200)}" with mail; write it as domain/vmta`;
  return {
    queue: queue.name,
    rcp: queue.size,
    holds: scheduler.explain(queue, now).map((hold) => ({
      kind: hold.kind,
      directive: hold.limit?.directive ?? '',
      value: hold.limit && Number.isFinite(hold.limit.value) ? hold.limit.value : '',
      file: hold.limit?.origin?.file ?? '',
      line: hold.limit?.origin?.line ?? '',
      current: hold.current,
      freesAt: hold.freesAt ?? '',
      remedy: hold.remedy,
      text: describeHold(hold, now),
    })),
  };
}

/** The first `http-access` line that holds the address decides; none means nothing. */
function accessLevel(config: Config, address: string): Level {
  const client = address.startsWith('::ffff:') ? address.slice(7) : address;
  for (const rule of config.global.get('http-access')) {
    if (cidrContains(rule.cidr, ipBytes(client))) return rule.access;
  }
  return 'none';
}

function loopbackOnly(config: Config): boolean {
  return config.global
    .get('http-access')
    .every(
      ({ access, cidr }) =>
        access === 'none' || (cidr.bytes.length === 4 && cidr.bytes[0] === 127 && cidr.bits >= 8),
    );
}

function send(response: ServerResponse, code: number, format: Format, body: string): void {
  response.writeHead(code, {
    'Content-Type': CONTENT_TYPES[format],
    'Content-Length': Buffer.byteLength(body),
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
  });
  response.end(body);
}
