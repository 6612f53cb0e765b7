/**
 * Engagement tracking as the configuration asks for it: whether a message is tracked is decided once, when it is
 * received, and told in all its events; each recipient's copy is made when it is delivered.
 */
import path from 'node:path';
import type { Config, Settings } from '../../config/index.ts';
import type { Envelope } from '../../spool/stored-message.ts';
import type { Log } from '../../system/log.ts';
import { type KeyRing, openKeyRing } from '../../tracking/key-ring.ts';
import { applyTracking } from '../../tracking/rewrite-message.ts';
import { planTracking, type TrackingPlan, type TrackingSettings } from '../../tracking/tracking-plan.ts';

export interface TrackingFlags {
  readonly openTracking: boolean;
  readonly initialPixel: boolean;
  readonly clickTracking: boolean;
}

const UNTRACKED: TrackingFlags = { openTracking: false, initialPixel: false, clickTracking: false };

export class Tracking {
  readonly #log: Log;
  /** null when the MTA itself does not track. */
  readonly #ring: KeyRing | null;
  readonly #plans = new WeakMap<Buffer, TrackingPlan>();

  constructor(ring: KeyRing | null, log: Log) {
    this.#ring = ring;
    this.#log = log;
  }

  /** Opens the key ring that the tracker shares; the first to come makes it. */
  static async open(config: Config, stateDir: string, log: Log): Promise<Tracking> {
    const builtIn = config.signals?.get('engagement-tracking') === 'sparkpost';
    const file = path.join(stateDir, 'tracking-keys.json');
    return new Tracking(builtIn ? await openKeyRing(file, { create: true }) : null, log);
  }

  /** What the events of a message say about tracking. */
  flagsFor(
    config: Config,
    message: { vmta: string; domain: string; sender: string; content: Buffer; source: Settings<'source'> },
  ): TrackingFlags {
    const { signals } = config;
    const mode = signals?.get('engagement-tracking');
    if (!signals || mode === 'no') return UNTRACKED;
    // Somebody else has tracked the message: it is not touched, only marked.
    if (mode === 'yes') return { openTracking: true, initialPixel: false, clickTracking: true };
    const settings = trackingSettings(config, config.tracking(message), message.sender);
    if (!settings || !this.#ring?.active) return UNTRACKED;
    const plan = planTracking(message.content, settings);
    if (plan.error) this.#log.warn(`a message is not tracked: ${(plan.error as Error).message}`);
    if (plan.skipped || !plan.changes.some(({ kind }) => kind === 'body')) return UNTRACKED;
    return {
      openTracking: settings.opens,
      initialPixel: settings.initialOpens,
      clickTracking: settings.clicks,
    };
  }

  /** One recipient's copy: the same recipient gets the same links on every attempt. */
  apply(raw: Buffer, config: Config, envelope: Envelope, index: number, domain: string): Buffer {
    const { facts } = envelope;
    const recipient = envelope.recipients[index]!;
    const switches = config.tracking({ vmta: facts.vmta, domain, source: null });
    const settings = trackingSettings(config, switches, facts.sender);
    if (!settings || !this.#ring) return raw;
    const { subaccount } = config.signalsDecision(facts.vmta, facts.senderDomain);
    const expiryMs = facts.receivedAt + switches.get('tracking-link-expiry');
    return applyTracking(this.#plan(raw, settings, facts), {
      ring: this.#ring,
      messageId: facts.customMessageId || recipient.messageId,
      recipient: recipient.address,
      subaccount: facts.subaccountId || subaccount || 0,
      campaign: facts.jobId,
      expiry: Math.floor(expiryMs / 1000),
    }).content;
  }

  /** Reading a message is most of the work; its recipients share it. */
  #plan(raw: Buffer, settings: TrackingSettings, facts: Envelope['facts']): TrackingPlan {
    let plan = this.#plans.get(raw);
    if (!plan) {
      plan = planTracking(raw, {
        ...settings,
        opens: facts.openTracking,
        initialOpens: facts.initialPixel,
        clicks: facts.clickTracking,
      });
      this.#plans.set(raw, plan);
    }
    return plan;
  }
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
    maxSize: switches.get('tracking-max-message-size'),
    signedMessages: switches.get('tracking-signed-messages'),
    listUnsubscribe: switches.get('add-list-unsubscribe') !== 'off',
    sender,
  };
}
