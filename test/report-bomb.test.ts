// Reports made to hurt, as fast as the running server takes them, while ordinary mail goes through it: the mail arrives
// and memory stays flat. POSTHORN_BOMB_REPORTS sets how many (600; the full proof is 50,000, whose rate is printed).
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { until } from './program.ts';
import { reportServer } from './report-server.ts';

const REPORTS = Number(process.env.POSTHORN_BOMB_REPORTS ?? 600);
const SENDERS = 8;

const nested = (depth: number) => {
  const steps = Array.from({ length: depth }, (_, n) => n);
  const open = steps.map(
    (n) => `Content-Type: multipart/report; report-type=delivery-status; boundary=b${n}\r\n\r\n--b${n}\r\n`,
  );
  const close = steps.map((n) => `--b${depth - 1 - n}--\r\n`);
  return `From: <>\r\nMIME-Version: 1.0\r\n${open.join('')}Content-Type: message/delivery-status\r\n\r\nx\r\n${close.join('')}`;
};

const single = (type: string, body: string) =>
  `From: <>\r\nMIME-Version: 1.0\r\nContent-Type: ${type}\r\n\r\n${body}\r\n`;

const FIELDS =
  'Reporting-MTA: dns; a.test\r\n\r\nFinal-Recipient: rfc822; u@a.test\r\nAction: failed\r\nStatus: 5.1.1\r\nDiagnostic-Code: smtp; 550 \u00ff\u00fe no';

const BOMBS: readonly Buffer[] = [
  nested(1000),
  single('message/delivery-status; charset=utf-16', FIELDS),
  single(
    'text/plain; charset=x-none',
    `Hi. This is the qmail-send program at a.test.\r\n${'<u@a.test>:\r\n'.repeat(500)}`,
  ),
  single('message/delivery-status', FIELDS),
  single('text/html; charset=utf-7', '+ADw-'.repeat(3000)),
].map((text) => Buffer.from(text, 'latin1'));

/** Memory of a process in MB that is its own: not the pages of the store's file, which the system lends it. */
function memory(pid: number): number {
  return Number(/^RssAnon:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))![1]) / 1024;
}

test(`${REPORTS} hostile reports: mail flows, memory is flat`, async (t) => {
  let arrived = 0;
  const server = await reportServer(
    t,
    `<source 127.0.0.1>
      always-allow-relaying yes
      max-message-size 0
    </source>
    <bounce-processor>
      deliver-unmatched-email no
      <address-list>
        domain bounces.test
      </address-list>
    </bounce-processor>
    <domain bounces.test>
      type discard
    </domain>
    <acct-file DIR/acct/acct.csv>
      records d, rb
    </acct-file>`,
    () => arrived++,
    // Else the engine gives new objects from 2 MB up to 134 MB as it likes, which would hide 100 MB of growth of ours.
    { NODE_OPTIONS: '--max-semi-space-size=16' },
  );
  const { program, session, send } = server;

  let sent = 0;
  const bomber = async () => {
    let client = await session();
    while (sent < REPORTS) {
      const n = sent++;
      if (!client.usable) client = await session();
      await send(client, '', 'r@bounces.test', BOMBS[n % BOMBS.length]!);
    }
    await client.quit();
  };
  const samples: number[] = [];
  const began = performance.now();
  const bombs = Promise.all(Array.from({ length: SENDERS }, bomber));
  let taken = 0;
  let slowest = 0;
  const client = await session();
  let over = false;
  void bombs.finally(() => {
    over = true;
  });
  while (!over) {
    const asked = performance.now();
    await send(client, 's@brand.test', `u${taken}@a.test`, Buffer.from('Subject: s\r\n\r\nx\r\n'));
    slowest = Math.max(slowest, performance.now() - asked);
    taken++;
    samples.push(memory(program.process.pid!));
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await bombs;
  const minutes = (performance.now() - began) / 60_000;
  const arrivedMeanwhile = arrived;
  await until(() => arrived === taken);
  await client.quit();
  const half = Math.ceil(samples.length / 2);
  const [early, late] = [Math.max(...samples.slice(0, half)), Math.max(...samples.slice(half))];
  t.diagnostic(
    `${Math.round(REPORTS / minutes)} reports a minute; of ${taken} ordinary mails ${arrivedMeanwhile} arrived meanwhile, the slowest answer took ${Math.round(slowest)} ms; memory at most ${Math.round(early)} MB in the first half, ${Math.round(late)} MB in the second`,
  );
  assert.ok(taken > 2 && arrivedMeanwhile > 0, `${arrivedMeanwhile} of ${taken} ordinary mails arrived`);
  assert.ok(late < early + 30, `memory grew from ${early} to ${late} MB`);
});
