import { createReadStream, existsSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { FastifyInstance, FastifyReply } from 'fastify';

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.webmanifest': 'application/manifest+json; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
  '.webp': 'image/webp',
  '.woff2': 'font/woff2',
  '.txt': 'text/plain; charset=utf-8',
  '.map': 'application/json; charset=utf-8',
};

const missingPage = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Posthorn Signals</title></head>
<body><h1>Posthorn Signals</h1>
<p>The service runs, but its web interface has not been built. In a checkout, run <code>npm run build</code> and load this page again. The API is at <code>/api/v1</code>.</p>
</body></html>
`;

/** Where the built web interface is: in a checkout `ui/dist`, in the published package `dist/ui`; `null` if nowhere. */
export function findUi(): string | null {
  // This file is src/signals/api/… in a checkout and dist/signals/api/… in the package.
  const up = (...to: string[]) => fileURLToPath(new URL(path.posix.join('../../..', ...to), import.meta.url));
  return [up('ui/dist'), up('dist/ui')].find((dir) => existsSync(path.join(dir, 'index.html'))) ?? null;
}

export interface StaticFiles {
  /** The file of a URL's path, or `null`. */
  file(urlPath: string): Promise<{ path: string; size: number } | null>;
  /** The application's page, whatever the path: it finds its view in the address itself. */
  page(reply: FastifyReply): Promise<FastifyReply>;
}

/** Files under `root`; only there, whatever the URL says. `root` is looked for anew while it is missing. */
export function staticFiles(find: () => string | null = findUi): StaticFiles {
  let root: string | null = null;
  const folder = () => {
    root ??= find();
    return root;
  };
  const file = async (urlPath: string) => {
    const dir = folder();
    if (dir === null) return null;
    let decoded: string;
    try {
      decoded = decodeURIComponent(urlPath);
    } catch {
      return null;
    }
    if (decoded.includes('\0') || decoded.split('/').some((part) => part.startsWith('.'))) return null;
    const full = path.join(dir, path.posix.normalize(`/${decoded}`));
    if (!full.startsWith(`${dir}${path.sep}`)) return null;
    try {
      const found = await stat(full);
      return found.isFile() ? { path: full, size: found.size } : null;
    } catch {
      return null;
    }
  };
  return {
    file,
    async page(reply) {
      const index = await file('/index.html');
      reply.header('content-type', types['.html']).header('cache-control', 'no-cache');
      if (!index) return reply.status(503).send(missingPage);
      return reply.header('content-length', index.size).send(createReadStream(index.path));
    },
  };
}

/** Serves the web interface's files; names with a content hash may be kept for ever. */
export function staticRoutes(app: FastifyInstance, ui: StaticFiles): void {
  app.get('/*', async (request, reply) => {
    const urlPath = request.url.split('?')[0]!;
    if (urlPath === '/api' || urlPath.startsWith('/api/')) return reply.callNotFound();
    const file =
      urlPath === '/' ? null : await ui.file(/^\/api-docs\/?$/.test(urlPath) ? '/api-docs.html' : urlPath);
    if (!file) {
      if (urlPath.startsWith('/assets/')) {
        return reply.status(404).header('content-type', 'text/plain; charset=utf-8').send('Not found\n');
      }
      return ui.page(reply);
    }
    const hashed = urlPath.startsWith('/assets/');
    return reply
      .header('content-type', types[path.extname(file.path).toLowerCase()] ?? 'application/octet-stream')
      .header('cache-control', hashed ? 'public, max-age=31536000, immutable' : 'no-cache')
      .header('content-length', file.size)
      .send(createReadStream(file.path));
  });
}
