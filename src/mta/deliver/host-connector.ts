/** Opens a connection to one host for one queue: leave from the scheduler, TLS policy, proxies, authentication. */
import { isIPv6 } from 'node:net';
import type { Config, OutboundProxy, Settings, Vmta } from '../../config/index.ts';
import {
  type ConnectOptions,
  type ConnectResult,
  connectSmtp,
  replyText,
  type SmtpClient,
  type SmtpClientAuth,
  type SmtpReply,
} from '../../smtp/index.ts';
import type { Clock } from '../../system/clock.ts';
import type { Log } from '../../system/log.ts';
import type { HoldReason } from '../queue/hold.ts';
import type { ConnectionGrant, Scheduler } from '../queue/scheduler.ts';
import { type ConnectionAttempt, noAttempt } from './attempt.ts';
import { connectionLog, watchers } from './connection-log.ts';
import type { Destination } from './destinations.ts';
import { connectThrough, proxiesFor } from './outbound-proxy.ts';
import type { SourceAddress, SourceAddresses } from './source-addresses.ts';
import type { TlsPolicies } from './tls-policy.ts';
import type { Trace } from './trace.ts';

export interface HostConnectorDeps {
  readonly scheduler: Scheduler;
  readonly sources: SourceAddresses;
  readonly tlsPolicies: TlsPolicies;
  /** Name in EHLO where neither the source address nor the VMTA has one. */
  readonly hostName: string;
  readonly clock: Clock;
  readonly log: Log;
}

export interface Connected {
  readonly kind: 'connected';
  readonly client: SmtpClient;
  readonly attempt: ConnectionAttempt;
  /** The VMTA's address that it comes from; null when the system chose. */
  readonly source: SourceAddress | null;
  readonly heloName: string;
}

export type HostConnection =
  | Connected
  /** The host said no, in words. */
  | {
      readonly kind: 'refused';
      readonly reply: SmtpReply;
      /** It was the greeting, or the answer to our name. */
      readonly atGreeting: boolean;
      readonly attempt: ConnectionAttempt;
      readonly source: SourceAddress | null;
    }
  | {
      readonly kind: 'failed';
      /** For people: what happened with which host. */
      readonly error: string;
      /** The bare words of it, as the rules know them: `connection refused`. */
      readonly words: string;
      readonly attempt: ConnectionAttempt;
      readonly source: SourceAddress | null;
    }
  /** A limit forbids a connection to this host now. */
  | { readonly kind: 'held'; readonly hold: HoldReason }
  /** Nothing was tried: no address of ours reaches it, or its TLS policy cannot be met. */
  | { readonly kind: 'unusable'; readonly error: string };

/** Everything that is the same for all hosts of one run. */
export interface RunFacts {
  readonly grant: ConnectionGrant;
  readonly vmta: Vmta;
  readonly settings: Settings<'domain'>;
  readonly config: Config;
  /** Takes the run down, for an operator; null when nobody watches. */
  readonly trace: Trace | null;
}

