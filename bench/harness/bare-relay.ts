/**
 * The least that a durable relay in one Node process can do, as a floor for what Posthorn costs on the same machine in
 * the same minute: SMTP without a check, a message synced in an LMDB transaction before its `250`, kept connections to
 * one place, and its removal synced too. No envelope, no queue, no limits, no accounting, no errors: it is no mail
 * server, and a fault ends it.
 *
 *   node bench/harness/bare-relay.ts PORT SINK-PORT SESSIONS FOLDER
 */
import net from 'node:net';
import { open } from 'lmdb';

const [port, sinkPort, sessions] = process.argv.slice(2, 5).map(Number) as [number, number, number];
const store = open<Buffer, number>({
  path: process.argv[5]!,
  encoding: 'binary',
  noSubdir: false,
  overlappingSync: false,
});
const END = Buffer.from('\r\n.\r\n');
const waiting: { readonly id: number; readonly content: Buffer }[] = [];
const idle: (() => void)[] = [];
let lastId = 0;
let connections = 0;

net.createServer(receive).listen(port, '127.0.0.1');

function receive(socket: net.Socket): void {
  let chunks: Buffer[] | null = null;
  let line = '';
  socket.on('error', () => socket.destroy());
  socket.on('data', (data: Buffer) => {
    if (chunks) {
      chunks.push(data);
      const content = chunks.length === 1 ? data : Buffer.concat(chunks);
      if (!content.subarray(-END.length).equals(END)) return;
      chunks = null;
      const id = ++lastId;
      store.put(id, content).then(() => {
        socket.write('250 2.0.0 Ok\r\n');
        forward(id, content);
      });
      return;
    }
    line += data.toString('latin1');
    for (let end = line.indexOf('\r\n'); end >= 0; end = line.indexOf('\r\n')) {
      const verb = line.slice(0, 4).toUpperCase();
      line = line.slice(end + 2);
      if (verb === 'DATA') chunks = [];
      if (verb === 'QUIT') socket.end('221 2.0.0 Bye\r\n');
      else socket.write(verb === 'DATA' ? '354 Go on\r\n' : '250 2.0.0 Ok\r\n');
    }
  });
  socket.write('220 bare ESMTP\r\n');
}

function forward(id: number, content: Buffer): void {
  waiting.push({ id, content });
  const next = idle.pop();
  if (next) next();
  else if (connections < sessions) connect();
}

function connect(): void {
  connections++;
  const socket = net.connect(sinkPort, '127.0.0.1');
  let message: (typeof waiting)[number] | undefined;
  /** Replies that are still to come: greeting and EHLO, or those of the transaction. */
  let awaited = 2;
  let text = '';
  const next = () => {
    message = waiting.shift();
    if (!message) return void idle.push(next);
    awaited = 3;
    socket.write('MAIL FROM:<bench@bare.test>\r\nRCPT TO:<to@sink.test>\r\nDATA\r\n');
  };
  socket.on('data', (data: Buffer) => {
    text += data.toString('latin1');
    for (let end = text.indexOf('\r\n'); end >= 0; end = text.indexOf('\r\n')) {
      const goesOn = text[3] === '-';
      text = text.slice(end + 2);
      if (goesOn || --awaited > 0) continue;
      if (!message) next();
      else if (awaited === 0) socket.write(message.content);
      else {
        store.remove(message.id);
        next();
      }
    }
  });
  socket.on('error', (error) => {
    throw error;
  });
  socket.write('EHLO bare.test\r\n');
}

process.once('SIGTERM', () => process.exit(0));
