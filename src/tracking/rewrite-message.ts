import { headerField } from '../mail/header.ts';
import type { KeyRing } from './key-ring.ts';
import {
  type FilledPart,
  fillPart,
  joinPieces,
  type Piece,
  type PlannedPart,
  type Slot,
} from './part-plan.ts';
import { sealToken, type TrackingToken } from './token.ts';
import {
  type PlannedLink,
  planTracking,
  type TrackingPlan,
  type TrackingSettings,
  type TrackingSkip,
} from './tracking-plan.ts';

/** What the URLs of one recipient's copy say. */
export interface TrackedCopy {
  readonly ring: Pick<KeyRing, 'active'>;
  readonly messageId: string;
  /** Envelope recipient; with `anonymised`, its SHA-1 in hexadecimal, `@`, its domain. */
  readonly recipient: string;
  readonly anonymised?: boolean;
  /** 0 is the primary account. */
  readonly subaccount: number;
  readonly campaign: string;
  /** Unix seconds after which links report nothing any more. */
  readonly expiry: number;
}

export interface TrackedMessage {
  /** The message itself, not a copy, when nothing changed. */
  readonly content: Buffer;
  readonly changed: boolean;
  /** Wrapped links: their place in the message, where they lead, and their names. */
  readonly links: readonly { readonly index: number; readonly url: string; readonly name: string }[];
  /** Why the message was left alone as a whole. */
  readonly skipped?: TrackingSkip;
}

/**
 * Wraps links and inserts pixels for one recipient. Fails open: a message that cannot be tracked comes back as it is.
 * Many recipients of one message are served faster by one `planTracking` and an `applyTracking` each.
 */
export function trackMessage(raw: Buffer, options: TrackingSettings & TrackedCopy): TrackedMessage {
  return applyTracking(planTracking(raw, options), options);
}

/** Makes one recipient's copy of a planned message: the same plan and copy give the same octets. Never throws. */
export function applyTracking(plan: TrackingPlan, copy: TrackedCopy): TrackedMessage {
  const unchanged = { content: plan.raw, changed: false, links: [] };
  if (plan.skipped) return { ...unchanged, skipped: plan.skipped };
  if (plan.changes.length === 0) return unchanged;
  if (!copy.ring.active) return { ...unchanged, skipped: 'no key' };
  try {
    return { content: new CopyMaker(plan, copy).make(), changed: true, links: plan.links.map(listed) };
  } catch {
    return { ...unchanged, skipped: 'error' };
  }
}

function listed(link: PlannedLink): { index: number; url: string; name: string } {
  return { index: link.index, url: link.target, name: link.name };
}

class CopyMaker {
  readonly #plan: TrackingPlan;
  readonly #copy: TrackedCopy;
  readonly #base: string;
  readonly #common: TrackingToken;

  constructor(plan: TrackingPlan, copy: TrackedCopy) {
    this.#plan = plan;
    this.#copy = copy;
    this.#base = `${plan.settings.scheme}://${plan.settings.host}`;
    this.#common = {
      action: 'open',
      amp: false,
      expiry: copy.expiry,
      subaccount: copy.subaccount,
      messageId: copy.messageId,
      recipient: copy.recipient,
      anonymised: copy.anonymised ?? false,
      linkIndex: 0,
      linkName: '',
      campaign: copy.campaign,
      target: '',
      unsubscribe: false,
      openTracking: plan.settings.opens,
      initialPixel: plan.settings.initialOpens,
      clickTracking: plan.settings.clicks,
    };
  }

  make(): Buffer {
    const { raw, changes } = this.#plan;
    const filled = new Map<PlannedPart, FilledPart>();
    const bodyOf = (change: { part: PlannedPart }) => {
      let made = filled.get(change.part);
      if (!made) {
        made = fillPart(change.part, (slot) => this.#fill(slot));
        filled.set(change.part, made);
      }
      return made;
    };
    const out: Piece[] = [];
    let kept = 0;
    for (const change of changes) {
      if (change.start > kept) out.push(raw.subarray(kept, change.start));
      kept = change.end;
      if (change.kind === 'body') out.push(...bodyOf(change).body);
      else if (change.kind === 'list-unsubscribe') out.push(Buffer.from(this.#listUnsubscribe()));
      else if (change.kind === 'field') out.push(Buffer.from(change.text));
      else if (bodyOf(change).becameQuotedPrintable) out.push(QUOTED_PRINTABLE);
      else out.push(raw.subarray(change.start, change.end));
    }
    out.push(raw.subarray(kept));
    return joinPieces(out);
  }

  #fill(slot: Slot): string | null {
    if (slot.kind === 'link') {
      const link = slot.link!;
      const url = this.#url('f', link.sub, {
        ...this.#common,
        action: 'click',
        amp: link.amp,
        linkIndex: link.index,
        linkName: link.name,
        target: link.target,
        unsubscribe: link.unsubscribe,
      });
      return url !== null && slot.quoted ? `"${url}"` : url;
    }
    const initial = slot.kind === 'initial-pixel';
    const url = this.#url('q', '', {
      ...this.#common,
      action: initial ? 'initial_open' : 'open',
      amp: slot.amp,
    });
    if (url === null) return '';
    if (slot.amp) return `<amp-img src="${url}" width="1" height="1" layout="fixed" alt=""></amp-img>`;
    if (!initial) return `<img border="0" width="1" height="1" alt="" src="${url}">`;
    return `<div style="${HIDDEN}"><img border="0" width="1" height="1" alt="" src="${url}"/></div>`;
  }

  #listUnsubscribe(): string {
    const url = this.#url('u', '', { ...this.#common, action: 'unsubscribe' });
    if (url === null) return '';
    const field = headerField('List-Unsubscribe', `<${url}>`);
    // RFC 8058 section 3.1: one click is for https only.
    return this.#plan.settings.scheme === 'https'
      ? `${field}${headerField('List-Unsubscribe-Post', 'List-Unsubscribe=One-Click')}`
      : field;
  }

  #url(kind: 'f' | 'q' | 'u', sub: string, token: TrackingToken): string | null {
    const sealed = sealToken(this.#copy.ring.active!, kind, sub, token);
    if (sealed === null) return null;
    return `${this.#base}/${kind}/${kind === 'f' ? `${sub}/` : ''}${sealed}`;
  }
}

const QUOTED_PRINTABLE = Buffer.from('Content-Transfer-Encoding: quoted-printable\r\n');

/** Adds nothing visible above the text that an inbox shows as preview. */
const HIDDEN =
  'color:transparent;visibility:hidden;opacity:0;font-size:0;line-height:0;max-height:1px;width:1px;' +
  'border:0;margin:0;padding:0;display:none';
