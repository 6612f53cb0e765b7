/** The management interface over HTTP (management guide, section 8): who asks, what for, and the answer's shape. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { networkInterfaces } from 'node:os';
import type { Config } from '../../config/index.ts';
import type { Clock } from '../../system/clock.ts';
import { type Log, logTime } from '../../system/log.ts';
import { type Access, accessOf, csrf, namesUs } from './access.ts';
import { CONTENT_TYPES, type Format, Many, printFailure, type Tree } from './answer.ts';
import { type Channel, type Channels, openChannels } from './channels.ts';
import { type CommandResult, printResult, printWebResult } from './command.ts';
import { splitLine } from './command-line.ts';
import { uploadedFile } from './config-upload.ts';
import type { Control } from './control.ts';
import { requestFields } from './form.ts';
import { filesTree, listedFiles, sendFile } from './log-files.ts';
import { eventLoopLag, METRICS_TYPE, metricsText } from './metrics.ts';
import { pageCommand, pageDefaults } from './pages.ts';
import { MOST_LOGGED, type Ran, refusalOf, runWords, type Visitor } from './run.ts';
import { pageOfBarePath } from './ui/bare-path.ts';
import { Remembered } from './ui/remembered.ts';
import { showPage } from './ui/show-page.ts';
import type { PageDeps } from './ui/visit.ts';

export interface MonitorOptions {
  readonly config: () => Config;
  readonly control: Control;
  /** Whether the server is on its way down: then it is not ready for work. */
  readonly shuttingDown: () => boolean;
  readonly clock: Clock;
  readonly log: Log;
}

interface MonitorDeps extends PageDeps {
  readonly lag: ReturnType<typeof eventLoopLag>;
}

/** Opens the management port and the control socket. */
export async function openMonitor(options: MonitorOptions): Promise<Channels> {
  const lag = eventLoopLag();
  const remembered = new Remembered<Ran>(() => performance.now());
  const deps: MonitorDeps = { ...options, remembered, lag };
  const channels = await openChannels(deps.config(), options, (request, response, channel) => {
    handle(deps, request, response, channel).catch((error: Error) => {
      deps.log.error(`management request failed: ${error.stack}`);
      if (!response.headersSent) {
        send(response, 500, 'json', printFailure('internal fault, see the log', 'json'));
      } else response.destroy();
    });
  });
  return {
    port: channels.port,
    async close() {
      lag.close();
      await channels.close();
    },
  };
}

interface Asked {
  readonly path: string;
  readonly fields: URLSearchParams;
  readonly format: Format;
  readonly visitor: Visitor;
}

