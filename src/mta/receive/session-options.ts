import type { Listener, Settings } from '../../config/index.ts';
import {
  type AuthMechanism,
  DEFAULT_TIMEOUTS,
  type SmtpExtension,
  type SmtpServerOptions,
  type SmtpServerTls,
  smtpServerOptions,
} from '../../smtp/index.ts';

/** CRAM-MD5 first: clients take the first they know, and it does not send the password. */
const MECHANISMS: readonly AuthMechanism[] = ['CRAM-MD5', 'PLAIN', 'LOGIN'];
/** RFC 5321 asks for 100 at least; "unlimited" must still fit into memory. */
const MOST_RECIPIENTS = 50_000;

/** Enough for merge variables; RFC 5321 and its extensions need 2,048. */
const LONGEST_MERGE_LINE = 32 * 1024;

const MAIL_PARAMS: ReadonlySet<string> = new Set(['VERP']);
const OCTET_VERBS: ReadonlySet<string> = new Set(['XDFN']);

/** Whether the verbs of mail merge are there for this source. */
export function allowsMerge(source: Settings<'source'>): boolean {
  return source.get('allow-mailmerge') || source.get('always-allow-api-submission');
}

/** What a session offers and bears under the source settings that apply to it. */
export function sessionOptions(
  source: Settings<'source'>,
  listener: Listener,
  hostName: string,
  tls: SmtpServerTls | undefined,
): SmtpServerOptions {
  const extensions = new Set<SmtpExtension>(['PIPELINING', '8BITMIME', 'SIZE', 'ENHANCEDSTATUSCODES', 'DSN']);
  if (source.get('allow-smtputf8')) extensions.add('SMTPUTF8');
  if (source.get('allow-chunking')) extensions.add('CHUNKING');
  if (tls && source.get('allow-starttls')) extensions.add('STARTTLS');
  const auth = source.get('allow-auth');
  if (auth) extensions.add('AUTH');
  const merge = allowsMerge(source);
  return smtpServerOptions({
    extraKeywords: merge ? ['XACK', 'XMRG', 'VERP'] : ['VERP'],
    extraMailParams: MAIL_PARAMS,
    octetVerbs: OCTET_VERBS,
    dropTransient: source.get('disconnect-on-transient-error'),
    ...(merge ? { maxCommandLine: LONGEST_MERGE_LINE } : {}),
    hostName,
    extensions,
    tls,
    immediateTls: listener.settings.get('immediate-tls'),
    maxMessageSize: source.get('max-message-size'),
    maxRecipients: Math.min(source.get('max-rcpt-per-message'), MOST_RECIPIENTS),
    requireAuth: source.get('require-auth'),
    authMechanisms: auth ? MECHANISMS : [],
    requireTlsBeforeAuth: source.get('require-starttls-before-auth'),
    allowClearPasswords: source.get('allow-unencrypted-plain-auth'),
    unqualifiedAddresses: source.get('auto-qualify-domain'),
    timeouts: {
      ...DEFAULT_TIMEOUTS,
      command: source.get('smtp-command-timeout'),
      data: source.get('smtp-data-timeout'),
    },
  });
}
