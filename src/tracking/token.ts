import { createCipheriv, createDecipheriv, hash } from 'node:crypto';
import type { KeyRing, TrackingKey } from './key-ring.ts';

/** The first path segment of a tracked URL: `f` click, `q` pixel, `u` unsubscribe. */
export type TokenKind = 'f' | 'q' | 'u';

export type TokenAction = 'initial_open' | 'open' | 'click' | 'unsubscribe';

/** Everything a tracked URL says; nobody can read or make it without the key ring. */
export interface TrackingToken {
  readonly action: TokenAction;
  /** The URL stands in an AMP part. */
  readonly amp: boolean;
  /** Unix seconds; afterwards links still lead to their target but report nothing. */
  readonly expiry: number;
  /** 0 is the primary account. */
  readonly subaccount: number;
  /** 20 hexadecimal digits, or any text up to 512 octets. */
  readonly messageId: string;
  /** The address; with `anonymised`, its SHA-1 in hexadecimal, `@`, its domain. */
  readonly recipient: string;
  readonly anonymised: boolean;
  /** Position of the link in the message, from 1; 0 for pixels. */
  readonly linkIndex: number;
  /** At most 63 octets of UTF-8; '' for a link without a name. */
  readonly linkName: string;
  /** At most 64 octets of UTF-8. */
  readonly campaign: string;
  /** The original URL; '' for pixels and unsubscribe tokens. */
  readonly target: string;
  /** A click also unsubscribes (`data-msys-unsubscribe`). */
  readonly unsubscribe: boolean;
  /** What was tracked in this message, for the fields of its events. */
  readonly openTracking: boolean;
  readonly initialPixel: boolean;
  readonly clickTracking: boolean;
}

export type TokenFault = 'malformed' | 'unknown key' | 'revoked key' | 'forged';

const VERSION = 1;
const NONCE = 12;
const TAG = 16;
const HEAD = 2 + NONCE;
/** Longest token that is looked at, in characters. */
export const LONGEST_TOKEN = 6 * 1024;
/** Longest target of a link, in octets. */
export const LONGEST_TARGET = 4096;

const ACTIONS: readonly TokenAction[] = ['initial_open', 'open', 'click', 'unsubscribe'];
const AMP = 16;

const FLAG_UNSUBSCRIBE = 1;
const FLAG_ANONYMISED = 2;
// Bit 2 is kept for targets that are stored elsewhere.
const FLAG_TEXT_ID = 8;
const FLAG_OPENS = 16;
const FLAG_INITIAL = 32;
const FLAG_CLICKS = 64;

/** Associated data: a token is good for one key, one kind of URL and one sub-path only. */
function associatedData(keyId: number, kind: TokenKind, sub: string): string {
  return `${String.fromCharCode(VERSION, keyId)}${kind}${sub}`;
}

/**
 * Where tokens are made, one at a time: a newsletter has dozens for each recipient, and a buffer of their own for each
 * of their parts would cost more than their cipher. `clear` takes all that is hashed: nonce key, associated data, text.
 */
const clear = Buffer.allocUnsafeSlow(8 * 1024);
const sealed = Buffer.allocUnsafeSlow(8 * 1024);
const nonce = sealed.subarray(2, HEAD);
/** The longest text leaves this much of `clear` for key and associated data. */
const MOST_BEFORE_TEXT = 2 * 1024;

/**
 * Makes a token: base64url of version, key id, nonce, AES-256-GCM of the text, tag. The nonce is a keyed hash of everything
 * that is encrypted and authenticated: the same link gives the same URL, and no nonce ever serves two texts. It is
 * SHA-256 of key and text in one call, at a third of an HMAC's price; cut to 96 bits it cannot be extended.
 * `sub` is the path segment after `/f/`, '' for other kinds. `null` if the token would be longer than `openToken` takes.
 */
export function sealToken(
  key: TrackingKey,
  kind: TokenKind,
  sub: string,
  token: TrackingToken,
): string | null {
  const aad = associatedData(key.id, kind, sub);
  const aadStart = key.nonceKey.length;
  const textStart = aadStart + aad.length;
  if (textStart > MOST_BEFORE_TEXT) throw new RangeError('the path of a tracked URL is too long');
  clear.set(key.nonceKey);
  clear.write(aad, aadStart, 'latin1');
  const textEnd = encode(token, clear, textStart);

  sealed[0] = VERSION;
  sealed[1] = key.id;
  // A hash as text is made for a fraction of what it costs as a buffer.
  nonce.write(hash('sha256', clear.subarray(0, textEnd), 'binary'), 0, NONCE, 'latin1');
  // The tag has 16 octets unless another length is asked for, which costs time.
  const cipher = createCipheriv('aes-256-gcm', key.secret, nonce);
  cipher.setAAD(clear.subarray(aadStart, textStart));
  sealed.set(cipher.update(clear.subarray(textStart, textEnd)), HEAD);
  cipher.final();
  const tagStart = HEAD + textEnd - textStart;
  sealed.set(cipher.getAuthTag(), tagStart);
  const text = sealed.toString('base64url', 0, tagStart + TAG);
  return text.length > LONGEST_TOKEN ? null : text;
}

