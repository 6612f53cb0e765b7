/** The page's one polite live region. */
import { signal } from '@preact/signals';

export const announcement = signal('');

const HOLD_MS = 150;
let timer: ReturnType<typeof setTimeout> | undefined;

/** Says something to those who listen; of several in quick succession only the last. */
export function announce(text: string): void {
  clearTimeout(timer);
  timer = setTimeout(() => {
    // The same text twice would stay silent.
    announcement.value = announcement.peek() === text ? `${text}\u00a0` : text;
  }, HOLD_MS);
}
