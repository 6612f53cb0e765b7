import type { IngestStatus } from '../api.ts';
import { useResource } from '../resource.ts';
import { now } from '../router.ts';
import { api } from '../session.ts';
import { words } from '../words.ts';
import { clockSeconds, isoMinutes } from '../zone.ts';

const LATE_MS = 2 * 60_000;

/** Whether the figures are up to date: in colour, in shape and in words. */
export function Lamp() {
  const status = useResource('ingest', (signal) => api.peek().ingestStatus(now.peek(), signal));
  const value = status.value;
  if (!value) return status.fault ? <LampText state="none" text={words.lamp.unknown} /> : null;
  return <LampText {...reading(value, now.value)} />;
}

/**
 * Quiet is not late: without new events the lamp says until when there are some, and takes no colour. Late is what
 * was taken and does not yet count.
 */
function reading(status: IngestStatus, moment: number): { state: string; text: string } {
  const { newest, pending, stored } = status;
  const time = newest === null ? '' : timeText(newest, moment);
  if (pending > 1) return { state: 'late', text: words.lamp.pending(pending) };
  if (newest === null) return { state: 'none', text: stored > 0 ? words.lamp.quietDay : words.lamp.none };
  return moment - newest < LATE_MS
    ? { state: 'live', text: words.lamp.live(time) }
    : { state: 'none', text: words.lamp.quiet(time) };
}

function timeText(ms: number, moment: number): string {
  return moment - ms > 12 * 3_600_000 ? `${isoMinutes(ms, 'UTC')} UTC` : `${clockSeconds(ms, 'UTC')} UTC`;
}

function LampText({ state, text }: { state: string; text: string }) {
  // Small screens show the first word; the title and assistive technology have all.
  const [first, ...rest] = text.split(' ');
  return (
    <span class={`lamp ${state}`} title={text}>
      <i aria-hidden="true" />
      <span class="num">
        {first} <span class="wide">{rest.join(' ')}</span>
      </span>
    </span>
  );
}
