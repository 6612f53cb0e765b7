/** Uses up one connection grant over SMTP: finds the queue's hosts and tries them in order until the work is done. */
import type { Config } from '../../config/index.ts';
import type { Resolver, StsPolicies } from '../../dns/index.ts';
import type { StatusFacts } from '../../events/outcome.ts';
import { positive, replyText, type SmtpClient } from '../../smtp/index.ts';
import type { Spool } from '../../spool/spool.ts';
import type { Clock } from '../../system/clock.ts';
import type { Log } from '../../system/log.ts';
import { statusText, statusTexts } from '../accounting/dsn-text.ts';
import type { TrafficMeter } from '../monitor/traffic.ts';
import { describeHold, type HoldReason } from '../queue/hold.ts';
import type { Queue, QueuedRecipient } from '../queue/queue.ts';
import type { ConnectionGrant, Scheduler } from '../queue/scheduler.ts';
import type { RollupRoutes } from '../route/rollup-routes.ts';
import { type ConnectionAttempt, noAttempt } from './attempt.ts';
import type { Transport } from './delivery.ts';
import { type Destination, findDestinations } from './destinations.ts';
import { type Connected, connectHost, type HostConnection, type RunFacts } from './host-connector.ts';
import { IdleConnections } from './idle-connections.ts';
import { isOurselves } from './ourselves.ts';
import type { OutcomeWriter } from './outcome-writer.ts';
import type { QueueFate } from './queue-fate.ts';
import type { Renderer } from './render.ts';
import { type Effects, ReplyRules } from './reply-rules.ts';
import { SmtpSession } from './smtp-session.ts';
import { SourceAddresses } from './source-addresses.ts';
import { localStatus, statusOfReply } from './status.ts';
import { TlsPolicies } from './tls-policy.ts';
import type { Trace, Traces } from './trace.ts';
import { asPermanent, asTemporary, type Leave } from './verdict.ts';

/** Queues whose turn among hosts is remembered; beyond, all begin anew. */
const MOST_TURNS = 50_000;
/** Recipients bounced in one transaction of the spool. */
const BATCH = 100;

export interface SmtpDeliveryDeps {
  readonly scheduler: Scheduler;
  readonly spool: Spool;
  readonly outcomes: OutcomeWriter;
  readonly fate: QueueFate;
  readonly renderer: Renderer;
  readonly resolver: () => Resolver;
  readonly stsPolicies: StsPolicies;
  readonly rollup: RollupRoutes;
  readonly traffic: TrafficMeter;
  readonly traces: Traces;
  readonly hostName: string;
  readonly clock: Clock;
  readonly log: Log;
}

/** Called by the scheduler's `resume`: ends the wait of an idle connection. */
export type Resume = (connectionId: number) => void;

/** Why the hosts tried so far did not take the mail; the last one counts. */
interface Failure {
  readonly attempt: ConnectionAttempt;
  readonly status: StatusFacts;
  readonly error: string;
}

/** What to do after one host. */
type Next =
  | { readonly kind: 'host'; readonly failure: Failure }
  /** The run is over; `finish` once nothing of the queue is in hand. */
  | { readonly kind: 'end'; readonly finish: () => void };

const NOTHING = () => {};
const END: Next = { kind: 'end', finish: NOTHING };

export class SmtpDelivery implements Transport {
  readonly #deps: SmtpDeliveryDeps;
  readonly #idle: IdleConnections;
  /** Open connections, by their grants. */
  readonly #clients = new Map<number, SmtpClient>();
  readonly #sources = new SourceAddresses();
  readonly #tlsPolicies: TlsPolicies;
  /** Runs begun, by queue; a queue comes and goes with its mail, and its hosts take turns all the same. */
  readonly #turns = new Map<string, number>();

  constructor(deps: SmtpDeliveryDeps) {
    this.#deps = deps;
    this.#idle = new IdleConnections(deps.clock);
    this.#tlsPolicies = new TlsPolicies(deps);
  }

  readonly resume: Resume = (id) => this.#idle.wake(id);

  /** Called by the scheduler when a connection must end within a message. */
  readonly interrupt: Resume = (id) => this.#clients.get(id)?.interrupt();

  async run(grant: ConnectionGrant, config: Config): Promise<void> {
    const trace = this.#deps.traces.take(grant.queue);
    try {
      await this.#run(grant, config, trace);
    } finally {
      trace?.end();
    }
  }

