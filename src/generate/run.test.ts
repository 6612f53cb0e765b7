import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { createSmtpServer, reply, type SmtpServerHandlers, smtpServerOptions } from '../smtp/index.ts';
import { systemClock } from '../system/clock.ts';
import { silentLog } from '../system/log.ts';
import { until } from '../system/testing.ts';
import type { MessageSource } from './message.ts';
import { makePeople } from './people.ts';
import { Run, type RunOptions } from './run.ts';
import { type LedgerLine, RunLedger } from './run-ledger.ts';
import { scenario } from './scenario.ts';

const demo = scenario('demo', 'sink.test')!;
const source: MessageSource = { scenario: demo, people: makePeople(demo, 1), seed: 1, run: 'run1' };

/** Runs against a server with these handlers; returns the result and the ledger lines. */
async function runAgainst(
  handlers: SmtpServerHandlers,
  options: Partial<RunOptions> = {},
  during?: (run: Run) => void,
) {
  const server = await serve(handlers);
  try {
    return await runTo(server.port, options, during);
  } finally {
    await server.close();
  }
}

async function serve(handlers: SmtpServerHandlers, port = 0) {
  const options = smtpServerOptions({
    hostName: 'mta.test',
    requireAuth: true,
    authMechanisms: ['PLAIN'],
    requireTlsBeforeAuth: false,
    allowClearPasswords: true,
  });
  const withUser: SmtpServerHandlers = {
    passwordOf: (user) => (user === 'demo' ? 'secret' : null),
    ...handlers,
  };
  const server = createSmtpServer(() => ({ options, handlers: withUser }), {
    clock: systemClock,
    log: silentLog,
  });
  const bound = await server.listen('127.0.0.1', port, 'test');
  return { port: bound, close: () => server.close(0) };
}

async function runTo(port: number, options: Partial<RunOptions>, during?: (run: Run) => void) {
  const lines: LedgerLine[] = [];
  const run = new Run({
    source,
    server: {
      host: '127.0.0.1',
      port,
      heloName: 'generator.test',
      tls: { mode: 'no' },
      auth: { user: 'demo', password: 'secret', allowClear: true },
    },
    connections: 4,
    messagesPerConnection: 20,
    total: 100,
    rate: 0,
    retryLost: false,
    giveUpAfter: 30_000,
    clock: systemClock,
    log: silentLog,
    onOutcome: (line) => lines.push(line),
    ...options,
  });
  const running = run.run();
  during?.(run);
  return { result: await running, lines };
}

const messageId = (content: Buffer) => /^Message-ID: <([^>]+)>/im.exec(content.toString('latin1'))![1]!;

test('every message arrives once, with its recipients, and the ledger names it', async () => {
  const got = new Map<string, string[]>();
  const { result, lines } = await runAgainst({
    onMessage({ content, envelope }) {
      const id = messageId(content);
      assert.ok(!got.has(id));
      got.set(
        id,
        envelope.recipients.map(({ address }) => address),
      );
      return null;
    },
  });
  assert.equal(result.accepted, 100);
  assert.equal(result.done, true);
  assert.ok(result.connections >= 5, '20 messages on each connection');
  assert.equal(lines.length, 100);
  for (const { id, recipients, outcome, attempts, inDoubt, open } of lines) {
    assert.deepEqual(got.get(id), recipients);
    assert.deepEqual([outcome, attempts, inDoubt, open], ['accepted', 1, 0, []]);
  }
  assert.equal(result.recipients.accepted, [...got.values()].flat().length);
});

test('refusals and deferrals by recipient and message are told apart', async () => {
  let n = 0;
  const { result, lines } = await runAgainst(
    {
      onRcpt: (rcpt) => (rcpt.domain === 'bounce.sink.test' ? reply(550, '5.1.1', 'no') : null),
      onMessage: () =>
        ++n % 5 === 0 ? reply(451, '4.3.0', 'later') : n % 7 === 0 ? reply(554, '5.6.0', 'no') : null,
    },
    { connections: 1 },
  );
  assert.equal(result.accepted + result.rejected + result.deferred, 100);
  assert.ok(result.deferred >= 15 && result.rejected >= 8);
  assert.equal(result.retried, 0);
  assert.ok(result.rejectedByCode['550']! > 0 && result.rejectedByCode['554']! > 0);
  for (const line of lines) {
    const all = [...line.open, ...line.rejected.map(({ address }) => address)];
    if (line.outcome === 'deferred') assert.ok(line.open.length > 0 && line.reply.startsWith('451'));
    if (line.outcome === 'rejected') assert.deepEqual(all.sort(), [...line.recipients].sort());
  }
});

