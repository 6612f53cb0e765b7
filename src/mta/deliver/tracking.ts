/**
 * Engagement tracking as the configuration asks for it. One rule decides, at reception and at delivery: the settings
 * of the queue's domain and VMTA, with what the message's `<source>` said. Reception records what they come to then;
 * what is done is decided at delivery, by the queue the message goes through, and that is what the events of the
 * attempt and the links themselves tell. The two differ only when queue or configuration have changed meanwhile.
 */
import path from 'node:path';
import type { Config, DomainPattern, Settings, SourceTracking } from '../../config/index.ts';
import type { MessageFacts } from '../../events/outcome.ts';
import type { MaybeLater } from '../../smtp/index.ts';
import type { Envelope } from '../../spool/stored-message.ts';
import type { Log } from '../../system/log.ts';
import { type KeyRing, openKeyRing } from '../../tracking/key-ring.ts';
import type { TrackingSettings } from '../../tracking/tracking-plan.ts';
import type { ContentWork, CopyOrder, PlannedTracking } from '../content/index.ts';
import type { QueueName } from './added-headers.ts';

export type TrackingFlags = Pick<MessageFacts, 'openTracking' | 'initialPixel' | 'clickTracking'>;

/** What tracking makes of a message in one queue. */
export interface QueueTracking {
  readonly flags: TrackingFlags;
  /** Each recipient gets a copy of its own; else the message stays as it is. */
  readonly isPerRecipient: boolean;
  /** What the copy of a recipient says; null for a message that stays. The same for each attempt. */
  order(index: number): CopyOrder['tracking'];
}

const UNTRACKED: TrackingFlags = { openTracking: false, initialPixel: false, clickTracking: false };

export class Tracking {
  readonly #log: Log;
  /** null when the MTA itself does not track. */
  readonly #ring: KeyRing | null;
  readonly #work: ContentWork;

  constructor(ring: KeyRing | null, work: ContentWork, log: Log) {
    this.#ring = ring;
    this.#work = work;
    this.#log = log;
  }

  /** Opens the key ring that the tracker shares; the first to come makes it. */
  static async open(config: Config, stateDir: string, work: ContentWork, log: Log): Promise<Tracking> {
    const builtIn = config.signals?.get('engagement-tracking') === 'sparkpost';
    const file = path.join(stateDir, 'tracking-keys.json');
    return new Tracking(builtIn ? await openKeyRing(file, { create: true }) : null, work, log);
  }

  /**
   * What is to be recorded about a message, by the domain of the queue it goes into, which need not be the
   * recipient's. The message is read once for all domains of the same settings;
   * what is known is answered at once.
   */
  flagsFor(
    config: Config,
    message: {
      readonly vmta: string;
      readonly sender: string;
      readonly content: Buffer;
      readonly source: Settings<'source'> | SourceTracking | null;
    },
  ): (domain: string) => MaybeLater<TrackingFlags> {
    const marked = this.#marked(config);
    if (marked || !this.#ring?.active) return () => marked ?? UNTRACKED;
    const known = new Map<string, MaybeLater<TrackingFlags>>();
    return (domain) => {
      const settings = trackingSettings(config, config.tracking({ ...message, domain }), message.sender);
      const key = JSON.stringify(settings);
      const before = known.get(key);
      if (before) return before;
      const found = (flags: TrackingFlags) => {
        known.set(key, flags);
        return flags;
      };
      if (!settings) return found(UNTRACKED);
      const planning = this.#work.plan(message.content, settings);
      if (!(planning instanceof Promise)) return found(flagsOf(planning, settings));
      const later = planning.then((planned) => found(flagsOf(planned, settings)));
      known.set(key, later);
      return later;
    };
  }

  /**
   * What is done with `raw`, the message as it goes out through the queue of `domain` and `vmta`. `facts` are the
   * recipient's, or everybody's.
   */
  planFor(
    config: Config,
    envelope: Envelope,
    facts: MessageFacts,
    raw: Buffer,
    queue: QueueName,
  ): MaybeLater<QueueTracking> {
    const marked = this.#marked(config);
    if (marked) return untouched(marked);
    const source = envelope.sourceTracking ?? null;
    const switches = config.tracking({ vmta: queue.vmta, domain: queue.domain, source });
    const settings = trackingSettings(config, switches, facts.sender);
    const key = this.#ring?.active;
    if (!settings || !key) return untouched(UNTRACKED);
    const { subaccount } = config.signalsDecision(facts.vmta, facts.senderDomain);
    const expiry = Math.floor((facts.receivedAt + switches.get('tracking-link-expiry')) / 1000);
    const order = (index: number): CopyOrder['tracking'] => {
      const { address, messageId } = envelope.recipients[index]!;
      const copy = {
        messageId: facts.customMessageId || messageId,
        recipient: address,
        subaccount: facts.subaccountId || subaccount || 0,
        campaign: facts.jobId,
        expiry,
      };
      return { settings, copy, key };
    };
    const decided = (planned: PlannedTracking): QueueTracking => {
      if (planned.error !== '') this.#log.warn(`a message is not tracked: ${planned.error}`);
      if (!planned.changes) return untouched(UNTRACKED);
      return { flags: flagsOf(planned, settings), isPerRecipient: true, order };
    };
    const planning = this.#work.plan(raw, settings);
    return planning instanceof Promise ? planning.then(decided) : decided(planning);
  }

  /** The flags when it is not for us to track: nobody does, or somebody else has and the message is only marked. */
  #marked(config: Config): TrackingFlags | null {
    const mode = config.signals?.get('engagement-tracking') ?? 'no';
    if (mode === 'no') return UNTRACKED;
    return mode === 'yes' ? { openTracking: true, initialPixel: false, clickTracking: true } : null;
  }
}

function untouched(flags: TrackingFlags): QueueTracking {
  return { flags, isPerRecipient: false, order: () => null };
}

/** A message that only gets List-Unsubscribe reports neither opens nor clicks. */
function flagsOf(planned: PlannedTracking, settings: TrackingSettings): TrackingFlags {
  if (!planned.changesBody) return UNTRACKED;
  return {
    openTracking: settings.opens,
    initialPixel: settings.initialOpens,
    clickTracking: settings.clicks,
  };
}

function trackingSettings(
  config: Config,
  switches: Settings<'virtual-mta'>,
  sender: string,
): TrackingSettings | null {
  const domain = config.signals?.get('tracking-domain');
  if (!domain) return null;
  return {
    opens: switches.get('track-opens') ?? true,
    initialOpens: switches.get('track-initial-opens') ?? true,
    clicks: switches.get('track-clicks') ?? true,
    textLinks: switches.get('track-text-links'),
    amp: switches.get('track-amp'),
    msoConditionals: switches.get('track-mso-conditional'),
    scheme: switches.get('tracking-scheme') ?? 'http',
    host: domain.port === null ? domain.host : `${domain.host}:${domain.port}`,
    excludeDomains: switches.get('tracking-exclude-domain').flatMap(excluded),
    maxSize: switches.get('tracking-max-message-size'),
    signedMessages: switches.get('tracking-signed-messages'),
    listUnsubscribe: switches.get('add-list-unsubscribe') !== 'off',
    sender,
  };
}

/** A domain pattern in the terms of links; a network or a reserved name is in none. */
function excluded(pattern: DomainPattern): string[] {
  switch (pattern.kind) {
    case 'any':
    case 'exact':
    case 'below':
      return [pattern.key];
    case 'with-below':
      return [pattern.domain, `*.${pattern.domain}`];
    case 'literal':
    case 'reserved':
      return [];
  }
}
