import { createHash } from 'node:crypto';
import type { ServerResponse } from 'node:http';

/** The pixel of SparkPost's trackers, octet for octet: one more 00 than a GIF needs, and readers compare. */
const pixel = Buffer.from('R0lGODlhAQABAIAAAP///////yH5BAEKAAEALAAAAAABAAEAAAICTAEAOwA=', 'base64');

const style =
  'body{font:1.125rem/1.5 system-ui,sans-serif;color:#1a1a1a;background:#fff;max-width:32rem;margin:12vh auto 0;' +
  'padding:0 1.25rem}h1{font-size:1.5rem;line-height:1.25}button{font:inherit;font-weight:600;color:#fff;' +
  'background:#1f4fbf;border:2px solid #1f4fbf;border-radius:.375rem;padding:.75rem 1.5rem;cursor:pointer}' +
  'button:hover{background:#163a8c}button:focus-visible{outline:3px solid #1f4fbf;outline-offset:3px}';

const styleHash = createHash('sha256').update(style).digest('base64');

function page(title: string, body: string): Buffer {
  return Buffer.from(
    `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<style>${style}</style>
</head>
<body>
<main>
${body}
</main>
</body>
</html>
`,
  );
}

// The form posts to the page's own address, so nothing of the request stands in it.
const confirmPage = page(
  'Unsubscribe',
  `<h1>Unsubscribe from these emails?</h1>
<p>You will no longer receive messages from this list.</p>
<form method="post">
<input type="hidden" name="List-Unsubscribe" value="One-Click">
<button type="submit">Unsubscribe</button>
</form>`,
);
const donePage = page(
  'Unsubscribed',
  `<h1>You are unsubscribed</h1>
<p>Messages that are already on their way may still arrive.</p>`,
);

const pageHeaders = {
  'Content-Type': 'text/html; charset=utf-8',
  'Content-Security-Policy': `default-src 'none'; style-src 'sha256-${styleHash}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'`,
  // The address is the permission to unsubscribe.
  'Referrer-Policy': 'no-referrer',
  'X-Robots-Tag': 'noindex',
};

/** Every answer of a tracker. A HEAD request gets the same header, and Node leaves out the body. */
export interface TrackerAnswers {
  pixel(response: ServerResponse): void;
  redirect(response: ServerResponse, location: string): void;
  confirm(response: ServerResponse): void;
  unsubscribed(response: ServerResponse): void;
  robots(response: ServerResponse): void;
  nothing(response: ServerResponse): void;
  health(response: ServerResponse, status: 200 | 503, body: object): void;
  refusal(response: ServerResponse, status: number, more?: Readonly<Record<string, string>>): void;
  /** A whole answer as text, for requests that Node's parser gave up. */
  raw(status: number, more?: string): string;
}

const reasons = new Map([
  [400, 'Bad Request'],
  [404, 'Not Found'],
  [405, 'Method Not Allowed'],
  [408, 'Request Timeout'],
  [414, 'URI Too Long'],
  [431, 'Request Header Fields Too Large'],
  [500, 'Internal Server Error'],
]);

/** `server` is the value of the Server field; senders and test sinks recognise trackers by `msys-http`. */
export function trackerAnswers(server: string): TrackerAnswers {
  const always = {
    Server: server,
    'Cache-Control': 'no-cache, no-store, max-age=0, private',
    'X-Content-Type-Options': 'nosniff',
  };
  const answer = (type: Readonly<Record<string, string>>, body: Buffer) => {
    const headers = { ...always, ...type, 'Content-Length': body.length };
    return (response: ServerResponse) => {
      response.writeHead(200, headers);
      response.end(body);
    };
  };
  return {
    pixel: answer({ 'Content-Type': 'image/gif' }, pixel),
    redirect(response, location) {
      response.writeHead(302, {
        ...always,
        'Content-Type': 'text/plain',
        'Content-Length': 0,
        'X-Robots-Tag': 'noindex',
        Location: location,
      });
      response.end();
    },
    confirm: answer(pageHeaders, confirmPage),
    unsubscribed: answer(pageHeaders, donePage),
    robots: answer({ 'Content-Type': 'text/plain' }, Buffer.from('User-agent: *\nDisallow: /\n')),
    nothing(response) {
      response.writeHead(204, always);
      response.end();
    },
    health(response, status, body) {
      const text = JSON.stringify(body);
      response.writeHead(status, {
        ...always,
        'Content-Type': 'application/json',
        'Content-Length': Buffer.byteLength(text),
      });
      response.end(text);
    },
    refusal(response, status, more = {}) {
      const text = `${reasons.get(status)}\n`;
      response.writeHead(status, {
        ...always,
        'Content-Type': 'text/plain',
        'Content-Length': text.length,
        ...more,
      });
      response.end(text);
    },
    raw(status, more = '') {
      const text = `${reasons.get(status)}\n`;
      const fields = Object.entries(always).map(([name, value]) => `${name}: ${value}\r\n`);
      return `HTTP/1.1 ${status} ${text.trimEnd()}\r\n${fields.join('')}Content-Type: text/plain\r\nContent-Length: ${text.length}\r\n${more}Connection: close\r\n\r\n${text}`;
    },
  };
}
