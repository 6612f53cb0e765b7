import type { Config } from '../config/index.ts';
import type { Limit } from './queue/hold.ts';
import type { LimitSource, QueueLimits } from './queue/limits.ts';

/**
 * The scheduler's limits as the configuration in force sets them. `config` is asked anew each time, so a reload
 * takes effect at once; the answer for a queue is kept until then.
 */
export function limitsFromConfig(config: () => Config): LimitSource {
  let of: Config | null = null;
  let queues = new Map<string, QueueLimits>();
  return {
    queue(domain, vmta) {
      const current = config();
      if (current !== of) {
        of = current;
        queues = new Map();
      }
      const key = `${domain}/${vmta}`;
      let limits = queues.get(key);
      if (!limits) {
        limits = queueLimits(current, domain, vmta);
        // Bounded: names of queues come from outside, and the configuration can answer again.
        if (queues.size >= 100_000) queues.clear();
        queues.set(key, limits);
      }
      return limits;
    },
    vmtaConnections(vmta) {
      const found = config().vmtas.get(vmta.toLowerCase());
      if (!found) return unlimited('max-smtp-out');
      const { settings } = found;
      return {
        directive: 'max-smtp-out',
        value: settings.get('max-smtp-out'),
        origin: settings.origin('max-smtp-out'),
      };
    },
    serverConnections() {
      const { global } = config();
      return {
        directive: 'total-max-smtp-out',
        value: global.get('total-max-smtp-out'),
        origin: global.origin('total-max-smtp-out'),
      };
    },
  };
}

function queueLimits(config: Config, domain: string, vmta: string): QueueLimits {
  const settings = config.queue(domain, vmta);
  const limit = (
    name:
      | 'max-smtp-out'
      | 'retry-recipients-after'
      | 'bounce-after'
      | 'max-msg-per-connection'
      | 'max-rcpt-per-message'
      | 'connection-idle-timeout',
  ): Limit => ({ directive: name, value: settings.get(name), origin: settings.origin(name) });
  return {
    maxConnections: limit('max-smtp-out'),
    retryAfter: {
      limit: { directive: 'retry-after', origin: settings.origin('retry-after') },
      steps: settings.get('retry-after'),
    },
    retryRecipientsAfter: limit('retry-recipients-after'),
    bounceAfter: limit('bounce-after'),
    maxMessagesPerConnection: limit('max-msg-per-connection'),
    maxRecipientsPerMessage: limit('max-rcpt-per-message'),
    idleTimeout: limit('connection-idle-timeout'),
    retryUponNewMail: settings.get('retry-upon-new-mail'),
  };
}

function unlimited(directive: string): Limit {
  return { directive, value: Number.POSITIVE_INFINITY, origin: null };
}
