/** Uses up one connection grant: chooses the transport by the queue's `type`. */
import type { Config } from '../../config/index.ts';
import { REFUSED_QUEUE } from '../../spool/stored-message.ts';
import type { Clock } from '../../system/clock.ts';
import type { ConnectionGrant } from '../queue/scheduler.ts';
import type { RollupRoutes } from '../route/rollup-routes.ts';
import { noAttempt } from './attempt.ts';
import type { QueueFate } from './queue-fate.ts';
import { localStatus } from './status.ts';

/** A way of delivery (`type` of a `<domain>`). */
export interface Transport {
  /**
   * Uses a grant up: on return nothing that was taken with it is without an outcome or put back. The grant's VMTA
   * is configured. Throws for faults of the program only; whoever called says `closed` to the scheduler.
   */
  run(grant: ConnectionGrant, config: Config): Promise<void>;
}

export type TransportType = 'smtp' | 'pipe' | 'file' | 'discard' | 'http-delivery';

export interface DeliveryDeps {
  readonly config: () => Config;
  /** A type that is not among them waits. */
  readonly transports: Partial<Readonly<Record<TransportType, Transport>>>;
  readonly fate: QueueFate;
  /** Asked first: the mail may belong into another queue. */
  readonly rollup: RollupRoutes;
  readonly clock: Clock;
}

export class Delivery {
  readonly #deps: DeliveryDeps;

  constructor(deps: DeliveryDeps) {
    this.#deps = deps;
  }

  async run(grant: ConnectionGrant): Promise<void> {
    const { fate, transports } = this.#deps;
    const { queue } = grant;
    if (queue.domain === REFUSED_QUEUE) {
      fate.bounceRefused(queue);
      return;
    }
    // One configuration for the whole of a connection: a reload does not change the rules in the middle.
    const config = this.#deps.config();
    const vmta = config.vmtas.get(queue.vmta.toLowerCase());
    if (!vmta) {
      fate.bounce(queue, null, localStatus('5.3.5', 'specified VirtualMTA does not exist', config));
      return;
    }
    if (await this.#deps.rollup.redirect(queue, config)) return;
    const type = config.queue(queue.domain, queue.vmta).get('type');
    const transport = transports[type];
    if (transport) {
      await transport.run(grant, config);
      return;
    }
    // Over SMTP it would go to somebody it is not meant for; it waits until this is built, or the type changes.
    fate.defer(
      queue,
      noAttempt(queue, vmta, type),
      localStatus('4.3.5', 'system incorrectly configured', config),
      `queues of type ${type} are not delivered yet`,
      config,
      { id: grant.id },
    );
  }
}
