/** Moves mail into roll-up queues as DNS tells, and says where mail in them goes (delivery guide, section 10). */
import type { Config } from '../../config/index.ts';
import { type Found, type MxRecord, type Resolver, resolveMailHosts } from '../../dns/index.ts';
import { domainToAscii } from '../../mail/address.ts';
import type { Spool } from '../../spool/spool.ts';
import type { Clock } from '../../system/clock.ts';
import type { Log } from '../../system/log.ts';
import type { Queue, QueuedRecipient } from '../queue/queue.ts';
import type { Scheduler } from '../queue/scheduler.ts';
import { hasRoute, mayRollUp, rollupTable } from './mx-rollup.ts';
import { queueDomain } from './queue-domain.ts';

export interface RollupRoutesDeps {
  readonly resolver: () => Resolver;
  readonly spool: Pick<Spool, 'envelope'>;
  readonly scheduler: Scheduler;
  readonly clock: Clock;
  readonly log: Log;
}

/** Where the mail of a queue is sent, as far as roll-up has a say. */
export interface RollupRoute {
  /** The mail domain to look up. */
  readonly domain: string;
  /** The hosts of an explicit roll-up queue, R(Q): only these, without a look at MX records. */
  readonly hosts: readonly string[] | null;
  /** Mail of several domains waits in the queue, and what is found out concerns this one only. */
  readonly shared: boolean;
}

const SUFFIX = '.rollup';
/** How long a domain whose hosts cannot be used stays out of a queue that is rolled up by address. */
const APART_MS = 300_000;
const MOST_APART = 10_000;

export class RollupRoutes {
  readonly #deps: RollupRoutesDeps;
  /** Domains that are not rolled up until then. */
  readonly #apart = new Map<string, number>();

  constructor(deps: RollupRoutesDeps) {
    this.#deps = deps;
  }

