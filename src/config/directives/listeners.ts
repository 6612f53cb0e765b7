import type { Declarations } from '../declaration.ts';
import { certificate } from '../values/compound.ts';
import { proxyClient } from '../values/delivery.ts';
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
    summary: 'The password, in the clear.',
    effect: 'honoured',
  },
  'authentication-method': {
    scopes: ['smtp-user'],
    type: oneOf('password', 'system', 'certificate'),
    default: 'password',
    tier: 'common',
    section: '3.3.8.2',
    summary: 'How the user proves who they are.',
    effect: {
      differs: 'password and certificate; users with method system (accounts of the machine) cannot log in',
    },
  },
  'tls-certificate': {
    scopes: ['smtp-user'],
    type: file,
    tier: 'rare',
    section: '3.3.8.3',
    summary: 'Certificate the user must show.',
    effect: 'honoured',
  },
  source: {
    scopes: ['smtp-user'],
    type: name('source'),
    default: '{auth}',
    tier: 'core',
    section: '3.3.8.4; 10.4.2',
    summary: 'Settings that apply after login.',
    effect: 'honoured',
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
    summary: 'Certificate with key of this listener.',
    effect: 'honoured',
  },
  source: {
    scopes: ['smtp-listener'],
    type: name('source'),
    tier: 'common',
    section: '3.3.17.3',
    summary: 'The source whose settings apply here.',
    effect: 'honoured',
  },
  'await-slot': {
    scopes: ['smtp-listener'],
    type: boolean,
    default: 'false',
    defaultFrom: 'global:smtp-await-slot',
    tier: 'rare',
    section: '3.3.17.1',
    summary: 'Let clients of this listener wait for a free connection.',
    effect: { none: 'a client beyond the limit is told 421 and comes again' },
  },
  'immediate-tls': {
    scopes: ['smtp-listener'],
    type: boolean,
    default: 'false',
    tier: 'common',
    section: '3.3.17.2',
    summary: 'Begin with TLS at once.',
    effect: 'honoured',
  },
  'tls-allow-tlsv1.2': {
    scopes: ['smtp-listener', 'transmissions-api-listener'],
    type: boolean,
    default: 'true',
    defaultFrom: 'global:smtp-server-tls-allow-tlsv1.2',
    tier: 'rare',
    section: '3.3.17.5; 3.3.21.2',
    summary: 'Let clients use TLS 1.2 here.',
    effect: 'honoured',
  },
  'tls-allow-tlsv1.1': {
    scopes: ['smtp-listener', 'transmissions-api-listener'],
    type: boolean,
    default: 'true',
    defaultFrom: 'global:smtp-server-tls-allow-tlsv1.1',
    tier: 'rare',
    section: '3.3.17.6; 3.3.21.3',
    summary: 'Let clients use TLS 1.1 here.',
    effect: 'honoured',
  },
  'tls-allow-tlsv1': {
    scopes: ['smtp-listener', 'transmissions-api-listener'],
    type: boolean,
    default: 'false',
    defaultFrom: 'global:smtp-server-tls-allow-tlsv1',
    tier: 'rare',
    section: '3.3.17.7; 3.3.21.4',
    summary: 'Let clients use TLS 1.0 here.',
    effect: 'honoured',
  },
  'tls-allow-sslv3': {
    scopes: ['smtp-listener', 'transmissions-api-listener'],
    type: boolean,
    default: 'false',
    defaultFrom: 'global:smtp-server-tls-allow-sslv3',
    tier: 'rare',
    section: '3.3.17.8; 3.3.21.5',
    summary: 'Let clients use SSLv3 here.',
    effect: { none: 'no TLS library of today speaks SSLv3; it stays off' },
  },
  'tls-ciphers': {
    scopes: ['smtp-listener', 'transmissions-api-listener'],
    type: string,
    default: 'HIGH:!ADH:@STRENGTH',
    defaultFrom: 'global:smtp-server-tls-ciphers',
    tier: 'rare',
    section: '3.3.17.9; 3.3.21.6',
    summary: 'Ciphers of this listener.',
    effect: 'honoured',
  },
  'tls-ca-file': {
    scopes: ['smtp-listener', 'transmissions-api-listener', 'transmissions-api'],
    type: file,
    defaultFrom: 'global:smtp-server-tls-ca-file',
    tier: 'rare',
    section: '3.3.17.10; 3.3.21.7',
    summary: 'Authorities for client certificates here.',
    effect: 'honoured',
  },
} as const satisfies Declarations;

export const sourceGroupDirectives = {
  'max-smtp-in': {
    scopes: ['source-group'],
    type: limit({ zeroIsNone: false }),
    default: 'unlimited',
    tier: 'rare',
    section: '3.3.9.1',
    summary: 'Most inbound connections of the group.',
    effect: 'honoured',
  },
  'reserved-smtp-in': {
    scopes: ['source-group'],
    type: limit({ zeroIsNone: false }),
    default: '0',
    tier: 'rare',
    section: '3.3.9.2',
    summary: 'Inbound connections kept for the group.',
    effect: 'honoured',
  },
} as const satisfies Declarations;

export const dnsDirectives = {
  'precached-domains-file': {
    scopes: ['dns'],
    type: file,
    tier: 'rare',
    section: '3.3.16.1; 10.13',
    summary: 'Domains whose DNS is kept fresh.',
    effect: 'honoured',
  },
  'precached-refresh-interval': {
    scopes: ['dns'],
    type: interval(),
    default: '5m',
    tier: 'rare',
    section: '3.3.16.2',
    summary: 'How often it is refreshed.',
    effect: 'honoured',
  },
  'precached-max-domains': {
    scopes: ['dns'],
    type: integer(),
    default: '500',
    tier: 'rare',
    section: '3.3.16.3',
    summary: 'How many lines of that file count.',
    effect: 'honoured',
  },
} as const satisfies Declarations;

export const transmissionsApiListenerDirectives = {
  'tls-trusted-certificate': {
    scopes: ['transmissions-api-listener'],
    type: file,
    tier: 'rare',
    section: '10.19.1',
    summary: 'A further option seen once in the guide.',
    effect: {
      none: 'the guide shows the name once and says nothing of its meaning; clients are judged by tls-ca-file',
    },
  },
} as const satisfies Declarations;

export const transmissionsApiDirectives = {
  'log-requests': {
    scopes: ['transmissions-api'],
    type: boolean,
    default: 'false',
    tier: 'rare',
    section: '3.3.20.1',
    summary: 'Log requests.',
    effect: 'honoured',
  },
  'api-key': {
    scopes: ['transmissions-api'],
    type: accessKey,
    repeatable: true,
    tier: 'core',
    section: '3.3.20.1.1; 10.19.3',
    summary: 'A key that clients must send.',
    effect: 'honoured',
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
    effect: 'honoured',
  },
  client: {
    scopes: ['proxy'],
    type: proxyClient,
    required: 'yes',
    tier: 'rare',
    section: '10.2.1.1.2',
    summary: 'Address and name the proxy sends with.',
    effect: 'honoured',
  },
} as const satisfies Declarations;
