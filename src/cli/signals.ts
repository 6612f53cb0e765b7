import path from 'node:path';
import { parseArgs } from 'node:util';
import { createResolver } from '../dns/index.ts';
import { isNetwork } from '../signals/accounts/accounts.ts';
import { endpoints } from '../signals/api/endpoints.ts';
import { openApiDocument } from '../signals/api/openapi.ts';
import { describeAddress } from '../signals/score/describe-address.ts';
import { readTrapList } from '../signals/score/traps/trap-list.ts';
import { Traps } from '../signals/score/traps/traps.ts';
import { startSignals } from '../signals/server.ts';
import { systemClock } from '../system/clock.ts';
import { createLog } from '../system/log.ts';
import { UserError } from '../system/user-error.ts';
import { hostAndPort, wholeNumber } from './option-values.ts';
import { nameServers, tryProviders } from './signals-provider.ts';
import { clusterOf, erase, printDdl, retentionOf, storeOptions } from './signals-store.ts';
import { runUser, userHelp } from './signals-user.ts';
import { version } from './version.ts';

export const help = `posthorn signals: takes events, stores them, answers searches and reports, serves the web interface

Usage: posthorn signals --data DIR [--listen HOST:PORT] [--clickhouse URL]
       posthorn signals openapi
       posthorn signals user add|password|remove|list
       posthorn signals ddl [--cluster NAME] [--keep-… DAYS]
       posthorn signals erase --data DIR ADDRESS...
       posthorn signals address [--traps FILE] ADDRESS...
       posthorn signals provider [--providers FILE] [--dns HOST:PORT | --no-mx-lookup] [--json] DOMAIN|ADDRESS...

  --data DIR            folder for everything the service keeps
  --listen HOST:PORT    where it answers (default 127.0.0.1:7700)
  --clickhouse URL      a ClickHouse server for events; default is the engine in this process, its data in DIR
  --cluster NAME        the cluster of that server over which tables are spread and replicated
  --keep-events DAYS    single events, for search (default 10)
  --keep-metrics DAYS   metrics and scores (default 190)
  --keep-messages DAYS  messages, so that late opens and complaints find theirs (default 60)
  --keep-batches DAYS   batches as they came, and their failures (default 10)
  --keep-recipients DAYS  when each recipient was first written to and last engaged (default 400)
  --hash-recipients     stores recipients as SHA-1 and domain only; batches are removed once processed
  --accounts URL        a database for accounts; not supported yet, they are in DIR/accounts.db
  --event-age HOURS     events older than this are refused (default 24)
  --due-after HOURS     injected mail should have a delivery or a bounce after so long: bounce-after and an hour
                        (default 109)
  --providers FILE      more rules for mailbox providers; they win over those that come with the program
  --dns HOST:PORT       the name server that is asked whose mail host a recipient's domain has; default: the system's
  --no-mx-lookup        no name server is asked; domains of one's own at a large provider are then not recognised
  --traps FILE          spam traps: a hash, domain or address a line, "recycled", "typo" or "parked" before it;
                        read again when it changes
  --score-model FILE    the model of the health score, JSON; default is the one that comes with the program
  --watched-domains FILE  rows of the report on common recipient domains: a domain a line; default is a list of
                        the world's largest
  --tls-cert FILE       answers HTTPS with this certificate (PEM, issuers after it) ...
  --tls-key FILE        ... and its key; both are read again when they change, and at SIGHUP
  --trusted-proxies LIST  addresses and networks, by commas, whose X-Forwarded-For and -Proto are believed
  --rate-limit N        requests a second of each key, ten times as many at once (default 100; 0: no limit)
  --log-format FORMAT   text (default) or json
  --log-requests WHICH  all (default), errors (400 and above, or slower than a second) or none
  --log-ingest-every N  of batches that were taken, logs one of N (default 1)

"posthorn signals ddl" prints the statements that make the tables.
"posthorn signals erase" takes recipients out of everything kept in DIR; the service must not be running (it takes
such requests at /api/v1/data-privacy/rtbf-request).
"posthorn signals openapi" prints the API's OpenAPI 3.1 document; a running service answers it at
/api/v1/openapi.json.
"posthorn signals address" says how the scores take an address: as a spam trap, as one of a badly collected list, or
as neither.
"posthorn signals provider" says whose mailboxes a domain has, and the line of the list that says so.

The first API key is taken from POSTHORN_ADMIN_KEY (40 hexadecimal digits); without that, one is made into
DIR/admin.key. SIGTERM and SIGINT end what is in hand and stop.

${userHelp}`;

/** The engine ends what it is at before it can be closed; that may be the sums of a large day. */
const STOP_MS = 20_000;

