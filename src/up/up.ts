/** Runs the whole platform on one machine: the programs as processes, a pretend internet, and the count at the end. */
import { mkdir, readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import path from 'node:path';
import type { Clock } from '../system/clock.ts';
import { requireWritableFolder, writeFileDurably } from '../system/durable-file.ts';
import { lockFolder } from '../system/folder-lock.ts';
import {
  configurationPlaces,
  DKIM_SELECTOR,
  madeOnce,
  prepareSecrets,
  SENDER_DOMAINS,
  SUBMISSION_USER,
  writeConfiguration,
} from './demo-files.ts';
import { getJson, postJson } from './http-json.ts';
import { describeRest, isQuiet, type Observation, observe } from './observe.ts';
import { HOST, type Ports, requireFreePorts } from './ports.ts';
import { type Reconciliation, reconcile } from './reconciliation.ts';
import { collectFacts } from './run-facts.ts';
import { Supervisor } from './supervisor.ts';

export interface UpOptions {
  readonly dataDir: string;
  readonly ports: Ports;
  /** Messages a second; undefined: 5 when running for ever, else as fast as the connections allow. */
  readonly rate: number | undefined;
  /** Send so many messages; undefined: go on until stopped. */
  readonly messages: number | undefined;
  readonly seed: number;
  /** The example configuration with its places. */
  readonly example: string;
  /** The executable and its first arguments, up to the command name. */
  readonly command: readonly string[];
  readonly clock: Clock;
  /** One line for the terminal. */
  readonly say: (line: string) => void;
  /** The live counts, about once a second. */
  readonly show: (counts: LiveCounts) => void;
}

export interface LiveCounts {
  readonly submitted: number;
  readonly delivered: number;
  readonly bounced: number;
  readonly queued: number;
  readonly eventsIngested: number;
}

export interface Running {
  /** Resolves when the generator has sent all its messages. */
  readonly sent: Promise<void>;
  /** Rejects when a program cannot be kept running. */
  readonly failed: Promise<never>;
  readonly signInUrl: string;
  /** Waits until every message has an outcome and every event is ingested, then counts. */
  reconcile(withinMs: number): Promise<Reconciliation>;
  stop(): Promise<void>;
}

/** Where the feedback loop of the demonstration is registered. */
const COMPLAINTS_TO = 'complaints@fbl.demo.test';
const READY_WITHIN_MS = 60_000;
const STOP_WITHIN_MS = 30_000;
const LOOK_EVERY_MS = 1000;
/** Without news for so long, and twice in a row, nothing is under way any more. */
const QUIET_LOOKS = 2;

interface GeneratorProgress {
  readonly recipients: { readonly accepted: number };
  readonly done: boolean;
}

export async function startUp(options: UpOptions): Promise<Running> {
  const { dataDir, ports, clock, say } = options;
  await requireWritableFolder(dataDir, 'data folder, --data');
  // Held until the process ends.
  lockFolder(dataDir, 'data folder, --data');
  // Checked before anything starts: what answers on a busy port would be taken for one of ours.
  await requireFreePorts(ports);
  const supervisor = new Supervisor({
    command: options.command,
    clock,
    say,
    readyWithinMs: READY_WITHIN_MS,
    stopWithinMs: STOP_WITHIN_MS,
    onPids: (pids) => {
      // For people and tests that want to find, or kill, one of the programs.
      const text = `${JSON.stringify({ pids: Object.fromEntries(pids), ports }, null, 2)}\n`;
      writing = writing.then(() => writeFileDurably(path.join(dataDir, 'up.json'), text)).catch(() => {});
    },
  });
  let writing: Promise<void> = Promise.resolve();
  try {
    return await startPrograms(options, supervisor);
  } catch (error) {
    await supervisor.stop();
    throw error;
  }
}

async function startPrograms(options: UpOptions, supervisor: Supervisor): Promise<Running> {
  const { dataDir, ports, clock } = options;
  const at = (port: number) => `${HOST}:${port}`;
  const folder = (name: string) => path.join(dataDir, name);

  await supervisor.start({
    name: 'signals',
    // The pretend internet has name servers too; the real ones know nothing of it.
    args: [
      ...['signals', '--data', folder('signals'), '--listen', at(ports.signals)],
      ...['--dns', at(ports.sinkDns), '--log-requests', 'errors'],
    ],
    isReady: () => answers(`http://${at(ports.signals)}/health`),
  });
  const api = `http://${at(ports.signals)}/api/v1`;
  const adminKey = await readAdminKey(folder('signals'));
  const admin = { Authorization: adminKey };
  const ingestKey = await madeOnce(folder('ingest.key'), async () => {
    const created = await postJson<{ results: { key: string } }>(
      `${api}/api-keys`,
      { label: 'posthorn up: events of the MTA and the tracker', grants: ['events/ingest'] },
      admin,
    );
    return created.results.key;
  });

  const secrets = await prepareSecrets(dataDir);
  const records = folder('sink-records.txt');
  await writeFileDurably(records, dnsRecords(secrets.dkimPublicKey));
  await supervisor.start({
    name: 'sink',
    args: [
      'sink',
      ...['--smtp', at(ports.sinkSmtp)],
      ...['--dns', at(ports.sinkDns)],
      ...['--control', at(ports.sinkControl)],
      ...['--data', folder('sink')],
      ...['--records', records],
      ...['--deliver-via', at(ports.inbound)],
      ...['--complaint-to', COMPLAINTS_TO],
      ...['--tracker', at(ports.tracker)],
      ...['--time-scale', '0'],
      ...['--seed', String(options.seed)],
    ],
    isReady: () => answers(`http://${at(ports.sinkControl)}/health`),
  });

  const configuration = folder('pmta.conf');
  await writeConfiguration(
    options.example,
    configuration,
    configurationPlaces(dataDir, ports, secrets, ingestKey),
  );
  await mkdir(folder('mta/accounting'), { recursive: true, mode: 0o750 });
  await supervisor.start({
    name: 'mta',
    args: ['mta', '--config', configuration],
    onLine: () => {},
    isReady: () => answers(`http://${at(ports.management)}/health`),
  });
  const trackerDir = folder('tracker');
  await supervisor.start({
    name: 'tracker',
    args: [
      'tracker',
      ...['--listen', at(ports.tracker)],
      ...['--keys', folder('mta/state/tracking-keys.json')],
      ...['--data', trackerDir],
      ...['--ingest-url', `${api}/ingest/events`],
    ],
    env: { POSTHORN_INGEST_KEY: ingestKey },
    isReady: () => accepts(ports.tracker),
  });

  let progress: GeneratorProgress | null = null;
  let finished: () => void = () => {};
  const sent = new Promise<void>((resolve) => {
    finished = resolve;
  });
  await supervisor.start({
    name: 'generator',
    args: [
      'generate',
      ...['--server', at(ports.submission)],
      ...['--user', SUBMISSION_USER],
      '--insecure',
      '--retry-lost',
      '--json',
      ...['--data', folder('generate')],
      ...['--seed', String(options.seed)],
      ...(options.messages === undefined ? ['--forever'] : ['--messages', String(options.messages)]),
      ...(options.rate === undefined ? [] : ['--rate', String(options.rate)]),
    ],
    env: { POSTHORN_SMTP_PASSWORD: secrets.password },
    ends: true,
    onLine: (line) => {
      progress = JSON.parse(line) as GeneratorProgress;
      if (progress.done) finished();
    },
    isReady: async () => progress !== null,
  });

  const look = () => observe(ports, adminKey, trackerDir);
  const stopShowing = every(LOOK_EVERY_MS, clock, async () =>
    options.show(liveCounts(progress, await look())),
  );
  return {
    sent,
    failed: supervisor.failed,
    signInUrl: await signInLink(api, admin),
    async reconcile(withinMs) {
      // What is written is complete only once nobody writes any more: the programs that send stop first.
      await untilQuiet(look, withinMs, options);
      return reconcile(await collectFacts(dataDir, ports, adminKey, await look()));
    },
    async stop() {
      stopShowing();
      await supervisor.stop();
    },
  };
}

/** Records of the senders' domains in the pretend internet, one "NAME TYPE DATA" a line. */
function dnsRecords(dkimPublicKey: string): string {
  const lines = SENDER_DOMAINS.map(
    (domain) => `${DKIM_SELECTOR}._domainkey.${domain} TXT v=DKIM1; k=rsa; p=${dkimPublicKey}`,
  );
  return `${lines.join('\n')}\n`;
}

async function readAdminKey(dir: string): Promise<string> {
  const given = process.env.POSTHORN_ADMIN_KEY;
  if (given) return given;
  return (await readFile(path.join(dir, 'admin.key'), 'utf8')).trim();
}

async function signInLink(api: string, admin: Record<string, string>): Promise<string> {
  return (await postJson<{ results: { url: string } }>(`${api}/sign-in-links`, {}, admin)).results.url;
}

async function untilQuiet(
  look: () => Promise<Observation>,
  withinMs: number,
  { clock, say }: UpOptions,
): Promise<void> {
  const deadline = clock.now() + withinMs;
  let quiet = 0;
  while (quiet < QUIET_LOOKS) {
    const seen = await look();
    quiet = isQuiet(seen) ? quiet + 1 : 0;
    if (quiet < QUIET_LOOKS && clock.now() >= deadline) {
      say(`not finished after ${withinMs / 1000} s: ${describeRest(seen)}; the table shows what there is`);
      return;
    }
    await pause(LOOK_EVERY_MS, clock);
  }
}

function liveCounts(progress: GeneratorProgress | null, { mta, signals }: Observation): LiveCounts {
  return {
    submitted: progress?.recipients.accepted ?? 0,
    delivered: mta?.totals.delivered ?? 0,
    bounced: mta?.totals.bounced ?? 0,
    queued: mta?.queued ?? 0,
    eventsIngested: signals?.events_stored ?? 0,
  };
}

async function answers(url: string): Promise<boolean> {
  return (await getJson(url)) !== null;
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: HOST, port });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

/** Calls `then` again and again, never twice at a time; the returned function ends it. */
function every(ms: number, clock: Clock, then: () => Promise<void>): () => void {
  let stopped = false;
  let cancel = () => {};
  const next = () => {
    cancel = clock.after(ms, () => {
      then()
        .catch(() => {})
        .then(() => {
          if (!stopped) next();
        });
    });
  };
  next();
  return () => {
    stopped = true;
    cancel();
  };
}

function pause(ms: number, clock: Clock): Promise<void> {
  return new Promise((resolve) => clock.after(ms, resolve));
}
