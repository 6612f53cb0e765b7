import type { Server } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Clock } from '../system/clock.ts';
import type { TrackerAnswers } from './tracker-answers.ts';

/** How long a connection stays half open so that the client can read why it was refused. */
const LINGER_MS = 1000;

/**
 * Answers what never becomes a request: bytes that are no HTTP, too long a head, a head that never ends, CONNECT.
 * Node's own answers would lack the Server field.
 */
export function answerParseErrors(
  server: Server,
  answers: TrackerAnswers,
  longestUri: number,
  clock: Clock,
): { close(): void } {
  const lingering = new Set<Duplex>();
  const refuse = (socket: Duplex, status: number, more?: string) => {
    socket.on('error', () => {});
    if (!socket.writable) {
      socket.destroy();
      return;
    }
    socket.end(answers.raw(status, more));
    // Closing with unread bytes resets the connection, and the client may lose the answer.
    socket.resume();
    lingering.add(socket);
    const cancel = clock.after(LINGER_MS, () => socket.destroy());
    socket.once('close', () => {
      cancel();
      lingering.delete(socket);
    });
  };
  server.on('clientError', (error: NodeJS.ErrnoException & { rawPacket?: Buffer }, socket) => {
    if (error.code === 'ECONNRESET') socket.destroy();
    else if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT') refuse(socket, 408);
    else if (error.code !== 'HPE_HEADER_OVERFLOW') refuse(socket, 400);
    else refuse(socket, isLongUri(error.rawPacket, longestUri) ? 414 : 431);
  });
  server.on('connect', (_request, socket) => refuse(socket, 405, 'Allow: GET, HEAD\r\n'));
  return {
    close() {
      for (const socket of lingering) socket.destroy();
    },
  };
}

/** Whether it was the first line of the head that would not end. */
function isLongUri(packet: Buffer | undefined, longest: number): boolean {
  if (!packet) return false;
  const start = packet.toString('latin1', 0, longest + 64);
  return /^[A-Z]{1,16} /.test(start) && start.length > longest && !start.includes('\n');
}
