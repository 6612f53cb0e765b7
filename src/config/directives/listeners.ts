import { type Declarations, notReadYet } from '../declaration.ts';
import { certificate, proxyClient } from '../values/compound.ts';
import { hostPort } from '../values/network.ts';
import { interval } from '../values/quantities.ts';
import { accessKey, boolean, file, integer, limit, name, oneOf, secret, string } from '../values/scalars.ts';

/** Listeners, users, the HTTP submission API, DNS cache, proxies. */
export const smtpUserDirectives = {
  password: {
    scopes: ['smtp-user'],
    type: secret,
    tier: 'core',
    section: '3.3.8.1',
    summary: 'Clear-text password of the user.',
    effect: notReadYet,
  },
  'authentication-method': {
    scopes: ['smtp-user'],
    type: oneOf('password', 'system', 'certificate'),
    default: 'password',
    tier: 'common',
    section: '3.3.8.2',
    summary: 'How the user proves identity; system is Linux only.',
    effect: notReadYet,
  },
  'tls-certificate': {
    scopes: ['smtp-user'],
    type: file,
    tier: 'rare',
    section: '3.3.8.3',
    summary: 'Certificate the client has to present.',
    effect: notReadYet,
  },
  source: {
    scopes: ['smtp-user'],
    type: name('source'),
    default: '{auth}',
    tier: 'core',
    section: '3.3.8.4; 10.4.2',
    summary: 'Named source whose settings apply once this user has logged in.',
    effect: notReadYet,
  },
} as const satisfies Declarations;

export const smtpListenerDirectives = {
  'tls-certificate': {
    scopes: ['smtp-listener', 'transmissions-api-listener'],
    type: certificate,
    defaultFrom: 'global:smtp-server-tls-certificate',
    required: 'in <transmissions-api-listener>',
    tier: 'common',
    section: '3.3.17.4; 3.3.21.1',
    summary: 'Certificate plus key (PEM) and pass phrase.',
    effect: notReadYet,
  },
  source: {
    scopes: ['smtp-listener'],
    type: name('source'),
    tier: 'common',
    section: '3.3.17.3',
    summary: 'Named source whose settings override those of the client address.',
    effect: notReadYet,
  },
  'await-slot': {
    scopes: ['smtp-listener'],
    type: boolean,
    default: 'false',
    defaultFrom: 'global:smtp-await-slot',
    tier: 'rare',
    section: '3.3.17.1',
    summary: 'As smtp-await-slot, for this listener.',
    effect: notReadYet,
  },
  'immediate-tls': {
    scopes: ['smtp-listener'],
    type: boolean,
    default: 'false',
    tier: 'common',
    section: '3.3.17.2',
    summary: 'Start TLS right after accept (SMTPS).',
    effect: notReadYet,
  },
  'tls-allow-tlsv1.2': {
    scopes: ['smtp-listener', 'transmissions-api-listener'],
    type: boolean,
    default: 'true',
    defaultFrom: 'global:smtp-server-tls-allow-tlsv1.2',
    tier: 'rare',
    section: '3.3.17.5; 3.3.21.2',
    summary: 'Permit that protocol version on this listener.',
    effect: notReadYet,
  },
  'tls-allow-tlsv1.1': {
    scopes: ['smtp-listener', 'transmissions-api-listener'],
    type: boolean,
    default: 'true',
    defaultFrom: 'global:smtp-server-tls-allow-tlsv1.1',
    tier: 'rare',
    section: '3.3.17.6; 3.3.21.3',
    summary: 'Permit that protocol version on this listener.',
    effect: notReadYet,
  },
  'tls-allow-tlsv1': {
    scopes: ['smtp-listener', 'transmissions-api-listener'],
    type: boolean,
    default: 'false',
    defaultFrom: 'global:smtp-server-tls-allow-tlsv1',
    tier: 'rare',
    section: '3.3.17.7; 3.3.21.4',
    summary: 'Permit that protocol version on this listener.',
    effect: notReadYet,
  },
  'tls-allow-sslv3': {
    scopes: ['smtp-listener', 'transmissions-api-listener'],
    type: boolean,
    default: 'false',
    defaultFrom: 'global:smtp-server-tls-allow-sslv3',
    tier: 'rare',
    section: '3.3.17.8; 3.3.21.5',
    summary: 'Permit that protocol version on this listener.',
    effect: notReadYet,
  },
  'tls-ciphers': {
    scopes: ['smtp-listener', 'transmissions-api-listener'],
    type: string,
    default: 'HIGH:!ADH:@STRENGTH',
    defaultFrom: 'global:smtp-server-tls-ciphers',
    tier: 'rare',
    section: '3.3.17.9; 3.3.21.6',
    summary: 'Cipher string for this listener.',
    effect: notReadYet,
  },
  'tls-ca-file': {
    scopes: ['smtp-listener', 'transmissions-api-listener', 'transmissions-api'],
    type: file,
    defaultFrom: 'global:smtp-server-tls-ca-file',
    tier: 'rare',
    section: '3.3.17.10; 3.3.21.7',
    summary: 'PEM bundle to verify client certificates.',
    effect: notReadYet,
  },
} as const satisfies Declarations;

