import type { Config } from '../../config/index.ts';

/** The domain of the queue that mail for `domain` joins: `queue-to`, applied once (delivery guide, section 10). */
export function queueDomain(config: Config, domain: string, vmta: string): string {
  return config.queue(domain, vmta).get('queue-to') || domain;
}