async function handle(
  deps: MonitorDeps,
  request: IncomingMessage,
  response: ServerResponse,
  channel: Channel,
): Promise<void> {
  const { global } = deps.config();
  const url = URL.parse(request.url ?? '/', 'http://localhost');
  if (!url) return send(response, 400, 'json', printFailure('the address of the page is malformed', 'json'));
  const path = url.pathname.replace(/\/+$/, '') || '/';
  const client = channel === 'control' ? 'control socket' : (request.socket.remoteAddress ?? '');
  if (global.get('http-log-requests') && channel !== 'control') {
    deps.log.info(`request ${request.method} ${url.pathname}`, { client });
  }
  if (path === '/health' || path === '/ready') return health(deps, response, path);
  if (channel === 'http' && global.get('http-redirect-to-https')) return redirect(request, response);
  if (channel === 'https' && global.get('http-strict-transport-security-max-age') > 0) {
    const age = global.get('http-strict-transport-security-max-age');
    response.setHeader('Strict-Transport-Security', `max-age=${age}`);
  }
  const asked = url.searchParams.get('format');
  const inBrowser = path === '/ui' || path.startsWith('/ui/');
  const early: Format = inBrowser
    ? 'text'
    : asked === 'xml' || asked === 'dom' || asked === 'text'
      ? asked
      : 'json';
  const key = request.headers['x-api-key'];
  const access: Access =
    channel === 'control'
      ? { level: 'admin', denyLogs: false, byKey: true }
      : accessOf(deps.config(), client, typeof key === 'string' ? key : undefined);
  if (access.level === 'none') {
    request.resume();
    deps.log.warn('management access refused', { client, path });
    return send(response, 403, early, printFailure('http-access gives your address no access', early));
  }
  if (channel !== 'control' && !namesUs(deps.config(), client, request.headers.host)) {
    request.resume();
    deps.log.warn('management request for another host refused', { client, host: request.headers.host });
    return send(response, 403, early, printFailure('this host is asked by its own name or address', early));
  }
  if (request.method !== 'GET' && request.method !== 'HEAD' && request.method !== 'POST') {
    request.resume();
    response.setHeader('Allow', 'GET, HEAD, POST');
    return send(response, 405, early, printFailure('only GET and POST are possible here', early));
  }
  if (inBrowser && channel !== 'control') {
    return await showPage(deps, { request, response, url, path, client, access });
  }
  const toPage = channel === 'control' ? null : pageOfBarePath(request, url, path);
  if (toPage !== null) {
    response.writeHead(302, {
      Location: toPage,
      'Content-Length': 0,
      'Cache-Control': 'no-store',
      Vary: 'Accept',
    });
    return void response.end();
  }
  const protectedFromForgery = global.get('http-csrf-protection');
  const mayChange = protectedFromForgery
    ? request.method === 'POST' && (access.byKey || csrf.valid(request))
    : true;
  if (path === '/getFile' || path === '/logs') return await files(deps, request, response, access, path, url);
  if (path === '/metrics') {
    request.resume();
    return metrics(deps, response);
  }
  if (path === '/configFile') return await takeConfigFile(deps, request, response, access, mayChange, early);
  const fields = await requestFields(request, url);
  if (fields === null) return send(response, 413, early, printFailure('the form is too large', early));
  const named = fields.get('format');
  const format: Format = named === 'xml' || named === 'dom' || named === 'text' ? named : 'json';
  if (request.method !== 'POST' && !access.byKey) issueToken(request, response);
  // Asked without a format it has always been XML.
  if (path === '/getlocalips') {
    const form = named === null ? 'xml' : format;
    return send(response, 200, form, localAddresses(form));
  }
  await answer(deps, response, { path, fields, format, visitor: { client, access, mayChange } });
}

async function answer(deps: MonitorDeps, response: ServerResponse, asked: Asked): Promise<void> {
  const { path, fields, format, visitor } = asked;
  const web = path === '/command';
  const words =
    web || path === '/pmta'
      ? splitLine(fields.get('command') ?? '')
      : pageCommand(path, fields, pageDefaults(deps.config()));
  if (words === null) return send(response, 404, format, printFailure(`there is no page ${path}`, format));
  if ('error' in words) return send(response, 400, format, printFailure(words.error, format));
  const ran = await runWords(deps, visitor, words, web ? 'operator' : 'monitor');
  if ('unknown' in ran) return send(response, web ? 200 : 400, format, printFailure(ran.unknown, format));
  if ('refused' in ran) return send(response, 403, format, printFailure(ran.refused, format));
  const result = path === '/status' && format === 'xml' ? withWebPart(ran.result) : ran.result;
  const failed = 'failure' in result;
  const body = (web ? printWebResult : printResult)(result, format);
  if (deps.config().global.get('http-log-data')) {
    const { client } = visitor;
    deps.log.info(`answered ${body.slice(0, MOST_LOGGED)}`, { client, bytes: Buffer.byteLength(body) });
  }
  send(response, failed && !web ? 409 : 200, format, body);
}

/** What `/status` of the web monitor has in XML, and the command has not (management guide, 4.2). */
function withWebPart(result: CommandResult): CommandResult {
  if ('failure' in result || result.data === '') return result;
  const { data } = result;
  return { ...result, data: { ...data, mta: { ...(data.mta as Tree), webUI: { protocol: 1 } } } };
}

