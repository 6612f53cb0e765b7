import { type Commands, readCommands } from './commands.ts';
import { type Provider, providerOf } from './replies.ts';

/** What a recipient address asks of the sink: behaviour by label, provider whose manners to imitate, commands. */
export interface Selection {
  readonly label: Label;
  /** Provider whose replies are used; `generic` when the address names none. */
  readonly provider: Provider;
  /** Attempts to defer before taking the message: `defer3` is 3, `defer` is Infinity, all others 0. */
  readonly deferrals: number;
  readonly commands: Commands;
}

const LABELS = [
  'accept',
  'oob',
  'oob-late',
  'oob-noorig',
  'oob-headers',
  'oob-text',
  'fbl',
  'openclick',
  'open',
  'click',
  'bounce',
  'block',
  'full',
  'toolarge',
  'defer',
  'greylist',
  'ratelimit',
  'slow',
  'drop-rcpt',
  'drop-data',
  'drop-dot',
  'timeout',
  'trap',
  'unsub',
  'unsub-link',
  'mpp',
  'gmailproxy',
  'scanner',
  'bot',
  'autoreply',
  'mix',
] as const;

/** First label behind `@` that the sink acts on; `mix` (statistics) when there is none. */
export type Label = (typeof LABELS)[number];

const known: ReadonlySet<string> = new Set(LABELS);
/** The fewest attempts are 1, the most 99: two digits in the label. */
const DEFER_N = /^defer([1-9]\d?)$/;

/**
 * Chooses the behaviour for one envelope recipient. The label directly behind `@` decides; labels between it and the
 * sink's domain may name a provider (`x@oob.yahoo.sink.test`).
 */
export function select(localPart: string, domain: string, sinkDomain: string): Selection {
  const lower = domain.toLowerCase().replace(/\.$/, '');
  const suffix = `.${sinkDomain}`;
  const below = lower.endsWith(suffix) ? lower.slice(0, -suffix.length).split('.') : [];
  const first = below[0] ?? '';
  const commands = readCommands(localPart);
  const provider = below.map(providerOf).find((p) => p !== undefined) ?? 'generic';
  const deferN = DEFER_N.exec(first);
  if (deferN) return { label: 'defer', provider, deferrals: Number(deferN[1]), commands };
  if (first === 'defer') {
    return { label: 'defer', provider, deferrals: Number.POSITIVE_INFINITY, commands };
  }
  const label: Label = first === 'hard' ? 'bounce' : known.has(first) ? (first as Label) : 'mix';
  return { label, provider, deferrals: 0, commands };
}