/** Opens a token; nothing of it is read before it is authenticated. */
export function openToken(
  ring: KeyRing,
  kind: TokenKind,
  sub: string,
  token: string,
): TrackingToken | TokenFault {
  if (token.length > LONGEST_TOKEN || token.length < 60) return 'malformed';
  const raw = Buffer.from(token, 'base64url');
  // The decoder skips strange characters and spare bits; only the one canonical spelling is a token.
  if (raw.length <= HEAD + TAG || raw[0] !== VERSION || raw.toString('base64url') !== token)
    return 'malformed';
  const key = ring.get(raw[1]!);
  if (!key) return 'unknown key';
  if (key.state === 'revoked') return 'revoked key';
  const decipher = createDecipheriv('aes-256-gcm', key.secret, raw.subarray(2, HEAD), { authTagLength: TAG });
  decipher.setAAD(Buffer.from(associatedData(key.id, kind, sub), 'latin1'));
  decipher.setAuthTag(raw.subarray(raw.length - TAG));
  const text = decipher.update(raw.subarray(HEAD, raw.length - TAG));
  try {
    decipher.final();
  } catch {
    return 'forged';
  }
  return decode(text) ?? 'malformed';
}

/** `text` in at most `most` octets of UTF-8, cut between characters. */
export function cutUtf8(text: string, most: number): string {
  if (text.length * 3 <= most || Buffer.byteLength(text) <= most) return text;
  const bytes = Buffer.from(text);
  let end = most;
  while (end > 0 && (bytes[end]! & 0xc0) === 0x80) end--;
  return bytes.toString('utf8', 0, end);
}

const RAW_ID = /^[0-9a-f]{20}$/;

/** Writes the text of a token to `out` from `start` on and returns its end: at most 6 KiB. */
function encode(token: TrackingToken, out: Buffer, start: number): number {
  const rawId = RAW_ID.test(token.messageId);
  const target = Buffer.byteLength(token.target);
  if (target > LONGEST_TARGET) throw new RangeError('a tracked target has at most 4096 octets');
  out[start] = ACTIONS.indexOf(token.action) + 1 + (token.amp ? AMP : 0);
  out[start + 1] =
    (token.unsubscribe ? FLAG_UNSUBSCRIBE : 0) |
    (token.anonymised ? FLAG_ANONYMISED : 0) |
    (rawId ? 0 : FLAG_TEXT_ID) |
    (token.openTracking ? FLAG_OPENS : 0) |
    (token.initialPixel ? FLAG_INITIAL : 0) |
    (token.clickTracking ? FLAG_CLICKS : 0);
  out.writeUInt32BE(Math.min(token.expiry, 0xffffffff) >>> 0, start + 2);
  let at = out.writeUInt32BE(token.subaccount >>> 0, start + 6);
  if (rawId) {
    out[at] = 10;
    at += 1 + out.write(token.messageId, at + 1, 'hex');
  } else {
    const id = cutUtf8(token.messageId, 512);
    const length = Buffer.byteLength(id);
    // One octet cannot tell the 512 that a custom id may have: 255 announces two more.
    out[at++] = Math.min(length, 255);
    if (length >= 255) at = out.writeUInt16BE(length, at);
    at += out.write(id, at);
  }
  let length = out.write(cutUtf8(token.recipient, 1024), at + 2);
  at = out.writeUInt16BE(length, at) + length;
  at = out.writeUInt16BE(token.linkIndex & 0xffff, at);
  length = out.write(cutUtf8(token.linkName, 63), at + 1);
  out[at] = length;
  at += 1 + length;
  length = out.write(cutUtf8(token.campaign, 64), at + 1);
  out[at] = length;
  at += 1 + length;
  at = out.writeUInt16BE(target, at);
  return at + out.write(token.target, at);
}

/** The fixed head and the fields after it; `null` if an authentic token is not of this form (a newer maker). */
function decode(text: Buffer): TrackingToken | null {
  if (text.length < 10) return null;
  const action = ACTIONS[(text[0]! & ~AMP) - 1];
  if (!action) return null;
  const flags = text[1]!;
  let at = 10;
  let short = false;
  const take = (length: number): Buffer => {
    if (at + length > text.length) short = true;
    at += length;
    return text.subarray(at - length, at);
  };
  const number = (octets: 1 | 2): number => {
    const bytes = take(octets);
    return short ? 0 : bytes.readUIntBE(0, octets);
  };
  let idLength = number(1);
  if (idLength === 255) idLength = number(2);
  const id = take(idLength);
  const recipient = take(number(2)).toString();
  const linkIndex = number(2);
  const linkName = take(number(1)).toString();
  const campaign = take(number(1)).toString();
  const target = take(number(2)).toString();
  if (short || at !== text.length) return null;
  return {
    action,
    amp: (text[0]! & AMP) !== 0,
    expiry: text.readUInt32BE(2),
    subaccount: text.readUInt32BE(6),
    messageId: flags & FLAG_TEXT_ID ? id.toString() : id.toString('hex'),
    recipient,
    anonymised: (flags & FLAG_ANONYMISED) !== 0,
    linkIndex,
    linkName,
    campaign,
    target,
    unsubscribe: (flags & FLAG_UNSUBSCRIBE) !== 0,
    openTracking: (flags & FLAG_OPENS) !== 0,
    initialPixel: (flags & FLAG_INITIAL) !== 0,
    clickTracking: (flags & FLAG_CLICKS) !== 0,
  };
}
