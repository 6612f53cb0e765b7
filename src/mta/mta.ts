/** Puts the rooms of the MTA together and runs them until it is told to stop. */
import { randomBytes } from 'node:crypto';
import path from 'node:path';
import type { Config } from '../config/index.ts';
import { startUploader, type Uploader } from '../connector/uploader.ts';
import { createResolver } from '../dns/index.ts';
import type { OutcomeView } from '../events/outcome.ts';
import { openSpool, type Spool } from '../spool/spool.ts';
import { spoolIdMaker } from '../spool/spool-id.ts';
import type { PendingRecipient } from '../spool/stored-message.ts';
import type { Clock } from '../system/clock.ts';
import { requireWritableFolder } from '../system/durable-file.ts';
import type { Log } from '../system/log.ts';
import { UserError } from '../system/user-error.ts';
import { acctFileView, headersInColumns } from './accounting/from-config.ts';
import { startPublisher } from './accounting/publisher.ts';
import { signalsViewFromConfig } from './accounting/signals-from-config.ts';
import { Dispatcher } from './deliver/dispatcher.ts';
import { DkimSigner } from './deliver/dkim-choice.ts';
import { OutcomeWriter } from './deliver/outcome-writer.ts';
import { Renderer } from './deliver/render.ts';
import { SmtpDelivery } from './deliver/smtp-delivery.ts';
import { Tracking } from './deliver/tracking.ts';
import { ReferenceSigner } from './inbound/reference.ts';
import { ReportReader } from './inbound/report-reader.ts';
import { limitsFromConfig } from './limits-from-config.ts';
import { CountersView } from './monitor/counters.ts';
import { openMonitor } from './monitor/server.ts';
import { TrafficMeter } from './monitor/traffic.ts';
import { Scheduler } from './queue/scheduler.ts';
import { createIntake } from './receive/intake.ts';
import { openListeners } from './receive/listeners.ts';
import { Reception } from './receive/reception.ts';
import { spaceGuard } from './receive/space-guard.ts';
import { PoolRotation } from './route/pool-rotation.ts';
import { keptSecret } from './state-files.ts';

export interface MtaOptions {
  readonly config: Config;
  readonly version: string;
  readonly clock: Clock;
  readonly log: Log;
}

export interface Mta {
  /** Where it listens, for people. */
  readonly addresses: readonly string[];
  /** Stops taking and sending mail, finishes what is in hand, writes everything out. */
  stop(): Promise<void>;
}

/** Longest time that sessions and deliveries in hand get when the server stops. */
const GRACE_MS = 10_000;

