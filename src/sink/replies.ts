import { type Reply, reply } from '../smtp/reply.ts';
import { weighted } from './draw.ts';

/**
 * What mailbox providers say when they refuse, with the class that Signals must find in each. The tokens (`[TSS04]`,
 * `S3140`, `- gsmtp` …) are those that receivers are known for; the sentences around them are our own.
 */
export interface CatalogueReply {
  readonly provider: Provider;
  readonly stage: 'rcpt' | 'dot';
  readonly code: number;
  /** '' for a reply without enhanced status code. */
  readonly enhanced: string;
  /** May hold `\n` between lines and placeholders like `{{to}}`. */
  readonly text: string;
  readonly weight: number;
  /** SparkPost bounce class that the platform's classifier must produce. */
  readonly expectedClass: number;
}

export type Provider =
  | 'gmail'
  | 'yahoo'
  | 'microsoft'
  | 'microsoft365'
  | 'apple'
  | 'comcast'
  | 'orange'
  | 'gmx'
  | 'tonline'
  | 'mailru'
  | 'corporate'
  | 'generic';

const PROVIDER_LABELS = new Map<string, Provider>([
  ['gmail', 'gmail'],
  ['google', 'gmail'],
  ['yahoo', 'yahoo'],
  ['aol', 'yahoo'],
  ['microsoft', 'microsoft'],
  ['hotmail', 'microsoft'],
  ['outlook', 'microsoft'],
  ['live', 'microsoft'],
  ['microsoft365', 'microsoft365'],
  ['office365', 'microsoft365'],
  ['apple', 'apple'],
  ['icloud', 'apple'],
  ['comcast', 'comcast'],
  ['orange', 'orange'],
  ['gmx', 'gmx'],
  ['web', 'gmx'],
  ['tonline', 'tonline'],
  ['t-online', 'tonline'],
  ['mailru', 'mailru'],
  ['mail', 'mailru'],
  ['corporate', 'corporate'],
  ['isp', 'corporate'],
]);

/** The provider that a label of the recipient's domain names; the reference generator writes `not-gmail` for gmail. */
export function providerOf(label: string): Provider | undefined {
  return PROVIDER_LABELS.get(label.startsWith('not-') ? label.slice(4) : label);
}

type Row = readonly [
  stage: 'rcpt' | 'dot',
  code: number,
  enhanced: string,
  text: string,
  weight: number,
  expectedClass: number,
];