  async #run(grant: ConnectionGrant, config: Config, trace: Trace | null): Promise<void> {
    const { queue } = grant;
    const { fate, clock, log, resolver } = this.#deps;
    const vmta = config.vmtas.get(queue.vmta.toLowerCase())!;
    const settings = config.queue(queue.domain, queue.vmta);
    const route = this.#deps.rollup.route(config, queue);
    if (!route) return;
    const found = await findDestinations({
      ...route,
      settings,
      resolver: resolver(),
      turn: this.#turn(queue.name),
      isOurs: (host, port) => isOurselves(config, host, port),
    });
    const nobody = noAttempt(queue, vmta, 'smtp');
    if (route.shared && (found.kind !== 'hosts' || found.implicit)) {
      const nowhere = this.#deps.rollup.keepApart(config, queue, route.domain);
      const status = localStatus('5.1.2', statusTexts.noSuchDomain, config);
      if (nowhere.length > 0) this.#deps.outcomes.bounced(queue, nowhere, nobody, status);
      return;
    }
    if (found.kind !== 'hosts') {
      // What differs from time to time is for the log and the queue's errors; records have one text for a status.
      const recorded = found.kind === 'temporary' ? statusText(found.status) : found.text;
      const status = localStatus(found.status, recorded, config);
      if (settings.get('log-resolution')) log.info(`${queue.name}: ${found.text}`);
      trace?.say(found.text);
      if (found.kind === 'permanent') fate.bounce(queue, nobody, status);
      else fate.defer(queue, nobody, status, found.text, config, { id: grant.id });
      return;
    }
    if (settings.get('log-resolution')) log.info(`${queue.name}: ${inWords(found.hosts)}`);
    trace?.resolved(`hosts: ${inWords(found.hosts)}`);
    if (found.implicit && Number.isFinite(settings.get('bounce-upon-no-mx'))) {
      const oldest = clock.now() - settings.get('bounce-upon-no-mx');
      this.#bounceOlder(queue, nobody, localStatus('5.4.4', 'unable to route: no MX', config), oldest);
      if (queue.ready.size === 0) return;
    }
    const rules = new ReplyRules({ ...this.#deps, ...this.#own() }, queue, config, settings);
    const carried: QueuedRecipient[] = [];
    const putBack = () => {
      if (carried.length > 0) this.#deps.scheduler.putBack(queue, carried.splice(0), clock.now());
    };
    try {
      const end = await this.#tryHosts({ grant, vmta, settings, config, trace }, rules, found.hosts, carried);
      putBack();
      end();
    } finally {
      putBack();
    }
  }

  /** What was received at `oldest` or before bounces. */
  #bounceOlder(queue: Queue, attempt: ConnectionAttempt, result: StatusFacts, oldest: number): void {
    const { outcomes, scheduler, clock } = this.#deps;
    const recipient = (item: QueuedRecipient) => item.receivedAt <= oldest;
    const old = scheduler.remove({ queue, recipient }, clock.now()).flatMap(({ items }) => items);
    for (let i = 0; i < old.length; i += BATCH) {
      outcomes.bounced(queue, old.slice(i, i + BATCH), attempt, result);
    }
  }

  #turn(queue: string): number {
    const turn = this.#turns.get(queue) ?? 0;
    if (this.#turns.size >= MOST_TURNS) this.#turns.clear();
    this.#turns.set(queue, turn + 1);
    return turn;
  }

