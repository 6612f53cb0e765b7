import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { TestClock } from '../system/testing.ts';
import type { ConnectOptions, ConnectResult } from './client-types.ts';
import { connectSmtp } from './connect.ts';
import { scripted, settled, startPeer } from './test-peer.ts';

type Test = Parameters<typeof startPeer>[0];

function connect(port: number, options: Partial<ConnectOptions> = {}): Promise<ConnectResult> {
  return connectSmtp({ host: '127.0.0.1', port, heloName: 'client.test', ...options });
}

async function ready(t: Test, serve: (socket: Socket) => void, options: Partial<ConnectOptions> = {}) {
  const result = await connect(await startPeer(t, serve), options);
  assert.ok(result.ok, JSON.stringify(result));
  t.after(() => result.client.destroy());
  return result.client;
}

const MESSAGE = {
  from: 'a@b',
  recipients: [{ address: 'x@y' }, { address: 'z@y' }],
  content: Buffer.from('hi\r\n'),
};
const EHLO = '250-x\r\n250 PIPELINING\r\n';

test('a port where nobody listens', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  const result = await connect(port);
  assert.ok(!result.ok);
  assert.deepEqual(
    [result.stage, result.error, result.code],
    ['connect', 'connection refused', 'ECONNREFUSED'],
  );
});

test('a local address that is not ours', async (t) => {
  const port = await startPeer(t, () => {});
  const result = await connect(port, { localAddress: '192.0.2.77' });
  assert.ok(!result.ok);
  assert.deepEqual([result.stage, result.error], ['connect', 'cannot assign requested address']);
});

const GREETINGS: [
  name: string,
  greeting: string | null,
  expected: { code?: string; error?: RegExp; reply?: number },
][] = [
  ['garbage', 'SSH-2.0-OpenSSH_9.9\r\n', { code: 'EPROTOCOL', error: /not SMTP: SSH-2\.0/ }],
  ['binary garbage', '\u0016\u0003\u0001\u0000\n', { code: 'EPROTOCOL', error: /not SMTP/ }],
  ['a line without end', 'x'.repeat(100_000), { code: 'EPROTOCOL', error: /too long/ }],
  ['lines without end', '220-x\r\n'.repeat(1000), { code: 'EPROTOCOL', error: /too many lines/ }],
  [
    'replies without end',
    '220 x\r\n'.repeat(1000),
    { code: 'EPROTOCOL', error: /more replies than commands/ },
  ],
  ['two replies', '220 x\r\n250 x\r\n', { code: 'EPROTOCOL', error: /more than was asked/ }],
  ['a refusal', '554-5.7.1 go\r\n554 5.7.1 away\r\n', { reply: 554 }],
  ['a deferral', '421 4.7.0 later\r\n', { reply: 421 }],
  ['half a reply and the end', '220-x\r\n220', { code: 'ECLOSED', error: /closed by the remote host/ }],
  ['nothing but the end', '', { code: 'ECLOSED', error: /closed by the remote host/ }],
];

for (const [name, greeting, expected] of GREETINGS) {
  test(`greeting: ${name}`, async (t) => {
    const port = await startPeer(t, (socket) => {
      if (greeting) socket.write(greeting);
      if (expected.code === 'ECLOSED') socket.end();
    });
    const result = await connect(port);
    assert.ok(!result.ok);
    assert.ok(['greeting', 'ehlo'].includes(result.stage));
    assert.equal(result.reply?.code, expected.reply);
    assert.equal(result.code, expected.code ?? '');
    assert.match(result.error, expected.error ?? /^$/);
  });
}

test('EHLO refused: HELO where it was not understood, the refusal where it was', async (t) => {
  const old = await connect(await startPeer(t, scripted('220 x\r\n', ['502 what\r\n', '250 x\r\n'])));
  assert.ok(old.ok);
  assert.deepEqual(old.client.facts.keywords, []);
  old.client.destroy();
  const refused = await connect(await startPeer(t, scripted('220 x\r\n', ['550 5.7.1 bad name\r\n'])));
  assert.ok(!refused.ok);
  assert.deepEqual([refused.stage, refused.reply?.code], ['ehlo', 550]);
});

test('keywords are read as they come, odd ones skipped', async (t) => {
  const client = await ready(
    t,
    scripted('220 x\r\n', [
      '250-x\r\n250-size 9x\r\n250-AUTH=LOGIN PLAIN\r\n250-???\r\n250-\r\n250 __proto__\r\n',
    ]),
  );
  assert.equal(client.sizeLimit, Number.POSITIVE_INFINITY);
  assert.deepEqual(
    [client.offers('SIZE'), client.offers('AUTH'), client.offers('toString')],
    [true, true, false],
  );
  assert.equal(client.facts.keywords.length, 5);
});