const rows: Record<Provider, readonly Row[]> = {
  gmail: [
    [
      'rcpt',
      550,
      '5.1.1',
      'The account you tried to reach does not exist: no such user here.\nCheck the address for typing errors. {{token}} - gsmtp',
      30,
      10,
    ],
    ['rcpt', 550, '5.2.1', 'The account you tried to reach is disabled. {{token}} - gsmtp', 8, 10],
    [
      'rcpt',
      552,
      '5.2.2',
      'The mailbox of this recipient is over quota.\nAsk them to make room and send again. {{token}} - gsmtp',
      8,
      22,
    ],
    [
      'rcpt',
      452,
      '4.2.2',
      'The mailbox of this recipient is over quota; try again when there is room. {{token}} - gsmtp',
      6,
      22,
    ],
    [
      'rcpt',
      450,
      '4.2.1',
      'This user receives mail too quickly to take more now. Try again later. {{token}} - gsmtp',
      8,
      70,
    ],
    ['rcpt', 421, '4.7.0', 'Temporary system problem, try again later. {{token}} - gsmtp', 6, 70],
    [
      'dot',
      421,
      '4.7.28',
      'Unusual rate of unsolicited mail from {{ip}}; mail from this IP address is rate limited. {{token}} - gsmtp',
      4,
      51,
    ],
    [
      'dot',
      421,
      '4.7.26',
      'This mail is unauthenticated and is delayed: neither SPF nor DKIM passed. {{token}} - gsmtp',
      1,
      50,
    ],
    [
      'dot',
      550,
      '5.7.26',
      'Unauthenticated email from this domain is not accepted: neither SPF nor DKIM passed. {{token}} - gsmtp',
      2,
      50,
    ],
    [
      'dot',
      550,
      '5.7.27',
      'The SPF check for the sender did not pass; authentication is required. {{token}} - gsmtp',
      1,
      50,
    ],
    [
      'dot',
      550,
      '5.7.30',
      'The DKIM check did not pass; authentication is required. {{token}} - gsmtp',
      1,
      50,
    ],
    [
      'dot',
      550,
      '5.7.29',
      'The connection was not made over TLS, which is required. {{token}} - gsmtp',
      1,
      50,
    ],
    ['rcpt', 550, '5.7.25', 'The sending IP {{ip}} has no PTR record. {{token}} - gsmtp', 1, 50],
    [
      'dot',
      550,
      '5.7.1',
      'This message is likely unsolicited mail\nand has been blocked to protect our users. {{token}} - gsmtp',
      6,
      51,
    ],
    [
      'dot',
      552,
      '5.7.0',
      'The message was blocked because its attachment presents a security risk. {{token}} - gsmtp',
      2,
      53,
    ],
  ],
  yahoo: [
    [
      'rcpt',
      554,
      '',
      'delivery error: dd This user does not have a yahoo account ({{to}}): no such account [{{token}}]',
      30,
      10,
    ],
    ['rcpt', 552, '5.2.2', 'The mailbox of <{{to}}> is over quota', 8, 22],
    [
      'rcpt',
      421,
      '4.7.0',
      '[TSS04] Messages from {{ip}} temporarily deferred due to unexpected volume or user complaints',
      10,
      70,
    ],
    [
      'rcpt',
      421,
      '4.7.1',
      '[TS03] All messages from {{ip}} will be permanently deferred; retrying will not succeed',
      2,
      70,
    ],
    ['rcpt', 421, '4.7.0', '[GL01] Message from {{ip}} temporarily deferred', 6, 70],
    ['rcpt', 553, '5.7.1', '[BL21] Connections from {{ip}} are not accepted: listed on a block list', 4, 50],
    [
      'dot',
      553,
      '5.7.2',
      '[TSS09] All messages from {{ip}} are refused due to spam complaints of users',
      3,
      51,
    ],
    [
      'dot',
      553,
      '5.7.2',
      '[TSS11] All messages from {{ip}} are refused due to spam complaints of users',
      2,
      51,
    ],
    [
      'dot',
      554,
      '5.7.9',
      'Message not accepted for policy reasons: DMARC of the From domain does not permit it',
      2,
      50,
    ],
  ],
  microsoft: [
    ['rcpt', 550, '5.5.0', 'Requested action not taken: mailbox unavailable ({{token}})', 30, 10],
    ['rcpt', 552, '5.2.2', 'This message is larger than the space left: mailbox full ({{token}})', 8, 22],
    [
      'rcpt',
      550,
      '5.7.1',
      'Messages from [{{ip}}] were not sent: part of their network is on our block list (S3140)',
      4,
      50,
    ],
    [
      'rcpt',
      550,
      '5.7.1',
      'Messages from [{{ip}}] were not sent: part of their network is on our block list (S3150)',
      2,
      50,
    ],
    [
      'rcpt',
      451,
      '4.7.650',
      'The mail server [{{ip}}] has been temporarily rate limited due to IP reputation (S775)',
      6,
      70,
    ],
    [
      'rcpt',
      451,
      '4.7.651',
      'The mail server [{{ip}}] has been temporarily rate limited due to IP reputation (S843)',
      4,
      70,
    ],
    [
      'rcpt',
      421,
      '',
      'RP-001 The mail server {{ip}} exceeded the rate limit allowed for it; try again later',
      4,
      70,
    ],
    ['rcpt', 550, '', 'SC-001 Mail rejected for policy reasons: the sending IP {{ip}} is blocked', 3, 50],
    ['rcpt', 550, '', 'OU-001 Mail rejected for policy reasons: the sending IP {{ip}} is blocked', 2, 50],
    [
      'rcpt',
      550,
      '',
      'DY-001 Mail rejected for policy reasons: dynamic addresses like {{ip}} are blocked',
      1,
      50,
    ],
    [
      'dot',
      550,
      '5.7.515',
      'Access denied: the sending domain does not meet the required authentication level',
      2,
      50,
    ],
  ],
  microsoft365: [
    [
      'rcpt',
      550,
      '5.1.10',
      'RESOLVER.ADR.RecipientNotFound; recipient {{to}} not found by SMTP address lookup',
      20,
      10,
    ],
    [
      'rcpt',
      550,
      '5.4.1',
      'Recipient address rejected: access denied, no such recipient ({{token}})',
      10,
      10,
    ],
    ['rcpt', 451, '4.7.500', 'Server busy, try again later from [{{ip}}] ({{token}})', 8, 70],
    ['rcpt', 550, '5.7.606', 'Access denied, banned sending IP [{{ip}}]', 3, 50],
    [
      'dot',
      550,
      '5.7.509',
      'Access denied: the sending domain does not pass DMARC and its policy is reject',
      2,
      50,
    ],
    ['rcpt', 432, '4.3.2', 'Concurrent connections limit exceeded ({{token}})', 4, 70],
  ],
  apple: [
    ['rcpt', 550, '5.1.1', '<{{to}}>: user does not exist', 20, 10],
    ['rcpt', 552, '5.2.2', '<{{to}}>: user is over quota', 8, 22],
    ['dot', 554, '5.7.1', '[CS01] Message rejected due to local policy', 4, 50],
    ['rcpt', 421, '4.7.0', 'Too many messages from [{{ip}}], try again later', 6, 70],
  ],
  comcast: [
    ['rcpt', 550, '5.1.1', '{{to}} is not a customer: no such user', 20, 10],
    ['rcpt', 550, '5.2.0', 'The account of {{to}} is closed: mailbox unavailable', 5, 10],
    ['rcpt', 554, '', '{{ip}} BL000001 blocked: this address is on a block list', 4, 50],
    ['rcpt', 421, '', '{{ip}} RL000001 throttled: too many messages, try again later', 6, 70],
  ],
  orange: [
    ['rcpt', 550, '5.1.1', 'Adresse d au moins un destinataire invalide: user unknown <{{to}}>', 20, 10],
    ['rcpt', 421, '', 'Service refuse, veuillez essayer plus tard: too many connections from {{ip}}', 8, 70],
    ['rcpt', 554, '5.7.1', 'Reputation of {{ip}} is bad, mail refused: blocked', 4, 50],
    ['dot', 550, '5.7.1', 'Message refused: detected as spam', 3, 51],
  ],
  gmx: [
    ['rcpt', 550, '', 'Requested action not taken: mailbox unavailable <{{to}}>', 20, 10],
    ['rcpt', 421, '', 'Service not available: too many connections from {{ip}}', 8, 70],
    ['rcpt', 554, '', 'Transaction failed: bad IP reputation of {{ip}}, blocked', 4, 50],
    ['dot', 550, '', 'Message refused: it was classified as spam', 3, 51],
  ],
  tonline: [
    ['rcpt', 550, '', '<{{to}}> user unknown', 20, 10],
    ['rcpt', 421, '', 'Too many connections from {{ip}}, please slow down', 8, 70],
    ['rcpt', 554, '', 'IP={{ip}} - a problem occurred: reputation, contact the postmaster; blocked', 4, 50],
  ],
  mailru: [
    [
      'rcpt',
      550,
      '',
      'Message was not accepted: invalid mailbox. Local mailbox {{to}} is unavailable: user not found',
      20,
      10,
    ],
    ['rcpt', 421, '', 'Ratelimit exceeded for mailbox, try again later', 8, 70],
    ['rcpt', 554, '', 'IP {{ip}} is blocked, bad reputation', 4, 50],
    ['dot', 550, '', 'Spam message rejected', 3, 51],
  ],
  corporate: [
    [
      'rcpt',
      550,
      '5.1.1',
      '<{{to}}>: recipient address rejected: user unknown in relay recipient table',
      20,
      10,
    ],
    [
      'rcpt',
      554,
      '5.7.1',
      'Service unavailable; client host [{{ip}}] blocked using zen.dnsbl.example',
      6,
      50,
    ],
    ['dot', 554, '5.7.1', 'AUP#SNDR content refused: spam', 3, 51],
    [
      'rcpt',
      554,
      '5.7.1',
      'Your access was refused because of bad reputation; check it at https://reputation.example/{{ip}}',
      3,
      50,
    ],
    ['rcpt', 450, '4.7.1', '<{{to}}>: recipient address rejected: greylisted, try again later', 10, 70],
    ['rcpt', 550, '5.7.1', '<{{to}}>: user unknown', 3, 10],
  ],
  generic: [
    ['rcpt', 550, '5.1.1', '<{{to}}>: recipient address rejected: user unknown', 30, 10],
    ['rcpt', 552, '5.2.2', '<{{to}}>: mailbox full', 6, 22],
    ['rcpt', 452, '4.2.2', '<{{to}}>: mailbox over quota, try again later', 4, 22],
    ['rcpt', 450, '4.2.0', '<{{to}}>: mailbox busy, try again later', 6, 70],
    ['rcpt', 451, '4.3.0', 'Temporary failure, try again later', 6, 70],
    ['dot', 554, '5.7.1', 'Message blocked as spam', 4, 51],
    ['rcpt', 550, '', 'No such user here', 4, 10],
    ['rcpt', 554, '', 'Mail from {{ip}} is blocked by policy', 2, 50],
    ['rcpt', 452, '', 'Mailbox full, no space left', 2, 22],
    ['rcpt', 421, '', 'Too many connections, try again later', 2, 70],
  ],
};

