import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Clock } from '../../system/clock.ts';

const LONGEST_MS = 30_000;

/**
 * Takes and drops what still comes of a body that was refused, and closes the connection only after that. A sender that
 * is still writing would otherwise meet a reset before the answer, and try again for ever what it should mend.
 */
export function dropRestOfBody(clock: Clock, request: IncomingMessage, response: ServerResponse): void {
  const { socket } = request;
  if (request.complete || socket.destroyed) return;
  const cancel = clock.after(LONGEST_MS, () => socket.destroy());
  socket.once('close', cancel);
  const mustClose = !response.shouldKeepAlive;
  response.shouldKeepAlive = true;
  request.once('end', () => {
    cancel();
    socket.off('close', cancel);
    if (!mustClose) return;
    if (response.writableFinished) socket.end();
    else response.once('finish', () => socket.end());
  });
  request.resume();
}
