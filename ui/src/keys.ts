/** Keys: which do what on the present page, and the one listener that runs them. */
import { signal } from '@preact/signals';
import { useLayoutEffect, useRef } from 'preact/hooks';

export interface Binding {
  /** A key as `KeyboardEvent.key` names it, or two after another: `g o`. `mod+k` is Ctrl or Command. */
  readonly keys: string;
  readonly does: string;
  run(event: KeyboardEvent): void;
}

/** What each mounted part of the page binds; later parts win. */
export const bindings = signal<readonly (readonly Binding[])[]>([]);

const STORAGE_KEY = 'posthorn.keys';
const SEQUENCE_MS = 1500;

/** Whether single-letter keys work (WCAG 2.1.4 asks that they can be turned off). */
export const lettersOn = signal(readLetters());

function readLetters(): boolean {
  try {
    return localStorage.getItem(STORAGE_KEY) !== 'off';
  } catch {
    return true;
  }
}

export function setLetters(on: boolean): void {
  lettersOn.value = on;
  try {
    localStorage.setItem(STORAGE_KEY, on ? 'on' : 'off');
  } catch {
    // It then holds for this page only.
  }
}

/** Binds keys while the component is mounted. Handlers may change with every render without being bound anew. */
export function useKeys(list: readonly Binding[]): void {
  const shape = list.map((b) => b.keys).join('|');
  const latest = useRef(list);
  latest.current = list;
  // Before the paint: what can be seen can be pressed.
  useLayoutEffect(() => {
    const bound = list.map((b, i) => ({
      ...b,
      run: (event: KeyboardEvent) => latest.current[i]?.run(event),
    }));
    bindings.value = [...bindings.peek(), bound];
    return () => {
      bindings.value = bindings.peek().filter((have) => have !== bound);
    };
  }, [shape]);
}

/** Whether a key pressed here belongs to the field and not to the page. */
function inField(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement &&
    (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName))
  );
}

function find(keys: string): Binding | undefined {
  for (const list of bindings.peek().toReversed()) {
    const found = list.find((b) => b.keys === keys);
    if (found) return found;
  }
  return undefined;
}

/** Begins to listen. Called once. */
export function startKeys(): void {
  let first = '';
  let since = 0;
  document.addEventListener('keydown', (event) => {
    if (event.defaultPrevented || event.isComposing || event.altKey) return;
    if (event.ctrlKey || event.metaKey) {
      const found = find(`mod+${event.key.toLowerCase()}`);
      if (found) {
        event.preventDefault();
        found.run(event);
      }
      return;
    }
    if (inField(event.target) || document.querySelector('dialog[open]')) return;
    const letter = event.key.length === 1 && event.key !== ' ';
    if (letter && !lettersOn.peek()) return;
    const two = first && event.timeStamp - since < SEQUENCE_MS ? find(`${first} ${event.key}`) : undefined;
    first = '';
    const found = two ?? find(event.key);
    if (found) {
      event.preventDefault();
      found.run(event);
    } else if (
      letter &&
      bindings.peek().some((list) => list.some((b) => b.keys.startsWith(`${event.key} `)))
    ) {
      first = event.key;
      since = event.timeStamp;
    }
  });
}