/** The whole catalogue; it doubles as the regression set of the bounce classifier. */
export const catalogue: readonly CatalogueReply[] = Object.entries(rows).flatMap(([provider, list]) =>
  list.map(([stage, code, enhanced, text, weight, expectedClass]) => ({
    provider: provider as Provider,
    stage,
    code,
    enhanced,
    text,
    weight,
    expectedClass,
  })),
);

const byKind = new Map<string, CatalogueReply[]>();
for (const entry of catalogue) {
  const key = `${entry.provider}/${entry.stage}/${entry.code >= 500 ? 'hard' : 'soft'}`;
  const list = byKind.get(key);
  if (list) list.push(entry);
  else byKind.set(key, [entry]);
}

/** A refusal (hard) or deferral (soft) in a provider's manner, said at RCPT. `at` is a draw in [0, 1). */
export function pickReply(provider: Provider, kind: 'hard' | 'soft', at: number): CatalogueReply {
  const list = byKind.get(`${provider}/rcpt/${kind}`) ?? byKind.get(`generic/rcpt/${kind}`) ?? [];
  return weighted(list, at);
}

/** What fills the placeholders of a reply. */
export interface ReplyFacts {
  readonly to: string;
  readonly from: string;
  readonly ip: string;
  readonly helo: string;
  /** Letters and digits that make a queue token look like one. */
  readonly token: string;
}

/** Fills a text's placeholders; values from outside are cut and kept printable, so that a reply stays one reply. */
export function fillReply(code: number, enhanced: string, text: string, facts: ReplyFacts): Reply {
  const filled = text.replace(/\{\{(\w{1,16})\}\}/g, (whole, name: string) => {
    switch (name) {
      case 'to':
        return clean(facts.to);
      case 'from':
        return clean(facts.from);
      case 'ip':
      case 'ip4addr':
        return clean(facts.ip);
      case 'helo':
        return clean(facts.helo);
      case 'token':
        return clean(facts.token);
      default:
        return whole;
    }
  });
  return reply(code, enhanced, filled.split('\n'));
}

function clean(text: string): string {
  return text.replace(/[^\x21-\x7e]/g, '?').slice(0, 254);
}

/** The reply in one line, as ledgers and tests read it. */
export function replyText(said: Reply): string {
  const text = typeof said.text === 'string' ? said.text : said.text.join(' ');
  return `${said.code} ${said.enhanced ? `${said.enhanced} ` : ''}${text}`;
}
