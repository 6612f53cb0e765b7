import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { systemClock } from '../system/clock.ts';
import { silentLog } from '../system/log.ts';
import { startTracker } from './server.ts';
import { click, open, startTestTracker, unsubscribe } from './tracker-testing.ts';

/** Sends octets and gives everything that comes back until the server closes. */
async function talk(port: number, text: string): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  let back = '';
  socket.setEncoding('latin1').on('data', (data) => {
    back += data;
  });
  socket.on('error', () => {});
  socket.write(text, 'latin1');
  await once(socket, 'close');
  return back;
}

test('too long addresses and headers have their own statuses', async (t) => {
  const { tracker, ask, lines } = await startTestTracker(t);
  const long = (n: number) => 'a'.repeat(n);
  assert.equal((await ask(`/f/a?${long(8186)}`)).status, 404);
  assert.equal((await ask(`/f/a?${long(8190)}`)).status, 414);
  assert.equal((await ask('/f/a', { headers: { X: long(15_000) } })).status, 404);
  assert.equal((await ask('/f/a', { headers: { X: long(17_000) } })).status, 431);
  // What the parser gives up never becomes a request.
  for (const [head, status] of [
    [`GET /${long(40_000)} HTTP/1.1\r\n\r\n`, 414],
    [`GET /f/a HTTP/1.1\r\nHost: x\r\nX: ${long(60_000)}\r\n\r\n`, 431],
    [`GET /f/a HTTP/1.1\r\n${'X: y\r\n'.repeat(9000)}\r\n`, 431],
  ] as const) {
    const answer = await talk(tracker.port, head);
    assert.match(answer, new RegExp(`^HTTP/1\\.1 ${status} `));
    assert.match(answer, /\r\nServer: msys-http\r\n/);
    assert.match(answer, /\r\nX-Content-Type-Options: nosniff\r\n/);
    assert.doesNotMatch(answer, /aaaa/);
  }
  assert.equal(lines.length, 0);
});

test('what is no HTTP is refused, and so are tunnels', async (t) => {
  const { tracker } = await startTestTracker(t);
  for (const [text, status] of [
    ['\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 400],
    ['EHLO x\r\n\r\n', 400],
    ['GET /f/a HTTP/1.1\r\nA: b\x00c\r\n\r\n', 400],
    ['GET /f/a HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n', 400],
    ['CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n', 405],
  ] as const) {
    const answer = await talk(tracker.port, text);
    assert.match(answer, new RegExp(`^HTTP/1\\.1 ${status} `), JSON.stringify(text));
    assert.match(answer, /\r\nServer: msys-http\r\n/);
  }
});

test('old and odd clients are served', async (t) => {
  const { tracker, url } = await startTestTracker(t);
  const path = url(click);
  for (const head of [
    `GET ${path} HTTP/1.0\r\n\r\n`,
    `GET ${path} HTTP/1.1\r\nConnection: close\r\n\r\n`,
    `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: the-unexpected\r\n\r\n`,
    `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nCookie: a=b\r\nContent-Length: 2\r\n\r\nxy`,
    `GET ${path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n`,
    `GET ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n`,
  ]) {
    const answer = await talk(tracker.port, head);
    assert.match(answer, /^HTTP\/1\.1 302 /, head);
    assert.ok(answer.includes(`\r\nLocation: ${click.target}\r\n`));
  }
});

test('requests share a connection, in order', async (t) => {
  const { tracker, url, lines } = await startTestTracker(t);
  const requests = [1, 2, 3].map((i) => {
    const path = url({ ...click, target: `https://shop.example/${i}` });
    return `GET ${path} HTTP/1.1\r\nHost: x\r\n${i === 3 ? 'Connection: close\r\n' : ''}\r\n`;
  });
  const answer = await talk(tracker.port, requests.join(''));
  assert.deepEqual(
    [...answer.matchAll(/Location: (\S+)/g)].map((match) => match[1]),
    [1, 2, 3].map((i) => `https://shop.example/${i}`),
  );
  assert.equal(lines.length, 3);
});

test('closing ends idle connections, finishes requests in hand, and takes no more', async (t) => {
  const { tracker, url, lines } = await startTestTracker(t);
  const idle = connect(tracker.port, '127.0.0.1').resume();
  await once(idle, 'connect');
  idle.write(`GET ${url(open)} HTTP/1.1\r\nHost: x\r\n\r\n`);
  await once(idle, 'data');
  const busy = connect(tracker.port, '127.0.0.1').setEncoding('latin1');
  let back = '';
  busy.on('data', (data) => {
    back += data;
  });
  busy.write(
    `POST ${url(unsubscribe)} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 26\r\n\r\n`,
  );
  await once(busy, 'data');
  const gone = once(idle, 'close');
  const closed = tracker.close();
  await gone;
  await assert.rejects(once(connect(tracker.port, '127.0.0.1'), 'connect'), { code: 'ECONNREFUSED' });
  assert.equal(lines.length, 1);
  busy.write('List-Unsubscribe=One-Click');
  await once(busy, 'close');
  await closed;
  assert.match(back, /HTTP\/1\.1 200 OK[\s\S]*\r\nConnection: close\r\n/);
  assert.equal(lines.length, 2);
});

test('closing does not wait for clients that never finish', async (t) => {
  // Only the last resort of closing waits five seconds.
  const clock = {
    ...systemClock,
    after: (ms: number, then: () => void) => systemClock.after(ms === 5000 ? 5 : ms, then),
  };
  const { tracker, url } = await startTestTracker(t, { clock });
  const stuck = connect(tracker.port, '127.0.0.1').resume();
  stuck.on('error', () => {});
  stuck.write(
    `POST ${url(unsubscribe)} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 26\r\n\r\n`,
  );
  await once(stuck, 'data');
  const gone = once(stuck, 'close');
  await tracker.close();
  await gone;
});

test('a busy address is said in a sentence', async (t) => {
  const { tracker, ring } = await startTestTracker(t);
  await assert.rejects(
    startTracker({
      listen: { host: '127.0.0.1', port: tracker.port },
      ring,
      events: { add: () => true },
      log: silentLog,
      clock: systemClock,
    }),
    { name: 'UserError', message: /\(tracker\) is in use/ },
  );
});
