import { createHash, hash, type KeyObject, sign } from 'node:crypto';
import type { SigningKey } from './dkim-key.ts';
import { Header, type HeaderField } from './header.ts';

// A signer of our own, although a library for authentication is at hand and checks these signatures in the tests:
// PowerMTA's options (i=, x=, q=, a second signature over the same body, names signed once more than they occur, its
// own fixed and forbidden sets of fields, names by pattern) are not all to be had there, and one body hash serves all
// signatures here.

export type Canonicalization = 'simple' | 'relaxed';

/** A RegExp, or anything that tests names like one. */
export type NamePattern = Pick<RegExp, 'test'>;

/** One signature's settings: the `dkim-…` directives of a queue, with the key that was chosen for the message. */
export interface DkimSettings {
  readonly key: SigningKey;
  /** d=, in A-labels. */
  readonly domain: string;
  /** s= */
  readonly selector: string;
  /** i=, `user@domain` or `@domain`; left out when '' or not within `domain`, which verifiers would refuse. */
  readonly identity?: string;
  /** `sha1` is PowerMTA's `rsa-sha1`; RFC 8301 forbids it, so only on request and only with RSA. */
  readonly digest?: 'sha256' | 'sha1';
  readonly headerCanonicalization?: Canonicalization;
  readonly bodyCanonicalization?: Canonicalization;
  /** t= */
  readonly addTimestamp?: boolean;
  /** x=, seconds from signing. */
  readonly expireAfter?: number;
  /** l=, the whole canonical body. */
  readonly addBodyLength?: boolean;
  /** q= */
  readonly queryMethod?: string;
  /** Names and patterns of names signed beside the fixed set (`dkim-headers`). */
  readonly headers?: readonly (string | NamePattern)[];
  /** Names listed once more than they occur (`dkim-disallow-adding-headers`). */
  readonly disallowAdding?: readonly string[];
}

/** PowerMTA guide: always signed when present. */
const ALWAYS_SIGNED: ReadonlySet<string> = new Set(
  (
    'cc content-description content-id content-transfer-encoding content-type date from in-reply-to list-archive ' +
    'list-help list-id list-owner list-post list-subscribe list-unsubscribe message-id mime-version references ' +
    'reply-to resent-cc resent-date resent-from resent-message-id resent-sender resent-to sender subject to'
  ).split(' '),
);

/** PowerMTA guide: never signed, whoever asks for it. */
const NEVER_SIGNED: ReadonlySet<string> = new Set(
  'bcc comments dkim-signature keywords received resent-bcc return-path'.split(' '),
);

/** Verifiers give up on endless h= lists before this. */
const MOST_SIGNED_FIELDS = 500;

/** A message about to be signed, once or twice: its header is read and each form of its body is hashed only once. */
export class SignableMessage {
  readonly header: Header;
  readonly #body: Buffer;
  readonly #bodies = new Map<string, { hash: string; length: number }>();

  /** `raw` must have CRLF line ends, as it will be transmitted. */
  constructor(raw: Buffer) {
    this.header = new Header(raw);
    this.#body = raw.subarray(this.header.bodyStart);
  }

  /**
   * A complete DKIM-Signature field (RFC 6376), folded, with its line ending, to be put above the message; `null` if
   * the message has more fields than a signature may list. `now` in milliseconds.
   */
  sign(settings: DkimSettings, now: number): string | null {
    const unsigned = this.#unsigned(settings, now);
    if (unsigned === null) return null;
    return withSignature(unsigned.field, sign(unsigned.digest, unsigned.data, settings.key.key));
  }

  /**
   * The same, with a signature of RSA made in the thread pool, which takes a third of a millisecond. One of Ed25519 takes
   * 0.03, as much as it costs to wake a thread and to hear of it.
   */
  async signAsync(settings: DkimSettings, now: number): Promise<string | null> {
    const { key } = settings.key;
    if (key.asymmetricKeyType === 'ed25519') return this.sign(settings, now);
    const unsigned = this.#unsigned(settings, now);
    if (unsigned === null) return null;
    return withSignature(unsigned.field, await signInPool(unsigned.digest, unsigned.data, key));
  }