export const sourceGroupDirectives = {
  'max-smtp-in': {
    scopes: ['source-group'],
    type: limit({ zeroIsNone: false }),
    default: 'unlimited',
    tier: 'rare',
    section: '3.3.9.1',
    summary: 'Inbound connections allowed to the whole group.',
    effect: notReadYet,
  },
  'reserved-smtp-in': {
    scopes: ['source-group'],
    type: limit({ zeroIsNone: false }),
    default: '0',
    tier: 'rare',
    section: '3.3.9.2',
    summary: 'Inbound connections kept free for the group.',
    effect: notReadYet,
  },
} as const satisfies Declarations;

export const dnsDirectives = {
  'precached-domains-file': {
    scopes: ['dns'],
    type: file,
    tier: 'rare',
    section: '3.3.16.1; 10.13',
    summary: 'Domains, one per line, whose DNS data is kept warm.',
    effect: notReadYet,
  },
  'precached-refresh-interval': {
    scopes: ['dns'],
    type: interval(),
    default: '5m',
    tier: 'rare',
    section: '3.3.16.2',
    summary: "Refresh period; replaces the records' TTL.",
    effect: notReadYet,
  },
  'precached-max-domains': {
    scopes: ['dns'],
    type: integer(),
    default: '500',
    tier: 'rare',
    section: '3.3.16.3',
    summary: 'How many leading lines of the file to use.',
    effect: notReadYet,
  },
} as const satisfies Declarations;

export const transmissionsApiListenerDirectives = {
  'tls-trusted-certificate': {
    scopes: ['transmissions-api-listener'],
    type: file,
    tier: 'rare',
    section: '10.19.1',
    summary: 'Mentioned once in a comment as a further tls- option.',
    effect: notReadYet,
  },
} as const satisfies Declarations;

export const transmissionsApiDirectives = {
  'log-requests': {
    scopes: ['transmissions-api'],
    type: boolean,
    default: 'false',
    tier: 'rare',
    section: '3.3.20.1',
    summary: 'Log API exchanges.',
    effect: notReadYet,
  },
  'api-key': {
    scopes: ['transmissions-api'],
    type: accessKey,
    repeatable: true,
    tier: 'core',
    section: '3.3.20.1.1; 10.19.3',
    summary: 'Key accepted in the Authorization header; case-sensitive.',
    effect: notReadYet,
  },
} as const satisfies Declarations;

export const proxyDirectives = {
  server: {
    scopes: ['proxy'],
    type: hostPort,
    required: 'yes',
    tier: 'rare',
    section: '10.2.1.1.1',
    summary: 'Where the proxy listens.',
    effect: notReadYet,
  },
  client: {
    scopes: ['proxy'],
    type: proxyClient,
    required: 'yes',
    tier: 'rare',
    section: '10.2.1.1.2',
    summary: 'Address the proxy must connect from (port 0 by default) and its host name.',
    effect: notReadYet,
  },
} as const satisfies Declarations;
