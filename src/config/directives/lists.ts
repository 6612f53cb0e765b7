import { type Declarations, notReadYet } from '../declaration.ts';
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
    summary: 'Deliver mail in the address list that was not recognised as a report; otherwise discard it.',
    effect: notReadYet,
  },
  'deliver-matched-email': {
    scopes: ['bounce-processor', 'feedback-loop-processor'],
    type: boolean,
    default: 'false',
    tier: 'common',
    section: '3.3.3.2; 3.3.4.2',
    summary: 'Deliver recognised reports as well as recording them; otherwise discard them.',
    effect: notReadYet,
  },
  'deliver-email': {
    scopes: ['bounce-processor', 'feedback-loop-processor'],
    type: boolean,
    deprecated: true,
    tier: 'rare',
    section: '3.3.3.3; 3.3.4.3',
    summary: 'Old combined switch.',
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
    summary: 'Send a copy of unrecognised mail to this address.',
    effect: notReadYet,
  },
  'forward-errors-to': {
    scopes: ['bounce-processor', 'feedback-loop-processor'],
    type: address,
    repeatable: true,
    tier: 'common',
    section: '3.3.3.5; 3.3.4.5',
    summary: 'Send mail whose parsing failed to this address.',
    effect: notReadYet,
  },
} as const satisfies Declarations;

export const addressListDirectives = {
  address: {
    scopes: ['address-list'],
    type: listedAddress,
    repeatable: true,
    tier: 'common',
    section: '3.3.5.1; 10.16',
    summary: 'One address, one bare local part, or a regex over the address.',
    effect: notReadYet,
  },
  'address-file': {
    scopes: ['address-list'],
    type: file,
    repeatable: true,
    tier: 'common',
    section: '3.3.5.2',
    summary: 'File of addresses or local parts, one per line.',
    effect: notReadYet,
  },
  domain: {
    scopes: ['address-list'],
    type: domainName,
    repeatable: true,
    tier: 'common',
    section: '3.3.5.3',
    summary: 'Every address at exactly this domain.',
    effect: notReadYet,
  },
} as const satisfies Declarations;

export const emailPatternsDirectives = {
  'body-pattern-file': {
    scopes: ['email-patterns'],
    type: file,
    repeatable: true,
    tier: 'rare',
    section: '3.3.6.1; 12.10',
    summary: 'File with a regex whose named groups fill accounting fields from a report body.',
    effect: notReadYet,
  },
  'log-match-info': {
    scopes: ['email-patterns'],
    type: boolean,
    default: 'false',
    tier: 'rare',
    section: '3.3.6.2',
    summary: 'Log which pattern file matched and what was taken from the report.',
    effect: notReadYet,
  },
} as const satisfies Declarations;

export const patternListDirectives = {
  header: {
    scopes: ['pattern-list'],
    type: headerRule,
    repeatable: true,
    tier: 'core',
    section: '3.3.14.1',
    summary: 'Rule on the raw content of a header.',
    effect: notReadYet,
  },
  'mail-from': {
    scopes: ['pattern-list'],
    type: mailFromRule,
    repeatable: true,
    tier: 'core',
    section: '3.3.14.2',
    summary: 'Rule on the envelope sender.',
    effect: notReadYet,
  },
  'rcpt-to': {
    scopes: ['pattern-list'],
    type: rcptToRule,
    repeatable: true,
    tier: 'core',
    section: '3.3.14.3',
    summary: 'Rule on the envelope recipient.',
    effect: notReadYet,
  },
  '*': {
    scopes: ['pattern-list'],
    type: catchAllRule,
    repeatable: true,
    tier: 'common',
    section: '3.3.14.3; 8.4.2',
    summary: 'Catch-all rule inside a nested list.',
    effect: notReadYet,
  },
} as const satisfies Declarations;

export const rewriteListDirectives = {
  'mail-from': {
    scopes: ['rewrite-list'],
    type: mailFromRewrite,
    repeatable: true,
    tier: 'core',
    section: '3.3.18.1',
    summary: 'Envelope sender rewrite rule.',
    effect: notReadYet,
  },
  'from-domain': {
    scopes: ['rewrite-list'],
    type: fromDomainRewrite,
    repeatable: true,
    tier: 'rare',
    section: '3.3.18.2',
    summary: 'Rewrites the domain of the From header address.',
    effect: notReadYet,
  },
} as const satisfies Declarations;

export const smtpPatternListDirectives = {
  reply: {
    scopes: ['smtp-pattern-list'],
    type: replyRule,
    repeatable: true,
    tier: 'core',
    section: '3.3.15; 10.3.2',
    summary: 'Action(s) when a remote reply matches.',
    effect: notReadYet,
  },
} as const satisfies Declarations;

export const bounceCategoryPatternsDirectives = {
  '/regex/': {
    scopes: ['bounce-category-patterns'],
    type: bounceRule,
    repeatable: true,
    tier: 'core',
    section: '10.8',
    summary: 'Line form of the category table: no keyword, regex first.',
    effect: notReadYet,
  },
} as const satisfies Declarations;

export const mxRollupListDirectives = {
  mx: {
    scopes: ['mx-rollup-list'],
    type: mxRule,
    repeatable: true,
    tier: 'common',
    section: '10.17',
    summary: 'Assigns an MX name or wildcard to a rollup queue.',
    effect: notReadYet,
  },
} as const satisfies Declarations;