export async function connectHost(
  deps: HostConnectorDeps,
  run: RunFacts,
  host: Destination,
): Promise<HostConnection> {
  const { vmta, settings, config } = run;
  const configured = vmta.settings.get('use-proxy') ?? [];
  const all = configured.flatMap((name) => config.proxies.get(name.toLowerCase()) ?? []);
  const proxies = proxiesFor(all, host.address);
  if (configured.length > 0 && proxies.length === 0) {
    return {
      kind: 'unusable',
      error: `no proxy has an address of the family of ${host.name} (${host.address})`,
    };
  }
  // The local address must reach the proxy where there is one, else the host.
  const reached = proxies[0]?.server.host ?? host.address;
  const only = run.trace?.options.sourceIp ?? null;
  const usable = deps.sources.of(vmta, isIPv6(reached) ? 6 : 4);
  const sources =
    only === null || usable === 'system' ? usable : usable.filter(({ address }) => address === only);
  if (sources !== 'system' && sources.length === 0) {
    const error = `VMTA ${vmta.name} has no source address on this machine for ${host.name}`;
    return { kind: 'unusable', error };
  }
  const policy = await deps.tlsPolicies.for(host, settings);
  if (policy.kind === 'unusable') return policy;
  const leave = deps.scheduler.reserve(
    run.grant.id,
    { host: host.name, address: host.address },
    sources === 'system' ? [] : sources,
    deps.clock.now(),
  );
  if (leave.kind === 'held') return leave;
  const { source } = leave;
  const watch = watchers([
    run.trace?.connection(host) ?? null,
    connectionLog(deps.log, settings, run.grant.queue.name, host),
  ]);
  const heloName = source?.host || vmta.hostName || deps.hostName;
  const options: ConnectOptions = {
    host: host.address,
    port: host.port,
    localAddress: source?.address,
    heloName,
    clock: deps.clock,
    timeouts: timeouts(settings),
    tls: policy.tls,
    ignore: ignored(settings),
    ...authentication(settings),
    ...(watch && { observer: watch }),
  };
  watch?.connecting(heloName, source?.address ?? null);
  const { result, proxy } =
    proxies.length > 0
      ? await connectThrough(proxies, options)
      : { result: await connectSmtp(options), proxy: null };
  if (!result.ok) watch?.failed(result.reply ? replyText(result.reply) : result.error);
  return outcomeOf(result, proxy, run, host, source, heloName);
}

function outcomeOf(
  result: ConnectResult,
  proxy: OutboundProxy | null,
  { grant, vmta }: RunFacts,
  host: Destination,
  source: SourceAddress | null,
  heloName: string,
): HostConnection {
  const facts = result.ok ? result.client.facts : result.facts;
  const attempt: ConnectionAttempt = {
    ...noAttempt(grant.queue, vmta, 'smtp'),
    // What the remote host sees.
    sourceIp: proxy?.client.ip ?? (facts.localAddress || source?.address || '0.0.0.0'),
    destinationIp: host.address,
    remoteHost: host.name,
    esmtp: facts.keywords,
    tlsProtocol: facts.tls?.protocol ?? '',
    tlsCipher: facts.tls?.cipher ?? '',
  };
  if (result.ok) {
    const name = proxy?.client.host ?? heloName;
    return { kind: 'connected', client: result.client, attempt, source, heloName: name };
  }
  const { stage, reply } = result;
  if (reply) {
    const atGreeting = stage === 'greeting' || stage === 'ehlo';
    return { kind: 'refused', reply, atGreeting, attempt, source };
  }
  const where = stage === 'connect' ? 'connecting to' : 'in connection to';
  const error = `${result.code || 'failed'} ${where} ${host.name} (${host.address}): ${result.error}`;
  return { kind: 'failed', error, words: result.error, attempt, source };
}

function timeouts(settings: Settings<'domain'>): ConnectOptions['timeouts'] {
  return {
    connect: settings.get('connect-timeout'),
    greeting: settings.get('smtp-greeting-timeout'),
    dataBlock: settings.get('data-send-timeout'),
    dataEnd: settings.get('smtp-data-termination-timeout'),
    restOfReply: settings.get('smtp-multiple-line-response-timeout'),
  };
}

/** Extensions that are not used although they are offered. */
function ignored(settings: Settings<'domain'>): ReadonlySet<string> {
  return new Set([
    ...(settings.get('ignore-8bitmime') ? ['8BITMIME'] : []),
    ...(settings.get('ignore-chunking') ? ['CHUNKING'] : []),
    ...(settings.get('ignore-pipelining') ? ['PIPELINING'] : []),
    ...(settings.get('ignore-dsn') ? ['DSN'] : []),
  ]);
}

/** Asked for as soon as a name or a password is set: mail must not go out unauthenticated because one is missing. */
function authentication(settings: Settings<'domain'>): { readonly auth?: SmtpClientAuth } {
  const user = settings.get('auth-username');
  const password = settings.get('auth-password');
  if (!user && !password) return {};
  const allowClear = settings.get('use-unencrypted-plain-auth');
  return { auth: { user: user ?? '', password: password ?? '', allowClear } };
}
