/** Refreshing by itself: a page says how often, and it pauses when nobody looks or somebody reads closely. */
import { useEffect, useRef } from 'preact/hooks';
import type { Live } from './address.ts';
import { refresh } from './router.ts';

const SECONDS: Readonly<Record<Live, number>> = { off: 0, '5s': 5, '10s': 10, '30s': 30, '60s': 60 };

/** Calls `tick` (or refreshes) at the pace of `live`. */
export function useLive(live: Live, tick: () => void = refresh): void {
  const latest = useRef(tick);
  latest.current = tick;
  useEffect(() => {
    const seconds = SECONDS[live];
    if (seconds === 0) return;
    const timer = setInterval(() => {
      if (document.hidden || document.querySelector('dialog[open]')) return;
      if (String(getSelection() ?? '') !== '') return;
      latest.current();
    }, seconds * 1000);
    return () => clearInterval(timer);
  }, [live]);
}
