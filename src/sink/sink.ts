import { readFile } from 'node:fs/promises';
import path from 'node:path';
import {
  createSmtpSecureContext,
  createSmtpServer,
  type SmtpExtension,
  type SmtpServer,
  smtpServerOptions,
} from '../smtp/index.ts';
import { makeSelfSignedCertificate } from '../smtp/self-signed.ts';
import type { Clock } from '../system/clock.ts';
import { writeFileDurably } from '../system/durable-file.ts';
import type { Log } from '../system/log.ts';
import { Actions } from './actions.ts';
import { Control } from './control.ts';
import { DkimChecks } from './dkim-check.ts';
import { Fetcher } from './fetcher.ts';
import { Judge } from './judge.ts';
import { Ledger } from './ledger.ts';
import { MailFiles } from './mail-files.ts';
import { checkRates, defaultRates, type Rates } from './model.ts';
import { createReceiver } from './receiver.ts';
import { createSendBack } from './send-back.ts';
import { startSinkDns } from './sink-dns.ts';
import { Tally } from './tally.ts';
import { type OtherRecords, Zone } from './zone.ts';

export interface Address {
  readonly host: string;
  readonly port: number;
}

export interface SinkOptions {
  readonly smtp: Address;
  /** UDP and TCP. */
  readonly dns: Address;
  readonly control: Address;
  /** Domain that the sink owns, `sink.test`. */
  readonly domain: string;
  readonly dataDir: string;
  readonly seed: number;
  /** Divides all waits; 0 acts at once. */
  readonly timeScale: number;
  readonly rates?: Rates;
  /** Where bounces and complaints go; without it none are sent. */
  readonly deliverVia?: Address;
  /** Address for complaints; without it `fbl@` and the domain of the return path. */
  readonly complaintTo?: string;
  /** Hosts (`name`, `name:port`) of trackers; only these may have private addresses. */
  readonly trackers?: readonly string[];
  /** Ask hosts that are not listed whether they are trackers. */
  readonly probeTrackers?: boolean;
  /** DNS records of other domains. */
  readonly records?: OtherRecords;
  /** Share of accepted mail whose DKIM signatures are verified, 0 to 1. */
  readonly dkimShare?: number;
  /** How many of the latest messages to keep to look at. */
  readonly store?: number;
  /** Obey `X-Bounce-Me` and `X-Bounce-Percentage` in messages. */
  readonly allowHeaderCommands?: boolean;
  /** Milliseconds (before scaling) that `greylist` makes a sender wait. */
  readonly greylistDelay?: number;
  /** Messages a minute that `ratelimit` takes from one client. */
  readonly perMinute?: number;
  readonly log: Log;
  readonly clock: Clock;
}

export interface Sink {
  readonly ports: { readonly smtp: number; readonly dns: number; readonly control: number };
  /** Takes no more mail, ends the actions under way; the rest of the plan waits for the next start. */
  close(): Promise<void>;
}

const ROTATE_LEDGER_AT = 256 * 1024 * 1024;
const CLOSE_GRACE = 2_000;
const MOST_MESSAGE = 50 * 1024 * 1024;

const EXTENSIONS: readonly SmtpExtension[] = [
  'PIPELINING',
  '8BITMIME',
  'SIZE',
  'ENHANCEDSTATUSCODES',
  'DSN',
  'SMTPUTF8',
  'CHUNKING',
  'STARTTLS',
];

/**
 * Starts the pretended internet: DNS, mailbox providers, their users, and a control interface. `UserError` when an
 * address or folder can not be used or the rates contradict each other.
 */
