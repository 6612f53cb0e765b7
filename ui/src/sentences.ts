/** Three sentences that say whether mail flows, is accepted and is wanted. Computed; a clause without data is left out. */
import { count, percent, plural, points } from './format.ts';
import { type Counts, changeOf, isFew, type MetricKey, metric, metricValue } from './metrics.ts';

/** A figure is a link to what it was made of. */
export type Part = string | { readonly figure: string; readonly types: readonly string[] };

export interface Sentence {
  readonly lead: string;
  readonly parts: readonly Part[];
}

export function sentences(
  whole: Counts,
  done: Counts,
  before: Counts | null,
  range: string,
  versus: string,
): Sentence[] {
  return [flow(whole, range), acceptance(whole, done, before, versus), reception(whole)].filter(
    (sentence): sentence is Sentence => sentence !== null,
  );
}

function figure(text: string, key: MetricKey): Part {
  const m = metric(key);
  const types =
    m.unit === 'count' ? m.events : ((metric(m.numerator) as { events?: readonly string[] }).events ?? []);
  return { figure: text, types };
}

function flow(whole: Counts, range: string): Sentence | null {
  const injected = whole.count_injected;
  if (injected === undefined) return null;
  const parts: Part[] = [figure(count(injected), 'count_injected'), ` injected ${range}`];
  const { count_delivered: delivered, count_delayed: delays } = whole;
  if (delivered !== undefined) parts.push(', ', figure(count(delivered), 'count_delivered'), ' delivered');
  if (delays !== undefined) {
    parts.push(', ', figure(plural(delays, 'delay', 'delays'), 'count_delayed'), ' on the way');
  }
  parts.push('.');
  return { lead: 'Flow', parts };
}

function acceptance(whole: Counts, done: Counts, before: Counts | null, versus: string): Sentence | null {
  const rate = metric('accepted_rate');
  const value = metricValue(rate, whole);
  const bounces = whole.count_bounce;
  if (value === null) return null;
  const parts: Part[] = [figure(percent(value), 'accepted_rate'), ' of sent mail accepted'];
  const change = before ? changeOf(rate, done, before) : null;
  if (isFew(rate, whole)) parts.push(' (few)');
  else if (change?.verdict === 'same') parts.push(`, the same as ${versus}`);
  else if (change?.verdict === 'neutral') parts.push(`, about as ${versus}`);
  else if (change) {
    parts.push(`, ${points(Math.abs(change.amount)).replace(/^\+/, '')} ${change.verdict} than ${versus}`);
  }
  if (bounces !== undefined) parts.push('; ', figure(plural(bounces, 'bounce', 'bounces'), 'count_bounce'));
  parts.push('.');
  return { lead: 'Acceptance', parts };
}

function reception(whole: Counts): Sentence | null {
  const clauses: Part[][] = [];
  for (const [key, what] of [
    ['open_rate', 'opened'],
    ['click_through_rate', 'clicked'],
    ['spam_complaint_rate', 'complained about'],
  ] as const) {
    const value = metricValue(metric(key), whole);
    if (value !== null) clauses.push([figure(percent(value), key), ` ${what}`]);
  }
  if (clauses.length === 0) return null;
  const parts = clauses.flatMap((clause, i) => (i === 0 ? clause : [', ', ...clause]));
  return { lead: 'Reception', parts: ['Of accepted mail ', ...parts, '.'] };
}
