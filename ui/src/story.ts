/** The story of one message, told from its events. Pure. */
import type { EventRow } from './api.ts';
import type { Tone } from './event-words.ts';
import { bounceClassName, eventType } from './event-words.ts';
import { duration } from './format.ts';

/** Text of a field, '' when absent. Numbers and booleans as text; structures as JSON. */
export function textOf(event: EventRow, name: string): string {
  const value = Object.hasOwn(event, name) ? event[name] : undefined;
  if (value === undefined || value === null) return '';
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

/** When an event happened, in milliseconds; NaN when it does not say. */
export function timeOf(event: EventRow): number {
  return Date.parse(textOf(event, 'timestamp'));
}

/** Oldest first; events of one second in the order of a message's life. */
export function inOrder(events: readonly EventRow[]): EventRow[] {
  return [...events].sort((a, b) => {
    const seconds = Math.floor(timeOf(a) / 1000) - Math.floor(timeOf(b) / 1000);
    if (seconds !== 0) return seconds;
    return eventType(textOf(a, 'type')).rank - eventType(textOf(b, 'type')).rank || timeOf(a) - timeOf(b);
  });
}

/** The one thing to say about an event in a list: the reply, the link, the reason. '' when there is nothing. */
export function gist(event: EventRow): string {
  const type = textOf(event, 'type');
  if (type === 'click' || type === 'amp_click')
    return textOf(event, 'target_link_url') || textOf(event, 'target_link_name');
  if (type === 'spam_complaint')
    return [textOf(event, 'fbtype'), textOf(event, 'report_by')].filter(Boolean).join(' · ');
  const reason = textOf(event, 'raw_reason') || textOf(event, 'reason');
  if (reason) return reason;
  if (type === 'delivery') {
    const retries = Number(textOf(event, 'num_retries') || 0);
    const waited = Number(textOf(event, 'queue_time') || Number.NaN);
    return [
      retries > 0 ? `${ordinal(retries + 1)} attempt` : '',
      Number.isFinite(waited) ? `after ${duration(waited)}` : '',
    ]
      .filter(Boolean)
      .join(' ');
  }
  if (type.endsWith('open')) return textOf(event, 'user_agent');
  return '';
}

export function ordinal(n: number): string {
  const tens = n % 100;
  if (tens >= 11 && tens <= 13) return `${n}th`;
  return `${n}${['th', 'st', 'nd', 'rd'][n % 10] ?? 'th'}`;
}

export interface Verdict {
  readonly text: string;
  readonly tone: Tone;
}

/** What became of the message, in one line. `events` in order. */
export function verdict(events: readonly EventRow[], now: number): Verdict {
  const last = (...types: string[]) => events.findLast((e) => types.includes(textOf(e, 'type')));
  const late = last('out_of_band');
  const delivered = last('delivery');
  const complaint = last('spam_complaint') ? ' The recipient complained.' : '';
  if (late) {
    return {
      text: `Came back after delivery: class ${bounceClassName(textOf(late, 'bounce_class') || '1')}.${complaint}`,
      tone: 'bad',
    };
  }
  if (delivered) {
    const attempts = Number(textOf(delivered, 'num_retries') || 0) + 1;
    const waited = sinceInjection(events, delivered);
    const by = textOf(delivered, 'ip_address');
    return {
      text: `Delivered${by ? ` to ${by}` : ''} on the ${ordinal(attempts)} attempt${waited === null ? '' : ` after ${duration(waited)}`}.${complaint}`,
      tone: complaint ? 'warn' : 'good',
    };
  }
  const bounced = last('bounce', 'policy_rejection', 'generation_failure', 'generation_rejection');
  if (bounced) {
    const code = textOf(bounced, 'bounce_class');
    const what = eventType(textOf(bounced, 'type')).label;
    return {
      text: `${what === 'Bounce' ? 'Bounced' : what}${code ? `: class ${bounceClassName(code)}` : ''}.`,
      tone: 'bad',
    };
  }
  const injected = last('injection');
  const delayed = last('delay');
  if (delayed) {
    const tries = Number(textOf(delayed, 'num_retries') || 0) + 1;
    return {
      text: `Waiting after ${tries === 1 ? 'one attempt' : `${tries} attempts`}, the last ${duration(now - timeOf(delayed))} ago.`,
      tone: 'warn',
    };
  }
  if (injected) return { text: `No final event for ${duration(now - timeOf(injected))}.`, tone: 'warn' };
  return { text: 'Nothing kept says what became of it.', tone: 'plain' };
}

function sinceInjection(events: readonly EventRow[], delivered: EventRow): number | null {
  const waited = textOf(delivered, 'queue_time');
  if (/^\d+$/.test(waited)) return Number(waited);
  const injected = events.find((e) => textOf(e, 'type') === 'injection');
  const from = injected ? timeOf(injected) : Date.parse(textOf(delivered, 'injection_time'));
  return Number.isFinite(from) ? Math.max(0, timeOf(delivered) - from) : null;
}

/** Pauses over an hour are drawn as gaps with their length: milliseconds before each event, 0 when none. */
export function pauses(events: readonly EventRow[]): number[] {
  return events.map((event, i) => {
    const before = events[i - 1];
    const pause = before ? timeOf(event) - timeOf(before) : 0;
    return pause > 3_600_000 ? pause : 0;
  });
}
