/**
 * Configuration that is read before the operator's file, unless a file `config-defaults` stands beside that.
 *
 * The table of bounce categories is searched after the operator's own: our own patterns in the order that operators
 * rely on. Words come before codes, and a refusal of the mailbox before a refusal by policy. The subject begins with
 * the enhanced status code, `STATUS (text) smtp;CODE reply`; the words of a status text of ours, in parentheses, must
 * not decide where the reply says something else.
 */
export const stockDefaults = `
<bounce-category-patterns>
    /\\bspam|junk|unsolicited|black[- ]?list|block[- ]?list|\\bblocked\\b|\\b\\w*rbls?\\b|\\bdnsbls?\\b|spamhaus|spamcop|sorbs|barracuda|surbl|uribl|\\bdt:spm\\b/ spam-related
    /\\bvirus/ virus-related
    /message content|unsafe content|content (?:was |is |has been )?(?:rejected|refused|not accepted|denied)|rejected (?:for|due to|by) (?:\\w+ )?content/ content-related
    /quota|limit exceeded|exceeded (?:the |its |your )?(?:\\w+ )?limit|(?:mail)?box (?:is )?full|full mailbox|\\bstorage\\b|no space left|over the maximum|mailbox exceeds|bo[iî]te[^;]{0,40} pleine|postfach[^;]{0,20} voll|(?:casilla|buz[oó]n)[^;]{0,30} llen[ao]/ quota-issues
    /(?<!\\()(?:account|mailbox|user|recipient|address)[^;]{0,80}\\b(?:disabled|expired|inactive|suspended|deactivated|locked)|(?:disabled|expired|inactive|suspended|deactivated|locked) (?:account|mailbox|user|recipient)/ inactive-mailbox
    /too many (?:\\w+ )?(?:invalid|unknown|bad|non-?existent|wrong) (?:recipient|user|address|rcpt)|too many (?:recipient|user|address)\\w* (?:are |were )?(?:invalid|unknown|bad)/ other
    /sender (?:address )?verif|reverse[- ]path verif|verif\\w+ (?:of )?(?:the )?sender|(?:valid|existing) sender domain|sender domain (?:must|does|is not|not|has no|unknown|invalid)|domain of (?:the )?sender|(?:invalid|unknown|bad) sender\\b/ invalid-sender
    /no such (?:user|mailbox|recipient|account|address|person|local|customer)|(?:user|mailbox|recipient|account|address)\\S{0,2}(?: \\S{1,80})? (?:is )?(?:unknown|invalid|not known|not found|not exist|does ?n[o']t exist|does not exist|doesn't exist|not valid|undeliverable)|(?:unknown|invalid|nonexistent|non-existent|undeliverable) (?:\\w+ )?(?:user|mailbox|recipient|account|address)|address (?:is )?not known|no longer (?:available|in use|valid|active|exists)|@\\S{1,200} does not exist|not a (?:valid|known) (?:user|mailbox|recipient)|no mailbox|does(?:n't| not) have an? (?:\\S{1,80} )?account|mailbox unavailable|not our customer|recipient address rejected: (?:access denied|undeliverable)|smtp;\\d{3}[ -](?:\\x23?\\d\\.1\\.[01] )?address rejected|\\bofr_?416\\b|utilisateur inconnu|destinataire inconnu|(?:benutzer|empf.{1,2}nger) (?:ist )?unbekannt|(?:usuario|buz[oó]n|destinatario) (?:no existe|desconocido|inexistente)|utente sconosciuto|usu[aá]rio (?:n[aã]o existe|desconhecido)/ bad-mailbox
    /\\brelay(?:ing)?\\b/ relaying-issues
    /domain[^.;]{0,30}\\b(?:retired|unknown|obsolete|not found|does not exist|not exist)|(?:retired|unknown|obsolete|no such) domain/ bad-domain
    /\\bdenied\\b|prohibit(?:ed|ion)|rejected|refused|\\b(?:not |un)?allowed\\b|\\bbanned\\b|\\bpolic(?:y|ies)\\b|suspicious activity/ policy-related
    /bad sequence|syntax error|out of (?:order|sequence)|command (?:not |un)(?:recogni[sz]ed|implemented|known)|unknown command/ protocol-errors
    /\\broute\\b|unroutable|unrouteable|hop count|too many hops|mail loop|routing loop/ routing-errors
    /^2\\.\\d{1,3}\\.\\d{1,3}/ success
    /^[45]\\.1\\.1(?!\\d)/ bad-mailbox
    /^[45]\\.1\\.(?:2|10)(?!\\d)/ bad-domain
    /^[45]\\.3\\.5(?!\\d)/ bad-configuration
    /^[45]\\.4\\.1(?!\\d)/ no-answer-from-host
    /^[45]\\.4\\.2(?!\\d)/ bad-connection
    /^[45]\\.4\\.[46](?!\\d)/ routing-errors
    /^[45]\\.4\\.7(?!\\d)/ message-expired
    /^[45]\\.7\\.1(?!\\d)/ policy-related
    // other
</bounce-category-patterns>
`;