/** Serves until a signal; 0 then. */
export async function run(args: string[]): Promise<number> {
  if (args[0] === 'openapi') {
    parseArgs({ args: args.slice(1), options: {} });
    process.stdout.write(`${JSON.stringify(openApiDocument(endpoints, version()), null, 2)}\n`);
    return 0;
  }
  if (args[0] === 'user') return runUser(args.slice(1));
  if (args[0] === 'ddl') return printDdl(args.slice(1));
  if (args[0] === 'erase') return erase(args.slice(1));
  if (args[0] === 'address') return tryAddresses(args.slice(1));
  if (args[0] === 'provider') return tryProviders(args.slice(1));
  const { values } = parseArgs({
    args,
    options: {
      data: { type: 'string' },
      'tls-cert': { type: 'string' },
      'tls-key': { type: 'string' },
      'trusted-proxies': { type: 'string', default: '' },
      'rate-limit': { type: 'string', default: '100' },
      'log-format': { type: 'string', default: 'text' },
      'log-requests': { type: 'string', default: 'all' },
      'log-ingest-every': { type: 'string', default: '1' },
      listen: { type: 'string', default: '127.0.0.1:7700' },
      ...storeOptions,
      'hash-recipients': { type: 'boolean', default: false },
      accounts: { type: 'string' },
      'event-age': { type: 'string', default: '24' },
      'due-after': { type: 'string', default: '109' },
      providers: { type: 'string' },
      dns: { type: 'string' },
      'no-mx-lookup': { type: 'boolean', default: false },
      traps: { type: 'string' },
      'score-model': { type: 'string' },
      'watched-domains': { type: 'string' },
    },
  });
  if (!values.data)
    throw new UserError('--data DIR is needed: the folder to keep everything in', { exitCode: 2 });
  if (values.accounts !== undefined) {
    throw new UserError(
      '--accounts is not supported yet; accounts are kept in DIR/accounts.db, so leave it out',
      {
        exitCode: 2,
      },
    );
  }
  const hours = Number(values['event-age']);
  if (!(hours > 0 && hours <= 24 * 3650)) {
    throw new UserError('--event-age must be a number of hours above 0', { exitCode: 2 });
  }
  const format = oneOf('--log-format', values['log-format'], ['text', 'json'] as const);
  const perSecond = wholeNumber('--rate-limit', values['rate-limit'], 0, 1_000_000);
  const log = createLog(process.stderr, 'signals', Date.now, format);
  const stop = new Promise<NodeJS.Signals>((resolve) => {
    process.once('SIGTERM', resolve);
    process.once('SIGINT', resolve);
  });
  const resolver = values['no-mx-lookup']
    ? undefined
    : createResolver({ servers: nameServers(values.dns), clock: systemClock });
  const signals = await startSignals({
    dataDir: path.resolve(values.data),
    listen: hostAndPort('--listen', values.listen),
    clickhouseUrl: values.clickhouse,
    cluster: clusterOf(values),
    retention: retentionOf(values),
    hashRecipients: values['hash-recipients'],
    adminKey: process.env.POSTHORN_ADMIN_KEY,
    eventAgeHours: hours,
    dueAfterHours: wholeNumber('--due-after', values['due-after'], 1, 24 * 3650),
    resolver,
    providersFile: values.providers,
    trapsFile: values.traps,
    scoreModelFile: values['score-model'],
    watchedDomainsFile: values['watched-domains'],
    tls: certificateFiles(values['tls-cert'], values['tls-key']),
    trustedProxies: networks('--trusted-proxies', values['trusted-proxies']),
    rate: { perSecond, burst: perSecond * 10 },
    accessLog: {
      requests: oneOf('--log-requests', values['log-requests'], ['all', 'errors', 'none'] as const),
      ingestEvery: wholeNumber('--log-ingest-every', values['log-ingest-every'], 1, 1_000_000),
    },
    log,
    clock: systemClock,
    version: version(),
  });
  process.on('SIGHUP', () => void signals.reload());
  log.info('ready', { url: signals.url, key: signals.adminKeyFile });
  const signal = await stop;
  log.info('stopping', { signal });
  // A batch that does not end in time is on disk and is processed at the next start.
  const late = setTimeout(() => {
    log.warn('not everything ended in time; it is taken up at the next start');
    process.exit(0);
  }, STOP_MS);
  await signals.close();
  await resolver?.close();
  clearTimeout(late);
  return 0;
}

/** Prints what the scores make of each address. */
async function tryAddresses(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    options: { traps: { type: 'string' } },
    allowPositionals: true,
  });
  if (positionals.length === 0) throw new UserError('give one or more addresses to try', { exitCode: 2 });
  const traps = new Traps(values.traps === undefined ? undefined : await readTrapList(values.traps));
  for (const address of positionals) process.stdout.write(`${address}: ${describeAddress(address, traps)}\n`);
  return 0;
}

function oneOf<T extends string>(option: string, text: string, values: readonly T[]): T {
  const found = values.find((value) => value === text);
  if (!found) throw new UserError(`${option} must be one of ${values.join(', ')}`, { exitCode: 2 });
  return found;
}

function networks(option: string, text: string): string[] {
  const all = text.split(/[\s,]+/).filter((part) => part !== '');
  const wrong = all.find((part) => !isNetwork(part));
  if (wrong === undefined) return all;
  throw new UserError(`${option}: "${wrong}" is neither an address nor a network`, { exitCode: 2 });
}

function certificateFiles(certFile: string | undefined, keyFile: string | undefined) {
  if (certFile === undefined && keyFile === undefined) return undefined;
  if (certFile !== undefined && keyFile !== undefined) return { certFile, keyFile };
  throw new UserError('--tls-cert and --tls-key belong together: give both or neither', { exitCode: 2 });
}
