import type { Server } from 'node:net';
import { withRoot } from './privileges.ts';
import { UserError } from './user-error.ts';

/**
 * Binds a server (TCP, TLS or HTTP) and resolves with the port it got.
 * `purpose` names the listener for the person who has to mend it: "submission, pmta.conf line 12".
 */
export async function listen(server: Server, host: string, port: number, purpose: string): Promise<number> {
  const asBefore = await withRoot();
  return await new Promise((resolve, reject) => {
    const failed = (error: NodeJS.ErrnoException) =>
      reject(new UserError(bindFailure(error, host, port, purpose)));
    server.once('error', failed);
    server.once('error', asBefore);
    server.listen({ host, port }, () => {
      asBefore();
      server.removeListener('error', asBefore);
      server.removeListener('error', failed);
      const address = server.address();
      resolve(typeof address === 'object' && address ? address.port : port);
    });
  });
}

/** Why an address could not be bound, in one sentence. */
export function bindFailure(
  error: NodeJS.ErrnoException,
  host: string,
  port: number,
  purpose: string,
): string {
  const where = `${host.includes(':') ? `[${host}]` : host}:${port} (${purpose})`;
  switch (error.code) {
    case 'EADDRINUSE':
      return `${where} is in use by another program; stop that program or choose another port`;
    case 'EACCES':
      return `${where} needs more rights: ports below 1024 belong to root or to a program with CAP_NET_BIND_SERVICE`;
    case 'EADDRNOTAVAIL':
      return `${where} is not an address of this machine; correct the address`;
    default:
      return `${where} cannot be opened: ${error.message}`;
  }
}
