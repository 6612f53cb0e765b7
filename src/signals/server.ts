import type { Server } from 'node:http';
import path from 'node:path';
import type { Server as TlsServer } from 'node:tls';
import type { Resolver } from '../dns/index.ts';
import type { Clock } from '../system/clock.ts';
import { requireWritableFolder } from '../system/durable-file.ts';
import { lockFolder } from '../system/folder-lock.ts';
import { listen } from '../system/listen.ts';
import type { Log } from '../system/log.ts';
import { Accounts, isValidIp } from './accounts/accounts.ts';
import { adminKey } from './accounts/admin-key.ts';
import { openSqlite } from './accounts/document-store.ts';
import { AccessLog, type AccessLogOptions, defaultAccessLog } from './api/access-log.ts';
import { createApp } from './api/app.ts';
import { defaultIngestLimits, type IngestLimits } from './api/context.ts';
import { Figures } from './api/figures.ts';
import { defaultRate, type Rate, RateLimit } from './api/rate-limit.ts';
import { type StaticFiles, staticFiles } from './api/static-files.ts';
import { Throttle } from './api/throttle.ts';
import { type CertificateFiles, openCertificate } from './api/tls.ts';
import { BatchFiles } from './ingest/batch-files.ts';
import { type BatchLimits, defaultBatchLimits } from './ingest/batch-reader.ts';
import { Processor } from './ingest/processor.ts';
import { MailHostCache } from './ingest/providers/mail-host-cache.ts';
import { ProviderTable } from './ingest/providers/provider-table.ts';
import { Providers } from './ingest/providers/providers.ts';
import { readWatchedDomains, watchedDomains } from './metrics/watched-domains.ts';
import { Erasure } from './privacy/erasure.ts';
import { RecipientsAtRest } from './privacy/recipients-at-rest.ts';
import { readModel } from './score/model/score-model.ts';
import type { Refreshed } from './score/refresh/refresh.ts';
import { Scores } from './score/scores.ts';
import { Traps, watchTraps } from './score/traps/traps.ts';
import { type Engine, openEmbedded } from './store/engine.ts';
import { DUE_HOURS, EventStore } from './store/event-store.ts';
import { dropLeftovers } from './store/partitions.ts';
import { defaultRetention, type Retention } from './store/retention.ts';
import { dropExpired, migrate, schema } from './store/schema.ts';
import { openServer } from './store/server-engine.ts';

export interface SignalsOptions {
  /** Folder for everything this service keeps; made if it is not there. */
  readonly dataDir: string;
  /** `port` 0 takes a free one. */
  readonly listen: { readonly host: string; readonly port: number };
  /** A ClickHouse server in place of the engine in this process. */
  readonly clickhouseUrl?: string | undefined;
  /** The cluster of that server which the tables are spread over. */
  readonly cluster?: string | undefined;
  /** The first API key, 40 hexadecimal digits; without it one is made into `admin.key`. */
  readonly adminKey?: string | undefined;
  readonly log: Log;
  readonly clock: Clock;
  /** Hours after which an event is too old to be taken; SparkPost's is 24. */
  readonly eventAgeHours?: number | undefined;
  readonly retention?: Partial<Retention> | undefined;
  /** Recipients are stored as SHA-1 and domain; batches are not kept, as they hold the addresses. */
  readonly hashRecipients?: boolean | undefined;
  readonly ingestLimits?: Partial<IngestLimits> | undefined;
  readonly batchLimits?: Partial<BatchLimits> | undefined;
  /** Asked for the mail hosts of domains that the list of providers does not name; without it nobody is asked. */
  readonly resolver?: Pick<Resolver, 'query'> | undefined;
  /** The operator's own list of mailbox providers, whose rules win over the built-in ones. */
  readonly providersFile?: string | undefined;
  /** The operator's list of spam traps (`docs/signals.md`); read again when it changes. */
  readonly trapsFile?: string | undefined;
  /** The model of the health score in place of the one that comes with the program (`docs/health-score.md`). */
  readonly scoreModelFile?: string | undefined;
  /** Hours after which injected mail must have a delivery or a bounce; 109 by default. */
  readonly dueAfterHours?: number | undefined;
  /** The domains of the `watched-domain` report, in place of the list that comes with the program. */
  readonly watchedDomainsFile?: string | undefined;
  /** Milliseconds between the end of a refresh of the daily figures and the next; a minute by default. */
  readonly scoreRefreshMs?: number | undefined;
  /** HTTPS with this certificate; HTTP without. */
  readonly tls?: CertificateFiles | undefined;
  /** Addresses and networks of proxies that are believed who their client is (X-Forwarded-For, -Proto, -Host). */
  readonly trustedProxies?: readonly string[] | undefined;
  /** Requests that each key may make. */
  readonly rate?: Rate | undefined;
  readonly accessLog?: Partial<AccessLogOptions> | undefined;
  /** Of the program, for its descriptions of itself. */
  readonly version?: string | undefined;
  /** The web interface's files; by default those built with this program. */
  readonly ui?: StaticFiles | undefined;
}

