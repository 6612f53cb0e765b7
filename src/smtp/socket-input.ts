/**
 * Input of sockets without a buffer and a stream event for each piece: all read into one piece of memory. Node offers that
 * for sockets that it connects (`onread`, https://nodejs.org/api/net.html#new-netsocketoptions) and not for those that a
 * server accepts or that TLS is put over; they have the same parts, which are looked for here and used where they are. A
 * message is some eight pieces, so this is a twentieth of what it costs to relay one.
 */
import { Socket } from 'node:net';

const SIZE = 65_536;

/** Read into for all sockets: who gets a piece has done with it before the next is read. */
const shared = Buffer.allocUnsafeSlow(SIZE);

type Parts = Record<symbol, unknown> & {
  readonly _handle?: { useUserBuffer?: (memory: Uint8Array) => void } | null;
};

const names = Object.getOwnPropertySymbols(new Socket());
const kBuffer = names.find(({ description }) => description === 'kBuffer');
const kBufferCb = names.find(({ description }) => description === 'kBufferCb');

/**
 * Calls `take` with each piece of input. It is lent: after the call its memory holds something else. Errors and the end
 * come as events of the socket, and `pause` and `resume` work. Returns what stops it: input is dropped from then on,
 * until something else reads from the socket.
 */
export function takeInput(socket: Socket, take: (piece: Buffer) => void): () => void {
  const parts = socket as unknown as Parts;
  const handle = parts._handle;
  if (!kBuffer || !kBufferCb || !handle?.useUserBuffer || socket.readableLength > 0) {
    return takeEvents(socket, take);
  }
  let taken = true;
  parts[kBuffer] = shared;
  parts[kBufferCb] = (length: number) => {
    if (taken) take(shared.subarray(0, length));
    return true;
  };
  handle.useUserBuffer(shared);
  return () => {
    taken = false;
  };
}

function takeEvents(socket: Socket, take: (piece: Buffer) => void): () => void {
  socket.on('data', take);
  return () => {
    socket.removeListener('data', take);
    socket.pause();
  };
}
