/** A pattern and the category that it stands for; the first that matches a bounce decides. */
export interface CategoryPattern {
  /** As it would be written between the slashes of `<bounce-category-patterns>`. */
  readonly source: string;
  readonly category: string;
  test(text: string): boolean;
}

/**
 * The stock list, our own patterns in the order that operators rely on: words beat codes, and a refusal of the
 * mailbox beats a refusal by policy. They are matched against text that begins with the enhanced status code. The
 * words of a status text of ours, in parentheses, must not decide where the reply says something else.
 */
const rows: readonly (readonly [pattern: RegExp, category: string])[] = [
  [
    /\bspam|junk|unsolicited|black[- ]?list|block[- ]?list|\bblocked\b|\b\w*rbls?\b|\bdnsbls?\b|spamhaus|spamcop|sorbs|barracuda|surbl|uribl/i,
    'spam-related',
  ],
  [/\bvirus/i, 'virus-related'],
  [
    /message content|content (?:was |is |has been )?(?:rejected|refused|not accepted|denied)|rejected (?:for|due to|by) (?:\w+ )?content/i,
    'content-related',
  ],
  [
    /quota|limit exceeded|exceeded (?:the |its |your )?(?:\w+ )?limit|(?:mail)?box (?:is )?full|full mailbox|\bstorage\b|no space left|over the maximum/i,
    'quota-issues',
  ],
  [
    /(?<!\()(?:account|mailbox|user|recipient|address)[^;]{0,80}\b(?:disabled|expired|inactive|suspended|deactivated|locked)|(?:disabled|expired|inactive|suspended|deactivated|locked) (?:account|mailbox|user|recipient)/i,
    'inactive-mailbox',
  ],
  [
    /too many (?:\w+ )?(?:invalid|unknown|bad|non-?existent|wrong) (?:recipient|user|address|rcpt)|too many (?:recipient|user|address)\w* (?:are |were )?(?:invalid|unknown|bad)/i,
    'other',
  ],
  [
    /sender (?:address )?verif|verif\w+ (?:of )?(?:the )?sender|(?:valid|existing) sender domain|sender domain (?:must|does|is not|not|has no|unknown|invalid)|domain of (?:the )?sender|(?:invalid|unknown|bad) sender\b/i,
    'invalid-sender',
  ],
  [
    /no such (?:user|mailbox|recipient|account|address|person|local|customer)|(?:user|mailbox|recipient|account|address)\S{0,2}(?: \S{1,80})? (?:is )?(?:unknown|invalid|not known|not found|not exist|does ?n[o']t exist|does not exist|doesn't exist|not valid|undeliverable)|(?:unknown|invalid|nonexistent|non-existent|undeliverable) (?:\w+ )?(?:user|mailbox|recipient|account|address)|address (?:is )?not known|no longer (?:available|in use|valid|active|exists)|@\S{1,200} does not exist|not a (?:valid|known) (?:user|mailbox|recipient)|no mailbox|mailbox unavailable|not our customer/i,
    'bad-mailbox',
  ],
  [/\brelay(?:ing)?\b/i, 'relaying-issues'],
  [
    /domain[^.;]{0,30}\b(?:retired|unknown|obsolete|not found|does not exist|not exist)|(?:retired|unknown|obsolete|no such) domain/i,
    'bad-domain',
  ],
  [
    /\bdenied\b|prohibited|rejected|refused|\b(?:not |un)?allowed\b|\bbanned\b|\bpolic(?:y|ies)\b|suspicious activity/i,
    'policy-related',
  ],
  [/bad sequence|syntax error|out of (?:order|sequence)/i, 'protocol-errors'],
  [/\broute\b|unroutable|unrouteable/i, 'routing-errors'],
  [/^2\.\d{1,3}\.\d{1,3}/, 'success'],
  [/^[45]\.1\.1(?!\d)/, 'bad-mailbox'],
  [/^[45]\.1\.2(?!\d)/, 'bad-domain'],
  [/^[45]\.3\.5(?!\d)/, 'bad-configuration'],
  [/^[45]\.4\.1(?!\d)/, 'no-answer-from-host'],
  [/^[45]\.4\.2(?!\d)/, 'bad-connection'],
  [/^[45]\.4\.[46](?!\d)/, 'routing-errors'],
  [/^[45]\.4\.7(?!\d)/, 'message-expired'],
  [/^[45]\.7\.1(?!\d)/, 'policy-related'],
  [/(?:)/, 'other'],
];

export const stockPatterns: readonly CategoryPattern[] = rows.map(([pattern, category]) => ({
  source: pattern.source,
  category,
  test: (text) => pattern.test(text),
}));
