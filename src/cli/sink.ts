import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { domainToAscii } from '../mail/address.ts';
import { defaultRates, rateProfiles } from '../sink/model.ts';
import { startSink } from '../sink/sink.ts';
import { type OtherRecords, readRecords } from '../sink/zone.ts';
import { systemClock } from '../system/clock.ts';
import { reason } from '../system/durable-file.ts';
import { createLog } from '../system/log.ts';
import { UserError } from '../system/user-error.ts';
import { hostAndPort, wholeNumber } from './option-values.ts';
import { untilStopped } from './until-stopped.ts';

export const help = `posthorn sink: a pretend internet to send test mail to

Usage: posthorn sink --smtp HOST:PORT --dns HOST:PORT --control HOST:PORT --data DIR [options]

  --smtp HOST:PORT        mailbox providers: takes, defers and refuses mail
  --dns HOST:PORT         answers for the sink's domain, over UDP and TCP
  --control HOST:PORT     counters, ledger and expectations over HTTP
  --data DIR              the ledger and what is still to be done
  --domain DOMAIN         the sink's own domain (default sink.test)
  --seed N                the same seed decides the same (default 1)
  --time-scale N          divides all waits: 3600 makes an hour a second (default), 0 acts at once
  --rates NAME            ${[...rateProfiles.keys()].join(', ')}
  --deliver-via HOST:PORT where bounces and complaints are sent; without it none are
  --complaint-to ADDRESS  recipient of complaints (default fbl@ and the domain of the return path)
  --tracker HOST[:PORT]   a host that links and pixels may be fetched from; may be repeated
  --probe-trackers        ask other public hosts whether they are trackers, and fetch from those
  --records FILE          DNS records of other domains, one "NAME TYPE DATA" per line
  --dkim PERCENT          share of accepted mail whose DKIM signatures are verified (default 10)
  --store N               keep the latest N messages to look at (default 0)
  --allow-header-commands obey X-Bounce-Me and X-Bounce-Percentage in messages
  --greylist-delay S      seconds (before scaling) that "greylist" asks for (default 60)
  --json                  print the ports as one JSON object when ready

The label behind @ chooses what happens: ana@gmail.sink.test (by chance, as Gmail would), x@bounce.sink.test,
x@defer2.sink.test, x@oob.sink.test, x@fbl.sink.test, x@openclick.sink.test, x@drop-dot.sink.test and more.
Runs in the foreground. SIGTERM or Ctrl-C stops it in order; counts and plans survive.
Exit status: 0 done, 1 failed, 2 wrong usage.
`;

export async function run(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      smtp: { type: 'string' },
      dns: { type: 'string' },
      control: { type: 'string' },
      data: { type: 'string' },
      domain: { type: 'string', default: 'sink.test' },
      seed: { type: 'string', default: '1' },
      'time-scale': { type: 'string', default: '3600' },
      rates: { type: 'string', default: 'default' },
      'deliver-via': { type: 'string' },
      'complaint-to': { type: 'string' },
      tracker: { type: 'string', multiple: true, default: [] },
      'probe-trackers': { type: 'boolean', default: false },
      records: { type: 'string' },
      dkim: { type: 'string', default: '10' },
      store: { type: 'string', default: '0' },
      'allow-header-commands': { type: 'boolean', default: false },
      'greylist-delay': { type: 'string', default: '60' },
      json: { type: 'boolean', default: false },
    },
  });
  for (const name of ['smtp', 'dns', 'control', 'data'] as const) {
    if (values[name] === undefined) {
      throw new UserError(`--${name} is missing; see "posthorn sink --help"`, { exitCode: 2 });
    }
  }
  const domain = domainToAscii(values.domain);
  if (!domain) throw new UserError(`--domain ${values.domain} is not a domain`, { exitCode: 2 });
  const timeScale = Number(values['time-scale']);
  if (!(timeScale >= 0 && timeScale <= 1e9)) {
    throw new UserError(`--time-scale ${values['time-scale']} is not a number from 0`, { exitCode: 2 });
  }
  const rates = rateProfiles.get(values.rates);
  if (!rates) {
    throw new UserError(
      `there are no rates "${values.rates}"; there are ${[...rateProfiles.keys()].join(', ')}`,
      { exitCode: 2 },
    );
  }
  const sink = await startSink({
    smtp: hostAndPort('--smtp', values.smtp!),
    dns: hostAndPort('--dns', values.dns!),
    control: hostAndPort('--control', values.control!),
    dataDir: values.data!,
    domain,
    seed: wholeNumber('--seed', values.seed, 0, Number.MAX_SAFE_INTEGER),
    timeScale,
    rates: rates ?? defaultRates,
    ...(values['deliver-via'] === undefined
      ? {}
      : { deliverVia: hostAndPort('--deliver-via', values['deliver-via']) }),
    ...(values['complaint-to'] === undefined ? {} : { complaintTo: values['complaint-to'] }),
    trackers: values.tracker,
    probeTrackers: values['probe-trackers'],
    records: await otherRecords(values.records),
    dkimShare: wholeNumber('--dkim', values.dkim, 0, 100) / 100,
    store: wholeNumber('--store', values.store, 0, 1_000_000),
    allowHeaderCommands: values['allow-header-commands'],
    greylistDelay: wholeNumber('--greylist-delay', values['greylist-delay'], 0, 86_400) * 1000,
    log: createLog(process.stderr, 'sink'),
    clock: systemClock,
  });
  const { ports } = sink;
  process.stdout.write(
    values.json
      ? `${JSON.stringify({ ready: true, ports })}\n`
      : `posthorn sink listens on SMTP port ${ports.smtp}, DNS port ${ports.dns}, control port ${ports.control}\n`,
  );
  await untilStopped();
  await sink.close();
  return 0;
}

async function otherRecords(file: string | undefined): Promise<OtherRecords> {
  if (file === undefined) return new Map();
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    throw new UserError(`the records file ${file} cannot be read: ${reason(error)}`, { cause: error });
  }
  const records = readRecords(text);
  if (typeof records === 'string') {
    throw new UserError(
      `${file}: "${records.slice(0, 100)}" is not NAME TYPE DATA with type A, AAAA, MX or TXT`,
    );
  }
  return records;
}
