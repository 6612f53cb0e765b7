/** What stands around every page. */
import { atLeast } from '../access.ts';
import { html } from './html.ts';
import type { View, Visit } from './visit.ts';

const LINKS = [
  ['/', 'Home'],
  ['/status', 'Status'],
  ['/queues', 'Queues'],
  ['/domains', 'Domains'],
  ['/vmtas', 'VMTAs'],
  ['/jobs', 'Jobs'],
  ['/logs', 'Logs'],
  ['/command', 'Command'],
  ['/config', 'Configuration'],
  ['/enterLak', 'License'],
] as const;

export function page(visit: Visit, view: View): string {
  const { deps, path, visitor } = visit;
  const { hostName, version } = deps.control.status;
  const hidden = (to: string) =>
    (to === '/logs' && visitor.access.denyLogs) ||
    ((to === '/command' || to === '/config') && !atLeast(visitor.access.level, 'operator'));
  const here = (to: string) => path === to || (to === '/queues' && path.startsWith('/queueDetail'));
  const links = LINKS.filter(([to]) => !hidden(to)).map(
    ([to, name]) =>
      html`<li><a href="/ui${to}"${here(to) ? html` aria-current="page"` : null}>${name}</a></li>`,
  );
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${view.title} · ${hostName} · Posthorn</title>
<link rel="icon" href="/ui/static/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/ui/static/monitor.css">
<script src="/ui/static/monitor.js" defer></script>
</head>
<body>
<a class="skip" href="#main">Skip to content</a>
<header>
<p class="brand"><strong>Posthorn</strong> <span>${hostName}</span></p>
<nav aria-label="Pages"><ul>${links}</ul></nav>
</header>
<main id="main" tabindex="-1">
<div class="top"><h1>${view.title}</h1>${
    view.live
      ? html`<label class="refresh" hidden><input type="checkbox" id="refresh"> Refresh every 10 seconds</label>`
      : null
  }</div>
${view.live ? html`<div data-live>${view.body}</div>` : view.body}
</main>
<footer><p>Posthorn ${version} · you are ${visitor.client} with access level ${visitor.access.level}</p></footer>
</body>
</html>
`.text;
}
