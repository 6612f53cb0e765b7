/** Figures on their way from the API: what a panel shows while it waits, when it has them, and when it failed. */
import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import type { Answer, Fault } from './api.ts';
import { now } from './router.ts';
import { session } from './session.ts';

export interface Resource<T> {
  /** The latest answer; it stays while a newer one is on its way. */
  readonly value: T | undefined;
  readonly fault: Fault | undefined;
  /** A call is under way for longer than the eye would forgive. */
  readonly slow: boolean;
  /** When `value` came, milliseconds; 0 while there is none. */
  readonly at: number;
  /** `value` belongs to an earlier question than the present one. */
  readonly stale: boolean;
  retry(): void;
}

const SLOW_MS = 400;
const LONGEST_PAUSE_MS = 60_000;

/**
 * Asks when `key` changes, on every refresh, and again with growing pauses after a fault of the network.
 * `key` must name everything that `load` depends on besides the moment of the refresh.
 */
export function useResource<T>(key: string, load: (signal: AbortSignal) => Promise<Answer<T>>): Resource<T> {
  const value = useSignal<{ key: string; at: number; value: T } | undefined>(undefined);
  const fault = useSignal<Fault | undefined>(undefined);
  const slow = useSignal(false);
  const attempt = useSignal(0);
  const failures = useRef(0);
  const token = session.value?.token ?? '';
  const moment = now.value;
  const again = attempt.value;

  useEffect(() => {
    if (!token) return;
    const abort = new AbortController();
    let retryTimer: ReturnType<typeof setTimeout> | undefined;
    const slowTimer = setTimeout(() => {
      slow.value = true;
    }, SLOW_MS);
    void load(abort.signal).then((answer) => {
      if (abort.signal.aborted) return;
      clearTimeout(slowTimer);
      slow.value = false;
      if (answer.ok) {
        failures.current = 0;
        value.value = { key, at: Date.now(), value: answer.value };
        fault.value = undefined;
        return;
      }
      fault.value = answer.fault;
      if (answer.fault.kind === 'network') {
        const pause = Math.min(LONGEST_PAUSE_MS, 1000 * 2 ** failures.current++);
        retryTimer = setTimeout(() => attempt.value++, pause);
      }
    });
    return () => {
      abort.abort();
      clearTimeout(slowTimer);
      clearTimeout(retryTimer);
      slow.value = false;
    };
  }, [key, token, moment, again]);

  const present = value.value;
  return {
    value: present?.value,
    at: present?.at ?? 0,
    fault: fault.value,
    slow: slow.value,
    stale: present !== undefined && present.key !== key,
    retry: () => {
      failures.current = 0;
      attempt.value++;
    },
  };
}
