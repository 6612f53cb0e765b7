/** Uses up one connection grant over SMTP: finds the queue's hosts, connects, and sends until there is no more work. */
import { isIPv6 } from 'node:net';
import type { Config, Settings, Vmta } from '../../config/index.ts';
import type { Resolver } from '../../dns/index.ts';
import { connectSmtp, positive, type SmtpClient, type SmtpReply } from '../../smtp/index.ts';
import type { Spool } from '../../spool/spool.ts';
import type { Clock } from '../../system/clock.ts';
import type { Log } from '../../system/log.ts';
import type { TrafficMeter } from '../monitor/traffic.ts';
import type { Queue, QueuedRecipient } from '../queue/queue.ts';
import type { ConnectionGrant, Scheduler } from '../queue/scheduler.ts';
import { type ConnectionAttempt, noAttempt } from './attempt.ts';
import type { Transport } from './delivery.ts';
import { type Destination, findDestinations } from './destinations.ts';
import type { OutcomeWriter } from './outcome-writer.ts';
import type { QueueFate } from './queue-fate.ts';
import type { Copy, Renderer, Rendering } from './render.ts';
import { SourceAddresses } from './source-addresses.ts';
import { localStatus, statusOfReply } from './status.ts';
import type { RecipientResult } from './transaction.ts';

/** Connection attempts of one run, over all hosts and addresses. */
const MOST_ATTEMPTS = 10;
/** Queues whose turn among hosts is remembered; beyond, all begin anew. */
const MOST_TURNS = 50_000;

export interface SmtpDeliveryDeps {
  readonly scheduler: Scheduler;
  readonly spool: Spool;
  readonly outcomes: OutcomeWriter;
  readonly fate: QueueFate;
  readonly renderer: Renderer;
  readonly resolver: () => Resolver;
  readonly traffic: TrafficMeter;
  readonly hostName: string;
  readonly clock: Clock;
  readonly log: Log;
}

/** Called by the scheduler's `resume`: ends the wait of an idle connection. */
export type Resume = (connectionId: number) => void;

export class SmtpDelivery implements Transport {
  readonly #deps: SmtpDeliveryDeps;
  readonly #idle = new Map<number, () => void>();
  readonly #sources = new SourceAddresses();
  /** Runs begun, by queue; a queue comes and goes with its mail, and its hosts take turns all the same. */
  readonly #turns = new Map<string, number>();

  constructor(deps: SmtpDeliveryDeps) {
    this.#deps = deps;
  }

  readonly resume: Resume = (id) => this.#idle.get(id)?.();

