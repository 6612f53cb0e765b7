import { connectSmtp, createSmtpServer, type SmtpExtension, smtpServerOptions } from '../src/smtp/index.ts';
import { systemClock } from '../src/system/clock.ts';
import { silentLog } from '../src/system/log.ts';
import { given, number } from './harness/given.ts';
import { Report } from './harness/report.ts';

/**
 * The SMTP protocol alone, both sessions in this one thread, over loopback: no disk, no queue, no TLS. What is
 * printed is therefore the price of one client and one server session together, per message.
 *
 *   npm run bench -- smtp-protocol [--messages 20000] [--sessions 20] [--bytes 10240] [--repeat 3]
 */
const { messages, sessions, bytes, repeat } = given({
  messages: number(20_000),
  sessions: number(20),
  bytes: number(10_240, 20),
  repeat: number(3),
});

const WAYS: Record<string, SmtpExtension[]> = {
  'one command at a time': ['8BITMIME', 'SIZE'],
  PIPELINING: ['PIPELINING', '8BITMIME', 'SIZE'],
  'PIPELINING and CHUNKING': ['PIPELINING', 'CHUNKING', '8BITMIME', 'SIZE'],
};

const content = Buffer.from(
  `Subject: x\r\n\r\n${`${'x'.repeat(74)}\r\n`.repeat(Math.ceil(bytes / 76))}`,
).subarray(0, bytes);
const report = new Report('smtp-protocol', {
  messages: `${messages} of ${content.length} bytes`,
  sessions: `${sessions} kept, both ends in one thread`,
  tls: 'none',
  disk: 'not used',
  repetitions: repeat,
});

for (const [name, extensions] of Object.entries(WAYS)) {
  // The first round warms the compiler up.
  await run(extensions);
  const rates: number[] = [];
  const costs: number[] = [];
  for (let round = 0; round < repeat; round++) {
    const before = process.cpuUsage();
    rates.push(await run(extensions));
    const used = process.cpuUsage(before);
    costs.push((used.user + used.system) / messages);
  }
  report.figure(name, 'posthorn', 'messages/s', rates);
  report.figure('  processor time a message, both ends', 'posthorn', 'µs', costs);
}
report.save();

async function run(extensions: SmtpExtension[]): Promise<number> {
  const options = smtpServerOptions({ hostName: 'bench.test', extensions: new Set(extensions) });
  const server = createSmtpServer(() => ({ options, handlers: { onMessage: async () => null } }), {
    clock: systemClock,
    log: silentLog,
  });
  const port = await server.listen('127.0.0.1', 0, 'the benchmark');
  let left = messages;
  const start = performance.now();
  const work = async () => {
    const connected = await connectSmtp({ host: '127.0.0.1', port, heloName: 'bench.test' });
    if (!connected.ok) throw new Error(connected.error);
    while (left-- > 0) {
      const result = await connected.client.send({
        from: 'a@b.example',
        recipients: [{ address: 'x@y.example' }],
        content,
      });
      if (result.data?.code !== 250) throw new Error(JSON.stringify(result));
    }
    await connected.client.quit();
  };
  await Promise.all(Array.from({ length: sessions }, work));
  const seconds = (performance.now() - start) / 1000;
  await server.close(1000);
  return messages / seconds;
}
