import type { HeaderField } from '../mail/header.ts';
import { type MimePart, parseMime } from '../mail/mime.ts';
import { findHtmlEdits, type LinkToWrap, type TextEdit } from './html-rewrite.ts';
import { type LinkPolicy, type LinkSkip, listUnsubscribeUrls } from './link-target.ts';
import { type PlannedPart, planPart } from './part-plan.ts';
import { type PartFault, readPartText } from './part-text.ts';
import { findTextEdits } from './text-rewrite.ts';

/** What tracking does with a message, the same for all its recipients. */
export interface TrackingSettings {
  readonly opens: boolean;
  readonly initialOpens: boolean;
  readonly clicks: boolean;
  readonly scheme: 'http' | 'https';
  /** Tracking domain, `host` or `host:port`. */
  readonly host: string;
  /** Further tracking domains of ours, whose URLs are never wrapped either. */
  readonly otherHosts?: readonly string[];
  /** Wrap links in the first plain text part too; default no. */
  readonly textLinks?: boolean;
  /** Track AMP parts (only with `https`); default no. */
  readonly amp?: boolean;
  /** Wrap links in `<!--[if mso]>` comments; default no. */
  readonly msoConditionals?: boolean;
  /** Domain patterns of targets that are never wrapped. */
  readonly excludeDomains?: readonly string[];
  /** Octets; larger messages pass unchanged. Default 10 MiB. */
  readonly maxSize?: number;
  /** What happens to mail that is signed already; `rewrite` takes its DKIM signatures off. Default `skip`. */
  readonly signedMessages?: 'skip' | 'rewrite';
  /** Add List-Unsubscribe (and List-Unsubscribe-Post with `https`) where the message has none; default no. */
  readonly listUnsubscribe?: boolean;
  /** Envelope sender, when known: '' is a report, and reports are never tracked. */
  readonly sender?: string;
}

/** Why a whole message passes unchanged. */
export type TrackingSkip =
  | 'nothing to do'
  | 'no tracking domain'
  | 'no key'
  | 'report'
  | 'signed or encrypted'
  | 'already signed'
  | 'size'
  | 'nesting'
  | 'too many parts'
  | 'error';

/** A range of the message that changes: a header field that goes or becomes another, or a part's body. */
export type PlannedChange =
  | { readonly start: number; readonly end: number; readonly kind: 'field'; readonly text: string }
  /** The Content-Transfer-Encoding of a part that may have to become quoted-printable. */
  | { readonly start: number; readonly end: number; readonly kind: 'encoding'; readonly part: PlannedPart }
  | { readonly start: number; readonly end: number; readonly kind: 'body'; readonly part: PlannedPart }
  | { readonly start: number; readonly end: number; readonly kind: 'list-unsubscribe' };

/** A message read once: where its links and pixels go. Holds views of the message, not copies. */
export interface TrackingPlan {
  readonly raw: Buffer;
  readonly settings: TrackingSettings;
  readonly skipped: TrackingSkip | null;
  /** What made planning fail, for the log; the message is delivered as it is. */
  readonly error: unknown;
  /** In order, not overlapping. */
  readonly changes: readonly PlannedChange[];
  readonly links: readonly PlannedLink[];
  /** Links and parts that were left alone, by reason. */
  readonly left: ReadonlyMap<LinkSkip | PartFault, number>;
}

export interface PlannedLink extends LinkToWrap {
  /** From 1, in the order of the message. */
  readonly index: number;
  readonly amp: boolean;
}

const LARGEST = 10 * 1024 * 1024;
/** Each link costs a cipher and an HMAC per recipient: a message made of links must not hold up all others. */
const MOST_LINKS = 2000;
const STALE_FIELDS = new Set(['content-md5', 'content-length', 'lines']);
const OPAQUE_MULTIPARTS = new Set([
  'multipart/signed',
  'multipart/encrypted',
  'multipart/report',
  'multipart/digest',
]);
const OPAQUE_MESSAGES = new Set([
  'multipart/signed',
  'multipart/encrypted',
  'application/pkcs7-mime',
  'application/x-pkcs7-mime',
]);

