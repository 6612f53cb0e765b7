import assert from 'node:assert/strict';
import { type AddressInfo, createServer } from 'node:net';
import { test } from 'node:test';
import { connectSmtp } from '../../smtp/index.ts';
import { systemClock } from '../../system/clock.ts';
import { hexLines, Trace } from './trace.ts';

test('a trace shows no password, in commands or in hexadecimal', async (t) => {
  const server = createServer((socket) => {
    socket.write('220 mx\r\n');
    socket.on('error', () => {});
    socket.on('data', (piece) => {
      const line = piece.toString();
      if (line.startsWith('EHLO')) socket.write('250-mx\r\n250 AUTH PLAIN\r\n');
      else if (line.startsWith('QUIT')) socket.end('221 bye\r\n');
      else socket.write('235 welcome\r\n');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const trace = new Trace({ data: true, resolution: false, sourceIp: null }, systemClock, () => {});
  const { port } = server.address() as AddressInfo;
  const result = await connectSmtp({
    ...{ host: '127.0.0.1', port, heloName: 'mta.test' },
    auth: { user: 'ana', password: 'hunter2', mechanisms: ['PLAIN'], allowClear: true },
    observer: trace.connection({ name: 'mx', address: '127.0.0.1' }),
  });
  assert.ok(result.ok);
  await result.client.quit();
  const text = trace.lines.join('\n');
  assert.match(text, /<<< AUTH PLAIN \*\*\*\n/);
  assert.match(text, />>> 235 welcome\n/);
  const secret = Buffer.from('\0ana\0hunter2').toString('base64');
  assert.ok(
    !text.includes(secret) && !text.includes(Buffer.from(secret).toString('hex').toUpperCase().slice(0, 16)),
  );
  assert.match(text, /closed mx \(127\.0\.0\.1\) in=\d+ out=\d+$/);
});

test('log-data: 16 octets a line, hexadecimal and what can be printed', () => {
  assert.deepEqual(hexLines('>>> rd', Buffer.from('250 welcome here\r\n')), [
    '>>> rd 18',
    '3235302077656C636F6D652068657265 250 welcome here',
    `0D0A${' '.repeat(28)} ..`,
  ]);
});
