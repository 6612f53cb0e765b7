/** The `$macros` of `command` and `file-destination` (guide sections 3.3.10.96, 3.3.10.97, 7.3). */
import { domainOf } from '../../mail/address.ts';
import { dateHeader } from '../../mail/header.ts';
import { returnPath } from './return-path.ts';
import type { Job } from './work-loop.ts';

const NAMES = [
  'bodytype',
  'ctime',
  'domain',
  'envid',
  'from',
  'isodate',
  'rfctime',
  'timet',
  'to',
  'user',
] as const;

export type MacroName = (typeof NAMES)[number];
export type MacroValues = Readonly<Record<MacroName, string>>;

export interface MacroFacts {
  /** Envelope sender as this recipient's copy has it; '' is the null sender. */
  readonly from: string;
  readonly to: string;
  readonly envId: string;
  readonly eightBit: boolean;
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** `macro-variables-preserve-case`. */
  readonly preserveCase: boolean;
}

/** The values of one recipient. Line ends, NUL and other controls become `?`: no file name or argument needs them. */
export function macroValues(facts: MacroFacts): MacroValues {
  const { to, now } = facts;
  const cased = (address: string) => plain(facts.preserveCase ? address : address.toLowerCase());
  const local = to.includes('@') ? to.slice(0, to.lastIndexOf('@')) : to;
  return {
    bodytype: facts.eightBit ? '8BITMIME' : '7BIT',
    ctime: ctime(new Date(now)),
    domain: plain(domainOf(to).toLowerCase()),
    envid: plain(facts.envId),
    from: cased(facts.from),
    isodate: isoDate(new Date(now)),
    rfctime: dateHeader(now),
    timet: String(Math.floor(now / 1000)),
    to: cased(to),
    user: plain(local.split('+', 1)[0]!.toLowerCase()),
  };
}

/** The values for one recipient of a job. */
export function macrosOf({ envelope, settings }: Job, index: number, now: number): MacroValues {
  return macroValues({
    from: returnPath(envelope, index),
    to: envelope.recipients[index]!.address,
    envId: envelope.facts.envId,
    eightBit: envelope.eightBit,
    now,
    preserveCase: settings.get('macro-variables-preserve-case'),
  });
}

/** Words with `$` and a name that is none stay as they are. */
export function expandMacros(text: string, values: MacroValues): string {
  return text.replace(/\$([a-z]+)/g, (written, name: string) =>
    (NAMES as readonly string[]).includes(name) ? values[name as MacroName] : written,
  );
}

function plain(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f]/g, '?');
}

const two = (n: number) => String(n).padStart(2, '0');
const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** As ctime(3) writes local time, without its line end: `Sat Nov 21 04:05:06 2026`. */
export function ctime(d: Date): string {
  const day = `${DAYS[d.getDay()]} ${MONTHS[d.getMonth()]} ${String(d.getDate()).padStart(2)}`;
  return `${day} ${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())} ${d.getFullYear()}`;
}

function isoDate(d: Date): string {
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}`;
}
