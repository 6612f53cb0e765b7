import { UserError } from '../system/user-error.ts';

/**
 * The statistical model of a mailbox provider and its users: each value is a percentage of the messages offered.
 * Later ones are shares of all traffic, not of what is left, so the conditional probabilities are derived here.
 */
export interface Rates {
  readonly inbandHard: number;
  /** Deferral, drawn anew at each attempt. */
  readonly inbandSoft: number;
  readonly oob: number;
  readonly fbl: number;
  /** Whether people complain only about mail that they have opened. */
  readonly fblAfterOpen: boolean;
  readonly trap: number;
  readonly open: number;
  readonly openAgain: number;
  readonly click: number;
  readonly clickAgain: number;
  readonly unsubscribe: number;
  /** Machine traffic comes on top of what people do. */
  readonly prefetch: number;
  readonly scanner: number;
}

export const defaultRates: Rates = {
  inbandHard: 1,
  inbandSoft: 1,
  oob: 0.5,
  fbl: 0.01,
  fblAfterOpen: true,
  trap: 0,
  open: 30,
  openAgain: 10,
  click: 13,
  clickAgain: 3,
  unsubscribe: 0.1,
  prefetch: 20,
  scanner: 5,
};

/** What the two published descriptions of the reference sink say; they disagree with each other. */
export const rateProfiles: ReadonlyMap<string, Rates> = new Map<string, Rates>([
  ['default', defaultRates],
  [
    'classic-diagram',
    {
      ...defaultRates,
      inbandHard: 1.8,
      inbandSoft: 0.2,
      fblAfterOpen: false,
      unsubscribe: 0,
      prefetch: 0,
      scanner: 0,
    },
  ],
  [
    'classic-ini',
    {
      ...defaultRates,
      inbandHard: 1.8,
      inbandSoft: 0.2,
      fblAfterOpen: false,
      open: 55,
      click: 15,
      unsubscribe: 0,
      prefetch: 0,
      scanner: 0,
    },
  ],
]);

/** Refuses rates that cannot be met; never clips, because a clipped plan is silently another plan. */
export function checkRates(rates: Rates): void {
  for (const [name, value] of Object.entries(rates)) {
    if (typeof value === 'number' && !(value >= 0 && value <= 100)) {
      throw new UserError(`the sink's rate ${name} is ${value}; it must be a percentage from 0 to 100`, {
        exitCode: 2,
      });
    }
  }
  const pairs: [keyof Rates, keyof Rates][] = [
    ['openAgain', 'open'],
    ['click', 'open'],
    ['clickAgain', 'click'],
    ['unsubscribe', 'open'],
  ];
  if (rates.fblAfterOpen) pairs.push(['fbl', 'open']);
  for (const [inner, outer] of pairs) {
    if ((rates[inner] as number) > (rates[outer] as number)) {
      throw new UserError(
        `the sink's rates contradict each other: ${inner} ${rates[inner]} is more than ${outer} ${rates[outer]}, of which it is a part`,
        { exitCode: 2 },
      );
    }
  }
  const exclusive =
    rates.inbandHard +
    rates.inbandSoft +
    rates.oob +
    rates.trap +
    rates.open +
    (rates.fblAfterOpen ? 0 : rates.fbl);
  if (exclusive > 100) {
    throw new UserError(
      `the sink's rates inbandHard, inbandSoft, oob, trap, open and fbl exclude each other but add up to ${exclusive} percent`,
      { exitCode: 2 },
    );
  }
}

export type AtRcpt = 'hard' | 'soft' | 'take';

/** What happens at RCPT, before anybody has seen the message. */
export function decideAtRcpt(rates: Rates, draw: (purpose: string) => number): AtRcpt {
  const at = draw('inband') * 100;
  if (at < rates.inbandHard) return 'hard';
  return at < rates.inbandHard + rates.inbandSoft ? 'soft' : 'take';
}

/** What people and machines will do with an accepted message. */
export interface Fate {
  readonly oob: boolean;
  readonly fbl: boolean;
  readonly trap: boolean;
  readonly opens: number;
  readonly clicks: number;
  readonly unsubscribe: boolean;
  readonly prefetch: boolean;
  readonly scanner: boolean;
}

export const leftAlone: Fate = {
  oob: false,
  fbl: false,
  trap: false,
  opens: 0,
  clicks: 0,
  unsubscribe: false,
  prefetch: false,
  scanner: false,
};

/** Draws the fate of a message that passed RCPT. `draw` answers each named question with a number in [0, 1). */
export function decideFate(rates: Rates, draw: (purpose: string) => number): Fate {
  const offered = 100 - rates.inbandHard - rates.inbandSoft;
  let at = draw('fate') * offered;
  const below = (share: number) => {
    const hit = at < share;
    at -= share;
    return hit;
  };
  if (below(rates.oob)) return { ...leftAlone, oob: true };
  if (!rates.fblAfterOpen && below(rates.fbl)) return { ...leftAlone, fbl: true };
  if (below(rates.trap)) return { ...leftAlone, trap: true };
  const left = offered - rates.oob - rates.trap - (rates.fblAfterOpen ? 0 : rates.fbl);
  const machines = {
    prefetch: draw('prefetch') * left < rates.prefetch,
    scanner: draw('scanner') * left < rates.scanner,
  };
  if (!below(rates.open)) return { ...leftAlone, ...machines };
  const given = (part: number, whole: number, purpose: string) => draw(purpose) * whole < part;
  const clicked = given(rates.click, rates.open, 'click');
  return {
    ...leftAlone,
    ...machines,
    opens: given(rates.openAgain, rates.open, 'open-again') ? 2 : 1,
    clicks: clicked ? (given(rates.clickAgain, rates.click, 'click-again') ? 2 : 1) : 0,
    unsubscribe: given(rates.unsubscribe, rates.open, 'unsubscribe'),
    fbl: rates.fblAfterOpen && given(rates.fbl, rates.open, 'fbl'),
  };
}
