import { Fault } from '../../config/diagnostic.ts';
import {
  canonicalQueueDomain,
  type DomainPattern,
  matchesDomain,
  readDomainPattern,
} from '../../config/domain-pattern.ts';

/** One element of `queue-filter`: `[!]domainPattern[/vmta]`. */
export interface QueueFilterEntry {
  readonly write: boolean;
  readonly domain: DomainPattern;
  /** A VMTA's name in lower case, `{default}` or `*`. */
  readonly vmta: string;
}

/** Reads one element; without a VMTA it means `{default}`, not every VMTA. */
export function readQueueFilterEntry(text: string): QueueFilterEntry | Fault {
  const write = !text.startsWith('!');
  const [, pattern = '', vmta = '{default}'] = /^!?([^/]*)(?:\/(.*))?$/.exec(text) ?? [];
  const domain = readDomainPattern(pattern);
  if (domain instanceof Fault) return domain;
  if (domain.kind === 'reserved') {
    return new Fault(`"${text}": a queue filter takes no queue names in braces`, { text });
  }
  if (!/^(?:\*|\{default\}|[\w.-]{1,64})$/i.test(vmta)) {
    return new Fault(`"${vmta}" is no VirtualMTA name`, { text });
  }
  return { write, domain, vmta: vmta.toLowerCase() };
}

/** Whether records of the queue `domain/vmta` are written: the first entry that matches decides, none means no. */
export function queuePasses(filter: readonly QueueFilterEntry[], queue: string): boolean {
  const slash = queue.lastIndexOf('/');
  const domain = canonicalQueueDomain(slash < 0 ? queue : queue.slice(0, slash));
  const vmta = (slash < 0 ? '{default}' : queue.slice(slash + 1)).toLowerCase();
  const entry = filter.find((e) => (e.vmta === '*' || e.vmta === vmta) && matchesDomain(e.domain, domain));
  return entry?.write ?? false;
}