  /**
   * Tries the hosts in order. `carried`: what a host that was given up left for the next. Answers what is to be done
   * when nothing is in hand any more.
   */
  async #tryHosts(
    run: RunFacts,
    rules: ReplyRules,
    hosts: readonly Destination[],
    carried: QueuedRecipient[],
  ): Promise<() => void> {
    const { fate, scheduler, clock } = this.#deps;
    const { grant, config } = run;
    const { queue } = grant;
    let failure: Failure | null = null;
    let hold: HoldReason | null = null;
    let unusable = '';
    let attempts = run.settings.get('mx-connection-attempts');
    let opened = false;
    for (const host of hosts) {
      if (attempts <= 0) break;
      // A host that was given up may have been the last need for one.
      if (opened && queue.ready.size === 0 && carried.length === 0) return NOTHING;
      const connection = await connectHost({ ...this.#deps, ...this.#own() }, run, host);
      if (connection.kind === 'held') {
        run.trace?.say(
          `${host.name} (${host.address}) is held back: ${describeHold(connection.hold, clock.now())}`,
        );
        hold ??= connection.hold;
        continue;
      }
      if (connection.kind === 'unusable') {
        this.#deps.log.info(`${queue.name}: ${connection.error}`);
        run.trace?.say(connection.error);
        unusable = connection.error;
        continue;
      }
      attempts--;
      rules.source = connection.source?.address ?? '';
      let next: Next;
      if (connection.kind === 'connected') {
        if (!opened) scheduler.opened(grant.id, clock.now());
        opened = true;
        next = await this.#work(run, rules, connection, carried);
      } else next = this.#refused(run, rules, connection);
      if (next.kind === 'end') return next.finish;
      failure = next.failure;
    }
    const last = failure;
    if (last) return () => fate.defer(queue, last.attempt, last.status, last.error, config, { id: grant.id });
    const holds = hold;
    if (holds) return () => scheduler.heldBack(grant.id, holds, clock.now());
    const nobody = noAttempt(queue, run.vmta, 'smtp');
    const status = localStatus('4.4.1', 'no answer from host', config);
    return () =>
      fate.defer(queue, nobody, status, unusable || 'no host may be tried', config, { id: grant.id });
  }

  #own() {
    return { sources: this.#sources, tlsPolicies: this.#tlsPolicies, idle: this.#idle };
  }

  async #work(
    run: RunFacts,
    rules: ReplyRules,
    connected: Connected,
    carried: QueuedRecipient[],
  ): Promise<Next> {
    const { fate } = this.#deps;
    const { grant, config } = run;
    const { queue } = grant;
    const { client, attempt } = connected;
    const { greeting } = client.facts;
    if (greeting) rules.ofReply(greeting, false);
    this.#idle.watch(grant.id, client);
    const deps = { ...this.#deps, ...this.#own() };
    this.#clients.set(grant.id, client);
    let leave: Leave | null;
    try {
      leave = await new SmtpSession(deps, run, rules, connected, carried).work();
    } finally {
      this.#clients.delete(grant.id);
    }
    if (!leave) return END;
    switch (leave.kind) {
      case 'bounce-queue':
        return { kind: 'end', finish: () => fate.bounce(queue, attempt, leave.status) };
      case 'defer-queue': {
        const how = { id: grant.id, stopOpen: leave.stopOpen };
        return {
          kind: 'end',
          finish: () => fate.defer(queue, attempt, leave.status, leave.error, config, how),
        };
      }
      case 'next-mx':
        return { kind: 'host', failure: { attempt, status: leave.status, error: leave.error } };
      case 'close':
        return END;
    }
  }

  /** A host that did not let us in. */
  #refused(
    { grant: { id, queue }, settings, config }: RunFacts,
    rules: ReplyRules,
    connection: Extract<HostConnection, { kind: 'refused' | 'failed' }>,
  ): Next {
    const { fate, log } = this.#deps;
    const { attempt } = connection;
    let effects: Effects;
    let failure: Failure;
    let bounces = false;
    if (connection.kind === 'refused') {
      const { reply } = connection;
      effects = rules.ofReply(reply, false);
      const hide421 = settings.get('replace-smtp-421-service-response');
      failure = { attempt, status: statusOfReply(reply, config, { hide421 }), error: replyText(reply) };
      bounces = connection.atGreeting && reply.code >= 500 && settings.get('bounce-upon-5xx-greeting');
      if (positive(reply)) bounces = false;
    } else {
      effects = rules.ofError(connection.words);
      failure = {
        attempt,
        status: localStatus('4.4.1', 'no answer from host', config),
        error: connection.error,
      };
    }
    log.info(`${queue.name}: ${failure.error}`);
    if (effects.bounceQueue) {
      const status = rules.bouncedQueue(asPermanent(failure.status));
      return { kind: 'end', finish: () => fate.bounce(queue, attempt, status) };
    }
    if (bounces && !effects.skipMx) {
      const { status } = failure;
      return { kind: 'end', finish: () => fate.bounce(queue, attempt, status) };
    }
    // Refused in words, yet to be tried again: whatever the words were, for the queue it is temporary.
    failure = { ...failure, status: asTemporary(failure.status) };
    if (effects.deferQueue) {
      const { status, error } = failure;
      return {
        kind: 'end',
        finish: () => fate.defer(queue, attempt, status, error, config, { id, stopOpen: true }),
      };
    }
    // The queue has other addresses to try from, or waits for one: that is no failure of the host.
    return effects.sourceLost ? END : { kind: 'host', failure };
  }
}

function inWords(hosts: readonly Destination[]): string {
  return hosts.map(({ name, address, port }) => `${name} [${address}]:${port}`).join(', ');
}