/** Lines of one pipelined transaction are MAIL, RCPT, RCPT, DATA, hi, dot. */
const ENDS: [
  name: string,
  answers: (string | null)[],
  mail: number | null,
  recipients: (number | null)[],
  stage: string,
][] = [
  ['at MAIL', [EHLO, null], null, [null, null], 'mail'],
  ['at the first RCPT', [EHLO, '250 ok\r\n', null], 250, [null, null], 'rcpt'],
  ['at the second RCPT', [EHLO, '250 ok\r\n', '250 ok\r\n', null], 250, [250, null], 'rcpt'],
  ['at DATA', [EHLO, '250 ok\r\n', '250 ok\r\n', '550 no\r\n', null], 250, [250, 550], 'data'],
  [
    'after the dot',
    [EHLO, '250 ok\r\n', '250 ok\r\n', '550 no\r\n', '354 go\r\n', '', null],
    250,
    [250, 550],
    'final',
  ],
];

for (const [name, answers, mail, recipients, stage] of ENDS) {
  test(`the connection ends ${name}: what was said before still counts`, async (t) => {
    const client = await ready(t, scripted('220 x\r\n', answers));
    const result = await client.send(MESSAGE);
    assert.equal(result.mail?.code ?? null, mail);
    assert.deepEqual(
      result.recipients.map((r) => r?.code ?? null),
      recipients,
    );
    assert.equal(result.data, null);
    assert.equal(result.lost?.stage, stage);
    assert.equal(result.lost?.error, 'connection closed by the remote host');
    assert.equal(client.usable, false);
    const next = await client.send(MESSAGE);
    assert.equal(next.lost?.stage, 'mail');
  });
}

test('a server that says 421 and goes: the reply is there for every recipient that got one', async (t) => {
  const client = await ready(t, (socket) => {
    let n = 0;
    socket.write('220 x\r\n');
    socket.on('data', () => {
      if (n++ === 0) socket.write(EHLO);
      else socket.end('421 4.7.0 busy\r\n');
    });
  });
  const result = await client.send(MESSAGE);
  assert.equal(result.mail?.code, 421);
  assert.deepEqual(result.recipients, [null, null]);
  assert.equal(result.lost?.stage, 'rcpt');
});

test('421 said to an idle connection makes it unusable and is quoted', async (t) => {
  let say = () => {};
  const client = await ready(t, (socket) => {
    socket.write('220 x\r\n');
    socket.once('data', () => socket.write(EHLO));
    say = () => socket.write('421 4.4.2 idle too long\r\n');
  });
  assert.ok(client.usable);
  say();
  while (client.usable) await settled();
  const result = await client.send(MESSAGE);
  assert.match(result.lost?.error ?? '', /421 4\.4\.2 idle too long/);
});

test('DATA taken although every recipient was refused: an empty message, and on to the next', async (t) => {
  const lines: string[] = [];
  const client = await ready(t, (socket) => {
    const serve = scripted('220 x\r\n', [
      EHLO,
      ...['250 ok\r\n', '550 no\r\n', '550 no\r\n', '354 go\r\n', '554 nobody\r\n'],
      ...['250 reset\r\n', '250 ok\r\n', '250 ok\r\n', '250 ok\r\n', '354 go\r\n', '', '250 taken\r\n'],
    ]);
    socket.on('data', (piece) => lines.push(...piece.toString().split('\r\n').slice(0, -1)));
    serve(socket);
  });
  const first = await client.send(MESSAGE);
  assert.deepEqual(
    first.recipients.map((r) => r?.code),
    [550, 550],
  );
  assert.deepEqual([first.data, first.lost], [null, null]);
  const second = await client.send(MESSAGE);
  assert.equal(second.data?.lines[0], 'taken');
  assert.deepEqual(lines.slice(5, 8), ['.', 'RSET', 'MAIL FROM:<a@b>']);
});

test('replies that fit nothing end the connection rather than be taken for the next', async (t) => {
  const toData = await ready(
    t,
    scripted('220 x\r\n', [EHLO, '250 o\r\n', '250 o\r\n', '250 o\r\n', '250 odd\r\n']),
  );
  const first = await toData.send(MESSAGE);
  assert.deepEqual([first.data, first.lost?.stage, first.lost?.code], [null, 'data', 'EPROTOCOL']);
  const final = await ready(
    t,
    scripted('220 x\r\n', [EHLO, '250 o\r\n', '250 o\r\n', '250 o\r\n', '354 go\r\n', '', '354 again\r\n']),
  );
  const second = await final.send(MESSAGE);
  assert.deepEqual([second.data, second.lost?.stage, second.lost?.code], [null, 'final', 'EPROTOCOL']);
  const garbage = await ready(t, scripted('220 x\r\n', [EHLO, '250 o\r\nhello\r\n']));
  const third = await garbage.send(MESSAGE);
  assert.deepEqual([third.mail?.code, third.lost?.code], [250, 'EPROTOCOL']);
});

