import type { Declarations } from '../declaration.ts';
import { notReadYet } from '../declaration.ts';
import { domainPattern } from '../domain-pattern.ts';
import { interval, size } from '../values/quantities.ts';
import { boolean, directory, oneOf } from '../values/scalars.ts';

const EVERYWHERE = ['global', 'source', 'virtual-mta-pool', 'virtual-mta', 'domain'] as const;

/** A `<source>` switches tracking on and off; how it is done comes from the other places. */
const trackingDetail = { differs: 'not read in `<source>`' } as const;

/** Directives that PowerMTA does not know: engagement tracking, list-unsubscribe, and where our own files live. */
export const additionalDirectives = {
  'state-dir': {
    scopes: ['global'],
    type: directory,
    default: '/var/lib/pmta',
    ours: true,
    tier: 'common',
    summary: 'Folder of event files, keys and counters that outlive a restart.',
    effect: 'honoured',
  },
  'track-opens': {
    scopes: EVERYWHERE,
    type: boolean,
    ours: true,
    defaultText: 'yes with engagement-tracking sparkpost, else no',
    tier: 'common',
    summary: 'Put an open pixel at the end of HTML parts.',
    effect: 'honoured',
  },
  'track-initial-opens': {
    scopes: EVERYWHERE,
    type: boolean,
    ours: true,
    defaultText: 'yes with engagement-tracking sparkpost, else no',
    tier: 'rare',
    summary: 'Put a second pixel at the beginning of HTML parts.',
    effect: 'honoured',
  },
  'track-clicks': {
    scopes: EVERYWHERE,
    type: boolean,
    ours: true,
    defaultText: 'yes with engagement-tracking sparkpost, else no',
    tier: 'common',
    summary: 'Send links of HTML parts through the tracker.',
    effect: 'honoured',
  },
  'track-text-links': {
    scopes: EVERYWHERE,
    type: boolean,
    default: 'no',
    ours: true,
    tier: 'rare',
    summary: 'Send links of plain text parts through the tracker too.',
    effect: trackingDetail,
  },
  'track-amp': {
    scopes: EVERYWHERE,
    type: boolean,
    default: 'no',
    ours: true,
    tier: 'rare',
    summary: 'Track opens and clicks in AMP parts.',
    effect: trackingDetail,
  },
  'track-mso-conditional': {
    scopes: EVERYWHERE,
    type: boolean,
    default: 'no',
    ours: true,
    tier: 'rare',
    summary: 'Rewrite links inside conditional comments for Outlook.',
    effect: trackingDetail,
  },
  'tracking-scheme': {
    scopes: EVERYWHERE,
    type: oneOf('http', 'https'),
    ours: true,
    defaultText: 'https if the tracking domain has a certificate, else http',
    tier: 'common',
    summary: 'Scheme of tracked links.',
    effect: trackingDetail,
  },
  'tracking-link-expiry': {
    scopes: EVERYWHERE,
    type: interval(),
    default: '365d',
    ours: true,
    tier: 'rare',
    summary: 'How long tracked links count and redirect.',
    effect: trackingDetail,
  },
  'tracking-exclude-domain': {
    scopes: EVERYWHERE,
    type: domainPattern,
    repeatable: true,
    ours: true,
    tier: 'rare',
    summary: 'Link targets that are never rewritten.',
    effect: notReadYet,
  },
  'tracking-max-message-size': {
    scopes: EVERYWHERE,
    type: size(),
    default: '10M',
    ours: true,
    tier: 'rare',
    summary: 'Larger messages pass without tracking.',
    effect: trackingDetail,
  },
  'tracking-signed-messages': {
    scopes: EVERYWHERE,
    type: oneOf('skip', 'rewrite'),
    default: 'skip',
    ours: true,
    tier: 'rare',
    summary: 'Whether messages that arrive signed are tracked, which breaks their signature.',
    effect: trackingDetail,
  },
  'add-list-unsubscribe': {
    scopes: EVERYWHERE,
    type: oneOf('off', 'mailto', 'https', 'both'),
    default: 'off',
    ours: true,
    tier: 'common',
    summary: 'Add List-Unsubscribe headers of these kinds.',
    effect: { differs: 'any value but off adds the https form; the mailto form is not made yet' },
  },
  'accept-proxy-header': {
    scopes: ['source'],
    type: boolean,
    default: 'no',
    ours: true,
    tier: 'rare',
    summary:
      'Connections from here come through a proxy that names the client in a PROXY header, which is required.',
    effect: 'honoured',
  },
  'process-x-msys-api': {
    scopes: ['source'],
    type: boolean,
    default: 'no',
    ours: true,
    tier: 'common',
    summary: 'Apply the options of X-MSYS-API and remove the header.',
    effect: notReadYet,
  },
} as const satisfies Declarations;
