/**
 * The work on the octets of a message that takes a processor's time: finding its links, filling in a recipient's, and
 * signing. It needs the message and an order that says everything else, so that it can be done by any thread; whoever
 * wants it done does not know which one does it.
 */
import type { DkimSettings } from '../../mail/dkim-sign.ts';
import { SignableMessage } from '../../mail/dkim-sign.ts';
import type { MaybeLater } from '../../smtp/index.ts';
import { Attached } from '../../system/attached.ts';
import type { TrackingKey } from '../../tracking/key-ring.ts';
import { applyTracking, type TrackedCopy } from '../../tracking/rewrite-message.ts';
import { planTracking, type TrackingPlan, type TrackingSettings } from '../../tracking/tracking-plan.ts';

/** What tracking would change of a message. */
export interface PlannedTracking {
  /** Anything at all: each recipient gets a copy of its own. */
  readonly changes: boolean;
  /** Links or pixels, and not only a header field. */
  readonly changesBody: boolean;
  /** What made planning fail, for the log; '' when nothing did. The message is delivered as it is then. */
  readonly error: string;
}

/** What one copy of a message is to become. Holds nothing that cannot be sent to another thread. */
export interface CopyOrder {
  readonly tracking: {
    readonly settings: TrackingSettings;
    readonly copy: Omit<TrackedCopy, 'ring'>;
    readonly key: TrackingKey;
  } | null;
  /** In the order in which their fields stand above the message. */
  readonly signatures: readonly DkimSettings[];
  /** For t= and x=, in milliseconds. */
  readonly now: number;
}

export interface MadeCopy {
  readonly content: Buffer;
  /** Signatures that could not be made; the message goes without them (D15.7). */
  readonly faults: readonly SignatureFault[];
}

export interface SignatureFault {
  /** `selector._domainkey.domain` */
  readonly key: string;
  readonly error: string;
}

/** Rejects for faults of ours only: whatever a message holds, it has a plan and a copy. */
export interface ContentWork {
  plan(content: Buffer, settings: TrackingSettings): MaybeLater<PlannedTracking>;
  make(content: Buffer, order: CopyOrder): MaybeLater<MadeCopy>;
  close(): Promise<void>;
}

export function describePlan(plan: TrackingPlan): PlannedTracking {
  return {
    changes: plan.skipped === null && plan.changes.length > 0,
    changesBody: plan.skipped === null && plan.changes.some(({ kind }) => kind === 'body'),
    error: plan.error ? (plan.error as Error).message : '',
  };
}

/** The message with one recipient's links in it; itself when nothing is tracked. */
export function trackedCopy(content: Buffer, { tracking }: CopyOrder, plan: TrackingPlan | null): Buffer {
  if (!tracking || !plan) return content;
  return applyTracking(plan, { ...tracking.copy, ring: { active: tracking.key } }).content;
}

/** Signature fields in one text. `made` gives one of them, or throws. */
export function signatureFields(
  settings: readonly DkimSettings[],
  made: readonly (string | null | Error)[],
): { fields: string; faults: SignatureFault[] } {
  const faults: SignatureFault[] = [];
  let fields = '';
  for (const [i, field] of made.entries()) {
    if (typeof field === 'string') fields += field;
    else if (field) {
      const { selector, domain } = settings[i]!;
      faults.push({ key: `${selector}._domainkey.${domain}`, error: field.message });
    }
  }
  return { fields, faults };
}

/** Does the work in the thread that asks; only signatures go to the pool of threads that Node has for them. */
export class ContentWorkHere implements ContentWork {
  /** The latest plan for a message, as long as the message is in memory: delivery goes by the one of reception. */
  readonly #planned = new Attached<Buffer, { readonly settings: string; readonly plan: TrackingPlan }>();

  plan(content: Buffer, settings: TrackingSettings): PlannedTracking {
    return describePlan(this.#plan(content, settings));
  }

  make(content: Buffer, order: CopyOrder): MaybeLater<MadeCopy> {
    const { tracking, signatures, now } = order;
    const copy = trackedCopy(content, order, tracking && this.#plan(content, tracking.settings));
    if (signatures.length === 0) return { content: copy, faults: [] };
    const message = new SignableMessage(copy);
    // All are on their way to the thread pool before any is awaited.
    const signing = signatures.map((each) =>
      message.signAsync(each, now).catch((error: unknown) => error as Error),
    );
    return Promise.all(signing).then((made) => {
      const { fields, faults } = signatureFields(signatures, made);
      return { content: fields === '' ? copy : Buffer.concat([Buffer.from(fields), copy]), faults };
    });
  }

  async close(): Promise<void> {}

  #plan(content: Buffer, settings: TrackingSettings): TrackingPlan {
    const key = JSON.stringify(settings);
    const known = this.#planned.get(content);
    if (known?.settings === key) return known.plan;
    const plan = planTracking(content, settings);
    this.#planned.set(content, { settings: key, plan });
    return plan;
  }
}