  /** The roll-up queue of a domain by an MX answer that is in the cache; null when there is none, or no answer yet. */
  known(config: Config, domain: string, vmta: string): string | null {
    if (!mayRollUp(config, domain, vmta) || this.#isApart(domain)) return null;
    return match(config, this.#deps.resolver().peek(domain, 'MX'), vmta);
  }

  /**
   * Called before a queue is delivered. Moves its mail to the roll-up queue that its MX answer names; and home again
   * from a roll-up queue that the configuration has no longer. True: the mail is elsewhere, this queue has nothing to
   * do. A queue that a domain has joined keeps its mail when the domain's MX change: it was fit to go that way, and
   * later mail goes the other way.
   */
  async redirect(queue: Queue, config: Config): Promise<boolean> {
    const { log } = this.#deps;
    const { domain, vmta } = queue;
    if (isStray(config, domain, vmta)) {
      const count = this.#sendHome(queue, config, (home) => home !== domain);
      if (count > 0) {
        log.info(`${queue.name}: no mx-rollup-list names it any more; mail goes back to its own domains`, {
          count,
        });
        return true;
      }
    }
    if (!mayRollUp(config, domain, vmta) || this.#isApart(domain)) return false;
    const target = match(config, await this.#deps.resolver().query(domain, 'MX'), vmta);
    if (target === null) return false;
    const count = this.#deps.scheduler.move(queue, target, vmta, this.#deps.clock.now()).length;
    if (count > 0) {
      log.info(`${queue.name}: its MX hosts are those of ${target}; mail joins ${target}/${vmta}`, { count });
    }
    return true;
  }

  /** Null: nothing waits whose hosts could be looked up. */
  route(config: Config, queue: Queue): RollupRoute | null {
    const rollup = rollupTable(config).get(queue.domain);
    const own = { domain: queue.domain, hosts: null, shared: false };
    if (!rollup || config.queue(queue.domain, queue.vmta).get('smtp-hosts') !== null) return own;
    if (rollup.hosts.length > 0) return { ...own, hosts: rollup.hosts };
    if (!rollup.byIp) return own;
    // By address: the hosts of whoever is next. Others on this connection must have the same (see `belongs`).
    const next = queue.ready.peek();
    return next ? { domain: this.#home(config, next, queue.vmta), hosts: null, shared: true } : null;
  }

  /**
   * A domain of a shared queue has no usable hosts: its mail goes back to its own queue, where what becomes of it
   * concerns nobody else. Answers what has no other queue, because its address names the roll-up queue itself; it is
   * taken out and counts as in delivery.
   */
  keepApart(config: Config, queue: Queue, domain: string): readonly QueuedRecipient[] {
    const { scheduler, clock, log } = this.#deps;
    const now = clock.now();
    if (domain === queue.domain) {
      const recipient = (item: QueuedRecipient) => this.#home(config, item, queue.vmta) === domain;
      return scheduler.remove({ queue, recipient }, now).flatMap(({ items }) => items);
    }
    if (this.#apart.size >= MOST_APART) this.#apart.clear();
    this.#apart.set(domain, now + APART_MS);
    const count = this.#sendHome(queue, config, (home) => home === domain);
    log.info(
      `${queue.name}: no host of ${domain} can be used; its mail goes back to ${domain}/${queue.vmta}`,
      {
        count,
      },
    );
    return [];
  }

  /** Whether whatever waits in a queue may be sent to any of its hosts. */
  allBelong(config: Config, queue: Queue): boolean {
    const rollup = rollupTable(config).get(queue.domain);
    if (!rollup?.byIp || rollup.hosts.length > 0) return true;
    return config.queue(queue.domain, queue.vmta).get('smtp-hosts') !== null;
  }

  /**
   * Which of these recipients may be sent to the host with this address: in a queue that is rolled up by address,
   * those whose own domain has it among the addresses behind its MX hosts; elsewhere all.
   */
  async belongs(
    config: Config,
    queue: Queue,
    items: readonly QueuedRecipient[],
    address: string,
  ): Promise<readonly QueuedRecipient[]> {
    if (this.allBelong(config, queue)) return items;
    const fitting: QueuedRecipient[] = [];
    const known = new Map<string, boolean>();
    for (const item of items) {
      const home = this.#home(config, item, queue.vmta);
      let fits = known.get(home);
      if (fits === undefined) {
        const found = await resolveMailHosts(this.#deps.resolver(), home);
        const hosts = found.kind === 'hosts' ? found.groups.flatMap((group) => group.hosts) : [];
        fits = hosts.some(({ addresses }) => addresses.includes(address));
        known.set(home, fits);
      }
      if (fits) fitting.push(item);
    }
    return fitting;
  }

  #isApart(domain: string): boolean {
    const until = this.#apart.get(domain);
    if (until === undefined) return false;
    if (until > this.#deps.clock.now()) return true;
    this.#apart.delete(domain);
    return false;
  }

  /** Those recipients to the queue they would be in without roll-up whose queue domain there is `chosen`. */
  #sendHome(queue: Queue, config: Config, chosen: (home: string) => boolean): number {
    const { scheduler, clock } = this.#deps;
    const now = clock.now();
    let moved = 0;
    const home = (item: QueuedRecipient) => this.#home(config, item, queue.vmta);
    const recipient = (item: QueuedRecipient) => chosen(home(item));
    for (const { items } of scheduler.remove({ queue, recipient }, now)) {
      for (const item of items) {
        scheduler.done(queue, false, now);
        scheduler.add(home(item), queue.vmta, item, now);
        moved++;
      }
    }
    return moved;
  }

  /** The queue domain of a recipient without roll-up. */
  #home(config: Config, item: QueuedRecipient, vmta: string): string {
    const address = this.#deps.spool.envelope(item.spoolId)?.recipients[item.index]?.address ?? '';
    const domain = address.slice(address.lastIndexOf('@') + 1);
    return queueDomain(config, domainToAscii(domain) ?? domain.toLowerCase(), vmta);
  }
}

/** By the MX hosts of lowest preference; a domain without MX is not rolled up. */
function match(config: Config, found: Found | undefined, vmta: string): string | null {
  if (found?.kind !== 'answer') return null;
  const records = (found.records as readonly MxRecord[]).filter(({ exchange }) => exchange !== '');
  const least = Math.min(...records.map(({ preference }) => preference));
  const best = records.filter(({ preference }) => preference === least).map(({ exchange }) => exchange);
  const queue = rollupTable(config).match(best);
  return queue !== null && hasRoute(config, queue, vmta) ? queue : null;
}

/** A roll-up queue that an earlier configuration made: nobody would know a way for its name. */
function isStray(config: Config, domain: string, vmta: string): boolean {
  if (!domain.endsWith(SUFFIX) || hasRoute(config, domain, vmta)) return false;
  const settings = config.queue(domain, vmta);
  return settings.get('type') === 'smtp' && settings.get('smtp-hosts') === null;
}