export async function startMta({ config, version, clock, log }: MtaOptions): Promise<Mta> {
  const { global } = config;
  const startedAt = clock.now();
  const hostName = config.hostNames[0]!;
  const stateDir = global.get('state-dir');
  await requireWritableFolder(stateDir, 'state-dir');
  const spoolSettings = config.spools[0];
  if (!spoolSettings)
    throw new UserError(`${config.file}: no <spool> is configured; mail needs a place to wait`);
  await requireWritableFolder(spoolSettings.dir, 'spool');
  const dkim = await DkimSigner.load(config);

  const spool: Spool = openSpool(spoolSettings.dir);
  const references = new ReferenceSigner(
    await keptSecret(path.join(stateDir, 'reference.key'), () => randomBytes(32)),
  );
  const tracking = await Tracking.open(config, stateDir, log);
  const traffic = new TrafficMeter(startedAt);
  const counters = new CountersView();
  const eventsDir = path.join(stateDir, 'sparkpost');
  const views: OutcomeView[] = [counters];
  const tools = { clock, log: log.named('acct'), owner: spool.id };
  for (const acct of config.acctFiles) {
    views.push(acctFileView(config, acct, tools));
  }
  const signalsView = signalsViewFromConfig(() => config, { dir: eventsDir, nodeName: hostName }, tools);
  if (signalsView) views.push(signalsView);
  const publisher = await startPublisher(spool, views, clock, log);
  const uploader = config.signals && openUploader(config, eventsDir, clock, log);

  let delivery: SmtpDelivery | null = null;
  const scheduler = new Scheduler(
    limitsFromConfig(() => config),
    (id) => delivery?.resume(id),
  );
  const resolver = createResolver({
    servers: global.get('name-server').map(({ ip, port }) => ({ address: ip, port: port ?? 53 })),
    clock,
    log,
  });
  const written = () => {
    publisher.notify();
    dispatcher.kick();
  };
  const outcomes = new OutcomeWriter({ spool, scheduler, clock, log, onWritten: written });
  const renderer = new Renderer(dkim, tracking, clock);
  delivery = new SmtpDelivery({
    config: () => config,
    scheduler,
    spool,
    outcomes,
    renderer,
    resolver,
    traffic,
    hostName,
    clock,
    log: log.named('delivery'),
  });
  const dispatcher = new Dispatcher(scheduler, (grant) => delivery.run(grant), clock, log);

  const enqueue = (recipients: readonly PendingRecipient[]) => {
    const now = clock.now();
    for (const { domain, vmta, ...item } of recipients) scheduler.add(domain, vmta, { ...item }, now);
    dispatcher.kick();
  };
  const wanted = headersInColumns(config);
  const guard = await spaceGuard(spoolSettings.dir, spoolSettings.settings.get('min-free-space'), clock);
  const reception = new Reception({
    config: () => config,
    takeMessage: createIntake({
      spool,
      newSpoolId: spoolIdMaker(clock.now),
      references,
      reports: new ReportReader(references),
      pools: new PoolRotation(),
      tracking,
      headersWanted: () => wanted,
      enqueue: (recipients) => {
        publisher.notify();
        if (recipients.length > 0) enqueue(recipients);
      },
      onReceived: (count, bytes) => traffic.add('in', count, bytes, clock.now()),
      hostName,
      clock,
      log: log.named('receive'),
    }),
    spoolRefusal: guard.refusal,
    hostName,
    clock,
    log: log.named('receive'),
  });

  let stopping = false;
  let topOut = 0;
  const monitor = await openMonitor({
    config: () => config,
    scheduler,
    status: {
      version,
      hostName,
      hostId: global.get('host-id'),
      startedAt,
      traffic,
      scheduler,
      connections: () => {
        const cur = scheduler.openConnections;
        topOut = Math.max(topOut, cur);
        const open = reception.openSessions;
        return {
          in: { cur: open, max: finite(global.get('total-max-smtp-in')), top: reception.mostSessions },
          out: { cur, max: finite(global.get('total-max-smtp-out')), top: topOut },
        };
      },
      namesCached: () => resolver.cached,
      messagesStored: () => spool.messageCount,
      shuttingDown: () => stopping,
    },
    totals: () => counters.totals,
    backlog: () => ({ outcomes: publisher.backlog, eventFiles: uploader?.pending() ?? 0 }),
    clock,
    log: log.named('http'),
  });
  const listening = await openListeners(config, reception, clock, log.named('receive'));
  await recover(spool, enqueue, log);
  log.info('running', { messages: spool.messageCount });

  return {
    addresses: [
      ...listening.map(({ address, port }) => `smtp://${address}:${port}`),
      ...(monitor ? [`http://127.0.0.1:${monitor.port}`] : []),
    ],
    async stop() {
      if (stopping) return;
      stopping = true;
      log.info('stopping');
      await Promise.all(listening.map(({ server }) => server.close(GRACE_MS)));
      scheduler.stop();
      await within(GRACE_MS, dispatcher.drained(), clock);
      await within(GRACE_MS, outcomes.settled(), clock);
      await within(GRACE_MS, publisher.drain(GRACE_MS), clock);
      await publisher.close();
      await uploader?.close();
      guard.close();
      await resolver.close();
      await spool.close();
      await monitor?.close();
      log.info('stopped');
    },
  };
}

/** Puts back into their queues what was waiting when the server last ended, a batch per turn of the event loop. */
async function recover(
  spool: Spool,
  enqueue: (recipients: readonly PendingRecipient[]) => void,
  log: Log,
): Promise<void> {
  let count = 0;
  for (const batch of spool.recover()) {
    enqueue(batch);
    count += batch.length;
    await new Promise((resolve) => setImmediate(resolve));
  }
  if (count > 0) log.info('recovered from the spool', { recipients: count, messages: spool.messageCount });
}

function openUploader(config: Config, dir: string, clock: Clock, log: Log): Uploader {
  const signals = config.signals!;
  return startUploader({
    dir,
    url: signals.get('upload-url'),
    apiKey: signals.get('api-key') ?? '',
    verbose: signals.get('log-verbose'),
    minFreeSpace: signals.get('min-free-space'),
    clock,
    log,
  });
}

/** JSON has no Infinity; PowerMTA prints no limit as 0. */
function finite(limit: number): number {
  return Number.isFinite(limit) ? limit : 0;
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
