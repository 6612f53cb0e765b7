import {
  type Cidr,
  type Config,
  cidrContains,
  ipBytes,
  matchesDomain,
  type NameOf,
  type Origin,
  type Rate,
  type Settings,
} from '../config/index.ts';
import type { Limit } from './queue/hold.ts';
import type { LimitSource, ModeLimits, QueueLimits, SourceLimits, VmtaLimits } from './queue/limits.ts';

const NONE = Number.POSITIVE_INFINITY;
/** Errors remembered for one queue, whatever `max-events-recorded` says: there may be many queues. */
const MOST_ERRORS = 1000;

/**
 * The scheduler's limits as the configuration in force sets them. `config` is asked anew each time, so a reload
 * takes effect at once; an answer is kept as long as the settings that it comes from. `lingerMs`: a connection without
 * work stays for so long whatever `connection-idle-timeout` says, for the next message may be a moment away.
 */
export function limitsFromConfig(config: () => Config, lingerMs = 0): LimitSource {
  const queues = new WeakMap<Settings<'domain'>, QueueLimits>();
  const vmtas = new WeakMap<object, VmtaLimits>();
  const unknown: VmtaLimits = {
    connections: unlimited('max-smtp-out'),
    messageRate: unlimited('max-smtp-msg-rate'),
    dataRate: unlimited('max-smtp-data-volume-rate'),
  };
  return {
    queue(domain, vmta) {
      const current = config();
      const settings = current.queue(domain, vmta);
      let limits = queues.get(settings);
      if (!limits) {
        limits = queueLimits(current, settings, lingerMs);
        queues.set(settings, limits);
      }
      return limits;
    },
    vmta(vmta) {
      const found = config().vmtas.get(vmta.toLowerCase());
      if (!found) return unknown;
      let limits = vmtas.get(found);
      if (!limits) {
        limits = vmtaLimits(found.settings);
        vmtas.set(found, limits);
      }
      return limits;
    },
    serverConnections() {
      const { global } = config();
      return count(
        'total-max-smtp-out',
        global.get('total-max-smtp-out'),
        global.origin('total-max-smtp-out'),
      );
    },
    hostConnections(host) {
      const name = host.toLowerCase().replace(/\.$/, '');
      const lines = config()
        .global.get('mx-connection-limit')
        .filter(({ pattern }) => matchesDomain(pattern, name));
      return tightest('mx-connection-limit', lines);
    },
    addressConnections(address) {
      const bytes = ipBytes(address);
      const lines = config()
        .global.get('ip-connection-limit')
        .filter(({ cidr }) => cidrContains(cidr, bytes));
      return tightest('ip-connection-limit', lines);
    },
  };
}

function queueLimits(config: Config, settings: Settings<'domain'>, lingerMs: number): QueueLimits {
  const limit = <N extends NameOf<'domain'>>(name: N): Limit => ({
    directive: name,
    value: settings.get(name) as number,
    origin: settings.origin(name),
  });
  return {
    normal: modeLimits(config, settings, {
      maxConnections: ['max-smtp-out'],
      retryAfter: ['retry-after'],
      messageRate: ['max-msg-rate', 'max-msg-rate'],
      dataRate: ['max-data-volume-rate', 'max-data-volume-rate'],
      connectRate: ['max-connect-rate', 'max-connect-rate'],
      reroute: ['reroute-to-virtual-mta'],
    }),
    backoff: modeLimits(config, settings, {
      maxConnections: ['backoff-max-smtp-out'],
      retryAfter: ['backoff-retry-after'],
      messageRate: ['backoff-max-msg-rate', 'max-msg-rate'],
      dataRate: ['backoff-max-data-volume-rate', 'max-data-volume-rate'],
      connectRate: ['backoff-max-connect-rate', 'max-connect-rate'],
      reroute: ['backoff-reroute-to-virtual-mta', 'reroute-to-virtual-mta'],
    }),
    source: sourceLimits(settings),
    rampupInterval: limit('smtp-out-rampup-interval'),
    retryRecipientsAfter: limit('retry-recipients-after'),
    bounceAfter: limit('bounce-after'),
    maxMessagesPerConnection: limit('max-msg-per-connection'),
    maxRecipientsPerMessage: limit('max-rcpt-per-message'),
    idleTimeout: {
      ...limit('connection-idle-timeout'),
      value: Math.max(settings.get('connection-idle-timeout'), lingerMs),
    },
    retryUponNewMail: settings.get('retry-upon-new-mail'),
    backoffToNormalAfter: limit('backoff-to-normal-after'),
    backoffToNormalAfterDelivery: settings.get('backoff-to-normal-after-delivery'),
    backoffUponAllSourcesDisabled: settings.get('backoff-upon-all-sources-disabled'),
    priority: settings.get('queue-priority'),
    allowInterruption: settings.get('allow-priority-interruption'),
    allowInterruptionDuringTransfer: settings.get('allow-priority-interruption-during-transfer'),
    mostErrors: Math.min(settings.get('max-events-recorded'), MOST_ERRORS),
  };
}