/**
 * Reads a message and decides what tracking changes in it. Never throws: whatever goes wrong, the message is to be
 * delivered as it is, and `skipped` says why.
 */
export function planTracking(raw: Buffer, settings: TrackingSettings): TrackingPlan {
  const nothing = { raw, settings, error: null, changes: [], links: [], left: new Map() };
  try {
    const reason = reasonToSkip(raw, settings);
    if (reason) return { ...nothing, skipped: reason };
    const root = parseMime(raw);
    if (root.type === 'multipart/report') return { ...nothing, skipped: 'report' };
    if (OPAQUE_MESSAGES.has(root.type)) return { ...nothing, skipped: 'signed or encrypted' };
    const signed = root.header.fields.filter((f) => SIGNATURES.has(f.key));
    if (signed.length > 0 && settings.signedMessages !== 'rewrite')
      return { ...nothing, skipped: 'already signed' };
    const fault = deepFault(root);
    if (fault) return { ...nothing, skipped: fault };
    return new Planner(raw, settings, root).plan();
  } catch (error) {
    return { ...nothing, skipped: 'error', error };
  }
}

const SIGNATURES = new Set(['dkim-signature', 'arc-seal', 'arc-message-signature']);

function reasonToSkip(raw: Buffer, settings: TrackingSettings): TrackingSkip | null {
  if (!settings.opens && !settings.initialOpens && !settings.clicks && !settings.listUnsubscribe) {
    return 'nothing to do';
  }
  if (settings.host === '' || !URL.canParse(`${settings.scheme}://${settings.host}/`))
    return 'no tracking domain';
  if (settings.sender === '') return 'report';
  return raw.length > (settings.maxSize ?? LARGEST) ? 'size' : null;
}

/** Faults of any part that make the whole message too odd to touch. */
function deepFault(part: MimePart): 'nesting' | 'too many parts' | null {
  if (part.fault === 'nesting' || part.fault === 'too many parts') return part.fault;
  for (const child of part.parts) {
    const fault = deepFault(child);
    if (fault) return fault;
  }
  return null;
}

class Planner {
  readonly #raw: Buffer;
  readonly #settings: TrackingSettings;
  readonly #root: MimePart;
  readonly #policy: LinkPolicy;
  readonly #changes: PlannedChange[] = [];
  readonly #links: PlannedLink[] = [];
  readonly #left = new Map<LinkSkip | PartFault, number>();
  #htmlSeen = false;
  #textSeen = false;

