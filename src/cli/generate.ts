import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { guardDestinations } from '../generate/guard.ts';
import { type MessageSource, makeMessage } from '../generate/message.ts';
import { makePeople } from '../generate/people.ts';
import { type Progress, Run, type RunResult } from '../generate/run.ts';
import { RunLedger } from '../generate/run-ledger.ts';
import { jobNames, scenario, scenarioNames } from '../generate/scenario.ts';
import type { ConnectOptions } from '../smtp/client-types.ts';
import { systemClock } from '../system/clock.ts';
import { reason, writeFileDurably } from '../system/durable-file.ts';
import { createLog } from '../system/log.ts';
import { UserError } from '../system/user-error.ts';
import { hostAndPort, wholeNumber } from './option-values.ts';

export const help = `posthorn generate: realistic traffic for a test

Usage: posthorn generate --server HOST:PORT --user NAME [options]
       posthorn generate --plan [options]

  --server HOST:PORT     where to submit, over SMTP with STARTTLS and AUTH
  --user NAME            SMTP user; without it nothing is authenticated
  --password-file FILE   password; without it POSTHORN_SMTP_PASSWORD from the environment
  --insecure             take any certificate (self-signed ones)
  --no-tls               no TLS at all, and the password in clear: on loopback only
  --scenario NAME        ${scenarioNames.join(' or ')} (default demo)
  --sink-domain DOMAIN   domain of the sink that recipients are at (default sink.test)
  --allow-destination D  also send to this domain and those below it; may be repeated
  --messages N           how many (default 100)
  --forever              until stopped
  --rate R               messages a second (default: as fast as the connections allow; with --forever 5)
  --connections N        default 10
  --messages-per-connection N  default 100
  --retry-lost           submit again what was deferred, not taken or not answered, until it is taken or refused
  --give-up-after S      seconds that one message is tried with --retry-lost (default 300)
  --max-time S           seconds after which the run is stopped (default: none)
  --seed N               the same seed makes the same messages (default 1)
  --run NAME             name of the run in Message-IDs (default: made from time and chance)
  --data DIR             writes DIR/ledger.ndjson (a line for each message) and DIR/results.json
  --plan                 print what would be sent, one JSON object per line, and send nothing
  --json                 print one JSON object per second, and one at the end with "done": true

Recipients must be at domains reserved for tests (.test .example .invalid .localhost) or allowed by name.
SIGTERM or Ctrl-C: nothing new is sent, what is under way ends, results are written; a second one cuts.
Exit status: 0 every message was taken or refused, 1 some have no final answer, 2 wrong usage.
`;

export async function run(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      server: { type: 'string' },
      user: { type: 'string' },
      'password-file': { type: 'string' },
      insecure: { type: 'boolean', default: false },
      'no-tls': { type: 'boolean', default: false },
      scenario: { type: 'string', default: 'demo' },
      'sink-domain': { type: 'string', default: 'sink.test' },
      'allow-destination': { type: 'string', multiple: true, default: [] },
      messages: { type: 'string' },
      forever: { type: 'boolean', default: false },
      rate: { type: 'string' },
      connections: { type: 'string', default: '10' },
      'messages-per-connection': { type: 'string', default: '100' },
      'retry-lost': { type: 'boolean', default: false },
      'give-up-after': { type: 'string', default: '300' },
      'max-time': { type: 'string' },
      seed: { type: 'string', default: '1' },
      run: { type: 'string' },
      data: { type: 'string' },
      plan: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    },
  });
  if (values.forever && values.messages !== undefined) {
    throw new UserError('--forever and --messages exclude each other', { exitCode: 2 });
  }
  const chosen = scenario(values.scenario, values['sink-domain'].toLowerCase());
  if (!chosen) {
    throw new UserError(
      `there is no scenario "${values.scenario}"; there are ${scenarioNames.join(' and ')}`,
      { exitCode: 2 },
    );
  }
  const seed = wholeNumber('--seed', values.seed, 0, Number.MAX_SAFE_INTEGER);
  const people = makePeople(chosen, seed);
  guardDestinations(
    people.map(({ address }) => address),
    values['allow-destination'],
  );
  const source: MessageSource = { scenario: chosen, people, seed, run: runName(values.run) };
  const total = values.forever
    ? Number.POSITIVE_INFINITY
    : wholeNumber('--messages', values.messages ?? '100', 1, 1_000_000);
  if (values.plan) return printPlan(source, Math.min(total, 1_000_000));

  const rate = values.rate === undefined ? (values.forever ? 5 : 0) : rateOf(values.rate);
  const server = await serverOf(values);
  const ledger = values.data === undefined ? null : await RunLedger.open(values.data);
  const log = createLog(process.stderr, 'generate');
  const generator = new Run({
    source,
    server,
    connections: wholeNumber('--connections', values.connections, 1, 1000),
    messagesPerConnection: wholeNumber(
      '--messages-per-connection',
      values['messages-per-connection'],
      1,
      1_000_000,
    ),
    total,
    rate,
    retryLost: values['retry-lost'],
    giveUpAfter: wholeNumber('--give-up-after', values['give-up-after'], 1, 86_400) * 1000,
    clock: systemClock,
    log,
    onOutcome: (line) => ledger?.add(line),
  });
  const stop = stopBySignal(generator);
  const maxTime =
    values['max-time'] === undefined
      ? null
      : setTimeout(
          () => generator.stop(),
          wholeNumber('--max-time', values['max-time'], 1, 2_000_000) * 1000,
        );
  const show = reporter(values.json);
  const ticker = setInterval(() => {
    show(generator.progress());
    // A disk that refuses the ledger ends the run: without it nobody could tell what was sent.
    ledger?.flush().catch(() => generator.stop());
  }, 1000);
  let result: RunResult;
  try {
    result = await generator.run();
  } finally {
    clearInterval(ticker);
    if (maxTime) clearTimeout(maxTime);
    stop();
  }
  show(result);
  if (ledger && values.data !== undefined) {
    await ledger.close();
    const settings = { scenario: values.scenario, seed, rate, server: values.server, jobs: jobNames(chosen) };
    await writeFileDurably(
      path.join(values.data, 'results.json'),
      `${JSON.stringify({ ...settings, ...result }, null, 2)}\n`,
    );
  }
  if (result.refusal) {
    const mend = result.refusal.startsWith('auth')
      ? 'correct user or password'
      : 'use --insecure if its certificate is self-signed, --no-tls if it has none';
    throw new UserError(`${values.server} cannot be used (${result.refusal}); ${mend}`);
  }
  return result.lost + result.unsent + result.deferred > 0 ? 1 : 0;
}