export interface Signals {
  /** `http://host:port`, without a slash at the end. */
  readonly url: string;
  readonly port: number;
  /** File that holds the first API key; `null` when it was given. */
  readonly adminKeyFile: string | null;
  /** Resolves when every batch taken so far has been processed. */
  idle(): Promise<void>;
  /** Stores the sums of all days that have ended, now and not when they have been quiet for a while; how many days. */
  sealDays(): Promise<number>;
  /** Looks now for mail that is due and has no final event; it is done every hour without this. How many days. */
  refreshCompleteness(): Promise<number>;
  /** Erases recipients in all subaccounts; resolves when that is done. */
  erase(addresses: readonly string[]): Promise<void>;
  /** Resolves when no recipient waits to be erased. */
  erased(): Promise<void>;
  /** Brings the daily figures of the scores up to date now; they are every minute without this. */
  refreshScores(): Promise<Refreshed>;
  /** Reads the certificate again. */
  reload(): Promise<void>;
  /** Takes no more requests, ends those and the batches in hand, and closes everything. */
  close(): Promise<void>;
}

const HOUR = 3_600_000;
const SEAL_MS = 300_000;

/** Starts the service. Throws `UserError` for a folder, port or store that cannot be used. */
export async function startSignals(options: SignalsOptions): Promise<Signals> {
  const { dataDir, log, clock } = options;
  const closers: (() => Promise<void> | void)[] = [];
  const close = async () => {
    for (const one of closers.splice(0).reverse()) await one();
  };
  try {
    await requireWritableFolder(dataDir, 'data of signals');
    closers.push(lockFolder(dataDir, 'data of signals, --data'));
    const first = await adminKey(dataDir, options.adminKey);
    const documents = openSqlite(path.join(dataDir, 'accounts.db'));
    closers.push(() => documents.close());
    const accounts = new Accounts(documents, clock.now);
    await accounts.setAdminKey(first.key);

    const engine = options.clickhouseUrl
      ? await openServer(options.clickhouseUrl, options.cluster ?? null)
      : await openEmbedded(path.join(dataDir, 'clickhouse'), undefined, (message) => log.error(message));
    closers.push(() => engine.close());
    const retention: Retention = { ...defaultRetention, ...options.retention };
    await migrate(engine, retention, schema, log);
    await dropLeftovers(engine);
    await dropExpired(engine, retention);
    closers.push(every(clock, 6 * HOUR, () => dropExpired(engine, retention), log));
    const store = await EventStore.open(engine, {
      kept: retention,
      now: clock.now,
      eventAgeHours: options.eventAgeHours ?? 24,
      dueAfterHours: options.dueAfterHours ?? DUE_HOURS,
    });
    const recipients = new RecipientsAtRest(options.hashRecipients ?? false);
    store.beforeInsert = (rows) => recipients.apply(rows);
    closers.push(() => store.seals.settled());
    closers.push(every(clock, SEAL_MS, () => store.seals.sealQuietDays(log), log));
    closers.push(() => store.completeness.close());
    closers.push(every(clock, SEAL_MS, () => store.completeness.refresh(log), log));

    const providers = openProviders(options);
    closers.push(() => providers.close());
    const traps = await openTraps(options, (domain) => providers.mailHostOf(domain), closers);
    const { watchedDomainsFile } = options;
    const watched = watchedDomainsFile ? await readWatchedDomains(watchedDomainsFile) : watchedDomains;
    const { files, left } = await BatchFiles.open(path.join(dataDir, 'ingest'), clock.now, {
      keepDone: !options.hashRecipients,
      keepDays: retention.batches,
    });
    const [before] = await engine.read<{ n: number }>('SELECT count() AS n FROM ingest_events FINAL');
    if (left.length > 0) log.info('batches of an earlier run are processed now', { batches: left.length });
    const processor = new Processor({
      store,
      files,
      left,
      clock,
      log: log.named('ingest'),
      limits: { ...defaultBatchLimits, ...options.batchLimits },
      maxAgeMs: (options.eventAgeHours ?? 24) * HOUR,
      traps,
      providers,
      labelOf: async (key) => (await accounts.getKey(key))?.label ?? '',
    });
    closers.push(() => processor.close());
    closers.push(every(clock, HOUR, () => files.expire(), log));

    const scores = new Scores({
      engine,
      clock,
      log: log.named('scores'),
      model: options.scoreModelFile === undefined ? undefined : await readModel(options.scoreModelFile),
      refreshMs: options.scoreRefreshMs,
      retention,
      eventAgeHours: options.eventAgeHours ?? 24,
    });
    closers.push(() => scores.close());
    const erasure = await Erasure.open({
      dataDir,
      store,
      recipients,
      clock,
      log: log.named('privacy'),
      maxAgeMs: (options.eventAgeHours ?? 24) * HOUR,
    });
    closers.push(() => erasure.close());
    const certificate = options.tls && (await openCertificate(options.tls, clock, log.named('tls')));
    if (certificate) closers.push(certificate.close);

    const app = await createApp(
      {
        accounts,
        watchedDomains: watched,
        scores,
        erasure,
        store,
        files,
        processor,
        clock,
        log: log.named('api'),
        processedBefore: before?.n ?? 0,
        ingest: { ...defaultIngestLimits, ...options.ingestLimits },
        receiving: { now: 0 },
        subaccountIds: remembered(clock, 10_000, () => subaccountIds(engine, accounts)),
        eventsStored: remembered(clock, 500, () => store.count()),
        signInFailures: new Throttle({ most: 10, windowMs: 60_000, now: clock.now }),
        rateLimit: new RateLimit(options.rate ?? defaultRate, clock),
        accessLog: new AccessLog(log.named('api'), { ...defaultAccessLog, ...options.accessLog }),
        figures: new Figures(),
        version: options.version ?? 'unknown',
      },
      options.ui ?? staticFiles(),
      { certificate, trusts: trustedBy(options.trustedProxies ?? []) },
    );
    closers.push(() => app.close());
    const { host } = options.listen;
    const server = app.server as Server;
    certificate?.serve(server as unknown as TlsServer);
    const port = await listen(server, host, options.listen.port, 'signals, --listen');
    closers.push(() => stopServer(server));
    const shownHost = host.includes(':') ? `[${host}]` : host;
    return {
      url: `${certificate ? 'https' : 'http'}://${shownHost}:${port}`,
      port,
      adminKeyFile: first.file,
      idle: () => processor.idle(),
      reload: async () => certificate?.reload(),
      refreshCompleteness: () => store.completeness.refresh(log, true),
      sealDays: () => store.seals.sealQuietDays(log, 0),
      erase: async (addresses) => {
        await erasure.request(addresses, null);
        await erasure.idle();
        if (erasure.pending > 0)
          throw new Error('not all could be erased; it is tried again at the next start');
      },
      erased: () => erasure.idle(),
      refreshScores: () => scores.refresh(),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Tells the proxies that are believed; `undefined` when there are none. */
function trustedBy(networks: readonly string[]): ((address: string) => boolean) | undefined {
  return networks.length === 0 ? undefined : (address) => isValidIp(address, networks);
}

async function openTraps(
  options: SignalsOptions,
  mailHostOf: (domain: string) => string,
  closers: (() => void)[],
): Promise<Traps> {
  const { trapsFile, clock, log } = options;
  if (trapsFile === undefined) return new Traps(undefined, mailHostOf);
  const { traps, close } = await watchTraps(trapsFile, clock, log.named('traps'), mailHostOf);
  closers.push(close);
  return traps;
}

function openProviders(options: SignalsOptions): Providers {
  const { resolver, dataDir, clock, log } = options;
  const table = ProviderTable.load(options.providersFile);
  if (!resolver) return new Providers(table);
  const cache = new MailHostCache(path.join(dataDir, 'mail-hosts.db'));
  return new Providers(table, { resolver, cache, clock, log: log.named('providers') });
}

function every(clock: Clock, ms: number, work: () => Promise<unknown>, log: Log): () => void {
  let cancel = () => {};
  const run = () => {
    work()
      .catch((error) =>
        log.warn('work in the background failed and will be tried again', { because: String(error) }),
      )
      .finally(() => {
        if (cancel !== stopped) cancel = clock.after(ms, run);
      });
  };
  const stopped = () => {};
  cancel = clock.after(ms, run);
  return () => {
    cancel();
    cancel = stopped;
  };
}

async function subaccountIds(engine: Engine, accounts: Accounts): Promise<number[]> {
  const rows = await engine.read<{ id: number }>(
    'SELECT subaccount_id AS id FROM metrics_hour WHERE subaccount_id > 0 GROUP BY id',
  );
  const ofKeys = (await accounts.listKeys()).map((key) => key.subaccount_id);
  const ids = new Set([...rows.map((row) => row.id), ...ofKeys.filter((id) => id > 0)]);
  return [...ids].sort((a, b) => a - b);
}

/** What `work` gave, for so long without asking again. */
function remembered<T>(clock: Clock, ms: number, work: () => Promise<T>): () => Promise<T> {
  let known: { at: number; value: Promise<T> } | null = null;
  return () => {
    const now = clock.now();
    if (!known || now - known.at > ms || known.at > now) {
      const value = work();
      known = { at: now, value };
      value.catch(() => {
        known = null;
      });
    }
    return known.value;
  };
}

const DRAIN_MS = 3000;

/** Lets requests in hand end, but no longer than the drain time. */
function stopServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    const force = setTimeout(() => server.closeAllConnections(), DRAIN_MS);
    server.close(() => {
      clearTimeout(force);
      resolve();
    });
    server.closeIdleConnections();
  });
}
