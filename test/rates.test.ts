// Rates as the receiving host sees them: its own clock at each RCPT, the whole program before it.
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import { createSmtpServer, type RcptCommand, smtpServerOptions } from '../src/smtp/index.ts';
import { Peer } from '../src/smtp/test-peer.ts';
import { systemClock } from '../src/system/clock.ts';
import { silentLog } from '../src/system/log.ts';
import { freePorts, Program, temporaryFolder, until } from './program.ts';

/** A loaded machine holds an arrival back, never the one after it: two may come closer together by so much. */
const LATE_MS = 500;

let mta: Program;
let close: () => Promise<void>;
const arrivals: { at: number; recipient: string }[] = [];
let submission: number;

before(async () => {
  const dir = temporaryFolder();
  const base = await freePorts(2);
  submission = base;
  const accept = () => ({
    options: smtpServerOptions({ hostName: 'next.test' }),
    handlers: {
      onRcpt: ({ address }: RcptCommand) => {
        arrivals.push({ at: performance.now(), recipient: address });
        return null;
      },
      onMessage: () => null,
    },
  });
  const server = createSmtpServer(accept, { clock: systemClock, log: silentLog });
  await server.listen('127.0.0.1', base + 1, 'the next host');
  close = () => server.close(1000);
  for (const name of ['spool', 'state']) mkdirSync(path.join(dir, name));
  const file = path.join(dir, 'pmta.conf');
  const lines = [
    'host-name mta.test',
    `smtp-listener 127.0.0.1:${base}`,
    'http-mgmt-port 0',
    `log-file ${dir}/pmta.log`,
    `state-dir ${dir}/state`,
    `<spool ${dir}/spool>`,
    '</spool>',
    '<source 127.0.0.1>',
    'always-allow-relaying yes',
    '</source>',
    '<domain [*.]next.test>',
    `smtp-hosts [127.0.0.1]:${base + 1}`,
    '</domain>',
    '<domain ten.next.test>',
    'max-msg-rate 10/s',
    `smtp-hosts [127.0.0.1]:${base + 1}`,
    '</domain>',
  ];
  writeFileSync(file, `${lines.join('\n')}\n`, { mode: 0o600 });
  mta = new Program(['mta', '--config', file]);
  await mta.says('listens on');
});
after(async () => {
  await mta?.stop();
  await close?.();
});

async function submit(t: TestContext, count: number, domain: string): Promise<void> {
  const peer = await Peer.open(t, submission);
  await peer.reply();
  await peer.ask('EHLO client.test');
  for (let i = 0; i < count; i++) {
    await peer.ask('MAIL FROM:<a@client.test>');
    await peer.ask(`RCPT TO:<u${i}@${domain}>`);
    await peer.ask('DATA');
    assert.match(await peer.ask('Subject: x\r\n\r\nx\r\n.'), /^250 /);
  }
}

test('D5.4 max-msg-rate 10/s: no second of the receiver has more, and a queue beside it is served', async (t) => {
  const began = performance.now();
  await Promise.all([submit(t, 45, 'ten.next.test'), submit(t, 45, 'free.next.test')]);
  const of = (domain: string) => arrivals.filter(({ recipient }) => recipient.endsWith(`@${domain}`));
  await until(() => of('ten.next.test').length === 45 && of('free.next.test').length === 45);
  const times = of('ten.next.test').map(({ at }) => at);
  for (let i = 10; i < times.length; i++) {
    assert.ok(
      times[i]! - times[i - 10]! >= 1000 - LATE_MS,
      `recipient ${i} after ${times[i]! - times[i - 10]!} ms`,
    );
  }
  // One burst of ten, one that had been saved, and the others at ten a second. A slow machine makes none of them early.
  for (const [i, at] of times.entries()) {
    assert.ok(at - began >= (i - 11) * 100, `recipient ${i} came ${at - began} ms after the beginning`);
  }
});