type RateName =
  | 'max-msg-rate'
  | 'backoff-max-msg-rate'
  | 'max-data-volume-rate'
  | 'backoff-max-data-volume-rate'
  | 'max-connect-rate'
  | 'backoff-max-connect-rate';

/** The names of a mode's directives; of pairs the second one is what the first falls back to (D5.1). */
interface ModeNames {
  readonly maxConnections: readonly ['max-smtp-out' | 'backoff-max-smtp-out'];
  readonly retryAfter: readonly ['retry-after' | 'backoff-retry-after'];
  readonly messageRate: readonly [RateName, RateName];
  readonly dataRate: readonly [RateName, RateName];
  readonly connectRate: readonly [RateName, RateName];
  readonly reroute: readonly ('reroute-to-virtual-mta' | 'backoff-reroute-to-virtual-mta')[];
}

function modeLimits(config: Config, settings: Settings<'domain'>, names: ModeNames): ModeLimits {
  const rateOf = ([name, fallback]: readonly [RateName, RateName]): Limit => {
    const origin = settings.origin(name);
    // The directive that people find in their file.
    const directive = origin === settings.origin(fallback) ? fallback : name;
    return ofRate(directive, settings.get(name), origin);
  };
  const [maxConnections] = names.maxConnections;
  const [retryAfter] = names.retryAfter;
  const target = names.reroute.map((name) => settings.get(name)).find((name) => name !== null);
  return {
    maxConnections: count(maxConnections, settings.get(maxConnections), settings.origin(maxConnections)),
    retryAfter: {
      limit: { directive: retryAfter, origin: settings.origin(retryAfter) },
      steps: settings.get(retryAfter),
    },
    messageRate: rateOf(names.messageRate),
    dataRate: rateOf(names.dataRate),
    connectRate: rateOf(names.connectRate),
    // Pools take no mail this way (D8.4), and what does not exist cannot.
    rerouteTo: target ? (config.vmtas.get(target.toLowerCase())?.name ?? null) : null,
  };
}

/** Limits by local address: of the lines of one directive that hold an address the tightest counts. */
function sourceLimits(settings: Settings<'domain'>): QueueLimits['source'] {
  const connections = settings.get('source-ip-max-smtp-out');
  const messages = settings.get('source-ip-max-msg-rate');
  const data = settings.get('source-ip-max-data-volume-rate');
  const connects = settings.get('source-ip-max-connect-rate');
  if (connections.length + messages.length + data.length + connects.length === 0) return null;
  const known = new Map<string, SourceLimits>();
  return (address) => {
    let limits = known.get(address);
    if (!limits) {
      limits = {
        connections: tightest('source-ip-max-smtp-out', holding(connections, address)),
        messageRate: slowest('source-ip-max-msg-rate', holding(messages, address)),
        dataRate: slowest('source-ip-max-data-volume-rate', holding(data, address)),
        connectRate: slowest('source-ip-max-connect-rate', holding(connects, address)),
      };
      known.set(address, limits);
    }
    return limits;
  };
}

/** The lines whose network holds an address; where the system chooses it (''), those for every address. */
function holding<T extends { readonly cidr: Cidr }>(lines: readonly T[], address: string): T[] {
  if (address === '') return lines.filter(({ cidr }) => cidr.bits === 0);
  const bytes = ipBytes(address);
  return lines.filter(({ cidr }) => cidrContains(cidr, bytes));
}

function vmtaLimits(settings: Settings<'virtual-mta'>): VmtaLimits {
  return {
    connections: count('max-smtp-out', settings.get('max-smtp-out'), settings.origin('max-smtp-out')),
    messageRate: ofRate(
      'max-smtp-msg-rate',
      settings.get('max-smtp-msg-rate'),
      settings.origin('max-smtp-msg-rate'),
    ),
    dataRate: ofRate(
      'max-smtp-data-volume-rate',
      settings.get('max-smtp-data-volume-rate'),
      settings.origin('max-smtp-data-volume-rate'),
    ),
  };
}

/** A number of things at once; 0 is no limit (D5.2). */
function count(directive: string, value: number, origin: Origin | null): Limit {
  return { directive, value: value === 0 ? NONE : value, origin };
}

function ofRate(directive: string, rate: Rate | null, origin: Origin | null): Limit {
  return rate
    ? { directive, value: rate.count, perMs: rate.perMs, origin }
    : { ...unlimited(directive), origin };
}

function tightest(
  directive: string,
  lines: readonly { readonly limit: number; readonly origin?: Origin }[],
): Limit {
  const limits = lines.map(({ limit, origin }) => count(directive, limit, origin ?? null));
  return limits.reduce((a, b) => (b.value < a.value ? b : a), unlimited(directive));
}

function slowest(
  directive: string,
  lines: readonly { readonly rate: Rate | null; readonly origin?: Origin }[],
): Limit {
  const limits = lines.map(({ rate, origin }) => ofRate(directive, rate, origin ?? null));
  const speed = ({ value, perMs = 1 }: Limit) => value / perMs;
  return limits.reduce((a, b) => (speed(b) < speed(a) ? b : a), unlimited(directive));
}

function unlimited(directive: string): Limit {
  return { directive, value: NONE, origin: null };
}
