export { Config } from './config.ts';
export type { Effect, Scope } from './declaration.ts';
export { type Diagnostic, formatDiagnostic, formatOrigin, type Origin } from './diagnostic.ts';
export type { NameOf, ValueOf } from './directives/index.ts';
export { type DomainPattern, matchesDomain } from './domain-pattern.ts';
export { type EffectLine, type EffectReport, effectReport, formatEffect } from './effect.ts';
export { type Explained, type Explanation, explain, explainSettings, formatExplanation } from './explain.ts';
export type {
  AddressList,
  DomainKey,
  DomainKeyList,
  Lists,
  PatternList,
  PatternRule,
  RewriteList,
  SignalsFilter,
  SmtpPatternList,
} from './lists.ts';
export { type Loaded, type LoadOptions, loadConfig, type ReplacedFile, STOCK } from './load.ts';
export type {
  AcctFile,
  Alias,
  ApiListener,
  Listener,
  OutboundProxy,
  Pool,
  Processor,
  SmtpUser,
  SourceHost,
  Spool,
  Vmta,
} from './parts.ts';
export type { Extractor } from './pattern/extract.ts';
export type { Pattern } from './pattern/pattern.ts';
export { printFile, printResolved } from './print.ts';
export { completionData, coverage, referencePage } from './reference.ts';
export { actionsFor } from './reply-rules.ts';
export { startProblems } from './requirements.ts';
export { withoutSecrets } from './secrets.ts';
export type { Settings } from './settings.ts';
export { showValue } from './show.ts';
export { type SourceTracking, sourceTracking } from './source-tracking.ts';
export type {
  FieldChoice,
  PrivacyPolicy,
  QueueFilterItem,
  RecordType,
} from './values/accounting.ts';
export type { EnableSignals, HttpAccess } from './values/compound.ts';
export type { DkimIdentity, SmtpHost } from './values/delivery.ts';
export { type Cidr, canonicalDomain, canonicalIp, cidrContains, ipBytes } from './values/network.ts';
export { parseInterval, type Rate } from './values/quantities.ts';
export type {
  BounceRule,
  MailFromRewrite,
  MxRollup,
  PatternResult,
  ReplyActions,
  RewriteSide,
} from './values/rules.ts';
