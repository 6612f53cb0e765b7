import { parseArgs } from 'node:util';
import { createResolver, type DnsServerAddress } from '../dns/index.ts';
import { describeProvider } from '../signals/ingest/providers/describe-provider.ts';
import { ProviderTable } from '../signals/ingest/providers/provider-table.ts';
import { systemClock } from '../system/clock.ts';
import { UserError } from '../system/user-error.ts';
import { hostAndPort } from './option-values.ts';

/** The name servers of `--dns HOST:PORT`; none: those of the system. */
export function nameServers(text: string | undefined): DnsServerAddress[] {
  if (text === undefined) return [];
  const { host, port } = hostAndPort('--dns', text);
  return [{ address: host, port }];
}

/** `posthorn signals provider`: whose mailboxes a domain or address is, and what says so. */
export async function tryProviders(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    options: {
      providers: { type: 'string' },
      dns: { type: 'string' },
      'no-mx-lookup': { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    },
    allowPositionals: true,
  });
  if (positionals.length === 0) {
    throw new UserError('give one or more domains or addresses to try', { exitCode: 2 });
  }
  const table = ProviderTable.load(values.providers);
  const resolver = values['no-mx-lookup']
    ? null
    : createResolver({ servers: nameServers(values.dns), clock: systemClock });
  try {
    for (const given of positionals) {
      const found = await describeProvider(given, table, resolver);
      if (values.json) {
        process.stdout.write(`${JSON.stringify(found)}\n`);
        continue;
      }
      const rows = [
        ['domain', found.domain],
        ['provider', found.provider === '' ? 'not known' : found.provider],
        ['key', found.key],
        ['region', found.region === '' ? 'not known' : found.region],
        ['rule', found.rule === null ? found.why : `${found.rule} (${found.file}:${found.line})`],
        ...(found.mailHost ? [['mail host', found.mailHost]] : []),
      ];
      process.stdout.write(`${rows.map(([name, value]) => `${name!.padEnd(10)}${value}`).join('\n')}\n`);
    }
  } finally {
    await resolver?.close();
  }
  return 0;
}
