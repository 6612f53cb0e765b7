/**
 * Clicks and opens a second at the tracker, as a program with its event files on disk, asked over kept connections by
 * another process. Beside it a bare `node:http` server that redirects everything: what HTTP itself costs here. Every
 * request carries a token of its own, so none is a duplicate. With 10,000 further connections that say nothing.
 *
 *   npm run bench -- tracker [--requests N] [--connections 50] [--idle 10000] [--repeat 3]
 */
import { fork, spawn } from 'node:child_process';
import { createServer } from 'node:http';
import { connect, type Socket } from 'node:net';
import path from 'node:path';
import { openKeyRing } from '../src/tracking/key-ring.ts';
import { sealToken } from '../src/tracking/token.ts';
import { endsWithUs, freePorts, temporaryFolder } from '../test/program.ts';
import { profiledAs } from './harness/flame.ts';
import { given, number } from './harness/given.ts';
import { cpuSeconds, memoryOf } from './harness/processes.ts';
import { percentile, Report } from './harness/report.ts';
import { compiledPackage } from './harness/servers.ts';

interface Asking {
  readonly port: number;
  readonly connections: number;
  readonly paths: readonly string[];
}

interface Asked {
  readonly seconds: number;
  readonly times: readonly number[];
}

interface Run {
  readonly rate: number;
  /** Milliseconds of processor time for each request. */
  readonly cpu: number;
  readonly p99: number;
  readonly memory: number;
}

if (process.argv[2] === 'bare') bareServer(Number(process.argv[3]));
else if (process.argv[2] === 'ask') process.once('message', (asking) => void ask(asking as Asking));
else await main();

/** Redirects whatever it is asked for. */
function bareServer(port: number): void {
  process.once('SIGTERM', () => process.exit(0));
  createServer((_request, response) => {
    response.writeHead(302, { location: 'https://www.brand.test/' });
    response.end();
  }).listen(port, '127.0.0.1', () => process.send?.('ready'));
}

/** Asks for each path once, one after the other on each connection, and sends home how long each answer took. */
async function ask({ port, connections, paths }: Asking): Promise<void> {
  const times: number[] = [];
  let next = 0;
  const begun = performance.now();
  await Promise.all(
    Array.from({ length: connections }, async () => {
      const socket = connect({ host: '127.0.0.1', port, noDelay: true });
      let answered: (() => void) | null = null;
      let got = '';
      socket.setEncoding('latin1').on('data', (text) => {
        got += text;
        const head = got.indexOf('\r\n\r\n');
        if (head < 0) return;
        if (!got.startsWith('HTTP/1.1 302') && !got.startsWith('HTTP/1.1 200')) throw new Error(got);
        const length = Number(/^content-length: *(\d+)/im.exec(got.slice(0, head))?.[1] ?? 0);
        const chunked = /^transfer-encoding: *chunked/im.test(got.slice(0, head));
        if (chunked ? !got.endsWith('0\r\n\r\n') : got.length < head + 4 + length) return;
        got = '';
        answered?.();
      });
      for (let n = next++; n < paths.length; n = next++) {
        const sent = performance.now();
        const answer = new Promise<void>((resolve) => {
          answered = resolve;
        });
        socket.write(
          `GET ${paths[n]} HTTP/1.1\r\nHost: click.brand.test\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\r\n`,
        );
        await answer;
        times.push(performance.now() - sent);
      }
      socket.destroy();
    }),
  );
  process.send!({ seconds: (performance.now() - begun) / 1000, times }, () => process.exit(0));
}

function asked(asking: Asking): Promise<Asked> {
  const child = endsWithUs(fork(import.meta.filename, ['ask'], { env: profiledAs('client') }));
  child.send(asking);
  return new Promise((resolve, reject) => {
    child.once('message', (answer) => resolve(answer as Asked));
    child.once('exit', (code) => reject(new Error(`the asking process ended with ${code}`)));
  });
}

