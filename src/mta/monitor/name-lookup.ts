/** `pmta resolve` and `pmta check spf`: what the DNS says, asked anew and shown question by question (section 4.9). */
import { isIPv6 } from 'node:net';
import { spf } from 'mailauth/lib/spf/index.js';
import {
  createResolver,
  type DnsAnswer,
  type DnsServerAddress,
  type Resolver,
  resolveMailHosts,
} from '../../dns/index.ts';
import { domainToAscii } from '../../mail/address.ts';
import { connectSmtp, replyText } from '../../smtp/index.ts';
import type { Clock } from '../../system/clock.ts';
import { printable } from '../../system/log.ts';
import { Trace } from '../deliver/trace.ts';
import { Lookups } from '../receive/checks/lookups.ts';
import { Many, type Tree } from './answer.ts';
import type { CommandResult } from './command.ts';

export interface LookupOptions {
  /** Servers asked; empty: those of the operating system. */
  readonly servers: readonly DnsServerAddress[];
  readonly tcp: boolean;
  readonly dumpPackets: boolean;
  readonly clock: Clock;
}

const MOST_LINES = 5000;
/** RFC 7208 section 4.6.4. */
const SPF_TERMS = 10;
const SPF_LOOKUPS = 250;
const LONGEST_MS = 20_000;
const CONNECT_MS = 30_000;

/** A resolver that knows nothing yet and tells what it does. */
function telling({ servers, tcp, dumpPackets, clock }: LookupOptions): {
  resolver: Resolver;
  lines: string[];
} {
  const lines: string[] = [];
  const say = (line: string) => {
    if (lines.length < MOST_LINES) lines.push(printable(line).slice(0, 1000));
  };
  const resolver = createResolver({
    servers,
    tcp,
    clock,
    onExchange({ server, name, type }, reply) {
      if (reply === null) {
        say(`Querying ${server.address} over ${tcp ? 'TCP' : 'UDP'} about ${type} ${name}`);
        return;
      }
      if (typeof reply === 'string') {
        say(`No response: ${reply}`);
        return;
      }
      say(`Read response from ${server.address}`);
      for (const line of answerLines(reply, dumpPackets)) say(line);
    },
  });
  return { resolver, lines };
}

function answerLines(reply: DnsAnswer, all: boolean): string[] {
  const lines: string[] = [];
  const sections = all ? (['answers', 'authorities', 'additionals'] as const) : (['answers'] as const);
  if (all)
    lines.push(`id=${reply.id} rcode=${reply.rcode} tc=${reply.flag_tc ? 1 : 0} ad=${reply.flag_ad ? 1 : 0}`);
  for (const section of sections) {
    const records = (reply[section] ?? []).filter(({ type }) => type !== 'OPT');
    const [first] = records as { ttl?: number }[];
    lines.push(`${section}:     ttl=${first?.ttl ?? 0}`);
    for (const record of records) lines.push(`    ${record.name} ${record.type} ${dataText(record)}`);
  }
  return lines;
}

function dataText(record: object): string {
  const { data } = record as { data?: unknown };
  if (Buffer.isBuffer(data)) return data.toString('hex').slice(0, 500);
  if (Array.isArray(data)) return data.map((piece) => `"${String(piece)}"`).join(' ');
  if (typeof data !== 'object' || data === null) return String(data ?? '');
  return Object.values(data)
    .map((value) => (Buffer.isBuffer(value) ? value.toString('hex') : String(value)))
    .join(' ');
}

export interface ResolveOptions extends LookupOptions {
  /** Greet the first host that answers. */
  readonly connect: boolean;
  readonly dane: boolean;
  readonly heloName: string;
  readonly source: string | null;
  readonly port: number;
}