  async run(grant: ConnectionGrant, config: Config): Promise<void> {
    const { queue } = grant;
    const { fate } = this.#deps;
    const vmta = config.vmtas.get(queue.vmta.toLowerCase())!;
    const settings = config.queue(queue.domain, queue.vmta);
    const destinations = await findDestinations(
      queue.domain,
      settings,
      this.#deps.resolver(),
      this.#turn(queue.name),
    );
    switch (destinations.kind) {
      case 'hosts':
        break;
      case 'permanent':
        fate.bounce(
          queue,
          noAttempt(queue, vmta, 'smtp'),
          localStatus(destinations.status, destinations.text, config),
        );
        return;
      case 'temporary':
        this.#queueFailed(
          queue,
          noAttempt(queue, vmta, 'smtp'),
          destinations.status,
          destinations.text,
          config,
        );
        return;
    }
    const connected = await this.#connect(queue, vmta, settings, destinations.hosts, config);
    if (!connected) return;
    await this.#work(grant, connected.client, connected.attempt, config);
  }

  #turn(queue: string): number {
    const turn = this.#turns.get(queue) ?? 0;
    if (this.#turns.size >= MOST_TURNS) this.#turns.clear();
    this.#turns.set(queue, turn + 1);
    return turn;
  }

  /** Tries hosts in order until one takes the connection; otherwise the queue has failed. */
  async #connect(
    queue: Queue,
    vmta: Vmta,
    settings: Settings<'domain'>,
    hosts: readonly Destination[],
    config: Config,
  ): Promise<{ client: SmtpClient; attempt: ConnectionAttempt } | null> {
    const { clock, log, hostName } = this.#deps;
    // One turn for this connection, however many hosts it takes.
    const turn = { 4: this.#sources.next(vmta, 4), 6: this.#sources.next(vmta, 6) };
    const reachable = hosts.filter(({ address }) => turn[isIPv6(address) ? 6 : 4] !== null);
    let attempt: ConnectionAttempt = noAttempt(queue, vmta, 'smtp');
    let refusal: SmtpReply | null = null;
    let error = `VMTA ${vmta.name} has no source address on this machine for ${hosts[0]?.name ?? queue.domain}`;
    for (const host of reachable.slice(0, MOST_ATTEMPTS)) {
      const chosen = turn[isIPv6(host.address) ? 6 : 4];
      const source = chosen === 'system' ? null : chosen;
      const result = await connectSmtp({
        host: host.address,
        port: host.port,
        localAddress: source?.address,
        heloName: source?.host || vmta.hostName || hostName,
        clock,
        timeouts: {
          connect: settings.get('connect-timeout'),
          greeting: settings.get('smtp-greeting-timeout'),
          dataBlock: settings.get('data-send-timeout'),
          dataEnd: settings.get('smtp-data-termination-timeout'),
        },
        tls: {
          mode: !settings.get('use-starttls')
            ? 'no'
            : settings.get('require-starttls')
              ? 'require'
              : 'opportunistic',
          servername: host.name,
          verify: 'no',
        },
      });
      const facts = result.ok ? result.client.facts : result.facts;
      attempt = {
        ...attempt,
        sourceIp: facts.localAddress || source?.address || '0.0.0.0',
        destinationIp: host.address,
        remoteHost: host.name,
        esmtp: facts.keywords,
        tlsProtocol: facts.tls?.protocol ?? '',
        tlsCipher: facts.tls?.cipher ?? '',
      };
      if (result.ok) return { client: result.client, attempt };
      refusal = result.reply;
      error = result.reply
        ? `${result.reply.code} ${result.reply.lines.join(' ')}`
        : `${result.code || 'failed'} ${result.stage === 'connect' ? 'connecting to' : 'in connection to'} ${host.name} (${host.address}): ${result.error}`;
      log.info(`${queue.name}: ${error}`);
      if (result.reply && result.reply.code >= 500 && settings.get('bounce-upon-5xx-greeting')) {
        const status = statusOfReply(result.reply, config, false);
        this.#deps.fate.bounce(queue, attempt, status);
        return null;
      }
    }
    if (refusal) {
      const status = statusOfReply(refusal, config, false);
      // Refused in words, yet to be tried again: whatever the words were, for the queue it is temporary.
      this.#deps.fate.defer(
        queue,
        attempt,
        { ...status, status: status.status.replace(/^5/, '4') },
        error,
        config,
      );
    } else {
      this.#queueFailed(queue, attempt, '4.4.1', 'no answer from host', config, error);
    }
    return null;
  }

  /** Sends over an open connection until the scheduler has no more for it, or it breaks. */
  async #work(
    grant: ConnectionGrant,
    client: SmtpClient,
    attempt: ConnectionAttempt,
    config: Config,
  ): Promise<void> {
    const { scheduler, clock } = this.#deps;
    const { queue } = grant;
    scheduler.opened(grant.id);
    client.onClose(() => this.#idle.get(grant.id)?.());
    let delivered = 0;
    try {
      for (;;) {
        const work = scheduler.take(grant.id, clock.now());
        if (work.kind === 'close') break;
        if (work.kind === 'idle') {
          if (!client.usable || !(await this.#waitForWork(grant.id, work.until, client))) break;
          continue;
        }
        if (work.kind === 'expired') {
          this.#deps.fate.expire(queue, work.items, config);
          continue;
        }
        const rest = await this.#sendMessage(queue, client, attempt, work.items, config, () => delivered++);
        if (rest.length > 0) {
          scheduler.putBack(queue, rest, clock.now());
          // A host that hangs up after some messages is doing its job; one that hangs up without taking any is
          // not to be hammered.
          if (delivered === 0) {
            this.#queueFailed(
              queue,
              attempt,
              '4.4.2',
              'bad connection',
              config,
              'the connection was lost before anything was delivered',
            );
          }
          break;
        }
        if (!client.usable) break;
      }
    } finally {
      await client.quit();
    }
  }

  /** Sends one message to its recipients; answers those who got no reply because the connection broke. */
  async #sendMessage(
    queue: Queue,
    client: SmtpClient,
    attempt: ConnectionAttempt,
    items: readonly QueuedRecipient[],
    config: Config,
    onDelivered: () => void,
  ): Promise<readonly QueuedRecipient[]> {
    const { spool, renderer, outcomes, fate, log } = this.#deps;
    const spoolId = items[0]!.spoolId;
    const envelope = spool.envelope(spoolId);
    const content = spool.content(spoolId);
    if (!envelope || !content) {
      log.error('a queued message is not in the spool; its recipients are dropped', { id: spoolId });
      outcomes.bounced(queue, items, null, localStatus('5.3.0', 'mail system-related failure', config));
      return [];
    }
    const settings = config.queue(queue.domain, queue.vmta);
    let rendering: Rendering | null = null;
    let groups: readonly (readonly QueuedRecipient[])[] = [items];
    try {
      rendering = renderer.open({ envelope, content, queue, settings, config });
      // One transaction for all, unless each recipient gets content of its own.
      if (rendering.perRecipient) groups = items.map((item) => [item]);
    } catch (error) {
      log.error(`message ${spoolId} could not be prepared: ${(error as Error).stack ?? error}`);
    }
    for (const [i, group] of groups.entries()) {
      const rest = () => groups.slice(i).flat();
      let copy: Copy;
      try {
        if (!rendering) throw new Error('it could not be opened');
        copy = await rendering.copy(group[0]!.index);
      } catch (error) {
        // The message stays; a fault of ours is no reason to lose it.
        log.error(`message ${spoolId} could not be prepared: ${(error as Error).stack ?? error}`);
        const status = localStatus('4.3.0', 'mail system-related failure', config);
        fate.deferItems(queue, envelope, group, attempt, status);
        continue;
      }
      if (copy.kind === 'impossible') {
        outcomes.bounced(queue, group, attempt, localStatus(copy.status, copy.text, config));
        continue;
      }
      const rendered = copy.content;
      if (!client.usable) return rest();
      const result = await client.send({
        from: copy.facts.sender,
        params: {
          ...(envelope.eightBit ? { body: '8BITMIME' as const } : {}),
          ...(envelope.smtpUtf8 ? { smtputf8: true } : {}),
          size: rendered.length,
        },
        recipients: group.map((item) => ({ address: envelope.recipients[item.index]!.address })),
        content: rendered,
      });
      if (result.needs) {
        const [status, text] = NEEDS[result.needs];
        outcomes.bounced(queue, group, attempt, localStatus(status, text, config));
        continue;
      }
      const tried = group.map((item, n) => ({
        item,
        result: resultOf(result.mail, result.recipients[n] ?? null, result.data, config, settings),
      }));
      const answered = tried.filter(({ result: { kind } }) => kind !== 'broken-off');
      if (answered.length > 0) {
        outcomes.attempted(queue, { ...envelope, facts: copy.facts }, answered, attempt, rendered.length);
        const taken = answered.filter(({ result: { kind } }) => kind === 'delivered').length;
        if (taken > 0) {
          onDelivered();
          this.#deps.traffic.add('out', taken, result.bytes, this.#deps.clock.now());
        }
      }
      if (answered.length < tried.length) {
        const unanswered = tried
          .filter(({ result: { kind } }) => kind === 'broken-off')
          .map(({ item }) => item);
        return [...unanswered, ...groups.slice(i + 1).flat()];
      }
    }
    return [];
  }

  /** Waits until there is new work (true), the time is over or the peer hung up (false); either end is told to `#idle`. */
  async #waitForWork(id: number, until: number, client: SmtpClient): Promise<boolean> {
    const { clock } = this.#deps;
    const resumed = await new Promise<boolean>((resolve) => {
      const cancel = clock.after(until - clock.now(), () => resolve(false));
      this.#idle.set(id, () => {
        cancel();
        resolve(true);
      });
    });
    this.#idle.delete(id);
    return resumed && client.usable;
  }

  #queueFailed(
    queue: Queue,
    attempt: ConnectionAttempt,
    status: string,
    text: string,
    config: Config,
    error = text,
  ): void {
    this.#deps.fate.defer(queue, attempt, localStatus(status, text, config), error, config);
  }
}

const NEEDS = {
  SMTPUTF8: ['5.6.7', 'the next host does not take internationalised addresses'],
  '8BITMIME': ['5.6.3', 'the next host does not take 8-bit content'],
  SIZE: ['5.3.4', 'message too big for system'],
} as const;

/** What the replies of a transaction say about one recipient. */
function resultOf(
  mail: SmtpReply | null,
  rcpt: SmtpReply | null,
  data: SmtpReply | null,
  config: Config,
  settings: Settings<'domain'>,
): RecipientResult {
  // What is neither 2xx nor 5xx promises nothing: a 3xx where none belongs is no delivery.
  const decisive = mail && !positive(mail) ? mail : rcpt && !positive(rcpt) ? rcpt : data;
  if (!decisive) return { kind: 'broken-off' };
  const rcptOf553 = decisive === rcpt && settings.get('smtp-553-means-invalid-mailbox');
  const status = statusOfReply(decisive, config, rcptOf553);
  if (positive(decisive)) return { kind: 'delivered', status };
  return { kind: decisive.code < 500 ? 'deferred' : 'refused', status };
}