async function main(): Promise<void> {
  const { requests, connections, idle, repeat } = given({
    requests: number(40_000, 100),
    connections: number(50),
    idle: number(10_000, 0),
    repeat: number(3),
  });
  const dir = temporaryFolder();
  const keys = path.join(dir, 'keys.json');
  const ring = await openKeyRing(keys, { create: true });
  let made = 0;
  const paths = () =>
    Array.from({ length: requests }, () => {
      const n = made++;
      const click = n % 3 === 0;
      const token = sealToken(ring.active!, click ? 'f' : 'q', click ? 'a' : '', {
        action: click ? 'click' : 'open',
        amp: false,
        expiry: 4_000_000_000,
        subaccount: 7,
        messageId: `0000a17c3e65f${n.toString(16).padStart(7, '0')}`,
        recipient: `reader${n}@far.test`,
        anonymised: false,
        linkIndex: click ? n % 25 : 0,
        linkName: '',
        campaign: 'week-1',
        target: click ? `https://www.brand.test/item/${n % 25}?campaign=week-1` : '',
        unsubscribe: false,
        openTracking: true,
        initialPixel: true,
        clickTracking: true,
      });
      return click ? `/f/a/${token}` : `/q/${token}`;
    });

  const report = new Report('tracker', {
    requests: `${requests}, a third of them clicks, each with a token of its own`,
    connections: `${connections} kept, and ${idle} idle ones`,
    tls: 'none',
    durability: 'event files synced every 0.2 s (the tracker’s own promise), answers do not wait',
    repetitions: repeat,
  });
  const servers = {
    posthorn: async () => {
      const port = await freePorts(1);
      const child = spawn(
        process.execPath,
        [
          compiledPackage(),
          'tracker',
          ...['--listen', `127.0.0.1:${port}`, '--keys', keys, '--data', path.join(dir, `data${made}`)],
        ],
        { stdio: ['ignore', 'pipe', 'inherit'], env: profiledAs('posthorn') },
      );
      await new Promise<void>((resolve) => child.stdout!.once('data', () => resolve()));
      return { port, child };
    },
    'node:http': async () => {
      const port = await freePorts(1);
      const child = fork(import.meta.filename, ['bare', `${port}`], { env: profiledAs('node-http') });
      await new Promise((resolve) => child.once('message', resolve));
      return { port, child };
    },
  };
  const runs = new Map<string, Run[]>(Object.keys(servers).map((who) => [who, []]));
  for (let i = 0; i < repeat; i++) {
    for (const [who, start] of Object.entries(servers)) {
      const { port, child } = await start();
      endsWithUs(child);
      const quiet = await openIdle(port, idle);
      await asked({ port, connections, paths: paths().slice(0, Math.ceil(requests / 10)) });
      const before = cpuSeconds(child.pid!);
      const { seconds, times } = await asked({ port, connections, paths: paths() });
      runs.get(who)!.push({
        rate: requests / seconds,
        cpu: ((cpuSeconds(child.pid!) - before) * 1000) / requests,
        p99: percentile(times, 0.99),
        memory: memoryOf(child.pid!) / 2 ** 20,
      });
      for (const socket of quiet) socket.destroy();
      child.kill('SIGTERM');
      await new Promise((resolve) => child.once('exit', resolve));
    }
  }
  for (const [who, of] of runs) {
    const tell = (what: string, unit: string, value: (run: Run) => number) =>
      report.figure(what, who, unit, of.map(value));
    const rate = tell('tracker', 'requests/s', (run) => run.rate);
    tell('  processor time a request', 'ms', (run) => run.cpu);
    tell('  p99 at full load', 'ms', (run) => run.p99);
    tell('  memory', 'MiB', (run) => run.memory);
    if (who === 'posthorn') report.ratio('  to 5,000 requests/s', rate / 5000, 'at least 1');
  }
  report.save();
  process.exit(0);
}

async function openIdle(port: number, count: number): Promise<Socket[]> {
  const sockets: Socket[] = [];
  for (let i = 0; i < count; i += 200) {
    const some = Array.from({ length: Math.min(200, count - i) }, () => connect({ host: '127.0.0.1', port }));
    for (const socket of some) socket.on('error', () => {});
    await Promise.all(some.map((socket) => new Promise((resolve) => socket.once('connect', resolve))));
    sockets.push(...some);
  }
  return sockets;
}