export async function resolveDomain(domain: string, options: ResolveOptions): Promise<CommandResult> {
  const ascii = domainToAscii(domain);
  if (ascii === null) return { failure: `"${domain.slice(0, 200)}" is no domain name` };
  const { resolver, lines } = telling(options);
  try {
    const found = await resolveMailHosts(resolver, ascii);
    const hosts: { pref: number; name: string; addresses: readonly string[] }[] = [];
    if (found.kind === 'hosts') {
      for (const { preference, hosts: group } of found.groups) {
        for (const { name, addresses } of group) hosts.push({ pref: preference, name, addresses });
      }
    }
    const status = STATUS[found.kind];
    const reason = found.kind === 'failure' ? ` (${found.reason})` : '';
    lines.push(`status = ${status}${reason}`, '');
    const rows = hosts.map(({ pref, name, addresses }) => [String(pref), name, addresses.join(' ')]);
    const width = (i: number, head: string) => Math.max(head.length, ...rows.map((row) => row[i]!.length));
    const [prefWidth, nameWidth] = [width(0, 'pref'), width(1, 'host name')];
    lines.push(`${'pref'.padStart(prefWidth)} ${'host name'.padEnd(nameWidth)} IP addresses`);
    for (const [pref, name, addresses] of rows) {
      lines.push(`${pref!.padStart(prefWidth)} ${name!.padEnd(nameWidth)} ${addresses}`.trimEnd());
    }
    if (options.dane) await daneLines(resolver, hosts, options.port, lines);
    if (options.connect) lines.push('', ...(await greet(hosts, options)));
    const data: Tree = {
      status,
      host: new Many(
        'hosts',
        hosts.map(({ pref, name, addresses }) => ({ pref, name, ip: new Many('ips', addresses) })),
      ),
    };
    return { data, text: lines.map((line) => `${line}\n`).join('') };
  } finally {
    await resolver.close();
  }
}

/** The words after the pattern of `StatusDnsQueryFailed`. */
const STATUS = {
  hosts: 'StatusOk',
  'null-mx': 'StatusNullMx',
  'no-such-domain': 'StatusDomainNotFound',
  'no-hosts': 'StatusNoHosts',
  failure: 'StatusDnsQueryFailed',
} as const;

async function daneLines(
  resolver: Resolver,
  hosts: readonly { readonly name: string }[],
  port: number,
  lines: string[],
): Promise<void> {
  lines.push('');
  for (const { name } of hosts.slice(0, 20)) {
    const found = await resolver.tlsa(name, port);
    lines.push(`tlsa _${port}._tcp.${name}: ${found.kind}`);
  }
}

/** Says EHLO and QUIT to the first host that lets us connect. */
async function greet(
  hosts: readonly { readonly name: string; readonly addresses: readonly string[] }[],
  { clock, heloName, source, port }: ResolveOptions,
): Promise<string[]> {
  const trace = new Trace({ data: false, resolution: false, sourceIp: source }, clock, () => {});
  for (const { name, addresses } of hosts.slice(0, 10)) {
    for (const address of addresses.slice(0, 5)) {
      if (source !== null && isIPv6(source) !== isIPv6(address)) continue;
      const observer = trace.connection({ name, address });
      observer.connecting(heloName, source);
      const result = await connectSmtp({
        ...{ host: address, port, heloName, clock, observer },
        ...(source !== null && { localAddress: source }),
        timeouts: { connect: CONNECT_MS, greeting: CONNECT_MS, command: CONNECT_MS },
        tls: { mode: 'opportunistic', servername: name },
      });
      if (result.ok) {
        await result.client.quit();
        return trace.lines;
      }
      observer.failed(result.reply ? replyText(result.reply) : result.error);
    }
  }
  return trace.lines;
}

/** SPF of `sender`, or of the EHLO name when there is none (RFC 7208). */
export async function checkSpf(
  { ip, helo, sender }: { readonly ip: string; readonly helo: string; readonly sender: string },
  options: LookupOptions & { readonly hostName: string },
): Promise<CommandResult> {
  const { resolver, lines } = telling(options);
  try {
    const { status } = await spf({
      sender: sender || `postmaster@${helo}`,
      ...{ ip, helo, mta: options.hostName },
      maxResolveCount: SPF_TERMS,
      maxElapsedTime: LONGEST_MS,
      resolver: new Lookups(resolver, SPF_LOOKUPS).resolve as never,
    });
    const { result, comment } = status as { result: string; comment?: string | false };
    const identity = sender || helo;
    const why = typeof comment === 'string' ? printable(comment) : '';
    const text = [...lines, `${identity} from ${ip}: ${result}${why === '' ? '' : ` (${why})`}`];
    return {
      data: { identity, ip, result, comment: why },
      text: text.map((line) => `${line}\n`).join(''),
    };
  } finally {
    await resolver.close();
  }
}
