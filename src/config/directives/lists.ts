import type { Declarations } from '../declaration.ts';
import { listedAddress } from '../values/compound.ts';
import { address, domainName } from '../values/network.ts';
import {
  bounceRule,
  catchAllRule,
  fromDomainRewrite,
  headerRule,
  mailFromRewrite,
  mailFromRule,
  mxRule,
  rcptToRule,
  replyRule,
} from '../values/rules.ts';
import { boolean, file } from '../values/scalars.ts';

/** Rules and lists: patterns, replies, categories, roll-up, rewriting, addresses. */
export const bounceProcessorDirectives = {
  'deliver-unmatched-email': {
    scopes: ['bounce-processor', 'feedback-loop-processor'],
    type: boolean,
    default: 'true',
    tier: 'common',
    section: '3.3.3.1; 3.3.4.1',
    summary: 'Deliver mail that is no report; else drop it.',
    effect: 'honoured',
  },
  'deliver-matched-email': {
    scopes: ['bounce-processor', 'feedback-loop-processor'],
    type: boolean,
    default: 'false',
    tier: 'common',
    section: '3.3.3.2; 3.3.4.2',
    summary: 'Deliver reports too after they were read.',
    effect: 'honoured',
  },
  'deliver-email': {
    scopes: ['bounce-processor', 'feedback-loop-processor'],
    type: boolean,
    deprecated: true,
    tier: 'rare',
    section: '3.3.3.3; 3.3.4.3',
    summary: 'An old switch for both.',
    effect: {
      none: 'its meaning beside the two newer switches is not known; use deliver-matched-email and deliver-unmatched-email',
    },
  },
  'forward-unmatched-to': {
    scopes: ['bounce-processor', 'feedback-loop-processor'],
    type: address,
    repeatable: true,
    tier: 'common',
    section: '3.3.3.4; 3.3.4.4',
    summary: 'Who gets a copy of mail that is no report.',
    effect: 'honoured',
  },
  'forward-errors-to': {
    scopes: ['bounce-processor', 'feedback-loop-processor'],
    type: address,
    repeatable: true,
    tier: 'common',
    section: '3.3.3.5; 3.3.4.5',
    summary: 'Who gets reports that could not be read.',
    effect: 'honoured',
  },
} as const satisfies Declarations;

export const addressListDirectives = {
  address: {
    scopes: ['address-list'],
    type: listedAddress,
    repeatable: true,
    tier: 'common',
    section: '3.3.5.1; 10.16',
    summary: 'An address, a local part, or a regex over addresses.',
    effect: 'honoured',
  },
  'address-file': {
    scopes: ['address-list'],
    type: file,
    repeatable: true,
    tier: 'common',
    section: '3.3.5.2',
    summary: 'A file of addresses and local parts.',
    effect: 'honoured',
  },
  domain: {
    scopes: ['address-list'],
    type: domainName,
    repeatable: true,
    tier: 'common',
    section: '3.3.5.3',
    summary: 'All addresses of one domain.',
    effect: 'honoured',
  },
} as const satisfies Declarations;

export const emailPatternsDirectives = {
  'body-pattern-file': {
    scopes: ['email-patterns'],
    type: file,
    repeatable: true,
    tier: 'rare',
    section: '3.3.6.1; 12.10',
    summary: 'A file with a regex for reports of unusual form.',
    effect: 'honoured',
  },
  'log-match-info': {
    scopes: ['email-patterns'],
    type: boolean,
    default: 'false',
    tier: 'rare',
    section: '3.3.6.2',
    summary: 'Log which pattern file fitted a report.',
    effect: 'honoured',
  },
} as const satisfies Declarations;

export const patternListDirectives = {
  header: {
    scopes: ['pattern-list'],
    type: headerRule,
    repeatable: true,
    tier: 'core',
    section: '3.3.14.1',
    summary: 'Looks at a header.',
    effect: 'honoured',
  },
  'mail-from': {
    scopes: ['pattern-list'],
    type: mailFromRule,
    repeatable: true,
    tier: 'core',
    section: '3.3.14.2',
    summary: 'Looks at the sender.',
    effect: 'honoured',
  },
  'rcpt-to': {
    scopes: ['pattern-list'],
    type: rcptToRule,
    repeatable: true,
    tier: 'core',
    section: '3.3.14.3',
    summary: 'Looks at the recipient.',
    effect: 'honoured',
  },
  '*': {
    scopes: ['pattern-list'],
    type: catchAllRule,
    repeatable: true,
    tier: 'common',
    section: '3.3.14.3; 8.4.2',
    summary: 'Fits always.',
    effect: 'honoured',
  },
} as const satisfies Declarations;

export const rewriteListDirectives = {
  'mail-from': {
    scopes: ['rewrite-list'],
    type: mailFromRewrite,
    repeatable: true,
    tier: 'core',
    section: '3.3.18.1',
    summary: 'Rewrites the envelope sender.',
    effect: 'honoured',
  },
  'from-domain': {
    scopes: ['rewrite-list'],
    type: fromDomainRewrite,
    repeatable: true,
    tier: 'rare',
    section: '3.3.18.2',
    summary: 'Rewrites the domain in From.',
    effect: 'honoured',
  },
} as const satisfies Declarations;

export const smtpPatternListDirectives = {
  reply: {
    scopes: ['smtp-pattern-list'],
    type: replyRule,
    repeatable: true,
    tier: 'core',
    section: '3.3.15; 10.3.2',
    summary: 'Looks at a reply.',
    effect: 'honoured',
  },
} as const satisfies Declarations;

export const bounceCategoryPatternsDirectives = {
  '/regex/': {
    scopes: ['bounce-category-patterns'],
    type: bounceRule,
    repeatable: true,
    tier: 'core',
    section: '10.8',
    summary: 'Looks at a bounce and names its category.',
    effect: 'honoured',
  },
} as const satisfies Declarations;

export const mxRollupListDirectives = {
  mx: {
    scopes: ['mx-rollup-list'],
    type: mxRule,
    repeatable: true,
    tier: 'common',
    section: '10.17',
    summary: 'Sends mail for an MX host to a common queue.',
    effect: 'honoured',
  },
} as const satisfies Declarations;