export async function startSink(options: SinkOptions): Promise<Sink> {
  const { clock, log, domain, seed, timeScale, dataDir } = options;
  const rates = options.rates ?? defaultRates;
  checkRates(rates);
  const tally = new Tally();
  const ledger = await Ledger.open({
    dir: dataDir,
    apply: (record) => tally.apply(record),
    rotateAt: ROTATE_LEDGER_AT,
    carryOver: () => tally.snapshot(clock.now()),
  });
  const closing: (() => Promise<unknown>)[] = [() => ledger.close()];
  const close = async () => {
    for (const end of closing.splice(0).reverse()) await end();
  };
  try {
    const files = await MailFiles.open(dataDir, options.store ?? 0);
    const unfinished = [...tally.unfinished()];
    await files.keepOnly(new Set(unfinished.map(({ record }) => record.id)));
    const zone = new Zone(domain, advertised(options.smtp.host), options.records ?? new Map());
    const fetcher = new Fetcher(
      {
        trackers: options.trackers ?? [],
        probe: options.probeTrackers ?? false,
        timeout: 10_000,
        connections: 16,
      },
      clock.now,
    );
    const abort = new AbortController();
    const actions = new Actions({
      clock,
      log,
      ledger,
      fetcher,
      sendBack: createSendBack({
        deliverVia: options.deliverVia ?? null,
        domain,
        complaintTo: options.complaintTo ?? '',
        files,
        clock,
        signal: abort.signal,
      }),
      finished: (record) => files.forgetOriginal(record.id),
      concurrency: 32,
    });
    closing.push(async () => {
      const cancel = clock.after(CLOSE_GRACE, () => {
        abort.abort();
        fetcher.close();
      });
      await actions.close();
      cancel();
      fetcher.close();
    });
    const checks = new DkimChecks({
      share: options.dkimShare ?? 0.1,
      seed,
      now: clock.now,
      texts: (name) => zone.texts(name),
      result: (id, dkim) =>
        ledger
          .append({ k: 'auth', at: clock.now(), id, dkim })
          .catch((error: Error) => log.error('a check could not be recorded', { reason: error.message })),
    });
    closing.push(() => checks.close());
    const judge = new Judge(
      {
        seed,
        rates,
        timeScale,
        clock,
        greylistDelay: options.greylistDelay ?? 60_000,
        perMinute: options.perMinute ?? 10,
      },
      tally,
    );
    const handlers = createReceiver({
      domain,
      seed,
      rates,
      timeScale,
      clock,
      log,
      judge,
      tally,
      ledger,
      files,
      allowHeaderCommands: options.allowHeaderCommands ?? false,
      mayFetch: (url) => fetcher.mayFetch(url),
      accepted: (record, mail) => {
        actions.add(
          record,
          record.plan.map((action, n) => ({ n, action })),
        );
        if (record.id.endsWith('.1')) checks.add(record.id, record.mid, mail.content);
      },
    });
    const server = await createServer(options, handlers);
    closing.push(() => {
      handlers.release();
      return server.close(CLOSE_GRACE);
    });
    const smtp = await server.listen(options.smtp.host, options.smtp.port, 'SMTP of the sink');
    const dns = await startSinkDns(zone, options.dns);
    closing.push(() => dns.close());
    const control = new Control({
      tally,
      files,
      ledger: () => ledger.file,
      startedAt: clock.now(),
      busy: () => checks.busy + actions.finishing,
      reset: async () => {
        actions.forget();
        judge.reset();
        await ledger.restart();
        tally.clear();
        await files.keepOnly(new Set());
      },
    });
    closing.push(() => control.close());
    const controlPort = await control.listen(options.control.host, options.control.port);
    for (const { record, left } of unfinished) actions.add(record, left);
    return { ports: { smtp, dns: dns.port, control: controlPort }, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function createServer(
  options: SinkOptions,
  handlers: ReturnType<typeof createReceiver>,
): Promise<SmtpServer> {
  const pem = await certificate(path.join(options.dataDir, 'tls.pem'), options.domain);
  const server = smtpServerOptions({
    hostName: `mx1.mx.${options.domain}`,
    banner: `mx1.mx.${options.domain} ESMTP bouncy`,
    extensions: new Set(EXTENSIONS),
    maxMessageSize: MOST_MESSAGE,
    // Refusing is this server's work: a client that hears many refusals does nothing wrong.
    maxErrors: Number.MAX_SAFE_INTEGER,
    tls: { secureContext: createSmtpSecureContext({ key: pem, cert: pem }) },
  });
  return createSmtpServer(() => ({ options: server, handlers }), { clock: options.clock, log: options.log });
}

/** Certificate and key for STARTTLS, made at the first start. */
async function certificate(file: string, domain: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  const { key, cert } = await makeSelfSignedCertificate({ names: [`mx1.mx.${domain}`, domain], days: 3650 });
  await writeFileDurably(file, cert + key, 0o600);
  return cert + key;
}

/** The address that DNS gives for the mail hosts. */
function advertised(host: string): string {
  return /^\d+\.\d+\.\d+\.\d+$/.test(host) && host !== '0.0.0.0' ? host : '127.0.0.1';
}
