import { toJobName } from '../mail/job-name.ts';

export type Structure = 'plain' | 'html' | 'alternative' | 'mixed' | 'related';
export type Language = 'en' | 'de' | 'fr' | 'es';

/** One stream of mail: a campaign with its sender and look. */
export interface Campaign {
  /** Unchanged in `X-MSYS-API`; in `X-Job` as `toJobName` maps it. */
  readonly name: string;
  readonly stream: string;
  readonly weight: number;
  /** 0 is the primary account and names no subaccount. */
  readonly subaccount: number;
  readonly fromName: string;
  readonly from: string;
  readonly subjects: readonly string[];
  /** Names of links (`data-msys-linkname`), in the order in which they appear. */
  readonly links: readonly string[];
  readonly structures: readonly { readonly kind: Structure; readonly weight: number }[];
  readonly languages: readonly Language[];
  /** Paragraphs of text, from and to. */
  readonly length: readonly [number, number];
}

export interface Scenario {
  readonly name: string;
  readonly campaigns: readonly Campaign[];
  /** Domains of recipients by weight. */
  readonly domains: readonly { readonly domain: string; readonly weight: number }[];
  /** People in the list; the same person gets mail again. */
  readonly people: number;
  /** Share of messages with more than one recipient. */
  readonly several: number;
  readonly mailFrom: string;
}

const letter = [
  { kind: 'alternative', weight: 6 },
  { kind: 'html', weight: 1 },
  { kind: 'related', weight: 2 },
  { kind: 'mixed', weight: 1 },
] as const;

const demoCampaigns: readonly Campaign[] = [
  {
    name: "Today's Sales",
    stream: 'marketing',
    weight: 22,
    subaccount: 1,
    fromName: 'Brand Shop',
    from: 'offers@brand.test',
    subjects: ["Today's sales", 'Deals that end tonight', 'Heute günstiger: unsere Auswahl', '🎉 New prices'],
    links: ['Deal of the Day', 'All offers', 'Store finder'],
    structures: letter,
    languages: ['en', 'de'],
    length: [2, 10],
  },
  {
    name: 'Newsletter',
    stream: 'marketing',
    weight: 25,
    subaccount: 1,
    fromName: 'Brand News',
    from: 'news@brand.test',
    subjects: ['Newsletter', 'This week at Brand', 'Les nouvelles de la semaine', 'Noticias de esta semana'],
    links: ['More Daily News', 'Read the story', 'Archive'],
    structures: letter,
    languages: ['en', 'fr', 'es', 'de'],
    length: [4, 25],
  },
  {
    name: 'Last Minute "Savings"',
    stream: 'marketing',
    weight: 15,
    subaccount: 2,
    fromName: 'Shop Alerts',
    from: 'alerts@shop.test',
    subjects: ['Savings', 'Last minute savings for you', 'Économies de dernière minute'],
    links: ['Last Minute Savings'],
    structures: letter,
    languages: ['en', 'fr'],
    length: [1, 5],
  },
  {
    name: 'Password_Reset',
    stream: 'transactional',
    weight: 10,
    subaccount: 3,
    fromName: 'Shop Accounts',
    from: 'no-reply@shop.test',
    subjects: ['Password reset', 'Passwort zurücksetzen'],
    links: ['Password Reset'],
    structures: [
      { kind: 'alternative', weight: 3 },
      { kind: 'plain', weight: 1 },
    ],
    languages: ['en', 'de'],
    length: [1, 2],
  },
  {
    name: 'Welcome_Letter',
    stream: 'transactional',
    weight: 8,
    subaccount: 0,
    fromName: 'Brand',
    from: 'hello@brand.test',
    subjects: ['Welcome letter', 'Bienvenue', '¡Bienvenido!'],
    links: ['Contact Form', 'Get started'],
    structures: [
      { kind: 'related', weight: 2 },
      { kind: 'alternative', weight: 2 },
      { kind: 'plain', weight: 1 },
    ],
    languages: ['en', 'fr', 'es'],
    length: [2, 6],
  },
  {
    name: 'Holiday Bargains',
    stream: 'marketing',
    weight: 12,
    subaccount: 2,
    fromName: 'Shop Holidays',
    from: 'holidays@shop.test',
    subjects: ['Holiday bargains', 'Ferien zum halben Preis', '☀️ Sunny bargains inside'],
    links: ['Holiday Bargains', 'Beaches', 'Mountains', 'Cities'],
    structures: letter,
    languages: ['en', 'de', 'es'],
    length: [3, 12],
  },
  {
    name: 'Order confirmation 100% sure',
    stream: 'transactional',
    weight: 8,
    subaccount: 3,
    fromName: 'Shop Orders',
    from: 'orders@shop.test',
    subjects: ['Your order', 'Order received', 'Ihre Bestellung', 'Votre commande'],
    links: ['Track the parcel', 'Invoice'],
    structures: [
      { kind: 'mixed', weight: 3 },
      { kind: 'alternative', weight: 2 },
    ],
    languages: ['en', 'de', 'fr'],
    length: [1, 4],
  },
];

/** Share of recipients in percent: mostly people at large providers, and some for each thing that can happen. */
const demoLabels: readonly (readonly [label: string, weight: number])[] = [
  ['gmail', 34],
  ['microsoft', 20],
  ['yahoo', 15],
  ['apple', 6],
  ['comcast', 3],
  ['orange', 3],
  ['gmx', 3],
  ['corporate', 3],
  ['openclick', 3],
  ['accept', 1],
  ['bounce', 2],
  ['block', 1],
  ['full', 1],
  ['defer1', 1.5],
  ['defer2', 1],
  ['oob', 1],
  ['fbl', 1],
  ['unsub', 0.5],
];

/**
 * The compiled-in scenarios by name, for a sink that answers for `sinkDomain`.
 * `demo`: seven campaigns of four accounts to people at pretended providers; `hello`: the same to `accept` alone.
 */
export function scenario(name: string, sinkDomain: string): Scenario | undefined {
  const common = {
    name,
    campaigns: demoCampaigns,
    people: 500,
    several: 0.04,
    mailFrom: 'bounces@bounces.demo.test',
  };
  switch (name) {
    case 'demo':
      return {
        ...common,
        domains: demoLabels.map(([label, weight]) => ({ domain: `${label}.${sinkDomain}`, weight })),
      };
    case 'hello':
      return { ...common, people: 10, domains: [{ domain: `accept.${sinkDomain}`, weight: 1 }] };
    default:
      return undefined;
  }
}

export const scenarioNames = ['demo', 'hello'] as const;

/** How each campaign's name stands in `X-Job`, so that reports by job can be joined with campaigns. */
export function jobNames(of: Scenario): { campaign: string; job: string }[] {
  return of.campaigns.map(({ name }) => ({ campaign: name, job: toJobName(name) }));
}
