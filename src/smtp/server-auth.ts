import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { SmtpServerSession } from './server-session.ts';
import type { AuthMechanism, MaybeLater, SmtpServerHandlers } from './server-types.ts';

/** What the client claimed, once all its answers are in. */
export interface Credentials {
  readonly mechanism: AuthMechanism;
  readonly user: string;
  /** Whether `password` is the one that the client meant; takes the same time for every wrong one. */
  matches(password: string): boolean;
  /** The password itself where the mechanism sends it; null for CRAM-MD5. */
  readonly password: string | null;
}

export type AuthStep =
  /** Send `334 challenge` (already base64) and feed the next line. */
  { readonly challenge: string } | { readonly credentials: Credentials } | { readonly malformed: true };

const MALFORMED: AuthStep = { malformed: true };

/** RFC 4954 section 4 allows 12,288 bytes; user names and passwords here are far shorter. */
export const MAX_AUTH_LINE = 12_288;
const LONGEST_FIELD = 1024;

/** The server's half of one SASL exchange (RFC 4954): feed it the client's lines until it gives credentials. */
export interface AuthExchange {
  /** `initial` is the argument after the mechanism: undefined when absent, `=` for an empty response. */
  begin(initial: string | undefined): AuthStep;
  next(line: string): AuthStep;
}

export function createAuthExchange(mechanism: AuthMechanism, hostName: string): AuthExchange {
  switch (mechanism) {
    case 'PLAIN':
      return plain();
    case 'LOGIN':
      return login();
    case 'CRAM-MD5':
      return cramMd5(hostName);
  }
}

/** RFC 4616: authorization identity NUL user NUL password. */
function plain(): AuthExchange {
  const read = (line: string): AuthStep => {
    const text = decode(line);
    const fields = text?.split('\0') ?? [];
    const [authorization, user, password] = fields;
    if (fields.length !== 3 || !user || password === undefined) return MALFORMED;
    // Acting for somebody else is not offered, so an authorization identity may only repeat the user.
    if (authorization && authorization !== user) return MALFORMED;
    return finished('PLAIN', user, password);
  };
  return {
    begin: (initial) => (initial === undefined ? { challenge: '' } : read(initial)),
    next: read,
  };
}

/** Never standardized (draft-murchison-sasl-login); the prompts are what clients wait for. */
function login(): AuthExchange {
  let user: string | undefined;
  const next = (line: string): AuthStep => {
    const text = decode(line);
    if (text === null || text.includes('\0')) return MALFORMED;
    if (user !== undefined) return finished('LOGIN', user, text);
    if (text === '') return MALFORMED;
    user = text;
    return { challenge: 'UGFzc3dvcmQ6' };
  };
  return {
    begin: (initial) => (initial === undefined ? { challenge: 'VXNlcm5hbWU6' } : next(initial)),
    next,
  };
}

/** RFC 2195: the client proves that it knows the password by an HMAC over a challenge that is never repeated. */
function cramMd5(hostName: string): AuthExchange {
  const challenge = `<${randomBytes(12).toString('hex')}@${hostName}>`;
  return {
    begin: (initial) =>
      initial === undefined ? { challenge: Buffer.from(challenge).toString('base64') } : MALFORMED,
    next(line) {
      const text = decode(line);
      const blank = text?.lastIndexOf(' ') ?? -1;
      if (text === null || blank < 1) return MALFORMED;
      const digest = text.slice(blank + 1).toLowerCase();
      if (!/^[0-9a-f]{32}$/.test(digest)) return MALFORMED;
      return {
        credentials: {
          mechanism: 'CRAM-MD5',
          user: text.slice(0, blank),
          password: null,
          matches: (password) =>
            sameText(createHmac('md5', password).update(challenge).digest('hex'), digest),
        },
      };
    },
  };
}

function finished(mechanism: AuthMechanism, user: string, given: string): AuthStep {
  return {
    credentials: { mechanism, user, password: given, matches: (password) => sameText(password, given) },
  };
}

/** Hashing first makes both sides equally long, which the constant-time comparison needs. */
function sameText(a: string, b: string): boolean {
  const key = randomBytes(16);
  const hash = (text: string) => createHmac('sha256', key).update(text).digest();
  return timingSafeEqual(hash(a), hash(b));
}

/** Strict base64 of UTF-8 text; null for anything else. */
function decode(line: string): string | null {
  if (line === '=') return '';
  if (line.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(line)) return null;
  const text = Buffer.from(line, 'base64').toString('utf8');
  return text.length <= LONGEST_FIELD && !text.includes('\ufffd') ? text : null;
}

/** Whether the credentials are right, by whichever of the two handlers can tell. */
export function verifyCredentials(
  credentials: Credentials,
  handlers: SmtpServerHandlers,
  session: SmtpServerSession,
): MaybeLater<boolean> {
  const { user, password } = credentials;
  if (handlers.checkPassword && password !== null) return handlers.checkPassword(user, password, session);
  const known = handlers.passwordOf?.(user, session) ?? null;
  return known instanceof Promise
    ? known.then((clear) => verdict(credentials, clear))
    : verdict(credentials, known);
}

/** An unknown user costs the same time as a wrong password. */
function verdict(credentials: Credentials, known: string | null): boolean {
  const matches = credentials.matches(known ?? '\u0000');
  return known !== null && matches;
}
