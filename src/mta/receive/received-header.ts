import { dateHeader, headerField } from '../../mail/header.ts';

export interface ReceivedFacts {
  readonly heloName: string;
  readonly clientIp: string;
  readonly hostName: string;
  /** `ESMTPSA` and its kin: RFC 3848. */
  readonly protocol: string;
  /** What identifies the message to us when a report brings this header back. */
  readonly id: string;
  /** The only recipient; '' when there are several, whose addresses must not be shown to each other. */
  readonly recipient: string;
  readonly at: number;
  /** `hide-message-source`: leave out where the message came from. */
  readonly hideSource: boolean;
}

/** The trace field that reception adds (RFC 5321 section 4.4), with its line ends. */
export function receivedHeader(facts: ReceivedFacts): string {
  const from = facts.hideSource ? '' : `from ${facts.heloName || 'unknown'} (${addressTag(facts.clientIp)}) `;
  const to = facts.recipient === '' ? '' : ` for <${facts.recipient}>`;
  return headerField(
    'Received',
    `${from}by ${facts.hostName} with ${facts.protocol} id ${facts.id}${to}; ${dateHeader(facts.at)}`,
  );
}

/** An address as RFC 5321 wants it in brackets. */
function addressTag(ip: string): string {
  return ip.includes(':') ? `[IPv6:${ip}]` : `[${ip}]`;
}

/** The protocol word of a Received field: RFC 3848, UTF8 forms of RFC 6531. */
export function protocolWord(session: {
  esmtp: boolean;
  tls: boolean;
  auth: boolean;
  utf8: boolean;
}): string {
  if (!session.esmtp) return 'SMTP';
  const base = session.utf8 ? 'UTF8SMTP' : 'ESMTP';
  return `${base}${session.tls ? 'S' : ''}${session.auth ? 'A' : ''}`;
}
