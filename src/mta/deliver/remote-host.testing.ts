/** Remote hosts for the tests of delivery: one that answers each command as it is told, on a real socket. */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { type DeliveryOptions, type DeliveryUnderTest, startDelivery } from '../testing.ts';

/** Text: the answer, without its line end. Null: the usual one. 'hang up': the connection is destroyed. */
export type Answer = string | null | 'hang up';

export interface RemoteHost {
  readonly port: number;
  /** Every line that came, the content's `.` included and its text not, over all connections. */
  readonly seen: string[];
  connections: number;
  /** Content of each message that was taken or refused. */
  readonly contents: string[];
  /** Each of these with its envelope. */
  readonly messages: { readonly from: string; readonly to: readonly string[]; readonly content: string }[];
}

export interface RemoteHostOptions {
  readonly greeting?: string;
  readonly keywords?: readonly string[];
  readonly address?: string;
  readonly port?: number;
  /** `.` stands for the end of the content. */
  readonly answer?: (verb: string, line: string, connection: number) => Answer;
}

export async function remoteHost(t: TestContext, options: RemoteHostOptions = {}): Promise<RemoteHost> {
  const host = { port: 0, seen: [], connections: 0, contents: [], messages: [] } as {
    -readonly [K in keyof RemoteHost]: RemoteHost[K];
  };
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    serve(socket, host, options);
  });
  server.listen(options.port ?? 0, options.address ?? '127.0.0.1');
  await once(server, 'listening');
  host.port = (server.address() as AddressInfo).port;
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return host;
}

function serve(socket: Socket, host: Omit<RemoteHost, 'port'>, options: RemoteHostOptions): void {
  const connection = host.connections++;
  let pending = '';
  let content: string | null = null;
  let from = '';
  let to: string[] = [];
  socket.write(`${options.greeting ?? '220 remote ESMTP'}\r\n`);
  socket.on('data', (piece) => {
    pending += piece.toString('latin1');
    for (let end = pending.indexOf('\r\n'); end !== -1; end = pending.indexOf('\r\n')) {
      const line = pending.slice(0, end);
      pending = pending.slice(end + 2);
      if (content !== null && line !== '.') {
        content += `${line}\r\n`;
        continue;
      }
      const verb = content !== null ? '.' : line.replace(/[ :].*/, '').toUpperCase();
      if (content !== null) {
        host.contents.push(content);
        host.messages.push({ from, to, content });
      }
      content = null;
      const path = /<(.*?)>/.exec(line)?.[1] ?? '';
      if (verb === 'MAIL') [from, to] = [path, []];
      if (verb === 'RCPT') to.push(path);
      host.seen.push(line);
      // A proxy passes on what comes after.
      if (verb === 'PROXY') continue;
      const answer = options.answer?.(verb, line, connection) ?? null;
      if (answer === 'hang up') return socket.destroy();
      if (verb === 'DATA' && (answer === null || answer.startsWith('354'))) content = '';
      const usual = verb === 'DATA' ? '354 go' : verb === 'EHLO' ? ehlo(options.keywords) : '250 2.0.0 ok';
      socket.write(`${answer ?? usual}\r\n`);
      if (verb === 'QUIT') socket.end();
    }
  });
}

function ehlo(keywords: readonly string[] = []): string {
  const lines = ['remote.test', ...keywords];
  return lines.map((line, i) => `250${i === lines.length - 1 ? ' ' : '-'}${line}`).join('\r\n');
}

const SETTINGS = `
  use-starttls no
  retry-after 10m
  retry-recipients-after 5m
`;

/** A delivery of mail for every domain, to these hosts in this order unless `settings` route it otherwise. */
export async function deliveryTo(
  t: TestContext,
  hosts: readonly { readonly port: number }[],
  more: { settings?: string; config?: string } & Partial<Omit<DeliveryOptions, 'config'>> = {},
): Promise<DeliveryUnderTest> {
  const { settings = '', config = '', ...rest } = more;
  const route = hosts.map(({ port }) => `[127.0.0.1]:${port}`).join('; ');
  return await startDelivery(t, {
    ...rest,
    config: `${config}
      <domain *>
      ${SETTINGS}
      ${hosts.length > 0 ? `smtp-hosts "${route}"` : ''}
      ${settings}
      </domain>`,
  });
}