  #unsigned(s: DkimSettings, now: number): { field: string; data: Buffer; digest: string | null } | null {
    const digest = s.key.type === 'rsa' && s.digest === 'sha1' ? 'sha1' : 'sha256';
    const headerCanon = s.headerCanonicalization ?? 'relaxed';
    const bodyCanon = s.bodyCanonicalization ?? 'relaxed';
    const chosen = chooseFields(this.header, s.headers ?? [], s.disallowAdding ?? []);
    if (chosen === null) return null;

    const body = this.#hashBody(bodyCanon, digest);
    const seconds = Math.floor(now / 1000);
    const tags = [
      `v=1; a=${s.key.type}-${digest}; c=${headerCanon}/${bodyCanon}; d=${s.domain}; s=${s.selector}`,
    ];
    const identity = identityTag(s.identity ?? '', s.domain);
    if (identity !== '') tags.push(`i=${identity}`);
    if (s.addTimestamp) tags.push(`t=${seconds}`);
    if (s.expireAfter !== undefined) tags.push(`x=${seconds + s.expireAfter}`);
    if (s.queryMethod) tags.push(`q=${s.queryMethod.replace(/[^\x21-\x3a\x3c-\x7e]/g, '')}`);
    if (s.addBodyLength) tags.push(`l=${body.length}`);
    tags.push(`h=${foldList(chosen.names)}`, `bh=${body.hash}`, 'b=');
    const field = `DKIM-Signature: ${tags.join(';\r\n\t')}`;

    const signed: Buffer[] = [];
    for (const f of chosen.fields) signed.push(canonicalField(this.header, f, headerCanon));
    signed.push(
      Buffer.from(headerCanon === 'simple' ? field : relaxedField('dkim-signature', field.slice(15))),
    );
    const data = Buffer.concat(signed);
    // RFC 8463: Ed25519 signs the SHA-256 of the data, and the primitive takes no digest of its own.
    if (s.key.type === 'ed25519') return { field, data: hash('sha256', data, 'buffer'), digest: null };
    return { field, data, digest };
  }

  #hashBody(canon: Canonicalization, digest: string): { hash: string; length: number } {
    const key = `${canon} ${digest}`;
    let made = this.#bodies.get(key);
    if (!made) {
      const canonical = canon === 'simple' ? simpleBody(this.#body) : relaxedBody(this.#body);
      const hashed = createHash(digest).update(canonical[0]).update(canonical[1]).digest('base64');
      made = { hash: hashed, length: canonical[0].length + canonical[1].length };
      this.#bodies.set(key, made);
    }
    return made;
  }
}

function signInPool(digest: string | null, data: Buffer, key: KeyObject): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    sign(digest, data, key, (error, made) => (error ? reject(error) : resolve(made)));
  });
}

/**
 * Which fields are signed and the names of h=. A name stands once per occurrence, and verifiers take occurrences from
 * the bottom up (RFC 6376 section 5.4.2), so fields are put in that order.
 */
function chooseFields(
  header: Header,
  extra: readonly (string | NamePattern)[],
  disallow: readonly string[],
): { names: string[]; fields: HeaderField[] } | null {
  if (header.truncated) return null;
  const once = new Set<string>();
  for (const name of disallow) if (!NEVER_SIGNED.has(name.toLowerCase())) once.add(name.toLowerCase());
  const extraNames = new Set<string>();
  const patterns: NamePattern[] = [];
  for (const item of extra) {
    if (typeof item === 'string') extraNames.add(item.toLowerCase());
    else patterns.push(item);
  }
  const found = new Map<string, HeaderField[]>();
  for (const field of header.fields) {
    const key = field.key;
    if (key === '' || key.includes(';') || NEVER_SIGNED.has(key)) continue;
    const same = found.get(key);
    if (same) same.push(field);
    else if (
      ALWAYS_SIGNED.has(key) ||
      once.has(key) ||
      extraNames.has(key) ||
      patterns.some((pattern) => pattern.test(field.name))
    ) {
      found.set(key, [field]);
    }
  }
  // RFC 6376 section 5.4: From must be listed; listed without being there it forbids adding one.
  if (!found.has('from')) once.add('from');
  const names: string[] = [];
  const fields: HeaderField[] = [];
  for (const [key, same] of found) {
    for (const field of same.reverse()) {
      names.push(key);
      fields.push(field);
    }
    if (once.delete(key)) names.push(key);
  }
  names.push(...once);
  return names.length > MOST_SIGNED_FIELDS ? null : { names, fields };
}

