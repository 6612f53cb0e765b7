/** Sends over one open connection until the scheduler has no more for it, it breaks, or the host is given up. */
import type { QueuedRecipient } from '../queue/queue.ts';
import type { Work } from '../queue/scheduler.ts';
import type { RollupRoutes } from '../route/rollup-routes.ts';
import type { Connected, RunFacts } from './host-connector.ts';
import type { IdleConnections } from './idle-connections.ts';
import { MessageSender, type MessageSenderDeps } from './message-sender.ts';
import type { QueueFate } from './queue-fate.ts';
import type { ReplyRules } from './reply-rules.ts';
import { localStatus } from './status.ts';
import type { Leave } from './verdict.ts';

export interface SmtpSessionDeps extends MessageSenderDeps {
  readonly idle: IdleConnections;
  readonly fate: QueueFate;
  readonly rollup: RollupRoutes;
}

export class SmtpSession {
  readonly #deps: SmtpSessionDeps;
  readonly #run: RunFacts;
  readonly #connected: Connected;
  readonly #sender: MessageSender;
  readonly #carried: QueuedRecipient[];

  /** `carried`: taken over an earlier connection of this run, for a host that was given up; filled when this one is. */
  constructor(
    deps: SmtpSessionDeps,
    run: RunFacts,
    rules: ReplyRules,
    connected: Connected,
    carried: QueuedRecipient[],
  ) {
    this.#carried = carried;
    this.#deps = deps;
    this.#run = run;
    this.#connected = connected;
    this.#sender = new MessageSender(deps, run, rules, connected);
  }

  /** Null: the work is done, or what is left of it needs another connection. */
  async work(): Promise<Leave | null> {
    try {
      const carried = this.#carried.splice(0);
      if (carried.length > 0) {
        const step = await this.#deliver(carried);
        if (step !== 'on') return step;
        if (this.#run.trace) return null;
      }
      for (;;) {
        const work = this.#take();
        const step = await this.#step(work);
        if (step !== 'on') return step;
        // An operator watches one message.
        if (this.#run.trace && work.kind === 'deliver') return null;
      }
    } finally {
      await this.#connected.client.quit();
    }
  }

  #take(): Work {
    const { scheduler, clock } = this.#deps;
    return scheduler.take(this.#run.grant.id, clock.now());
  }

  async #step(work: Work): Promise<Leave | null | 'on'> {
    const { idle, fate } = this.#deps;
    const { grant, config } = this.#run;
    const { client } = this.#connected;
    switch (work.kind) {
      case 'close':
        return null;
      case 'idle': {
        const woken = client.usable && (await idle.wait(grant.id, work.until));
        return woken && client.usable ? 'on' : null;
      }
      case 'wait': {
        // A rate binds. A connection is kept for it as long as one without work would be.
        const patience = this.#run.settings.get('connection-idle-timeout');
        const { now } = this.#deps.clock;
        if (!client.usable || work.until - now() > patience) return null;
        await idle.wait(grant.id, work.until);
        return client.usable ? 'on' : null;
      }
      case 'expired':
        fate.expire(grant.queue, work.items, config);
        return 'on';
      case 'deliver':
        return await this.#deliver(work.items);
    }
  }

  async #deliver(taken: readonly QueuedRecipient[]): Promise<Leave | null | 'on'> {
    const { rollup } = this.#deps;
    const { grant, config } = this.#run;
    const items = rollup.allBelong(config, grant.queue) ? taken : await this.#belonging(taken);
    // The others need another host, and so another connection.
    if (items.length === 0) return null;
    const { leave, lost, rest } = await this.#sender.send(items);
    // A connection that broke before anything could be said is a host that failed, not one to come back to at once.
    const broken = rest.length > 0 && !this.#connected.client.usable;
    const loss = lost ?? (broken ? { error: 'connection closed by the remote host', final: false } : null);
    const next = leave ?? (loss && this.#afterLoss(loss));
    // To the next host by this same run: back in the queue, another connection would take them to this host again.
    if (next?.kind === 'next-mx') this.#carried.push(...rest);
    else this.#putBack(rest);
    if (next) return next;
    return this.#connected.client.usable ? 'on' : null;
  }

  /** Those that may go to this host; a roll-up queue can hold mail for several. */
  async #belonging(taken: readonly QueuedRecipient[]): Promise<readonly QueuedRecipient[]> {
    const { grant, config } = this.#run;
    let items: readonly QueuedRecipient[] = [];
    try {
      const { destinationIp } = this.#connected.attempt;
      items = await this.#deps.rollup.belongs(config, grant.queue, taken, destinationIp);
    } finally {
      if (items.length < taken.length) this.#putBack(taken.filter((item) => !items.includes(item)));
    }
    return items;
  }

  #putBack(items: readonly QueuedRecipient[]): void {
    const { scheduler, clock } = this.#deps;
    if (items.length > 0) scheduler.putBack(this.#run.grant.queue, items, clock.now());
  }

  /**
   * A host that hangs up after some messages is doing its job; one that hangs up without taking any is given up for
   * the next. Where the final reply is missing the message may have been taken: the next host would get it twice, so
   * it waits.
   */
  #afterLoss({ error, final }: { readonly error: string; readonly final: boolean }): Leave | null {
    if (this.#sender.delivered > 0) return null;
    const status = localStatus('4.4.2', 'bad connection', this.#run.config);
    const words = `the connection was lost before anything was delivered: ${error}`;
    if (!final) return { kind: 'next-mx', status, error: words };
    return { kind: 'defer-queue', status, error: words, stopOpen: false };
  }
}
