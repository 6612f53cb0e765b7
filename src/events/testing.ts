/** Outcomes for tests: one of each kind to read, and as many odd ones as a test likes. */
import type {
  AttemptFacts,
  MatchedMessage,
  MessageFacts,
  Outcome,
  OutcomeKind,
  RecipientFacts,
  StatusFacts,
} from './outcome.ts';

const at = Date.UTC(2031, 3, 8, 9, 12, 44);

export const sampleMessage: MessageFacts = {
  spoolId: 'sp1',
  receivedAt: at - 3000,
  sender: 'news-Ana=mail.example.net@b.example.com',
  from: 'news@brand.example',
  fromName: 'Brand',
  senderDomain: 'brand.example',
  subject: 'April offers',
  size: 18_000,
  source: 'smtp',
  heloName: 'feed1.example.com',
  clientIp: '192.0.2.14',
  localIp: '192.0.2.80',
  user: 'feeder',
  vmta: 'mta-a',
  pool: 'pool-a',
  jobId: 'spring31',
  envId: 'env1',
  headers: [
    ['From', 'Brand <news@brand.example>'],
    ['X-Job', 'spring31'],
    ['Subject', 'April offers'],
  ],
  customMessageId: '',
  subaccountId: 0,
  openTracking: true,
  initialPixel: false,
  clickTracking: true,
};

export const sampleRecipient: RecipientFacts = {
  address: 'Ana@mail.example.net',
  originalRecipient: '',
  messageId: '0000a17c3e65f0d1b2c4',
};

export const sampleAttempt: AttemptFacts = {
  queue: 'mail.example.net/mta-a',
  vmta: 'mta-a',
  transport: 'smtp',
  retries: 1,
  sourceIp: '192.0.2.80',
  destinationIp: '198.51.100.25',
  remoteHost: 'mx1.mail.example.net',
  esmtp: ['PIPELINING', '8BITMIME', 'STARTTLS'],
  tlsProtocol: 'TLSv1.3',
  tlsCipher: 'TLS_AES_256_GCM_SHA384',
};

const success: StatusFacts = {
  status: '2.0.0',
  statusText: 'success',
  diagnostic: 'smtp;250 2.0.0 queued as 7F3A',
  category: '',
  bounceClass: 0,
};

const failure: StatusFacts = {
  status: '5.1.1',
  statusText: 'bad destination mailbox address',
  diagnostic: 'smtp;550 5.1.1 <Ana@mail.example.net>: no such user at 198.51.100.25',
  category: 'bad-mailbox',
  bounceClass: 10,
};

const full: StatusFacts = {
  status: '4.2.2',
  statusText: 'mailbox full',
  diagnostic: 'smtp;452 4.2.2 ana has no room',
  category: 'quota-issues',
  bounceClass: 22,
};

const noAnswer: StatusFacts = {
  status: '4.4.1',
  statusText: 'no answer from host',
  diagnostic: '',
  category: 'no-answer-from-host',
  bounceClass: 70,
};

export const sampleMatch: MatchedMessage = {
  messageId: sampleRecipient.messageId,
  recipient: sampleRecipient.address,
  sender: sampleMessage.sender,
  from: sampleMessage.from,
  senderDomain: sampleMessage.senderDomain,
  jobId: sampleMessage.jobId,
  vmta: sampleMessage.vmta,
  pool: sampleMessage.pool,
  sendingIp: '192.0.2.80',
  subaccountId: 0,
};

const report = {
  at,
  sentTo: 'news-di=far.example@b.example.com',
  recipient: 'di@far.example',
  originalRecipient: '',
  format: 'dsn',
  envId: '',
  source: 'smtp',
  heloName: 'gw.far.example',
  clientIp: '198.51.100.70',
  localIp: '192.0.2.80',
  headers: sampleMessage.headers,
  matched: sampleMatch,
} as const;