test('a lost answer is in doubt, and is not sent again unless asked', async () => {
  const { result, lines } = await runAgainst({ onMessage: () => 'drop' }, { total: 3, connections: 1 });
  assert.equal(result.lost, 3);
  assert.equal(result.resubmittedAfterLoss, 0);
  assert.deepEqual(
    lines.map(({ inDoubt, outcome }) => [inDoubt, outcome]),
    Array(3).fill([1, 'lost']),
  );
});

test('a deferral that ends the connection is no doubt, though content was on its way', async () => {
  let first = true;
  const { result, lines } = await runAgainst(
    {
      onRcpt() {
        if (!first) return null;
        first = false;
        return reply(421, '4.7.0', 'too many connections');
      },
      onMessage: () => null,
    },
    { total: 3, connections: 1, retryLost: true },
  );
  assert.deepEqual([result.accepted, result.resubmittedAfterLoss, result.retried], [3, 0, 1]);
  assert.deepEqual(
    lines.map(({ inDoubt }) => inDoubt),
    [0, 0, 0],
  );
});

test('with retry: lost and deferred messages are submitted until taken, and doubt is counted', async () => {
  const tries = new Map<string, number>();
  const got: string[] = [];
  const { result, lines } = await runAgainst(
    {
      onMessage({ content }) {
        const id = messageId(content);
        const attempt = (tries.get(id) ?? 0) + 1;
        tries.set(id, attempt);
        const n = Number(id.split('.')[1]!.split('@')[0]);
        if (attempt === 1 && n % 10 === 0) {
          got.push(id);
          return 'drop';
        }
        if (attempt === 1 && n % 10 === 1) return reply(452, '4.3.1', 'later');
        got.push(id);
        return null;
      },
    },
    { retryLost: true },
  );
  assert.equal(result.accepted, 100);
  assert.equal(result.resubmittedAfterLoss, 10);
  assert.ok(result.retried >= 10, 'deferred ones, and any whose connection was cut by a drop');
  assert.equal(new Set(got).size, 100);
  const doubts = lines.reduce((sum, { inDoubt }) => sum + inDoubt, 0);
  assert.equal(got.length - 100, doubts, 'each second copy is one that the ledger doubts');
});

test('a server that is killed and comes back loses nothing', async () => {
  const got = new Set<string>();
  const handlers: SmtpServerHandlers = {
    onMessage({ content }) {
      got.add(messageId(content));
      return null;
    },
  };
  let server = await serve(handlers);
  const { port } = server;
  const restarts = (async () => {
    for (let i = 0; i < 3; i++) {
      await new Promise((resolve) => setTimeout(resolve, 150));
      await server.close();
      await new Promise((resolve) => setTimeout(resolve, 100));
      server = await serve(handlers, port);
    }
  })();
  const { result } = await runTo(port, { retryLost: true, total: 300, rate: 400 });
  await restarts;
  await server.close();
  assert.equal(result.accepted, 300);
  assert.equal(got.size, 300);
});

test('a server that never comes back ends the run in bounded time', async () => {
  const server = await serve({ onMessage: () => null });
  await server.close();
  const { result } = await runTo(server.port, { retryLost: true, giveUpAfter: 400, total: 50 });
  assert.equal(result.unsent, 50);
  assert.equal(result.done, true);
});

test('stop lets what is under way end and begins nothing more', async () => {
  let taken = 0;
  const { result, lines } = await runAgainst(
    {
      onMessage: async () => {
        await new Promise((resolve) => setTimeout(resolve, 20));
        taken++;
        return null;
      },
    },
    { total: Number.POSITIVE_INFINITY, rate: 200 },
    (run) => void until(() => taken > 10).then(() => run.stop()),
  );
  assert.ok(taken > 10);
  assert.equal(result.accepted, taken);
  assert.equal(result.submitted, taken);
  assert.equal(lines.length, taken);
});

test('a wrong password is told and nothing is sent', async () => {
  const { result, lines } = await runAgainst(
    { passwordOf: () => 'other', onMessage: () => assert.fail('nobody may submit') },
    { total: 30, retryLost: true },
  );
  assert.ok(result.unsent >= 1 && result.unsent === result.submitted);
  assert.match(result.refusal, /^auth: 535/);
  assert.match(lines[0]!.reply, /^auth: 535/);
});

test('the ledger file holds a line for each message', async () => {
  const dir = await mkdtemp(path.join(tmpdir(), 'generate-'));
  try {
    const ledger = await RunLedger.open(dir);
    await runAgainst({ onMessage: () => null }, { total: 10, onOutcome: (line) => ledger.add(line) });
    await ledger.close();
    const lines = (await readFile(ledger.file, 'utf8')).trimEnd().split('\n');
    assert.deepEqual(
      lines.map((line) => (JSON.parse(line) as LedgerLine).n).sort((a, b) => a - b),
      [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
    );
  } finally {
    await rm(dir, { recursive: true });
  }
});
