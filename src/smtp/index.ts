/** The SMTP protocol and nothing else: a server session, a client session; no queue, no disk, no policy. */

export { SmtpClient } from './client.ts';
export type {
  ConnectionFacts,
  ConnectOptions,
  ConnectResult,
  ConnectStage,
  OutgoingMessage,
  SendResult,
  SendStage,
  SmtpClientAuth,
  SmtpClientTimeouts,
  SmtpClientTls,
  WireObserver,
} from './client-types.ts';
export { DEFAULT_CLIENT_TIMEOUTS, positive, wasAccepted } from './client-types.ts';
export { connectSmtp, createSmtpClientContext } from './connect.ts';
export { ContentRoom } from './content-room.ts';
export { hasBareLineEnd } from './message-data.ts';
export type {
  MailCommand,
  MailParams,
  Notify,
  ParamRules,
  Path,
  PathFault,
  RcptCommand,
  RcptParams,
} from './path.ts';
export {
  addressAsWritten,
  decodeXtext,
  domainIsValid,
  encodeXtext,
  isAddressFault,
  isFault,
  parseAddress,
  parseMail,
  parseRcpt,
} from './path.ts';
export { type ProxyHeader, parseProxyHeader } from './proxy-header.ts';
export type { Reply } from './reply.ts';
export { formatReply, lastReply, reply } from './reply.ts';
export type { SmtpReply } from './reply-reader.ts';
export { ReplyReader, replyText } from './reply-reader.ts';
export type { SelfSignedCertificate, SelfSignedOptions } from './self-signed.ts';
export { makeSelfSignedCertificate } from './self-signed.ts';
export type { Acceptance, SmtpServer } from './server.ts';
export { createSmtpSecureContext, createSmtpServer } from './server.ts';
export type { Endpoints, SessionTls, SmtpServerSession } from './server-session.ts';
export { createSmtpSession } from './server-session.ts';
export type {
  Answer,
  AuthenticatedUser,
  AuthMechanism,
  CloseReason,
  CommandAnswer,
  Envelope,
  MaybeLater,
  ReceivedMessage,
  SmtpExtension,
  SmtpServerHandlers,
  SmtpServerOptions,
  SmtpServerTimeouts,
  SmtpServerTls,
  SmtpSessionTools,
} from './server-types.ts';
export { DEFAULT_TIMEOUTS, smtpServerOptions } from './server-types.ts';
