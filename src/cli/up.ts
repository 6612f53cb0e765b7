import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { systemClock } from '../system/clock.ts';
import { UserError } from '../system/user-error.ts';
import { DEFAULT_PORT_BASE, HOST, type Ports, portsFrom } from '../up/ports.ts';
import { formatReconciliation, type Reconciliation } from '../up/reconciliation.ts';
import { StatusLine } from '../up/status-line.ts';
import { type Running, startUp } from '../up/up.ts';
import { wholeNumber } from './option-values.ts';
import { untilStopped } from './until-stopped.ts';

const p = portsFrom(DEFAULT_PORT_BASE);
export const help = `posthorn up: the whole platform on one machine, with a pretend internet to send to

Usage: posthorn up [options]

  --data DIR        everything is kept here (default ./var)
  --port-base N     first of eight ports on ${HOST} (default ${DEFAULT_PORT_BASE}):
                      N    Signals, API and web interface   ${p.signals}
                      N+1  tracker                          ${p.tracker}
                      N+2  submission, AUTH and STARTTLS    ${p.submission}
                      N+3  inbound mail                     ${p.inbound}
                      N+4  MTA management                   ${p.management}
                      N+5  sink SMTP                        ${p.sinkSmtp}
                      N+6  sink DNS                         ${p.sinkDns}
                      N+7  sink control                     ${p.sinkControl}
  --rate R          messages a second (default 5; with --messages as fast as they go)
  --messages N      send N messages and no more
  --exit            with --messages: wait until every message has an outcome and every event is ingested, print
                    the reconciliation table, stop; exit 0 when every line balances, 1 when not
  --within S        with --exit: seconds to wait for that (default 600)
  --seed N          the same seed makes the same messages and the same behaviour of the sink (default 1)
  --json            print JSON: one object per line, the reconciliation last

Ctrl-C finishes what is in hand and stops everything. The table covers all that is in the data folder.
Exit status: 0 done, 1 failed, 2 wrong usage.
`;

export async function run(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      data: { type: 'string', default: './var' },
      'port-base': { type: 'string', default: String(DEFAULT_PORT_BASE) },
      rate: { type: 'string' },
      messages: { type: 'string' },
      exit: { type: 'boolean', default: false },
      within: { type: 'string', default: '600' },
      seed: { type: 'string', default: '1' },
      json: { type: 'boolean', default: false },
    },
  });
  if (values.exit && values.messages === undefined) {
    throw new UserError('--exit needs --messages N: without it there is no end to wait for', { exitCode: 2 });
  }
  const base = wholeNumber('--port-base', values['port-base'], 1, 65_528);
  const ports = portsFrom(base);
  const within = wholeNumber('--within', values.within, 1, 86_400) * 1000;
  const terminal = new StatusLine(process.stdout, values.json);
  const source = fileURLToPath(import.meta.url);
  const root = path.resolve(path.dirname(source), '../..');

  const stopped = untilStopped();
  const running = await startUp({
    dataDir: path.resolve(values.data),
    ports,
    rate: values.rate === undefined ? undefined : rateOf(values.rate),
    messages:
      values.messages === undefined ? undefined : wholeNumber('--messages', values.messages, 1, 1_000_000),
    seed: wholeNumber('--seed', values.seed, 0, Number.MAX_SAFE_INTEGER),
    example: path.join(root, 'examples/demo/pmta.conf'),
    command: [process.execPath, path.join(root, 'bin/posthorn.js')],
    clock: systemClock,
    say: (line) => terminal.say(line),
    show: (counts) => terminal.show(counts),
  });
  terminal.ready(addresses(ports), running.signInUrl);
  let result: Reconciliation | null = null;
  try {
    if (values.exit) result = await untilBalanced(running, stopped, within);
    else await Promise.race([stopped, running.failed]);
  } finally {
    await running.stop();
    terminal.end();
  }
  if (!values.exit) return 0;
  // Last of all, so that a script finds it in the last line.
  if (result) terminal.result(result, formatReconciliation(result));
  return result?.balances ? 0 : 1;
}

/** The table when all is sent and settled; null when somebody stopped the run before. */
async function untilBalanced(
  running: Running,
  stopped: Promise<void>,
  within: number,
): Promise<Reconciliation | null> {
  const early = await Promise.race([
    running.sent.then(() => false),
    stopped.then(() => true),
    running.failed,
  ]);
  if (early) return null;
  return await Promise.race([running.reconcile(within), stopped.then(() => null), running.failed]);
}

function addresses(ports: Ports): [name: string, address: string][] {
  return [
    ['web interface', `http://${HOST}:${ports.signals}/`],
    ['API', `http://${HOST}:${ports.signals}/api/v1/`],
    ['tracker', `http://${HOST}:${ports.tracker}/`],
    ['submission', `smtp://${HOST}:${ports.submission}`],
    ['inbound mail', `smtp://${HOST}:${ports.inbound}`],
    ['MTA management', `http://${HOST}:${ports.management}/status`],
    [
      'sink',
      `smtp://${HOST}:${ports.sinkSmtp}, dns ${HOST}:${ports.sinkDns}, http://${HOST}:${ports.sinkControl}/`,
    ],
  ];
}

function rateOf(text: string): number {
  const rate = Number(text);
  if (!(rate > 0 && rate <= 1000)) {
    throw new UserError(`--rate ${text} is not a number of messages a second above 0 and up to 1000`, {
      exitCode: 2,
    });
  }
  return rate;
}
