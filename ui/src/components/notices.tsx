import type { ComponentChildren } from 'preact';
import type { Dropped } from '../address.ts';
import { listed } from '../format.ts';
import { visible } from '../outside-text.ts';
import { words } from '../words.ts';

export function Notice({ info = false, children }: { info?: boolean; children: ComponentChildren }) {
  return (
    <div class={`notice ${info ? 'info' : ''}`} role="status">
      {children}
    </div>
  );
}

/** Lists the parts of the address that fell back to their defaults. */
export function DroppedNotice({ dropped }: { dropped: readonly Dropped[] }) {
  if (dropped.length === 0) return null;
  return <Notice>{words.states.dropped(listed(dropped.map((d) => visible(`${d.key}=${d.value}`))))}</Notice>;
}