  constructor(raw: Buffer, settings: TrackingSettings, root: MimePart) {
    this.#raw = raw;
    this.#settings = settings;
    this.#root = root;
    const hosts = new Set<string>();
    for (const host of [settings.host, ...(settings.otherHosts ?? [])]) {
      // A URL's host has no default port, so ours must be compared without it under either scheme.
      for (const scheme of ['http', 'https']) {
        const url = URL.parse(`${scheme}://${host}/`);
        if (url) hosts.add(url.host);
      }
    }
    this.#policy = {
      trackingHosts: hosts,
      excludeDomains: settings.excludeDomains ?? [],
      listUnsubscribe: new Set(
        root.header.all('list-unsubscribe').flatMap((f) => listUnsubscribeUrls(root.header.value(f))),
      ),
    };
  }

  plan(): TrackingPlan {
    this.#visit(this.#root, null);
    const { header } = this.#root;
    if (
      this.#settings.listUnsubscribe &&
      header.bodyStart > header.end &&
      !header.find('list-unsubscribe') &&
      !header.find('list-unsubscribe-post')
    ) {
      this.#changes.push({ start: header.end, end: header.end, kind: 'list-unsubscribe' });
    }
    if (this.#changes.length > 0) {
      for (const field of header.all('dkim-signature')) this.#dropField(field);
    }
    // An insertion at the end of a header comes before the body's change at the same offset.
    this.#changes.sort((a, b) => a.start - b.start || a.end - b.end);
    return {
      raw: this.#raw,
      settings: this.#settings,
      skipped: null,
      error: null,
      changes: this.#changes,
      links: this.#links,
      left: this.#left,
    };
  }

  /** Whether anything in the part changes. */
  #visit(part: MimePart, parent: MimePart | null): boolean {
    if (part.fault || OPAQUE_MULTIPARTS.has(part.type)) return false;
    let changed = false;
    if (part.parts.length > 0) {
      for (const child of part.parts) changed = this.#visit(child, part) || changed;
    } else {
      changed = this.#visitLeaf(part, parent);
    }
    if (changed)
      for (const field of part.header.fields) if (STALE_FIELDS.has(field.key)) this.#dropField(field);
    return changed;
  }

  #visitLeaf(part: MimePart, parent: MimePart | null): boolean {
    if (part.disposition === 'attachment' || part.filename !== '') return false;
    // Without the empty line after the header there is no place for a body.
    if (part.header.bodyStart === part.header.end) return false;
    const kind = this.#kindOf(part, parent);
    if (!kind) return false;
    const text = readPartText(this.#raw, part);
    if (typeof text === 'string') return this.#leave(text);
    // Inline PGP: what is changed inside the armour cannot be verified or decrypted any more.
    if (hasPgpArmour(text.ascii)) return false;

    const mostLinks = MOST_LINKS - this.#links.length;
    const { edits, skipped } =
      kind === 'text'
        ? findTextEdits(text.ascii, {
            links: this.#settings.clicks && this.#settings.textLinks === true,
            mostLinks,
            policy: this.#policy,
          })
        : findHtmlEdits(text.ascii, {
            clicks: this.#settings.clicks,
            mostLinks,
            initialPixel: this.#settings.initialOpens && (kind === 'amp' || !this.#htmlSeen),
            pixel: this.#settings.opens && (kind === 'amp' || !this.#htmlSeen),
            msoConditionals: this.#settings.msoConditionals === true,
            policy: this.#policy,
            decode: text.decode,
          });
    if (kind === 'html') this.#htmlSeen = true;
    if (kind === 'text') this.#textSeen = true;
    for (const [reason, count] of skipped) this.#left.set(reason, (this.#left.get(reason) ?? 0) + count);
    if (edits.length === 0) return false;
    const planned = planPart(this.#raw, part, text, edits, kind, (edit) => this.#number(edit, kind));
    this.#changes.push({ start: part.bodyStart, end: part.bodyEnd, kind: 'body', part: planned });
    const encoding = part.header.find('content-transfer-encoding');
    this.#changes.push({
      start: encoding?.start ?? part.header.end,
      end: encoding?.end ?? part.header.end,
      kind: 'encoding',
      part: planned,
    });
    return true;
  }

  #kindOf(part: MimePart, parent: MimePart | null): 'html' | 'amp' | 'text' | null {
    const { opens, initialOpens, clicks } = this.#settings;
    if (!opens && !initialOpens && !clicks) return null;
    if (part.type === 'text/html') return 'html';
    if (part.type === 'text/plain') return this.#textSeen ? null : 'text';
    if (part.type !== 'text/x-amp-html' || !this.#settings.amp || this.#settings.scheme !== 'https')
      return null;
    return parent?.type === 'multipart/alternative' ? 'amp' : null;
  }

  #leave(reason: PartFault): false {
    this.#left.set(reason, (this.#left.get(reason) ?? 0) + 1);
    return false;
  }

  #number(edit: TextEdit & { kind: 'link' }, kind: 'html' | 'amp' | 'text'): PlannedLink {
    const link = { ...edit.link, index: this.#links.length + 1, amp: kind === 'amp' };
    this.#links.push(link);
    return link;
  }

  #dropField(field: HeaderField): void {
    this.#changes.push({ start: field.start, end: field.end, kind: 'field', text: '' });
  }
}

/** Looks for the words first: a search that begins with dashes stops at each of those that markup is full of. */
function hasPgpArmour(text: Uint8Array): boolean {
  const octets = Buffer.from(text.buffer, text.byteOffset, text.length);
  return octets.includes('BEGIN PGP ', 0, 'latin1') && octets.includes('-----BEGIN PGP ', 0, 'latin1');
}