/** i= in dkim-quoted-printable (RFC 6376 section 2.11). */
function identityTag(identity: string, domain: string): string {
  const at = identity.lastIndexOf('@');
  if (at < 0) return '';
  const identityDomain = identity.slice(at + 1).toLowerCase();
  const key = domain.toLowerCase();
  if (identityDomain !== key && !identityDomain.endsWith(`.${key}`)) return '';
  let local = '';
  for (const octet of Buffer.from(identity.slice(0, at))) {
    const safe = octet > 0x20 && octet < 0x7f && octet !== 0x3b && octet !== 0x3d;
    local += safe ? String.fromCharCode(octet) : `=${octet.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return `${local}@${identityDomain}`;
}

/** h= with breaks before colons' successors, where RFC 6376 allows white space. */
function foldList(names: readonly string[]): string {
  let out = '';
  let column = 12;
  for (const [i, name] of names.entries()) {
    const item = i === 0 ? name : `:${name}`;
    if (i > 0 && column + item.length > 74) {
      out += `:\r\n\t${name}`;
      column = 8 + name.length;
    } else {
      out += item;
      column += item.length;
    }
  }
  return out;
}

function withSignature(field: string, signature: Buffer): string {
  const lines = signature.toString('base64').match(/.{1,68}/g) ?? [];
  return `${field}${lines.join('\r\n\t')}\r\n`;
}

function canonicalField(header: Header, field: HeaderField, canon: Canonicalization): Buffer {
  if (canon === 'simple') {
    const raw = header.raw.subarray(field.start, field.end);
    return raw.at(-1) === 0x0a ? raw : Buffer.concat([raw, Buffer.from('\r\n')]);
  }
  // Latin-1 keeps every octet on the way there and back.
  const value = header.raw.toString('latin1', field.valueStart, field.end);
  return Buffer.from(`${relaxedField(field.key, value)}\r\n`, 'latin1');
}

/** RFC 6376 section 3.4.2, without the final CRLF. */
function relaxedField(key: string, value: string): string {
  const unfolded = value.replace(/\r\n(?=[ \t]|$)/g, '').replace(/[ \t]+/g, ' ');
  return `${key}:${unfolded.replace(/^ /, '').replace(/ $/, '')}`;
}

const CRLF = Buffer.from('\r\n');
const NOTHING = Buffer.alloc(0);

/** RFC 6376 section 3.4.3: the body and what has to follow it. */
function simpleBody(body: Buffer): [Buffer, Buffer] {
  let end = body.length;
  while (end >= 2 && body[end - 1] === 0x0a && body[end - 2] === 0x0d) end -= 2;
  return [body.subarray(0, end), CRLF];
}

/** RFC 6376 section 3.4.4. Copies only from the first octet that has to go. */
function relaxedBody(body: Buffer): [Buffer, Buffer] {
  const clean = canonicalPrefix(body);
  let out = body;
  let end = body.length;
  if (clean < body.length) {
    out = Buffer.allocUnsafe(body.length);
    body.copy(out, 0, 0, clean);
    end = clean;
    let blank = false;
    for (let i = clean; i < body.length; i++) {
      const c = body[i]!;
      if (c === 0x20 || c === 0x09) {
        blank = true;
        continue;
      }
      if (blank) {
        if (!(c === 0x0d && body[i + 1] === 0x0a)) out[end++] = 0x20;
        blank = false;
      }
      out[end++] = c;
    }
    // Blanks at the very end belong to a last line without CRLF, and go like those before one.
  }
  while (end >= 2 && out[end - 1] === 0x0a && out[end - 2] === 0x0d) end -= 2;
  return end === 0 ? [NOTHING, NOTHING] : [out.subarray(0, end), CRLF];
}

/** How many octets of the body are the same in relaxed form; never inside a run of white space. */
function canonicalPrefix(body: Buffer): number {
  for (let i = 0; i < body.length; i++) {
    const c = body[i]!;
    if (c === 0x09) return i > 0 && body[i - 1] === 0x20 ? i - 1 : i;
    if (c === 0x20) {
      const next = body[i + 1];
      if (next === undefined || next === 0x20 || next === 0x09 || next === 0x0d) return i;
    }
  }
  return body.length;
}
