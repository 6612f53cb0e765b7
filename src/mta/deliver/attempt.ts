import type { Vmta } from '../../config/index.ts';
import type { AttemptFacts } from '../../events/outcome.ts';
import type { Queue } from '../queue/queue.ts';

/** The parts of an attempt that belong to the connection and not to the recipient. */
export type ConnectionAttempt = Omit<AttemptFacts, 'retries'>;

/** An attempt that has not reached anybody yet. */
export function noAttempt(
  queue: Queue,
  vmta: Vmta,
  transport: ConnectionAttempt['transport'],
): ConnectionAttempt {
  return {
    queue: queue.name,
    vmta: vmta.name,
    transport,
    sourceIp: '0.0.0.0',
    destinationIp: '',
    remoteHost: '',
    esmtp: [],
    tlsProtocol: '',
    tlsCipher: '',
  };
}
