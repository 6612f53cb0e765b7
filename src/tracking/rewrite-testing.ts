import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { leaves, parseMime } from '../mail/mime.ts';
import { decodeBase64, decodeQuotedPrintable } from '../mail/transfer-encoding.ts';
import { type KeyRing, openKeyRing } from './key-ring.ts';
import { type TrackedMessage, trackMessage } from './rewrite-message.ts';
import { openToken, type TokenKind, type TrackingToken } from './token.ts';
import type { TrackingSettings } from './tracking-plan.ts';

/** For tests: a key ring in a folder of its own. */
export async function temporaryRing(): Promise<{ ring: KeyRing; remove: () => Promise<void> }> {
  const dir = await mkdtemp(path.join(tmpdir(), 'ring-'));
  const ring = await openKeyRing(path.join(dir, 'keys'), { create: true });
  return { ring, remove: () => rm(dir, { recursive: true }) };
}

export const HOST = 'track.test';

/** For tests: tracks everything with https for one recipient, unless told otherwise. */
export function track(
  ring: KeyRing,
  raw: Buffer,
  options: Partial<TrackingSettings> & { recipient?: string } = {},
): TrackedMessage {
  return trackMessage(raw, {
    opens: true,
    initialOpens: true,
    clicks: true,
    scheme: 'https',
    host: HOST,
    ring,
    messageId: '0000a17c3e65f0d1b2c4',
    recipient: 'ada@example.net',
    subaccount: 7,
    campaign: 'january',
    expiry: 2_000_000_000,
    ...options,
  });
}

/** For tests: every tracked URL in a text, opened; one that does not open is the fault's name. */
export function openUrls(ring: KeyRing, text: string): { url: string; sub: string; token: TrackingToken }[] {
  return [
    ...text.matchAll(
      /https?:\/\/track\.test(?::\d+)?\/([fqu])\/(?:([A-Za-z0-9._-]+)\/)?([A-Za-z0-9_-]{50,})/g,
    ),
  ].map(([url, kind, sub, sealed]) => {
    const token = openToken(ring, kind as TokenKind, sub ?? '', sealed!);
    if (typeof token === 'string') throw new Error(`${url} does not open: ${token}`);
    return { url, sub: sub ?? '', token };
  });
}

/** For tests: a text with each tracked URL replaced by what it says, `{click https://…}`. */
export function readable(ring: KeyRing, text: string): string {
  let out = text;
  for (const { url, sub, token } of openUrls(ring, text)) {
    const said = [
      `${token.amp ? 'amp_' : ''}${token.action}`,
      token.target,
      token.linkName && `"${token.linkName}"`,
      token.unsubscribe && 'unsubscribe',
      token.action === 'click' && sub !== 'a' && `/${sub}`,
    ];
    out = out.replace(url, `{${said.filter(Boolean).join(' ')}}`);
  }
  return out
    .replace(/<div style="color:transparent;[^"]*display:none">(<img [^>]*>)<\/div>/g, '[$1]')
    .replace(/<img border="0" width="1" height="1" alt="" src="([^"]*)"\/?>/g, '$1');
}

/** For tests: the leaves of a message with their transfer encoding undone. */
export function decodedParts(raw: Buffer): { type: string; encoding: string; bytes: Buffer; raw: Buffer }[] {
  return [...leaves(parseMime(raw))].map((part) => {
    const body = raw.subarray(part.bodyStart, part.bodyEnd);
    const bytes =
      part.encoding === 'base64'
        ? decodeBase64(body)
        : part.encoding === 'quoted-printable'
          ? decodeQuotedPrintable(body).bytes
          : body;
    return { type: part.type, encoding: part.encoding, bytes, raw: body };
  });
}

/** For tests: text with line ends as mail has them. */
export function crlf(text: string): Buffer {
  return Buffer.from(text.replace(/\r?\n/g, '\r\n'));
}