async function takeConfigFile(
  deps: MonitorDeps,
  request: IncomingMessage,
  response: ServerResponse,
  access: Access,
  mayChange: boolean,
  format: Format,
): Promise<void> {
  const refusal =
    request.method === 'POST'
      ? refusalOf(access, mayChange, 'admin', true)
      : 'the configuration is replaced by POST';
  if (refusal !== null) {
    request.resume();
    return send(response, 403, format, printFailure(refusal, format));
  }
  const text = await uploadedFile(request);
  if (text === null) {
    return send(
      response,
      400,
      format,
      printFailure('the form has no field "file", or it is too large', format),
    );
  }
  const result: CommandResult = await deps.control.reload({
    file: deps.config().file,
    text,
  });
  send(response, 'failure' in result ? 409 : 200, format, printResult(result, format));
}

async function files(
  deps: MonitorDeps,
  request: IncomingMessage,
  response: ServerResponse,
  access: Access,
  path: string,
  url: URL,
): Promise<void> {
  const fields = await requestFields(request, url);
  const named = fields?.get('format');
  const format: Format = named === 'xml' || named === 'dom' || named === 'text' ? named : 'json';
  if (access.denyLogs) {
    return send(response, 403, format, printFailure('http-access denies your address the logs', format));
  }
  const listed = await listedFiles(deps.config());
  if (path === '/logs') {
    const data = filesTree(listed);
    const text = listed.map(({ name, at, size }) => `${name} ${logTime(at)} ${size}\n`).join('');
    return send(response, 200, format, printResult({ data, text }, format));
  }
  const asked = fields?.get('file') ?? '';
  const file = listed.find(({ name }) => name === asked);
  if (!file) return send(response, 404, format, printFailure('no such file; /logs lists them', format));
  await sendFile(response, file);
}

function metrics(deps: MonitorDeps, response: ServerResponse): void {
  const body = metricsText(deps.control, deps.lag.seconds(), deps.clock.now());
  response.writeHead(200, {
    'Content-Type': METRICS_TYPE,
    'Content-Length': Buffer.byteLength(body),
    'Cache-Control': 'no-store',
  });
  response.end(body);
}

/** Addresses of this machine. In XML there is no `data` around them (management guide, 8.2). */
function localAddresses(format: Format): string {
  const all = Object.values(networkInterfaces()).flatMap((list) =>
    (list ?? []).map(({ address }) => address),
  );
  const ips = [...new Set(all)].sort();
  if (format === 'xml') {
    const inside = ips.map((ip) => `<ip>${ip}</ip>`).join('');
    return `<rsp><localIps>${inside}</localIps><succ/></rsp>\n`;
  }
  return printResult(
    { data: { localIps: { ip: new Many('ips', ips) } }, text: ips.map((ip) => `${ip}\n`).join('') },
    format,
  );
}

/** `/health`: the process answers. `/ready`: and it takes mail. */
function health(deps: MonitorDeps, response: ServerResponse, path: string): void {
  const stopping = deps.shuttingDown();
  const ok = path === '/health' || !stopping;
  send(response, ok ? 200 : 503, 'json', `${JSON.stringify({ status: stopping ? 'stopping' : 'ok' })}\n`);
}

function redirect(request: IncomingMessage, response: ServerResponse): void {
  request.resume();
  const host = /^[\w.:[\]-]{1,260}$/.test(request.headers.host ?? '') ? request.headers.host : 'localhost';
  const target = (request.url ?? '/').startsWith('/') ? request.url : '/';
  response.writeHead(request.method === 'GET' || request.method === 'HEAD' ? 301 : 307, {
    Location: `https://${host}${target}`,
    'Content-Length': 0,
  });
  response.end();
}

function issueToken(request: IncomingMessage, response: ServerResponse): void {
  const { token, cookie } = csrf.issue(request);
  response.setHeader('Set-Cookie', cookie);
  response.setHeader('X-CSRF-Token', token);
}

function send(response: ServerResponse, code: number, format: Format, body: string): void {
  response.writeHead(code, {
    'Content-Type': CONTENT_TYPES[format],
    'Content-Length': Buffer.byteLength(body),
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
    'Content-Security-Policy': "default-src 'none'",
  });
  response.end(body);
}
