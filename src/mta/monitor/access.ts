/** Who may do what on the management port (management guide, section 8.3). */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import { type Config, cidrContains, ipBytes } from '../../config/index.ts';

/** In rising order: each may do what those before it may. */
export const LEVELS = ['none', 'monitor', 'operator', 'admin'] as const;
export type Level = (typeof LEVELS)[number];

export interface Access {
  readonly level: Level;
  /** `monitor,deny-logs`: no log and no accounting file. */
  readonly denyLogs: boolean;
  /** Shown by a key and not by an address alone: no browser sends it by itself. */
  readonly byKey: boolean;
}

/**
 * Whether a request names a host that is ours: an address, `localhost`, or one of `host-name`. A page elsewhere may
 * point a name of its own at this machine (DNS rebinding) and would then read answers as if it were ours; from this
 * machine itself, where `http-access` usually trusts, that is refused.
 */
export function namesUs(config: Config, client: string, host: string | undefined): boolean {
  const loopback = client === '::1' || client.replace(/^::ffff:/, '').startsWith('127.');
  if (!loopback || host === undefined) return true;
  const name = host.replace(/:\d{1,5}$/, '').toLowerCase();
  if (name === 'localhost' || isIP(name.replace(/^\[|\]$/g, '')) !== 0) return true;
  return config.hostNames.some((ours) => ours.toLowerCase() === name);
}

export function atLeast(level: Level, needed: Level): boolean {
  return LEVELS.indexOf(level) >= LEVELS.indexOf(needed);
}

/**
 * The first `http-access` line that holds the address decides; none means nothing. A right `X-API-Key` raises an
 * address that may do anything at all to `admin`; an address that is shut out stays so.
 */
export function accessOf(config: Config, address: string, apiKey: string | undefined): Access {
  const client = address.startsWith('::ffff:') ? address.slice(7) : address;
  const rule = config.global.get('http-access').find(({ cidr }) => cidrContains(cidr, ipBytes(client)));
  if (!rule || rule.access === 'none') return { level: 'none', denyLogs: true, byKey: false };
  if (apiKey !== undefined && config.global.get('http-api-key').some((key) => sameText(key, apiKey))) {
    return { level: 'admin', denyLogs: false, byKey: true };
  }
  return { level: rule.access, denyLogs: rule.denyLogs, byKey: false };
}

/** Whether two secrets are the same, in a time that tells nothing about where they differ. */
export function sameText(a: string, b: string): boolean {
  const digest = (text: string) => createHmac('sha256', PROCESS_KEY).update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}

const PROCESS_KEY = randomBytes(32);
const COOKIE = 'posthorn_csrf';

/**
 * Tokens against forged requests (`http-csrf-protection`): a reading answer sets one as a cookie and names it in the
 * header `X-CSRF-Token`, or in the forms that it has; a changing request must bring both. Another site can make a browser
 * send the cookie, yet it cannot read it, so it can make neither the header nor the form.
 */
export const csrf = {
  /** The token that the visitor has already, so that several pages of one browser go on working; else a new one. */
  issue(request: IncomingMessage): { readonly token: string; readonly cookie: string } {
    const known = cookieOf(request);
    const nonce = randomBytes(16).toString('hex');
    const token = known !== undefined && ours(known) ? known : `${nonce}.${mark(nonce)}`;
    return { token, cookie: `${COOKIE}=${token}; Path=/; SameSite=Strict` };
  },
  /** `named`: the token as the request's header has it, or the field of a form that we made. */
  valid(
    request: IncomingMessage,
    named: string | string[] | null | undefined = request.headers['x-csrf-token'],
  ): boolean {
    return typeof named === 'string' && named === cookieOf(request) && ours(named);
  },
};

function cookieOf(request: IncomingMessage): string | undefined {
  return /(?:^|; )posthorn_csrf=([0-9a-f.]{1,200})(?:;|$)/.exec(request.headers.cookie ?? '')?.[1];
}

function ours(token: string): boolean {
  const [nonce = '', sign = ''] = token.split('.');
  return sameText(sign, mark(nonce));
}

function mark(nonce: string): string {
  return createHmac('sha256', PROCESS_KEY).update(`csrf ${nonce}`).digest('hex').slice(0, 32);
}
