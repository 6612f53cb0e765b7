import { useResource } from '../resource.ts';
import { now } from '../router.ts';
import { api } from '../session.ts';
import { words } from '../words.ts';
import { clockSeconds, isoMinutes } from '../zone.ts';

const LATE_MS = 2 * 60_000;
const BEHIND_MS = 15 * 60_000;

/** Until when the figures are complete: in colour, in shape and in words. */
export function Lamp() {
  const status = useResource('ingest', (signal) => api.peek().ingestStatus(signal));
  const value = status.value;
  if (!value) return status.fault ? <LampText state="none" text={words.lamp.unknown} /> : null;
  const to = value.processedTo ?? value.newestEvent;
  if (to === null) return <LampText state="none" text={words.lamp.none} />;
  const age = Math.max(0, now.value - to);
  const time = age > 12 * 3_600_000 ? `${isoMinutes(to, 'UTC')} UTC` : `${clockSeconds(to, 'UTC')} UTC`;
  if (age < LATE_MS) return <LampText state="live" text={words.lamp.live(time)} />;
  if (age < BEHIND_MS) return <LampText state="late" text={words.lamp.late(time)} />;
  return <LampText state="behind" text={words.lamp.behind(time)} />;
}

function LampText({ state, text }: { state: string; text: string }) {
  return (
    <span class={`lamp ${state}`} title={text}>
      <i aria-hidden="true" />
      <span class="num lamp-text">{text}</span>
    </span>
  );
}
