import type { Clock } from '../system/clock.ts';
import { reason } from '../system/durable-file.ts';
import type { Log } from '../system/log.ts';
import type { KeyRing } from './key-ring.ts';

export interface RingReload {
  /** Resolves after the key file has been looked at again, which happens at most once a second. Never rejects. */
  soon(): Promise<void>;
  /** Stops looking; whoever waits goes on with the keys as they are. */
  close(): void;
}

const AT_MOST_EVERY = 1000;
/** A revoked key must die in a tracker that meets no unknown one. */
const AT_LEAST_EVERY = 30_000;

/** Keeps a key ring up to date: the MTA rotates keys in the file while the tracker runs. */
export function startRingReload(ring: KeyRing, clock: Clock, log: Log): RingReload {
  let last = Number.NEGATIVE_INFINITY;
  let failure = '';
  let closed = false;
  let looking = false;
  let cancel = () => {};
  let waiting: PromiseWithResolvers<void> | null = null;

  const look = async () => {
    // Who asks from now on may need a later state of the file than the one being read.
    const asked = waiting;
    waiting = null;
    looking = true;
    try {
      if (await ring.refresh()) log.info('tracking keys changed', { file: ring.file });
      failure = '';
    } catch (error) {
      const why = reason(error);
      if (why !== failure) {
        log.error('tracking keys cannot be read again; those read before stay in use', { reason: why });
      }
      failure = why;
    }
    looking = false;
    last = clock.now();
    asked?.resolve();
    if (!closed) cancel = clock.after(waiting ? AT_MOST_EVERY : AT_LEAST_EVERY, look);
  };
  cancel = clock.after(AT_LEAST_EVERY, look);

  return {
    soon() {
      if (closed) return Promise.resolve();
      if (!waiting) {
        waiting = Promise.withResolvers<void>();
        if (!looking) {
          cancel();
          const wait = Math.min(AT_MOST_EVERY, Math.max(0, last + AT_MOST_EVERY - clock.now()));
          cancel = clock.after(wait, look);
        }
      }
      return waiting.promise;
    },
    close() {
      closed = true;
      cancel();
      waiting?.resolve();
      waiting = null;
    },
  };
}
