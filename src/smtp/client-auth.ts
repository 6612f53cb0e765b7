import { createHmac } from 'node:crypto';
import type { SmtpClientAuth } from './client-types.ts';
import type { AuthMechanism } from './server-types.ts';

const PREFERENCE: readonly AuthMechanism[] = ['CRAM-MD5', 'PLAIN', 'LOGIN'];

/** The mechanism to use with what the server offers; in words why there is none. */
export function chooseMechanism(
  auth: SmtpClientAuth,
  offered: string | undefined,
  secured: boolean,
): AuthMechanism | { readonly error: string } {
  if (offered === undefined) return { error: 'the remote host does not offer AUTH' };
  const words = offered.toUpperCase().split(/[ =]+/);
  const common = (auth.mechanisms ?? PREFERENCE).filter((mechanism) => words.includes(mechanism));
  if (common.length === 0) return { error: `no common AUTH mechanism; the remote host offers ${offered}` };
  const allowed = common.find((mechanism) => secured || auth.allowClear || mechanism === 'CRAM-MD5');
  return allowed ?? { error: `AUTH ${common.join(', ')} needs TLS` };
}

/** First line to send; PLAIN brings its answer along (RFC 4954 section 4). */
export function firstAuthLine(mechanism: AuthMechanism, auth: SmtpClientAuth): string {
  return mechanism === 'PLAIN'
    ? `AUTH PLAIN ${base64(`\0${auth.user}\0${auth.password}`)}\r\n`
    : `AUTH ${mechanism}\r\n`;
}

/** Answer to the server's `step`th challenge (from 0); null when it asks for more than the mechanism has. */
export function nextAuthLine(
  mechanism: AuthMechanism,
  auth: SmtpClientAuth,
  challenge: string,
  step: number,
): string | null {
  if (mechanism === 'LOGIN' && step < 2) return `${base64(step === 0 ? auth.user : auth.password)}\r\n`;
  if (mechanism === 'CRAM-MD5' && step === 0) {
    const digest = createHmac('md5', auth.password).update(Buffer.from(challenge, 'base64')).digest('hex');
    return `${base64(`${auth.user} ${digest}`)}\r\n`;
  }
  return null;
}

function base64(text: string): string {
  return Buffer.from(text, 'utf8').toString('base64');
}
