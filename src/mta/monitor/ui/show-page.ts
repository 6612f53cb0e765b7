/** The web monitor's pages under `/ui` (management guide, section 8.1): finds the page, sends it with its headers. */
import { readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Config } from '../../../config/index.ts';
import { type Access, atLeast, csrf } from '../access.ts';
import { requestFields } from '../form.ts';
import { html } from './html.ts';
import { page } from './layout.ts';
import { commandPage } from './pages/command.ts';
import { configurationPage, LARGEST_SAVE } from './pages/configuration.ts';
import { homePage } from './pages/home.ts';
import { licensePage } from './pages/license.ts';
import { domainsPage, jobsPage, queuesPage, vmtasPage } from './pages/lists.ts';
import { logsPage } from './pages/logs.ts';
import { queueDetailPage } from './pages/queue-detail.ts';
import { statusPage } from './pages/status.ts';
import { fault } from './parts.ts';
import type { PageDeps, View, Visit } from './visit.ts';

type Page = (visit: Visit) => View | Promise<View>;

const PAGES: ReadonlyMap<string, Page> = new Map<string, Page>([
  ['/', homePage],
  ['/status', statusPage],
  ['/queues', queuesPage],
  ['/domains', domainsPage],
  ['/vmtas', vmtasPage],
  ['/jobs', jobsPage],
  ['/logs', logsPage],
  ['/command', commandPage],
  ['/config', configurationPage],
  ['/enterLak', licensePage],
]);
/** Everything else is only looked at. */
const TAKE_FORMS = new Set(['/command', '/config']);

const staticFile = (name: string, type: string) => ({
  type,
  body: readFileSync(new URL(`./static/${name}`, import.meta.url)),
});
const STATIC = new Map([
  ['/static/monitor.css', staticFile('monitor.css', 'text/css; charset=utf-8')],
  ['/static/monitor.js', staticFile('monitor.js', 'text/javascript; charset=utf-8')],
  ['/static/icon.svg', staticFile('icon.svg', 'image/svg+xml')],
]);

const HEADERS = {
  'Cache-Control': 'no-store',
  'Content-Security-Policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Permissions-Policy': 'camera=(), geolocation=(), microphone=()',
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
};

export interface PageRequest {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly url: URL;
  /** Without an end slash. */
  readonly path: string;
  readonly client: string;
  readonly access: Access;
}

export async function showPage(deps: PageDeps, asked: PageRequest): Promise<void> {
  const { request, response, url, client, access } = asked;
  const config = deps.config();
  const path = asked.path.slice('/ui'.length) || '/';
  const file = STATIC.get(path);
  if (file) {
    request.resume();
    return send(response, 200, file.body, file.type);
  }
  if (url.pathname === '/ui') {
    request.resume();
    response.writeHead(302, { ...HEADERS, Location: `/ui/${url.search}`, 'Content-Length': 0 });
    return void response.end();
  }
  const post = request.method === 'POST';
  // Before the body is read: nobody below it has anything long to say.
  const largest = path === '/config' && atLeast(access.level, 'admin') ? LARGEST_SAVE : undefined;
  const fields = await requestFields(request, url, largest);
  const { token, cookie } = csrf.issue(request);
  response.setHeader('Set-Cookie', cookie);
  const mayChange = post && (access.byKey || csrf.valid(request, fields?.get('csrf')) || unprotected(config));
  const visit: Visit = {
    deps,
    config,
    path,
    fields: fields ?? new URLSearchParams(),
    post,
    visitor: { client, access, mayChange },
    token,
  };
  if (mayChange) deps.remembered.forget();
  const view = fields === null ? problem(413, 'The form is too large.') : await viewOf(visit);
  if (view.code === 405) response.setHeader('Allow', 'GET, HEAD');
  const body = page(visit, view);
  if (config.global.get('http-log-data')) {
    deps.log.info(`answered page ${asked.path}`, { client, bytes: Buffer.byteLength(body) });
  }
  send(response, view.code ?? 200, Buffer.from(body), 'text/html; charset=utf-8');
}

function viewOf(visit: Visit): View | Promise<View> {
  const { path, post } = visit;
  if (post && !TAKE_FORMS.has(path)) return problem(405, 'This page is only looked at.');
  const detail = /^\/queueDetail\/([^/]+)\/([^/]+)$/.exec(path);
  if (detail) {
    const name = decoded(`${detail[1]}/${detail[2]}`);
    return name === null
      ? problem(400, 'The address of the page is malformed.')
      : queueDetailPage(visit, name);
  }
  return PAGES.get(path)?.(visit) ?? problem(404, 'There is no such page.');
}

function unprotected({ global }: Config): boolean {
  return !global.get('http-csrf-protection');
}

function decoded(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}

function problem(code: number, text: string): View {
  return { code, title: 'Not shown', body: html`${fault(text)}<p><a href="/ui/">Home</a></p>` };
}

function send(response: ServerResponse, code: number, body: Buffer, type: string): void {
  response.writeHead(code, { ...HEADERS, 'Content-Type': type, 'Content-Length': body.length });
  response.end(body);
}
