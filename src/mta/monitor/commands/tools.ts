/** Commands that look something up or work something out, and need no running server (section 4.1). */
import { createHmac } from 'node:crypto';
import { isIP } from 'node:net';
import type { Config } from '../../../config/index.ts';
import { domainToAscii, parseAddress } from '../../../mail/address.ts';
import type { Clock } from '../../../system/clock.ts';
import { sipHash24 } from '../../accounting/siphash.ts';
import type { Command, CommandResult } from '../command.ts';
import { checkSpf, type LookupOptions, resolveDomain } from '../name-lookup.ts';

export interface Tools {
  readonly config: () => Config;
  readonly clock: Clock;
}

const SMTP_PORT = 25;
const DNS_PORT = 53;

export const toolCommands: readonly Command<Tools>[] = [
  {
    words: ['resolve'],
    arguments: [1, 1],
    options: {
      tcp: 'flag',
      connect: 'flag',
      'use-dane': 'flag',
      dumppackets: 'flag',
      interactive: 'flag',
      server: 'value',
      source: 'value',
    },
    usage:
      '[--tcp] [--connect] [--use-dane] [--dumppackets] [--server=IP[:PORT]] [--source=[HOST,]IP] DOMAIN',
    summary: 'the mail hosts of a domain, asked anew; --connect greets the first of them',
    level: 'operator',
    async run(tools, { args: [domain], options }) {
      if (options.has('interactive')) return { failure: '--interactive is not supported' };
      const lookup = lookupOptions(tools, options);
      if ('failure' in lookup) return lookup;
      const given = options.get('source')?.split(',');
      const source = given?.at(-1) ?? null;
      if (given && (given.length > 2 || isIP(source!) === 0)) return { failure: '--source is IP or HOST,IP' };
      const heloName = given && given.length === 2 ? given[0]! : tools.config().hostNames[0]!;
      if (domainToAscii(heloName) === null) return { failure: `"${heloName.slice(0, 100)}" is no host name` };
      const [connect, dane] = [options.has('connect'), options.has('use-dane')];
      return await resolveDomain(domain!, { ...lookup, connect, dane, heloName, source, port: SMTP_PORT });
    },
  },
  {
    words: ['check', 'spf'],
    arguments: [2, 3],
    options: { tcp: 'flag', dumppackets: 'flag' },
    usage: '[--tcp] [--dumppackets] IP HELODOMAIN [MAILFROM]',
    summary: 'whether a host may send for MAILFROM, or for its own name',
    level: 'monitor',
    async run(tools, { args: [ip, helo, sender = ''], options }) {
      if (isIP(ip!) === 0) return { failure: `"${ip!.slice(0, 100)}" is no IP address` };
      if (domainToAscii(helo!) === null) return { failure: `"${helo!.slice(0, 200)}" is no host name` };
      const bare = sender.replace(/^<|>$/g, '');
      if (bare !== '' && !parseAddress(bare)) return { failure: `"${sender.slice(0, 200)}" is no address` };
      const lookup = lookupOptions(tools, options);
      if ('failure' in lookup) return lookup;
      return await checkSpf(
        { ip: ip!, helo: helo!, sender: bare },
        { ...lookup, hostName: tools.config().hostNames[0]! },
      );
    },
  },
  {
    words: ['check', 'mfrom'],
    arguments: [2, 2],
    options: { tcp: 'flag', dumppackets: 'flag' },
    usage: '[--tcp] [--dumppackets] MFROM IP',
    summary: 'deprecated; see check spf',
    level: 'monitor',
    run: () => ({ failure: '"check mfrom" is deprecated; use "check spf IP HELODOMAIN MAILFROM"' }),
  },
  {
    words: ['check', 'pra'],
    arguments: [0, 9],
    options: { tcp: 'flag', dumppackets: 'flag' },
    usage: '',
    summary: 'not supported: Sender ID is historic',
    level: 'monitor',
    run: () => ({ failure: '"check pra" is not supported; use "check spf"' }),
  },
  {
    words: ['digest'],
    arguments: [1, 1],
    options: { 'hmac-sha256': 'flag', siphash: 'flag', key: 'value', hexkey: 'value' },
    usage: '[--hmac-sha256 | --siphash] [--key=TEXT | --hexkey=HEX] STRING',
    summary: 'what a string is hashed to in accounting files and reports; SipHash-2-4 unless told otherwise',
    level: 'monitor',
    run: (_, { args: [text], options }) => digest(text!, options),
  },
];

export function digest(text: string, options: ReadonlyMap<string, string>): CommandResult {
  const hmac = options.has('hmac-sha256');
  if (hmac && options.has('siphash')) return { failure: 'give one of --hmac-sha256 and --siphash' };
  const [plain, hex] = [options.get('key'), options.get('hexkey')];
  if (plain !== undefined && hex !== undefined) return { failure: 'give one of --key and --hexkey' };
  if (hex !== undefined && !/^(?:[0-9a-f]{2}){1,1024}$/i.test(hex)) {
    return { failure: '--hexkey is pairs of hexadecimal digits' };
  }
  const key = hex === undefined ? Buffer.from(plain ?? '', 'utf8') : Buffer.from(hex, 'hex');
  const data = Buffer.from(text, 'utf8');
  if (!hmac && key.length > 16) {
    return { failure: `a SipHash key has at most 16 bytes; this one has ${key.length}` };
  }
  const result = hmac ? createHmac('sha256', key).update(data).digest() : sipHash24(key, data);
  const hexResult = result.toString('hex').toUpperCase();
  return { data: { result: hexResult }, text: `Result: ${hexResult}\n` };
}

function lookupOptions(
  { config, clock }: Tools,
  options: ReadonlyMap<string, string>,
): LookupOptions | { readonly failure: string } {
  const named = options.get('server');
  const servers = config()
    .global.get('name-server')
    .map(({ ip, port }) => ({ address: ip, port: port ?? DNS_PORT }));
  const flags = { tcp: options.has('tcp'), dumpPackets: options.has('dumppackets'), clock };
  if (named === undefined) return { servers, ...flags };
  const [, bracketed, bare, digits] =
    /^(?:\[([^\]]*)\]|([^:]*|[0-9a-f:.]*?))(?::(\d{1,5}))?$/i.exec(named) ?? [];
  const whole = isIP(named) !== 0;
  const address = whole ? named : (bracketed ?? bare ?? '');
  if (isIP(address) === 0) return { failure: `--server="${named.slice(0, 100)}" is no IP address` };
  return { servers: [{ address, port: whole ? DNS_PORT : Number(digits ?? DNS_PORT) }], ...flags };
}