/** One ordinary outcome of that kind. */
export function sampleOutcome(kind: OutcomeKind): Outcome {
  const ofMessage = { at, message: sampleMessage, recipient: sampleRecipient };
  switch (kind) {
    case 'received':
      return { kind, ...ofMessage };
    case 'delivered':
      return { kind, ...ofMessage, attempt: sampleAttempt, result: success, action: 'relayed', size: 18_234 };
    case 'bounced':
      return {
        kind,
        ...ofMessage,
        attempt: sampleAttempt,
        queue: sampleAttempt.queue,
        retries: 1,
        result: failure,
      };
    case 'deferred':
      return { kind, ...ofMessage, attempt: sampleAttempt, result: full };
    case 'queue-deferred':
      return {
        kind,
        at,
        attempt: { ...sampleAttempt, sourceIp: '', esmtp: [], tlsProtocol: '', tlsCipher: '' },
        result: noAnswer,
      };
    case 'remote-bounce':
      return {
        kind,
        ...report,
        result: { ...failure, diagnostic: 'smtp;550 5.1.1 ana unknown' },
        remoteMta: 'store.far.example',
        reportingMta: 'gw.far.example',
      };
    case 'remote-status':
      return {
        kind,
        ...report,
        action: 'delayed',
        result: full,
        remoteMta: 'store.far.example',
        reportingMta: 'gw.far.example',
      };
    case 'complaint':
      return {
        kind,
        ...report,
        format: 'arf',
        sentTo: 'fbl@fbl.example.com',
        originalSender: 'news@b.example.com',
        feedbackType: 'abuse',
        userAgent: 'ExampleFBL/2',
        reportingMta: 'fbl.shop.example.org',
        originalSourceIp: '192.0.2.80',
        reportedDomain: 'b.example.com',
        fields: [
          ['Feedback-Type', 'abuse'],
          ['Source-IP', '192.0.2.80'],
          ['Received-Date', 'Mon, 07 Apr 2031'],
          ['Received-Date', 'Tue, 08 Apr 2031'],
        ],
      };
  }
}

export const outcomeKinds: readonly OutcomeKind[] = [
  'received',
  'delivered',
  'bounced',
  'deferred',
  'queue-deferred',
  'remote-bounce',
  'remote-status',
  'complaint',
];

/** Texts as the world writes them. */
const odd = [
  '',
  'plain',
  'with, comma',
  'with "quotes"',
  'line\r\nbreak',
  '\u0000control\u007f',
  '\u2028 separator',
  '=1+1',
  '@x@y@',
  'müller.example',
  '\ud800 alone',
  '😀'.repeat(30),
  'x'.repeat(998),
  '__proto__',
  '<script>&amp;',
  '192.0.2.1 ana@mail.example.net Ana',
];

/** A stream of numbers in [0,1) that is the same for the same seed (mulberry32). */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** `count` outcomes of all kinds whose free texts are anything; the same for the same seed. */
export function generatedOutcomes(count: number, seed: number): Outcome[] {
  const next = numbers(seed);
  const text = () => (next() < 0.5 ? odd[0]! : odd[Math.floor(next() * odd.length)]!);
  const free = new Set(
    [
      'sender from fromName senderDomain subject heloName user jobId envId customMessageId originalRecipient',
      'pool sourceIp destinationIp remoteHost tlsProtocol tlsCipher statusText diagnostic sentTo format',
      'originalSender feedbackType userAgent reportingMta remoteMta originalSourceIp reportedDomain category',
    ].flatMap((names) => names.split(' ')),
  );
  const vary = (value: unknown, key: string): unknown => {
    if (typeof value === 'string' && free.has(key)) {
      if (key === 'customMessageId') return next() < 0.3 ? 'order-1' : '';
      return next() < 0.3 ? text() : value;
    }
    if (Array.isArray(value)) return next() < 0.2 ? [] : value;
    if (typeof value === 'object' && value !== null) {
      return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, vary(v, k)]));
    }
    return value;
  };
  return Array.from({ length: count }, (_, i) => {
    const kind = outcomeKinds[Math.floor(next() * outcomeKinds.length)]!;
    const outcome = vary(sampleOutcome(kind), '') as Outcome;
    const varied: Outcome = { ...outcome, at: at + i * 37 };
    if (varied.kind === 'bounced' && next() < 0.3) return { ...varied, attempt: null };
    if ('matched' in varied && next() < 0.2) return { ...varied, matched: null };
    return varied;
  });
}