async function serverOf(values: {
  server?: string | undefined;
  user?: string | undefined;
  'password-file'?: string | undefined;
  insecure: boolean;
  'no-tls': boolean;
}): Promise<ConnectOptions> {
  if (values.server === undefined) {
    throw new UserError('--server HOST:PORT is missing; see "posthorn generate --help"', { exitCode: 2 });
  }
  const { host, port } = hostAndPort('--server', values.server);
  const clear = values['no-tls'];
  if (clear && !['127.0.0.1', '::1', 'localhost'].includes(host)) {
    throw new UserError(
      '--no-tls would send the password in clear over the network; it is for loopback only',
      {
        exitCode: 2,
      },
    );
  }
  return {
    host,
    port,
    heloName: os.hostname() || 'localhost',
    timeouts: { connect: 10_000, greeting: 30_000, command: 60_000, dataEnd: 120_000 },
    tls: clear
      ? { mode: 'no' }
      : { mode: 'require', verify: values.insecure ? 'no' : 'chain', servername: host },
    ...(values.user === undefined
      ? {}
      : {
          auth: { user: values.user, password: await password(values['password-file']), allowClear: clear },
        }),
  };
}

async function password(file: string | undefined): Promise<string> {
  if (file !== undefined) {
    try {
      return (await readFile(file, 'utf8')).replace(/\r?\n$/, '');
    } catch (error) {
      throw new UserError(`the password file ${file} cannot be read: ${reason(error)}`, { cause: error });
    }
  }
  const value = process.env.POSTHORN_SMTP_PASSWORD;
  if (value === undefined) {
    throw new UserError('there is no password: set POSTHORN_SMTP_PASSWORD or name a --password-file', {
      exitCode: 2,
    });
  }
  return value;
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

function runName(given: string | undefined): string {
  if (given === undefined) return `r${Date.now().toString(36)}${randomBytes(2).toString('hex')}`;
  if (!/^[A-Za-z0-9-]{1,40}$/.test(given)) {
    throw new UserError('--run takes 1 to 40 letters, digits and hyphens', { exitCode: 2 });
  }
  return given;
}

function printPlan(source: MessageSource, total: number): number {
  for (let n = 1; n <= total; n++) {
    const message = makeMessage(source, n, new Date());
    const line = {
      n,
      id: message.id,
      campaign: message.campaign.name,
      job: message.job,
      subaccount: message.campaign.subaccount,
      recipients: message.recipients.map(({ address }) => address),
      structure: message.structure,
      size: message.content.length,
    };
    process.stdout.write(`${JSON.stringify(line)}\n`);
  }
  return 0;
}

/** First signal: stop in order; second: cut. Returns what takes the handlers away again. */
function stopBySignal(generator: Run): () => void {
  let asked = false;
  const stop = () => {
    if (asked) generator.abort();
    else generator.stop();
    asked = true;
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  return () => {
    process.removeListener('SIGINT', stop);
    process.removeListener('SIGTERM', stop);
  };
}

function reporter(json: boolean): (progress: Progress) => void {
  if (json) return (progress) => void process.stdout.write(`${JSON.stringify(progress)}\n`);
  const terminal = process.stdout.isTTY;
  return (p) => {
    const words =
      `${p.submitted} submitted, ${p.accepted} accepted, ${p.rejected} rejected, ${p.deferred} deferred, ` +
      `${p.lost} lost, ${p.unsent} unsent, ${p.resubmittedAfterLoss} resubmitted after loss, ${p.retried} retried`;
    // A terminal keeps one line and ends it when all is done; a file gets one line at the end.
    if (terminal) process.stdout.write(`\r${words}${p.done ? '\n' : ''}`);
    else if (p.done) process.stdout.write(`${words}\n`);
  };
}
