import { eventType } from '../event-words.ts';
import { visible } from '../outside-text.ts';

/** A type of event: its word, and a sign whose shape says good, bad or in between. */
export function TypeMark({ type }: { type: string }) {
  const { label, tone } = eventType(type);
  return <span class={`mark ${tone}`}>{visible(label)}</span>;
}
