import { lastReply, reply } from './reply.ts';

/** The session's own replies: RFC 5321 section 4.2, RFC 4954 section 6, RFC 3463. */

export const OK = reply(250, '2.0.0', 'OK');
export const SENDER_OK = reply(250, '2.1.0', 'Sender OK');
export const RECIPIENT_OK = reply(250, '2.1.5', 'Recipient OK');
export const MESSAGE_OK = reply(250, '2.0.0', 'Message accepted');
export const START_MAIL = reply(354, '', 'Send the message, end with <CRLF>.<CRLF>');
export const RESET = reply(250, '2.0.0', 'Reset');
export const VERIFY = reply(252, '2.1.5', 'Send some mail and see');
export const HELP = reply(214, '2.0.0', 'RFC 5321 tells');
export const READY_FOR_TLS = reply(220, '2.0.0', 'Ready to start TLS');
export const AUTHENTICATED = reply(235, '2.7.0', 'Authenticated');

export const UNKNOWN_COMMAND = reply(500, '5.5.1', 'Command not recognized');
export const BAD_LINE = reply(500, '5.5.2', 'A command is text that ends with CRLF');
export const NOT_ASCII = reply(500, '5.5.2', 'A command is ASCII text');
export const ADDRESS_IS_TEXT = reply(553, '5.1.3', 'An address is ASCII text, or UTF-8 with SMTPUTF8');
export const LINE_TOO_LONG = lastReply(500, '5.5.6', 'Line too long');
export const NO_ARGUMENT = reply(501, '5.5.4', 'This command takes no argument');
export const ARGUMENT_MISSING = reply(501, '5.5.4', 'This command needs an argument');
export const BAD_HELO = reply(501, '5.5.4', 'That is no host name');
export const BAD_BDAT = lastReply(501, '5.5.4', 'Syntax: BDAT bytes [LAST]');
export const NOT_IMPLEMENTED = reply(502, '5.5.1', 'Command not available here');
export const HELO_FIRST = reply(503, '5.5.1', 'Send HELO or EHLO first');
export const EHLO_FIRST = reply(503, '5.5.1', 'Send EHLO first');
export const MAIL_FIRST = reply(503, '5.5.1', 'Send MAIL first');
export const RCPT_FIRST = reply(503, '5.5.1', 'Send RCPT first');
export const MAIL_TWICE = reply(503, '5.5.1', 'The sender was given already');
export const WRONG_ORDER = reply(503, '5.5.1', 'Not between BDAT commands');
export const NO_VALID_RECIPIENTS = reply(554, '5.5.1', 'No valid recipients');
export const TOO_MANY_RECIPIENTS = reply(
  452,
  '4.5.3',
  'Too many recipients; send the rest in another message',
);
export const NO_ROOM = reply(452, '4.3.1', 'Too much mail at once, try again later');
export const TOO_BIG = reply(552, '5.3.4', 'Message too big');
export const BARE_LINE_END = reply(550, '5.6.11', 'Message has a CR or LF that is not part of CRLF');
export const GREETING_REFUSED = reply(503, '5.5.1', 'Service was refused; only QUIT is left');

export const NO_PROXY = lastReply(554, '5.7.1', 'No PROXY header is taken from your address');

export const TLS_FIRST = reply(530, '5.7.0', 'Send STARTTLS first');
export const TLS_ALREADY = reply(503, '5.5.1', 'TLS is on already');
export const AUTH_FIRST = reply(530, '5.7.0', 'Authentication required');
export const AUTH_ALREADY = reply(503, '5.5.1', 'Authenticated already');
export const AUTH_DURING_MAIL = reply(503, '5.5.1', 'Not during a mail transaction');
export const AUTH_FAILED = reply(535, '5.7.8', 'User or password is wrong');
export const AUTH_CANCELLED = reply(501, '5.7.0', 'Authentication cancelled');
export const BAD_AUTH_ARGUMENT = reply(501, '5.5.4', 'Syntax: AUTH mechanism [initial-response]');
export const BAD_AUTH_RESPONSE = reply(501, '5.5.2', 'That response can not be read');
export const UNKNOWN_MECHANISM = reply(504, '5.5.4', 'Authentication mechanism not offered');
export const ENCRYPTION_NEEDED = reply(538, '5.7.11', 'Use TLS for this authentication mechanism');

export const INTERNAL_ERROR = reply(451, '4.3.0', 'Internal error; try again later');
export const TOO_MANY_ERRORS = lastReply(421, '4.7.0', 'Too many errors');
export const TIMED_OUT = lastReply(421, '4.4.2', 'Timeout');
export const SHUTTING_DOWN = lastReply(421, '4.3.2', 'Service is shutting down');
