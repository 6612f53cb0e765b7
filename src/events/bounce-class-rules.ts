/**
 * The rules that give a failure its SparkPost bounce class, first match first. They are data: what receivers are
 * known to write, in the order in which it is safe to believe it. Words of a receiver tell more than the enhanced
 * code, and the basic code decides whether a failure is final: no temporary reply is ever a hard bounce.
 *
 * Every pattern is without nested repetition, so that no reply can make it slow.
 */
export interface BounceRule {
  /** Short name by which `explain` and operators refer to the rule. */
  readonly name: string;
  readonly class: number;
  /** Against the reply's text, in lower case. */
  readonly words?: RegExp;
  /** Against the enhanced status code. */
  readonly status?: RegExp;
  /** Only for replies of that kind: 4 temporary, 5 permanent. */
  readonly kind?: 4 | 5;
  /** Only when this host decided, without a reply of another. */
  readonly local?: boolean;
}

export const bounceRules: readonly BounceRule[] = [
  // What this host decided itself.
  { name: 'suppressed', class: 25, words: /suppression list|suppressed/ },
  { name: 'deleted here', class: 25, local: true, words: /deleted|cancell?ed|discarded|by rule/ },
  { name: 'no such VirtualMTA', class: 25, local: true, words: /virtualmta|virtual-mta/ },
  { name: 'expired', class: 24, local: true, words: /expired|too long|timed? ?out/ },
  { name: 'expired status', class: 24, local: true, status: /^[45]\.4\.7$/ },
  { name: 'no such domain', class: 21, local: true, words: /no such domain|nxdomain|dns|no mx|no route/ },
  { name: 'domain status', class: 21, local: true, status: /^[45]\.(?:1\.2|1\.10|4\.3|4\.4)$/ },

  // Answers that are no failure.
  {
    name: 'auto-reply',
    class: 60,
    words: /\bout of (?:the )?office\b|\bauto(?:matic|mated)?[- ]?reply\b|\bautorespon/,
  },
  {
    name: 'challenge',
    class: 100,
    words: /challenge[- ]?response|to confirm (?:that )?you are (?:a )?human/,
  },

  // Tokens that one provider prints and whose meaning it has published.
  { name: 'Microsoft block list S31xx', class: 50, words: /\(s31[45]\d\)/ },
  { name: 'Outlook.com RP', class: 70, kind: 4, words: /\brp-00\d\b/ },
  { name: 'Outlook.com block', class: 50, words: /\b(?:sc|ou|dy|rp)-00\d\b/ },
  { name: 'Yahoo TSS temporary', class: 70, kind: 4, words: /\[(?:tss?|gl)\d\d\]/ },
  { name: 'Yahoo listed', class: 50, words: /\[bl\d\d\]/ },
  { name: 'Yahoo TSS', class: 51, words: /\[tss?\d\d\]/ },
  { name: 'Apple local policy', class: 50, words: /\[(?:cs|hm|hc)\d\d\]/ },
  { name: 'Comcast rate limit', class: 70, kind: 4, words: /\brl0\d{5}\b/ },
  { name: 'Comcast block', class: 50, words: /\bbl0\d{5}\b/ },
  { name: 'AUP code', class: 51, words: /\baup#|\(aup\)/ },

  { name: 'NetEase spam', class: 51, words: /\bdt:spm\b/ },

  // Attachments and size before spam words: such replies often say "rejected for security".
  {
    name: 'attachment',
    class: 53,
    words:
      /\battachments?\b|\bexecutable\b|\bbanned (?:file|extension)|\bfile (?:type|extension)\b|\bvirus\b|\bmalware\b|potential security issue/,
  },
  {
    name: 'too large',
    class: 23,
    words:
      /(?:message|mail|size|content|length)\b[^.]{0,40}(?:too (?:large|big|long)|exceeds?[^.]{0,30}(?:size|maximum|limit))|exceeds? (?:the )?(?:maximum|max|fixed)[^.]{0,20}(?:message )?size|\btoo large\b/,
  },
  { name: 'too large status', class: 23, status: /^[45]\.(?:2\.3|3\.4)$/ },

  // The receiver's hourly limits on one mailbox are no full mailbox.
  {
    name: 'mailbox gets mail too fast',
    class: 70,
    kind: 4,
    words: /receiving mail (?:at a rate|too (?:fast|quickly))|too (?:fast|quickly|many messages)/,
  },
  {
    name: 'mailbox full',
    class: 22,
    words:
      /over ?-?quota|quota (?:exceeded|is full)|exceed\w* (?:\w+ ){0,3}quota|out of storage|mail(?:box|folder)? (?:\w+ ){0,3}full\b|(?:inbox|mailbox)(?: size)? (?:limit|storage)|not enough (?:space|storage)|insufficient (?:disk|mailbox|storage)|over (?:the )?(?:storage|size) limit|over (?:its|the|your) (?:storage|size|mailbox) (?:limit|quota)|mailbox exceeds|\bfull mailbox|\bno space left|bo[iî]te[^.]{0,40} pleine|postfach[^.]{0,20} voll|(?:casilla|buz[oó]n)[^.]{0,30} llen[ao]/,
  },
  { name: 'mailbox full status', class: 22, status: /^[45]\.2\.2$/ },

  // About the sender, though it may quote "user unknown" of the sender's own address: never a hard bounce.
  {
    name: 'sender not verified',
    class: 50,
    words:
      /sender (?:address )?verif|verif\w+ (?:of )?(?:the )?sender|reverse[- ]path verif|call-?(?:out|back) (?:verif|fail)/,
  },
  {
    name: 'no such recipient domain',
    class: 21,
    kind: 5,
    words:
      /(?:recipient address rejected|recipient)[^.]{0,20} domain not found|(?:recipient )?domain (?:does not exist|has no mx)/,
  },

  // Address faults, also where the code says policy. Only final replies: a hard bounce suppresses an address.
  {
    name: 'too many bad recipients',
    class: 50,
    words: /too many (?:invalid|unknown|bad|non-?existent) (?:recipients|users|addresses|rcpts)/,
  },
  {
    name: 'no such recipient',
    class: 10,
    kind: 5,
    words:
      /no such (?:user|mailbox|account|recipient|address|person|local user|customer)|(?:user|mailbox|account|recipient|address)(?: \S{1,80})? (?:is )?(?:unknown|not found|invalid|unavailable|not known|not available|does not exist|doesn'?t exist|not exist|disabled|inactive|closed|suspended|deactivated|terminated|expired|no longer)|(?:unknown|invalid|disabled|inactive|nonexistent|non-existent|closed) (?:local )?(?:user|mailbox|account|recipient|address)|does(?: not|n'?t) exist|not a (?:valid (?:mailbox|user|recipient|address)|customer|known user|local user)|no mailbox|mailbox not|user not|no longer (?:available|valid|in use|active|a customer|accepts)|doesn'?t have an? \S{1,40} account|not our customer|unrouteable address|recipient address rejected: (?:access denied|user|undeliverable)|recipientnotfound|recipient rejected|dd requested mail action aborted|^(?:#5\.1\.[01] )?address rejected|utilisateur inconnu|destinataire inconnu|(?:benutzer|empf.{1,2}nger) (?:ist )?unbekannt|(?:usuario|buz[oó]n|destinatario) (?:no existe|desconocido|inexistente)|utente sconosciuto|usu[aá]rio (?:n[aã]o existe|desconhecido)/,
  },
  {
    name: 'recipient not taken by Microsoft 365',
    class: 10,
    kind: 5,
    status: /^5\.4\.1$/,
    words: /access denied/,
  },

  // Authentication and identity of the sender.
  {
    name: 'authentication',
    class: 50,
    words:
      /\bdmarc\b|\bdkim\b|\bspf\b|unauthenticated|not authenticated|authentication (?:check|level|requirement|fail)|\bptr\b|reverse dns|rdns|\bhelo\b|requires? (?:a )?(?:secure|encrypted|tls)/,
  },
  { name: 'authentication status', class: 50, status: /^[45]\.7\.(?:2[0-79]|3\d|509|515)$/ },
  {
    name: 'sender refused',
    class: 50,
    words:
      /sender (?:\S{1,80} )?(?:rejected|denied|refused|not allowed|verif|domain)|(?:invalid|unverified) sender|domain of sender/,
  },

  {
    name: 'relaying',
    class: 54,
    words:
      /\brelay(?:ing)?\b|not (?:a )?(?:local|hosted|permitted) (?:domain|host)|rcpthosts|we do not (?:host|accept mail for)/,
  },

  // Reputation. A temporary refusal for it is a matter of rate; a listing is a block in either case.
  { name: 'greylisting', class: 70, kind: 4, words: /gr[ea]y ?-?list/ },
  {
    name: 'DNS block list',
    class: 50,
    words:
      /\bspamhaus\b|\bspamcop\b|\bsorbs\b|\bbarracuda|\buceprotect\b|\babuseat\b|\bmailspike\b|\binvaluement\b|\b\w*rbl\b|\bdnsbls?\b|\bzen\.|\bsurbl\b|\buribl\b/,
  },
  { name: 'Gmail rate of unsolicited mail', class: 51, status: /^[45]\.7\.28$/ },
  {
    name: 'temporary rate',
    class: 70,
    kind: 4,
    words:
      /\brate\b|too many (?:\w+ ){0,2}(?:connections|sessions|messages|recipients|emails|errors)|throttl|try (?:again )?later|temporar|deferred|\bbusy\b|concurrent|\breputation\b|service (?:refused|unavailable|not available)/,
  },
  {
    name: 'block list',
    class: 50,
    words: /\bblock ?-?list|\bblack[- ]?list|\bdenylist|\blisted (?:at|by|in|on)\b|\bbanned\b|\breputation\b/,
  },

  // Content before sender: "spam content" is the more exact word.
  {
    name: 'spam content',
    class: 52,
    words:
      /(?:content|message body|body|subject|link|url|phish)[^.]{0,40}(?:spam|reject|block|filter|refus|not accept|unacceptable|inappropriate)|(?:spam|filter|rejected|blocked|refused)[^.]{0,30}(?:content|message body|\burls?\b|\blinks?\b)|\bspam (?:content|score|filter)|\bphishing\b|scored as spam|spam score/,
  },
  {
    name: 'content refused',
    class: 52,
    kind: 5,
    words: /\bcontent (?:was |is )?(?:denied|rejected|refused)|unsafe content/,
  },
  { name: 'spam', class: 51, words: /\bspam|unsolicited|\bjunk\b|\bbulk\b|\bube\b|\buce\b/ },
  { name: 'content', class: 52, kind: 5, status: /^5\.(?:6\.0|7\.4)$/, words: /content/ },
  {
    name: 'policy words',
    class: 50,
    kind: 5,
    words:
      /\bpolicy\b|\bpolicies\b|\bdenied\b|\brejected\b|\bprohibit(?:ed|ion)\b|\bblocked\b|not (?:allowed|authori[sz]ed|permitted|accepted|welcome)|\brefused\b|suspicious|\bforbidden\b|\bban\b/,
  },

  // Codes alone.
  { name: 'address status', class: 10, kind: 5, status: /^5\.(?:1\.(?:0|1|3|6|10)|2\.1)$/ },
  { name: 'domain status from a remote host', class: 21, kind: 5, status: /^5\.(?:1\.2|4\.4)$/ },
  { name: 'sender address status', class: 50, kind: 5, status: /^5\.1\.[78]$/ },
  { name: 'expired status from a remote host', class: 24, kind: 5, status: /^[45]\.4\.7$/ },
  { name: 'connection status', class: 20, kind: 5, status: /^5\.4\.[12]$/ },
  { name: 'security status', class: 50, kind: 5, status: /^[45]\.7\.\d+$/ },
  { name: 'mailbox unavailable', class: 10, kind: 5, words: /mailbox unavailable|unavailable mailbox/ },
  { name: 'temporary reply', class: 70, kind: 4 },
  { name: 'final reply without a reason', class: 40, kind: 5 },
];
