/**
 * Orders to the sink that travel in the local part: `name+CMD[=VALUE][_CMD…]@any.sink.test` (`-` stands for a blank in
 * texts, percent encoding is understood). Whatever is no command is counted and otherwise ignored, so that an ordinary
 * plus-address keeps working.
 */
export interface Commands {
  /** Refuse or defer with this basic code (400-599); 0 when not asked for. */
  readonly code: number;
  /** Enhanced status code of that reply, '' for the usual one. */
  readonly enhanced: string;
  readonly stage: Stage;
  /** In how many percent of the attempts the code is used. */
  readonly percent: number;
  /** Only the first so many attempts; 0 is no limit. */
  readonly attempts: number;
  readonly text: string;
  /** How often to open and to click; undefined leaves it to the label. */
  readonly opens: number | undefined;
  readonly clicks: number | undefined;
  /** Only the link of this name or (from 1) position is clicked. */
  readonly link: string;
  /** Device of the reader, '' for any. */
  readonly agent: string;
  /** Milliseconds (before time scaling) to wait before the first action; undefined leaves it to chance. */
  readonly after: number | undefined;
  /** Status code of an out-of-band bounce to send, '' for none. */
  readonly oob: string;
  /** Feedback type of a complaint to send, '' for none. */
  readonly fbl: string;
  /** Replaces the message in the random draws. */
  readonly seed: string;
  /** Name under which the control interface finds the message. */
  readonly tag: string;
  readonly ignored: number;
}

/** Where in the conversation a refusal falls. `connect`, `helo` and `mail` come before the recipient is known, so they act at `rcpt`. */
export type Stage = 'rcpt' | 'data' | 'dot';

export const noCommands: Commands = {
  code: 0,
  enhanced: '',
  stage: 'rcpt',
  percent: 100,
  attempts: 0,
  text: '',
  opens: undefined,
  clicks: undefined,
  link: '',
  agent: '',
  after: undefined,
  oob: '',
  fbl: '',
  seed: '',
  tag: '',
  ignored: 0,
};

const FEEDBACK_TYPES = new Set(['abuse', 'fraud', 'virus', 'not-spam', 'opt-out']);
const STAGES = new Map<string, Stage>([
  ['connect', 'rcpt'],
  ['helo', 'rcpt'],
  ['mail', 'rcpt'],
  ['rcpt', 'rcpt'],
  ['data', 'data'],
  ['dot', 'dot'],
]);
/** One mail must not make the sink fetch for ever. */
const MOST_REPEATS = 20;
const UNITS = new Map([
  ['ms', 1],
  ['s', 1000],
  ['m', 60_000],
  ['h', 3_600_000],
  ['d', 86_400_000],
]);

/** Reads the commands behind the first `+` of a local part. */
export function readCommands(localPart: string): Commands {
  const plus = localPart.indexOf('+');
  if (plus < 0) return noCommands;
  const found: { -readonly [K in keyof Commands]: Commands[K] } = { ...noCommands };
  for (const item of localPart.slice(plus + 1).split('_')) {
    if (!apply(found, item)) found.ignored++;
  }
  return found;
}

function apply(to: { -readonly [K in keyof Commands]: Commands[K] }, item: string): boolean {
  const code = /^c([45]\d\d)(?:-([45]\.\d{1,3}\.\d{1,3}))?$/i.exec(item);
  if (code) {
    to.code = Number(code[1]);
    to.enhanced = code[2] ?? '';
    return true;
  }
  const equals = item.indexOf('=');
  if (equals < 1) return false;
  const value = decode(item.slice(equals + 1));
  if (value === null || value === '') return false;
  switch (item.slice(0, equals).toLowerCase()) {
    case 'at': {
      const stage = STAGES.get(value.toLowerCase());
      if (!stage) return false;
      to.stage = stage;
      return true;
    }
    case 'p': {
      const percent = Number(value);
      if (!(percent >= 0 && percent <= 100)) return false;
      to.percent = percent;
      return true;
    }
    case 'n': {
      const n = count(value, 1000);
      if (n === undefined) return false;
      to.attempts = n;
      return true;
    }
    case 't':
      to.text = value.replaceAll('-', ' ').replace(/[^\x20-\x7e]/g, '?');
      return true;
    case 'open': {
      const n = count(value, MOST_REPEATS);
      if (n === undefined) return false;
      to.opens = n;
      return true;
    }
    case 'click': {
      const n = count(value, MOST_REPEATS);
      if (n === undefined) return false;
      to.clicks = n;
      return true;
    }
    case 'link':
      to.link = value;
      return true;
    case 'ua':
      to.agent = value.toLowerCase();
      return true;
    case 'after': {
      const ms = duration(value);
      if (ms === undefined) return false;
      to.after = ms;
      return true;
    }
    case 'oob':
      if (!/^[245]\.\d{1,3}\.\d{1,3}$/.test(value)) return false;
      to.oob = value;
      return true;
    case 'fbl':
      if (!FEEDBACK_TYPES.has(value.toLowerCase())) return false;
      to.fbl = value.toLowerCase();
      return true;
    case 'seed':
      to.seed = value;
      return true;
    case 'tag':
      to.tag = value;
      return true;
    default:
      return false;
  }
}

function decode(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}

function count(text: string, most: number): number | undefined {
  return /^\d{1,4}$/.test(text) ? Math.min(most, Number(text)) : undefined;
}

/** `90s`, `2h`, `500ms`; a bare number is seconds. At most 30 days. */
function duration(text: string): number | undefined {
  const parts = /^(\d{1,9})(ms|s|m|h|d)?$/i.exec(text);
  if (!parts) return undefined;
  const unit = UNITS.get((parts[2] ?? 's').toLowerCase()) ?? 1000;
  return Math.min(Number(parts[1]) * unit, 30 * 86_400_000);
}