test('a refusal in the middle of large content is heard, and the connection is given up', async (t) => {
  for (const offer of [EHLO, '250-x\r\n250 CHUNKING\r\n', '250-x\r\n250-PIPELINING\r\n250 CHUNKING\r\n']) {
    const client = await ready(t, (socket) => {
      let seen = '';
      let refused = false;
      socket.write('220 x\r\n');
      socket.on('data', (piece) => {
        if (seen === '') socket.write(offer);
        seen += piece.toString('latin1');
        if (refused) return;
        for (const line of piece.toString('latin1').split('\r\n')) {
          if (/^(MAIL|RCPT)/.test(line)) socket.write('250 ok\r\n');
          else if (line === 'DATA') socket.write('354 go\r\n');
        }
        if (seen.length > 300_000) {
          refused = true;
          socket.write('552 5.3.4 enough\r\n');
          socket.pause();
        }
      });
    });
    const content = Buffer.from(`${'y'.repeat(98)}\r\n`.repeat(400_000));
    const result = await client.send({ ...MESSAGE, content });
    assert.equal(result.data?.code, 552, offer);
    assert.equal(result.lost, null);
    assert.equal(client.usable, false);
  }
});

test('every phase has its time limit, and a reply that drips does not stretch it', async (t) => {
  const timeouts = {
    ...{ greeting: 1000, command: 1000, data: 1000, dataEnd: 1000, handshake: 1000, restOfReply: 1000 },
  };
  // `pieces`: how many the client has sent when it has come to that stage; its time begins only then.
  const stages: [serve: (socket: Socket) => void, stage: string, pieces: number][] = [
    [() => {}, 'greeting', 0],
    [(socket) => void socket.write('220-slow'), 'greeting', 0],
    [scripted('220 x\r\n', []), 'ehlo', 1],
    [scripted('220 x\r\n', ['250-x\r\n']), 'ehlo', 1],
    [scripted('220 x\r\n', ['250-x\r\n250 STARTTLS\r\n', '220 go\r\n']), 'starttls', 3],
  ];
  for (const [serve, stage, pieces] of stages) {
    const clock = new TestClock();
    let came = 0;
    const port = await startPeer(t, (socket) => {
      socket.on('data', () => came++);
      serve(socket);
    });
    const connecting = connect(port, { clock, timeouts, tls: { mode: 'require' } });
    let result: ConnectResult | undefined;
    void connecting.then((r) => {
      result = r;
    });
    while (came < pieces) await settled();
    while (!result) {
      await settled();
      clock.advance(1000);
    }
    assert.ok(!result.ok);
    assert.deepEqual([result.stage, result.code], [stage, 'ETIMEDOUT']);
    assert.equal(clock.waiting, 0);
  }
});

test('a server that never answers the dot: the transaction is lost in its last stage', async (t) => {
  const clock = new TestClock();
  let seen = '';
  const serve = scripted('220 x\r\n', [EHLO, '250 ok\r\n', '250 ok\r\n', '250 ok\r\n', '354 go\r\n']);
  const client = await ready(
    t,
    (socket) => {
      socket.on('data', (piece) => {
        seen += piece.toString();
      });
      serve(socket);
    },
    { clock },
  );
  const sending = client.send(MESSAGE);
  while (!seen.endsWith('\r\n.\r\n')) await settled();
  clock.advance(599_000);
  await settled();
  assert.ok(client.usable);
  clock.advance(1000);
  const result = await sending;
  assert.deepEqual(result.lost, { stage: 'final', error: 'timeout', code: 'ETIMEDOUT' });
  assert.deepEqual(
    result.recipients.map((r) => r?.code),
    [250, 250],
  );
  assert.equal(clock.waiting, 0);
});

test('a server that stops reading: the content times out block by block', async (t) => {
  const clock = new TestClock();
  const client = await ready(
    t,
    (socket) => {
      socket.write('220 x\r\n');
      let n = 0;
      socket.on('data', () => {
        if (n++ === 0) socket.write(EHLO);
        else {
          socket.write('250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n');
          socket.pause();
        }
      });
    },
    { clock },
  );
  let done = false;
  const sending = client.send({ ...MESSAGE, content: Buffer.alloc(64 * 1024 * 1024, 'x') }).finally(() => {
    done = true;
  });
  while (!done) {
    await settled();
    clock.advance(60_000);
  }
  const result = await sending;
  assert.deepEqual(result.lost, { stage: 'content', error: 'timeout', code: 'ETIMEDOUT' });
});
