/** What the tests of this room stand on: a real spool, a real zone, and the delivering half of an MTA on them. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { setImmediate as turn, setTimeout as wait } from 'node:timers/promises';
import type { Answer } from 'dns-packet';
import type { Config } from '../config/index.ts';
import { good } from '../config/testing.ts';
import {
  createDnsServer,
  createResolver,
  type DnsServerAddress,
  type Resolver,
  type StsOptions,
} from '../dns/index.ts';
import type { MessageFacts, Outcome } from '../events/outcome.ts';
import { createSmtpServer } from '../smtp/index.ts';
import { Peer } from '../smtp/test-peer.ts';
import { openSpool, type Spool } from '../spool/spool.ts';
import { spoolIdMaker } from '../spool/spool-id.ts';
import type { Envelope, PendingRecipient } from '../spool/stored-message.ts';
import { systemClock } from '../system/clock.ts';
import { type Log, silentLog } from '../system/log.ts';
import { TestClock } from '../system/testing.ts';
import { type ContentWork, ContentWorkHere } from './content/index.ts';
import type { Dispatcher } from './deliver/dispatcher.ts';
import { DkimSigner } from './deliver/dkim-choice.ts';
import type { OutcomeWriter } from './deliver/outcome-writer.ts';
import { Tracking } from './deliver/tracking.ts';
import { ReferenceSigner } from './inbound/reference.ts';
import { ReportReader } from './inbound/report-reader.ts';
import { TrafficMeter } from './monitor/traffic.ts';
import { queuedRecipient } from './queue/queued-recipient.ts';
import type { Scheduler } from './queue/scheduler.ts';
import { createIntake } from './receive/intake.ts';
import { Reception, type ReceptionDeps } from './receive/reception.ts';
import type { ReceptionCheck } from './receive/reception-checks.ts';
import type { TakeMessage } from './receive/submission.ts';
import { ThreadedReception } from './receive/thread/threaded-reception.ts';
import { type DelayNotices, firstDelayNotice } from './reports/delay-notices.ts';
import { OwnMailMaker } from './reports/own-mail.ts';
import { openColdCounts } from './route/cold-counts.ts';
import { Placements } from './route/placement.ts';
import { PoolRotation } from './route/pool-rotation.ts';
import { queueDomain } from './route/queue-domain.ts';
import type { RollupRoutes } from './route/rollup-routes.ts';
import { createSending } from './sending.ts';

export { until } from '../system/testing.ts';

/** A folder that goes when the test ends. */
export function folder(t: TestContext): string {
  const dir = mkdtempSync(path.join(tmpdir(), 'posthorn-mta-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** A folder with a file system of its own of so many bytes (`1m`), or null, and the test skipped, when not root. */
export function smallDisk(t: TestContext, size: string): string | null {
  const dir = mkdtempSync(path.join(tmpdir(), 'posthorn-mta-'));
  t.after(() => {
    spawnSync('umount', ['-l', dir]);
    rmSync(dir, { recursive: true, force: true });
  });
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', dir]).status === 0) return dir;
  t.skip('SKIPPED: mounting a small file system needs root');
  return null;
}

/** A log that keeps its lines. */
export function keptLog(): { log: Log; lines: string[] } {
  const lines: string[] = [];
  const keep = (message: string) => {
    lines.push(message);
  };
  const log: Log = { info: keep, warn: keep, error: keep, named: () => log };
  return { log, lines };
}

/**
 * A resolver that asks a DNS server of ours. `text` is `name TYPE data`, one record a line; a name followed by
 * `fails` cannot be asked for; every other name does not exist. A function is asked anew for each question. A `+` before
 * a name: the answers about it are validated.
 */
export async function startZone(
  t: TestContext,
  text: string | (() => string),
): Promise<{ resolver: Resolver; server: DnsServerAddress }> {
  const server = createDnsServer({
    answer({ name, type }) {
      const { records, names, failing, validated } = readZone(typeof text === 'string' ? text : text());
      const authenticated = validated.has(name);
      if (failing.has(name)) return { code: 'SERVFAIL', answers: [] };
      if (!names.has(name)) return { code: 'NXDOMAIN', answers: [], authenticated };
      const answers = records.filter((one) => one.name === name && one.type === type);
      return { code: 'NOERROR', answers, authenticated };
    },
  });
  const port = await server.listen('127.0.0.1', 0, 'a test');
  const address = { address: '127.0.0.1', port };
  const resolver = createResolver({ servers: [address], clock: systemClock, attempts: 1 });
  t.after(async () => {
    await resolver.close();
    await server.close();
  });
  return { resolver, server: address };
}

function readZone(text: string): {
  records: Answer[];
  names: Set<string>;
  failing: Set<string>;
  validated: Set<string>;
} {
  const records: Answer[] = [];
  const names = new Set<string>();
  const failing = new Set<string>();
  const validated = new Set<string>();
  for (const line of text.trim().split('\n')) {
    const [marked = '', type, first = '', second = '', ...more] = line.trim().split(/ +/);
    const name = marked.replace(/^\+/, '');
    if (marked !== name) validated.add(name);
    names.add(name);
    if (type === 'MX') {
      records.push({ type, name, ttl: 60, data: { preference: Number(first), exchange: second } });
    } else if (type === 'A' || type === 'AAAA') records.push({ type, name, ttl: 60, data: first });
    else if (type === 'PTR') records.push({ type, name, ttl: 60, data: first });
    else if (type === 'TXT' && first) {
      // One string of a TXT record has 255 octets at most.
      const text = [first, second, ...more].join(' ').trim();
      records.push({ type, name, ttl: 60, data: text.match(/.{1,255}/g) ?? [''] });
    } else if (type === 'TLSA') {
      const [selector, matchingType] = [Number(second), Number(more[0])];
      const certificate = Buffer.from(more[1] ?? '', 'hex');
      records.push({
        type,
        name,
        ttl: 60,
        data: { usage: Number(first), selector, matchingType, certificate },
      });
    } else if (type === 'fails') failing.add(name);
  }
  return { records, names, failing, validated };
}

/** Facts of a message that nothing in particular is to be said about. */
export function messageFacts(given: Partial<MessageFacts> = {}): MessageFacts {
  return {
    spoolId: '018bcfe568000001',
    receivedAt: 1_700_000_000_000,
    sender: 'news@brand.test',
    from: 'news@brand.test',
    fromName: '',
    senderDomain: 'brand.test',
    subject: 'Hello',
    size: 100,
    source: 'smtp',
    heloName: 'feed.test',
    clientIp: '127.0.0.1',
    localIp: '127.0.0.1',
    user: '',
    vmta: '{default}',
    pool: '',
    jobId: '',
    envId: '',
    headers: [],
    customMessageId: '',
    subaccountId: 0,
    openTracking: false,
    initialPixel: false,
    clickTracking: false,
    ...given,
  };
}

export const CONTENT = Buffer.from(
  'From: News <news@brand.test>\r\nTo: kim@a.test\r\nSubject: Hello\r\n\r\nHello.\r\n',
);

export interface DeliveryOptions {
  /** The configuration's text. */
  readonly config: string;
  readonly zone?: string | (() => string);
  /** Folder of the spool; default one of its own. */
  readonly dir?: string;
  readonly mapSize?: number;
  readonly log?: Log;
  /** Who tracks and signs; default whoever asks. */
  readonly content?: ContentWork;
  /** Send reports and copies. */
  readonly reports?: boolean;
  /** Whom HTTP delivery trusts. */
  readonly ca?: string;
  /** Where MTA-STS policies come from. */
  readonly sts?: Pick<StsOptions, 'port' | 'ca'>;
}

export interface Submitted {
  readonly spoolId: string;
  readonly envelope: Envelope;
}

export interface DeliveryUnderTest {
  readonly config: Config;
  readonly spool: Spool;
  readonly scheduler: Scheduler;
  readonly dispatcher: Dispatcher;
  readonly outcomes: OutcomeWriter;
  readonly delayNotices: DelayNotices;
  readonly resolver: Resolver;
  readonly rollup: RollupRoutes;
  readonly clock: TestClock;
  /** Stores a message and queues its recipients. */
  submit(
    recipients: readonly string[],
    given?: { facts?: Partial<MessageFacts>; envelope?: Partial<Envelope>; content?: Buffer },
  ): Promise<Submitted>;
  /** What the journal says became of recipients: `kind recipient status`, in order. */
  story(): string[];
  journal(): Outcome[];
  /** Resolves when nothing happens any more unless time passes. */
  quiet(): Promise<void>;
  /** Turns the clock and waits until all that follows from it has happened. */
  advance(ms: number): Promise<void>;
  /** What keeps a queue's mail: the kinds of its holds. */
  holds(domain: string, vmta?: string): string[];
  stop(): Promise<void>;
}

export async function startDelivery(t: TestContext, options: DeliveryOptions): Promise<DeliveryUnderTest> {
  const config = good(options.config);
  const { resolver } = await startZone(t, options.zone ?? 'a.test A 127.0.0.1');
  const clock = new TestClock();
  const log = options.log ?? silentLog;
  const dir = options.dir ?? folder(t);
  const spool = openSpool(dir, { mapSize: options.mapSize });
  const newId = spoolIdMaker(() => clock.now());
  const content = options.content ?? new ContentWorkHere();
  const inForce = {
    config,
    resolver,
    dkim: await DkimSigner.load(config),
    tracking: await Tracking.open(config, dir, content, log),
  };
  const sending = createSending({
    inForce: () => inForce,
    content,
    spool,
    newSpoolId: newId,
    pauses: null,
    traffic: new TrafficMeter(clock.now()),
    stateDir: dir,
    hostName: 'mta.test',
    onOutcomes() {},
    reports: options.reports ?? false,
    ca: options.ca,
    sts: options.sts,
    clock,
    log,
  });
  const { scheduler, outcomes, dispatcher, delayNotices, rollup } = sending;
  let stopped = false;

  const quiet = async () => {
    for (let calm = 0; calm < 3; calm++) {
      await turn();
      await outcomes.settled();
      for (const queue of scheduler.queues()) {
        if (queue.inDelivery > 0 || queue.connections > queue.idle.size) calm = -1;
      }
      if (calm < 0) await wait(1);
    }
  };
  const stop = async () => {
    if (stopped) return;
    stopped = true;
    // Programs that do not end are killed after a moment; then all is waited for.
    await sending.stop((done) => Promise.race([done, wait(200)]));
    await dispatcher.drained();
    await outcomes.settled();
    await spool.close();
  };
  t.after(stop);
  return {
    config,
    spool,
    scheduler,
    dispatcher,
    outcomes,
    delayNotices,
    resolver,
    rollup,
    clock,
    async submit(recipients, given = {}) {
      const spoolId = newId();
      const content = given.content ?? CONTENT;
      const facts = messageFacts({ spoolId, receivedAt: clock.now(), size: content.length, ...given.facts });
      const envelope: Envelope = {
        facts,
        recipients: recipients.map((address, i) => ({
          address,
          originalRecipient: '',
          messageId: `${spoolId}${String(i).padStart(4, '0')}`,
          notify: [],
        })),
        eightBit: false,
        smtpUtf8: false,
        returnContent: '',
        removeHeaders: [],
        suppressReports: false,
        ...given.envelope,
      };
      const pending = recipients.map((address, index): PendingRecipient => {
        const domain = queueDomain(config, address.slice(address.lastIndexOf('@') + 1), facts.vmta);
        return {
          ...{ spoolId, index, domain, vmta: facts.vmta, receivedAt: facts.receivedAt },
          ...{ attempts: 0, holdUntil: 0, priority: 50 },
          delayNoticeAt: firstDelayNotice(
            config,
            envelope.recipients[index]!,
            { domain, vmta: facts.vmta },
            facts.receivedAt,
          ),
        };
      });
      await spool.store(envelope, content, pending, []);
      for (const item of pending) scheduler.add(item.domain, item.vmta, queuedRecipient(item), clock.now());
      dispatcher.kick();
      return { spoolId, envelope };
    },
    story: () =>
      spool.journal(0, 100_000).map(({ outcome }) => {
        const { kind } = outcome;
        const result = 'result' in outcome ? outcome.result.status : '';
        const about = kind === 'queue-deferred' ? outcome.attempt.queue : recipientOf(outcome);
        return `${kind} ${about} ${result}`;
      }),
    journal: () => spool.journal(0, 100_000).map(({ outcome }) => outcome),
    quiet,
    async advance(ms) {
      clock.advance(ms);
      await quiet();
    },
    holds(domain, vmta = '{default}') {
      const queue = scheduler.find(domain, vmta);
      return queue ? scheduler.explain(queue, clock.now()).map(({ kind }) => kind) : [];
    },
    stop,
  };
}

function recipientOf(outcome: Exclude<Outcome, { kind: 'queue-deferred' }>): string {
  return typeof outcome.recipient === 'string' ? outcome.recipient : outcome.recipient.address;
}

export const REFERENCE_KEY = Buffer.alloc(32, 7);

export interface ReceptionUnderTest {
  readonly config: Config;
  readonly spool: Spool;
  readonly reception: Reception | ThreadedReception;
  /** What every way in hands its messages to. */
  readonly takeMessage: TakeMessage;
  readonly log: Log;
  readonly clock: TestClock;
  /** What was handed to the scheduler. */
  readonly queued: PendingRecipient[];
  readonly logged: string[];
  /** Set to refuse mail as a disk that is nearly full does. */
  refusal: string | null;
  /** A client that has said EHLO. */
  client(): Promise<Peer>;
  /** A connection on which nothing was said or read yet. */
  connection(): Promise<Peer>;
  /** Sends one message in a session of its own; answers the reply to the content, or the first refusal before. */
  send(message: { from?: string; to: readonly string[]; content?: string | Buffer }): Promise<string>;
  outcomes(): Outcome[];
  /** The last message in the spool. */
  stored(): { envelope: Envelope; content: Buffer };
}

/** The receiving half of an MTA behind a listening socket. */
export async function startReception(
  t: TestContext,
  text: string,
  options: {
    dir?: string;
    headersWanted?: readonly string[];
    /** Default one whose messages `logged` keeps. */
    log?: Log;
    checks?: (log: Log) => readonly ReceptionCheck[];
    /** Who tracks; default whoever asks. */
    content?: ContentWork;
    /** Texts of files that the configuration names, by absolute name. */
    files?: Readonly<Record<string, string>>;
    /** Sessions are served by a thread, as under `reception-thread yes`: by the system's clock, with checks of its own. */
    thread?: { readonly resolver?: Resolver };
  } = {},
): Promise<ReceptionUnderTest> {
  const config = good(options.thread ? `${text}\nsmtp-listener 127.0.0.1:0` : text, options.files);
  const clock = new TestClock();
  const { log: kept, lines } = keptLog();
  const log = options.log ?? kept;
  const dir = options.dir ?? folder(t);
  const spool = openSpool(dir);
  const queued: PendingRecipient[] = [];
  const cold = openColdCounts(dir);
  const references = new ReferenceSigner(REFERENCE_KEY);
  const tracking = await Tracking.open(config, dir, options.content ?? new ContentWorkHere(), log);
  const newSpoolId = spoolIdMaker(() => clock.now());
  spool.sent.enabled = true;
  const takeMessage = createIntake({
    spool,
    newSpoolId,
    references,
    reports: new ReportReader(references, spool),
    mail: new OwnMailMaker({ config: () => config, newSpoolId, hostName: 'mta.test', clock }),
    pools: new PoolRotation(),
    placements: new Placements({ cold, rollup: () => null, clock }),
    tracking: () => tracking,
    headersWanted: () => new Set(options.headersWanted ?? []),
    enqueue: (recipients) => queued.push(...recipients),
    onReceived: () => {},
    hostName: 'mta.test',
    clock,
    log,
  });
  let refusal: string | null = null;
  const deps = { takeMessage, spoolRefusal: () => refusal, hostName: 'mta.test', log };
  const receives = options.thread
    ? await receiveInThread(config, { ...deps, resolver: options.thread.resolver })
    : await receiveHere({
        ...deps,
        config: () => config,
        checks: options.checks?.(log) ?? [],
        clock,
      });
  const { port } = receives;
  t.after(async () => {
    await receives.close();
    await spool.close();
    await cold.close();
  });
  const under: ReceptionUnderTest = {
    config,
    spool,
    reception: receives.reception,
    takeMessage,
    log,
    clock,
    queued,
    logged: lines,
    get refusal() {
      return refusal;
    },
    set refusal(why) {
      refusal = why;
    },
    connection: () => Peer.open(t, port),
    async client() {
      const peer = await Peer.open(t, port);
      await peer.text();
      await peer.ask('EHLO client.test');
      return peer;
    },
    async send({ from = 'news@brand.test', to, content = CONTENT.toString() }) {
      const peer = await under.client();
      try {
        for (const line of [`MAIL FROM:<${from}>`, ...to.map((address) => `RCPT TO:<${address}>`)]) {
          const answer = await peer.ask(line);
          if (!answer.startsWith('250')) return answer;
        }
        await peer.ask('DATA');
        if (typeof content === 'string') return await peer.ask(`${content.replace(/(\r\n)?$/, '\r\n')}.`);
        peer.socket.write(content);
        return await peer.ask(content.at(-1) === 0x0a ? '.' : '\r\n.');
      } finally {
        peer.socket.destroy();
      }
    },
    outcomes: () => spool.journal(0, 100_000).map(({ outcome }) => outcome),
    stored() {
      const id = queued.at(-1)!.spoolId;
      return { envelope: spool.envelope(id)!, content: spool.content(id)! };
    },
  };
  return under;
}

async function receiveHere(deps: ReceptionDeps) {
  const { config, clock, log } = deps;
  const reception = new Reception(deps);
  const server = createSmtpServer(
    (endpoints) => reception.accept(endpoints, config().listeners[0]!, undefined),
    { clock, log },
    (peer) => reception.isProxy(peer, config().listeners[0]!),
  );
  const port = await server.listen('127.0.0.1', 0, 'a test');
  const close = () => {
    for (const session of server.sessions) session.destroy();
    return server.close(0);
  };
  return { reception, port, close };
}

async function receiveInThread(
  config: Config,
  deps: Pick<ReceptionDeps, 'takeMessage' | 'spoolRefusal' | 'hostName' | 'log'> & {
    readonly resolver: Resolver | undefined;
  },
) {
  const reception = new ThreadedReception({
    ...deps,
    resolver: () => deps.resolver!,
    onTimed: () => {},
    clock: systemClock,
  });
  await reception.apply(config);
  const port = Number(reception.addresses[0]!.split(':').at(-1));
  return { reception, port, close: () => reception.close(0) };
}
