/** Puts the rooms of the MTA together and runs them until it is told to stop. */
import { randomBytes } from 'node:crypto';
import { realpath, stat } from 'node:fs/promises';
import path from 'node:path';
import { type Config, formatDiagnostic, type Loaded, type ReplacedFile } from '../config/index.ts';
import { openSpool, type Spool } from '../spool/spool.ts';
import { spoolIdMaker } from '../spool/spool-id.ts';
import type { Clock } from '../system/clock.ts';
import { reason, requireWritableFolder, writeFileDurably } from '../system/durable-file.ts';
import { lockFolder } from '../system/folder-lock.ts';
import type { Log } from '../system/log.ts';
import { UserError } from '../system/user-error.ts';
import { createContentWork } from './content/index.ts';
import { createControl } from './control.ts';
import { putInForce } from './in-force.ts';
import { ReferenceSigner } from './inbound/reference.ts';
import { readsReports, SentMailKeeper } from './inbound/sent-mail-keeper.ts';
import { CountersView } from './monitor/counters.ts';
import { Destinations } from './monitor/destinations.ts';
import { Pauses } from './monitor/pauses.ts';
import { openMonitor } from './monitor/server.ts';
import type { StatusSources } from './monitor/status.ts';
import { TrafficMeter } from './monitor/traffic.ts';
import { PrecachedDomains } from './precached-domains.ts';
import { recipientsGuard } from './receive/recipients-guard.ts';
import { spaceGuard } from './receive/space-guard.ts';
import { createReceiving } from './receiving.ts';
import { Records } from './records.ts';
import { recover } from './recover.ts';
import { restartNeeded } from './reload.ts';
import { openColdCounts } from './route/cold-counts.ts';
import { createSending } from './sending.ts';
import { keptSecret } from './state-files.ts';
import { markRunning } from './unclean-end.ts';

export interface MtaOptions {
  readonly config: Config;
  /** Reads the configuration's files anew, for a reload; `replaced` stands for what is in one of them. */
  readonly readConfig: (replaced?: ReplacedFile) => Loaded;
  readonly version: string;
  /** When this version was built; default now. */
  readonly builtAt?: number;
  readonly clock: Clock;
  readonly log: Log;
  /** The spool's disk has failed for good; all that was acknowledged is on it, and only a new start can go on. */
  readonly onFailed?: (error: Error) => void;
  /** The log's settings may have changed (`log-file` and what belongs to it). */
  readonly applyLog: (config: Config) => Promise<void>;
  /** Begins a new log file. */
  readonly rotateLog: () => Promise<void>;
}

export interface Mta {
  /** Where it listens, for people. */
  readonly addresses: readonly string[];
  /**
   * Reads the configuration again and brings it into force as a whole. Answers what the operator should know (changes
   * that need a restart, warnings); a configuration that cannot be used changes nothing and throws a UserError.
   * `replaced` takes the place of a file, if the whole can be brought into force.
   */
  reload(replaced?: ReplacedFile): Promise<string[]>;
  /** Stops taking and sending mail, finishes what is in hand, writes everything out. */
  stop(): Promise<void>;
}

/** A new connection costs both hosts more than the message that comes a moment after the last one. */
const LINGER_MS = 50;

/** Longest time that sessions and deliveries in hand get when the server stops. */
const GRACE_MS = 10_000;

