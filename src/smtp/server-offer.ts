import type { ParamRules } from './path.ts';
import type { AuthMechanism, SmtpServerOptions } from './server-types.ts';

/** Lines of the EHLO reply: the host's name and what it offers on a connection as it is now. */
export function ehloLines(options: SmtpServerOptions, secured: boolean): string[] {
  const { extensions, hostName, maxMessageSize, extraKeywords } = options;
  const lines = [hostName];
  if (extensions.has('PIPELINING')) lines.push('PIPELINING');
  if (extensions.has('SIZE')) lines.push(`SIZE ${Number.isFinite(maxMessageSize) ? maxMessageSize : 0}`);
  if (extensions.has('8BITMIME')) lines.push('8BITMIME');
  if (extensions.has('STARTTLS') && options.tls && !secured) lines.push('STARTTLS');
  const mechanisms = mechanismsOffered(options, secured);
  if (mechanisms.length > 0) lines.push(`AUTH ${mechanisms.join(' ')}`);
  if (extensions.has('ENHANCEDSTATUSCODES')) lines.push('ENHANCEDSTATUSCODES');
  if (extensions.has('DSN')) lines.push('DSN');
  if (extensions.has('SMTPUTF8')) lines.push('SMTPUTF8');
  if (extensions.has('CHUNKING')) lines.push('CHUNKING');
  return extraKeywords ? [...lines, ...extraKeywords] : lines;
}

/** What AUTH may be tried with on a connection as it is now. */
export function mechanismsOffered(options: SmtpServerOptions, secured: boolean): readonly AuthMechanism[] {
  const { extensions, authMechanisms, requireTlsBeforeAuth, requireTls, allowClearPasswords } = options;
  if (!extensions.has('AUTH')) return [];
  if (secured) return authMechanisms;
  if (requireTlsBeforeAuth || requireTls) return [];
  return authMechanisms.filter((mechanism) => mechanism === 'CRAM-MD5' || allowClearPasswords);
}

const NO_KEYWORDS: ReadonlySet<string> = new Set();

/** The parameters that MAIL and RCPT may have. */
export function paramRules(options: SmtpServerOptions): ParamRules {
  const { extensions } = options;
  return {
    size: extensions.has('SIZE'),
    eightBitMime: extensions.has('8BITMIME'),
    binaryMime: false,
    smtputf8: extensions.has('SMTPUTF8'),
    dsn: extensions.has('DSN'),
    auth: extensions.has('AUTH') && options.authMechanisms.length > 0,
    extraMail: options.extraMailParams ?? NO_KEYWORDS,
    extraRcpt: options.extraRcptParams ?? NO_KEYWORDS,
    unqualified: options.unqualifiedAddresses,
  };
}
