/**
 * Configuration that is read before the operator's file, unless a file `config-defaults` stands beside that.
 *
 * The table of bounce categories is searched after the operator's own. Words come before codes: a reply that names a
 * blocklist is about reputation, whatever its status code says. The subject is `STATUS (text) smtp;CODE reply`.
 */
export const stockDefaults = `
<bounce-category-patterns>
    /\\bspam|\\bjunk|unsolicited|\\bbulk (?:e?mail|sender)|bl[ao]ck.?list|deny.?list|\\bblocked\\b|\\brbl\\b|dnsbl|spamhaus|spamcop|barracuda|sorbs|uribl|surbl|poor reputation|low reputation/ spam-related
    /\\bvirus|malware|infected/ virus-related
    /message content|content (?:was )?(?:rejected|refused|filter)|content.{0,20}not accept|prohibited attachment/ content-related
    /quota|limit exceeded|exceed(?:s|ed|ing)? .{0,20}limit|(?:mailbox|inbox|account).{0,20}\\bfull\\b|out of storage|insufficient.{0,10}storage|over its size/ quota-issues
    /(?:account|mailbox|user|recipient|address).{0,30}(?:disabled|deactivated|suspended|expired|inactive|not active|locked|dormant)|(?:disabled|inactive|expired|suspended) (?:account|mailbox|user|recipient)/ inactive-mailbox
    /too many (?:invalid|unknown|bad|nonexist[ae]nt) (?:recipient|user|rcpt|address)|too many .{0,20}(?:invalid|unknown) recipient/ other
    /sender (?:address )?verif(?:y|ication) failed|could not verify sender|valid sender (?:domain|address) (?:is )?required|sender (?:domain )?(?:does not exist|not found|must (?:exist|resolve))/ invalid-sender
    /no such (?:user|person|recipient|mailbox|address|account|local)|(?:unknown|invalid|nonexist[ae]nt|non-existent|undeliverable|unrouteable|bad) (?:local )?(?:user|recipient|mailbox|address|account|destination mailbox|rcpt)|(?:user|recipient|mailbox|address|account|addressee|rcpt).{0,60}(?:unknown|not (?:be )?found|not known|not exist|n[o']t exist|doesn't exist|does not have|not (?:a )?valid|invalid|unavailable|no longer (?:available|valid|in use|exists|active)|not listed|not recognized|rejected|undeliverable)|no mailbox (?:here )?by that name|user .{0,40}(?:n[o']t|not) have an? .{0,30}account/ bad-mailbox
    /relay(?:ing|ed)?\\b/ relaying-issues
    /(?:domain|host).{0,40}(?:retired|unknown|obsolete|not (?:be )?found|does not exist|no longer)|(?:unknown|retired|obsolete|invalid|bad) (?:domain|host)/ bad-domain
    /denied|prohibited|rejected|refused|not allowed|disallowed|\\ballowed\\b|banned|\\bpolicy\\b|policies|suspicious activity|unauthenticated|dmarc/ policy-related
    /bad sequence|syntax error|command not (?:recognized|implemented)|unrecognized command|protocol error/ protocol-errors
    /\\broute\\b|unrout(?:e)?able|no route|routing (?:error|loop)|mail loop|too many hops/ routing-errors
    /^2\\.\\d+\\.\\d+/ success
    /^[45]\\.1\\.1\\b/ bad-mailbox
    /^[45]\\.1\\.2\\b/ bad-domain
    /^[45]\\.3\\.5\\b/ bad-configuration
    /^[45]\\.4\\.1\\b/ no-answer-from-host
    /^[45]\\.4\\.2\\b/ bad-connection
    /^[45]\\.4\\.[46]\\b/ routing-errors
    /^[45]\\.4\\.7\\b/ message-expired
    /^[45]\\.7\\.1\\b/ policy-related
    // other
</bounce-category-patterns>
`;