export async function startMta(options: MtaOptions): Promise<Mta> {
  const { version, clock, log } = options;
  const { global } = options.config;
  const startedAt = clock.now();
  const hostName = options.config.hostNames[0]!;
  const stateDir = global.get('state-dir');
  await requireWritableFolder(stateDir, 'state-dir');
  const spoolSettings = options.config.spools[0];
  if (!spoolSettings) {
    throw new UserError(`${options.config.file}: no <spool> is configured; mail needs a place to wait`);
  }
  await requireWritableFolder(spoolSettings.dir, 'spool');
  // Two servers on one spool would deliver everything twice.
  const unlock = [
    lockFolder(stateDir, 'state-dir'),
    ...(path.resolve(spoolSettings.dir) === path.resolve(stateDir)
      ? []
      : [lockFolder(spoolSettings.dir, 'spool')]),
  ];
  const mark = await markRunning(stateDir, startedAt);
  const content = createContentWork(global, log);
  let inForce = await putInForce(options.config, stateDir, clock, log, content, null);
  const config = () => inForce.config;
  const precached = new PrecachedDomains(clock);
  precached.apply(inForce.resolver, inForce.precache);

  const spool: Spool = openSpool(spoolSettings.dir, {
    log: log.named('spool'),
    deleteCorrupted: global.get('spool-delete-corrupted'),
    onFailed: options.onFailed,
  });
  const cold = openColdCounts(stateDir);
  const references = new ReferenceSigner(
    await keptSecret(path.join(stateDir, 'reference.key'), () => randomBytes(32)),
  );
  const traffic = new TrafficMeter(startedAt);
  const counters = new CountersView((outcome) => {
    const { kind } = outcome;
    const bounces = kind === 'remote-bounce' || kind === 'remote-status' ? 1 : 0;
    const complaints = kind === 'complaint' ? 1 : 0;
    if (bounces + complaints > 0) traffic.processed.add({ bounces, complaints }, clock.now());
  });
  const destinations = new Destinations();
  const records = new Records({ spool, counters, stateDir, hostName, clock, log });
  await records.apply(options.config);

  spool.sent.enabled = readsReports(options.config);
  const sentMail = new SentMailKeeper(spool, clock, log);
  const pauses = new Pauses(stateDir);
  await pauses.load();
  const newSpoolId = spoolIdMaker(clock.now);
  const shared = { inForce: () => inForce, content, spool, newSpoolId, traffic, hostName, clock, log };
  const sending = createSending({
    ...shared,
    pauses,
    destinations,
    stateDir,
    lingerMs: LINGER_MS,
    onOutcomes: () => records.notify(),
    reports: true,
  });
  const { scheduler, outcomes, dispatcher, delayNotices } = sending;
  const guard = await spaceGuard(spoolSettings.dir, spoolSettings.settings.get('min-free-space'), clock);
  const recipientsFull = recipientsGuard(
    () => config().global.get('spool-max-recipients'),
    () => {
      let waiting = 0;
      for (const { size } of scheduler.queues()) waiting += size;
      return waiting;
    },
    clock,
  );
  const { waysIn, smtp } = createReceiving({
    ...shared,
    references,
    cold,
    rollup: sending.rollup,
    spoolRefusal: () => guard.refusal() ?? recipientsFull(),
    enqueue: (recipients) => {
      records.notify();
      if (recipients.length > 0) sending.enqueue(recipients);
    },
  });

  const reload = async (replaced?: ReplacedFile): Promise<string[]> => {
    const { config: next, diagnostics } = options.readConfig(replaced);
    if (!next) throw new UserError(diagnostics.map(formatDiagnostic).join('\n'));
    const before = inForce;
    const prepared = await putInForce(next, stateDir, clock, log, content, before);
    await options.applyLog(next);
    await waysIn.apply(next);
    try {
      await records.apply(next);
      if (replaced) await replaceFile(replaced);
    } catch (error) {
      await records.apply(before.config);
      await waysIn.apply(before.config);
      throw error;
    }
    inForce = prepared;
    spool.sent.enabled = readsReports(next);
    precached.apply(prepared.resolver, prepared.precache);
    if (before.resolver !== prepared.resolver) void before.resolver.close();
    log.info('configuration reloaded', { file: next.file });
    scheduler.refresh(clock.now());
    dispatcher.kick();
    return [...restartNeeded(before.config, next), ...diagnostics.map(formatDiagnostic)];
  };
  /** One after the other: two operators at once must not mix two configurations. */
  let reloading: Promise<unknown> = Promise.resolve();
  const reloadInTurn = (replaced?: ReplacedFile) => {
    const turn = reloading.then(() => reload(replaced));
    reloading = turn.catch(() => {});
    return turn;
  };

  let stopping = false;
  const reading = { percent: 0 };
  let topOut = 0;
  const status: StatusSources = {
    version,
    hostName,
    hostId: global.get('host-id'),
    startedAt,
    traffic,
    scheduler,
    connections: () => {
      const cur = scheduler.openConnections;
      topOut = Math.max(topOut, cur);
      const open = smtp.openSessions;
      const most = (limit: number) => (Number.isFinite(limit) ? limit : 0);
      return {
        in: { cur: open, max: most(config().global.get('total-max-smtp-in')), top: smtp.mostSessions },
        out: { cur, max: most(config().global.get('total-max-smtp-out')), top: topOut },
      };
    },
    resolver: () => inForce.resolver,
    maxRecipients: () => {
      const most = config().global.get('spool-max-recipients');
      return typeof most === 'number' ? most : 0;
    },
    spoolReadPercent: () => reading.percent,
    builtAt: options.builtAt ?? startedAt,
    messagesStored: () => spool.messageCount,
    queueType: (domain, vmta) => config().queue(domain, vmta).get('type'),
    shuttingDown: () => stopping,
  };
  const monitor = await openMonitor({
    config,
    control: createControl({
      config,
      scheduler,
      spool,
      outcomes,
      records,
      counters,
      pauses,
      events: sending.events,
      traces: sending.traces,
      clock,
      log: log.named('trace'),
      destinations,
      status,
      precached,
      resolver: () => inForce.resolver,
      kick: () => dispatcher.kick(),
      reload: reloadInTurn,
      rotateLog: options.rotateLog,
      onReloadFailed: (error) => log.error(`reload failed, nothing has changed: ${error.message}`),
    }),
    shuttingDown: () => stopping,
    clock,
    log: log.named('http'),
  });
  await waysIn.apply(options.config);
  delayNotices.start();
  sentMail.start();
  if (mark.endedBadly !== null) {
    log.warn(`the server that started ${mark.endedBadly} did not stop in order`);
    sending.notices.trouble(`Mail server ${hostName} was started again after an unexpected end`, [
      `The server that had started ${mark.endedBadly} did not stop in order: it was killed, failed, or the machine went down.`,
      'No accepted mail was lost; what was in delivery at that moment may be delivered twice.',
      `The end of its log says more: ${global.get('log-file') ?? ''}`,
    ]);
  }
  log.info('running', { messages: spool.messageCount });
  // Mail is taken and delivered meanwhile: a full spool takes a while to read.
  const recovered = recover(spool, sending.enqueue, () => stopping, log, reading);

  return {
    addresses: [...waysIn.addresses, ...(monitor.port === null ? [] : [`http://127.0.0.1:${monitor.port}`])],
    reload: reloadInTurn,
    async stop() {
      if (stopping) return;
      stopping = true;
      log.info('stopping');
      await recovered;
      await reloading;
      await waysIn.close(GRACE_MS);
      await delayNotices.stop();
      await sentMail.stop();
      await sending.stop((done) => within(GRACE_MS, done, clock));
      await content.close();
      await within(GRACE_MS, records.drain(GRACE_MS), clock);
      await records.close();
      guard.close();
      precached.close();
      await inForce.resolver.close();
      await spool.close();
      await cold.close();
      await mark.remove();
      for (const release of unlock) release();
      await monitor.close();
      log.info('stopped');
    },
  };
}

/** Waits for something, but not for ever: what is not done by then is done after the restart. */
async function within(ms: number, done: Promise<unknown>, clock: Clock): Promise<void> {
  let cancel = () => {};
  const late = new Promise<void>((resolve) => {
    cancel = clock.after(ms, resolve);
  });
  await Promise.race([done.catch(() => {}), late]);
  cancel();
}

/** A link goes on leading to its file, whose mode stays. */
async function replaceFile({ file, text }: ReplacedFile): Promise<void> {
  try {
    const target = await realpath(file);
    await writeFileDurably(target, text, (await stat(target)).mode & 0o777);
  } catch (error) {
    throw new UserError(`${file} cannot be replaced: ${reason(error)}; nothing has changed`, {
      cause: error,
    });
  }
}
