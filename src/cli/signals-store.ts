import path from 'node:path';
import { parseArgs } from 'node:util';
import { startSignals } from '../signals/server.ts';
import { defaultRetention, type Retention } from '../signals/store/retention.ts';
import { schemaStatements } from '../signals/store/schema.ts';
import { systemClock } from '../system/clock.ts';
import { createLog } from '../system/log.ts';
import { UserError } from '../system/user-error.ts';
import { wholeNumber } from './option-values.ts';

const LONGEST_DAYS = 36_500;

/** Options of the event store, for all commands that have it. */
export const storeOptions = {
  clickhouse: { type: 'string' },
  cluster: { type: 'string' },
  'keep-events': { type: 'string' },
  'keep-metrics': { type: 'string' },
  'keep-messages': { type: 'string' },
  'keep-batches': { type: 'string' },
  'keep-recipients': { type: 'string' },
} as const;

export type StoreValues = { readonly [N in keyof typeof storeOptions]?: string | undefined };

/** Days to keep, as given; what is not given stays at its default. */
export function retentionOf(values: StoreValues): Retention {
  const days = (name: keyof Retention) => {
    const text = values[`keep-${name}`];
    return text === undefined ? defaultRetention[name] : wholeNumber(`--keep-${name}`, text, 1, LONGEST_DAYS);
  };
  return {
    events: days('events'),
    metrics: days('metrics'),
    messages: days('messages'),
    batches: days('batches'),
    recipients: days('recipients'),
  };
}

/** The cluster's name; only a server has one. */
export function clusterOf(values: StoreValues): string | undefined {
  if (values.cluster === undefined) return undefined;
  if (values.clickhouse === undefined) {
    throw new UserError('--cluster needs --clickhouse URL: the engine in this process has no cluster', {
      exitCode: 2,
    });
  }
  return nameOf(values.cluster);
}

function nameOf(cluster: string): string {
  if (/^[A-Za-z0-9_.-]{1,128}$/.test(cluster)) return cluster;
  throw new UserError(`--cluster: "${cluster}" is no name of a cluster`, { exitCode: 2 });
}

/** Prints the statements that an empty store is given. */
export async function printDdl(args: string[]): Promise<number> {
  const { values } = parseArgs({ args, options: storeOptions });
  const cluster = values.cluster === undefined ? null : nameOf(values.cluster);
  for (const statement of schemaStatements(retentionOf(values), cluster))
    process.stdout.write(`${statement};\n\n`);
  return 0;
}

/** Erases recipients from a data folder that no service is running on. */
export async function erase(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    options: { data: { type: 'string' }, ...storeOptions },
    allowPositionals: true,
  });
  if (!values.data) throw new UserError('--data DIR is needed: the folder of the service', { exitCode: 2 });
  const wrong = positionals.find((text) => !/^[^\s@]+@[^\s@]+$/.test(text));
  if (positionals.length === 0 || wrong !== undefined) {
    throw new UserError(
      wrong === undefined ? 'give one or more addresses to erase' : `"${wrong}" is no e-mail address`,
      { exitCode: 2 },
    );
  }
  const signals = await startSignals({
    dataDir: path.resolve(values.data),
    listen: { host: '127.0.0.1', port: 0 },
    clickhouseUrl: values.clickhouse,
    cluster: clusterOf(values),
    retention: retentionOf(values),
    log: createLog(process.stderr, 'signals'),
    clock: systemClock,
  });
  try {
    await signals.erase(positionals);
  } finally {
    await signals.close();
  }
  process.stdout.write(`erased: ${positionals.length}\n`);
  return 0;
}
