import type { Config } from '../../config/index.ts';
import type { Clock } from '../../system/clock.ts';
import type { ConnectionGrant, Scheduler } from '../queue/scheduler.ts';
import { noAttempt } from './attempt.ts';
import type { Transport } from './delivery.ts';
import type { OutcomeWriter } from './outcome-writer.ts';
import { localStatus } from './status.ts';

const BATCH = 100;

/** `type discard`: the mail ends here, as delivered or, with `discard-as-bounce`, as refused. */
export class DiscardDelivery implements Transport {
  readonly #scheduler: Scheduler;
  readonly #outcomes: OutcomeWriter;
  readonly #clock: Clock;

  constructor(scheduler: Scheduler, outcomes: OutcomeWriter, clock: Clock) {
    this.#scheduler = scheduler;
    this.#outcomes = outcomes;
    this.#clock = clock;
  }

  async run({ queue }: ConnectionGrant, config: Config): Promise<void> {
    const vmta = config.vmtas.get(queue.vmta.toLowerCase())!;
    const attempt = noAttempt(queue, vmta, 'discard');
    const asBounce = config.queue(queue.domain, queue.vmta).get('discard-as-bounce');
    for (;;) {
      const items = this.#scheduler.takeReady(queue, this.#clock.now(), BATCH);
      if (items.length === 0) return;
      if (asBounce) this.#outcomes.bounced(queue, items, attempt, localStatus('5.0.0', 'discarded', config));
      else this.#outcomes.deliveredHere(queue, items, attempt, localStatus('2.0.0', 'success', config));
      // A queue of many thousands must not keep everything else waiting.
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}
