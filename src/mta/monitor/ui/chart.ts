/** The last hour's traffic as a drawing that needs no script and no inline style. */
import type { ChartMinute } from './data.ts';
import { type Html, html } from './html.ts';

const WIDTH = 720;
const HEIGHT = 200;
const LEFT = 52;
const TOP = 12;
const BOTTOM = 24;

export function trafficChart(minutes: readonly ChartMinute[]): Html {
  const highest = Math.max(0, ...minutes.flatMap(({ smtpIn, smtpOut }) => [smtpIn, smtpOut]));
  const scale = roundUp(highest);
  const x = (i: number) => LEFT + (i * (WIDTH - LEFT - 8)) / Math.max(1, minutes.length - 1);
  const y = (value: number) => TOP + (1 - value / scale) * (HEIGHT - TOP - BOTTOM);
  const line = (of: 'smtpIn' | 'smtpOut') =>
    minutes.map((minute, i) => `${x(i).toFixed(1)},${y(minute[of]).toFixed(1)}`).join(' ');
  const sum = (of: 'smtpIn' | 'smtpOut') => minutes.reduce((total, minute) => total + minute[of], 0);
  const said = `Recipients per minute in the last hour: ${sum('smtpIn')} in, ${sum('smtpOut')} out, at most ${highest} in a minute.`;
  const grid = [0, scale / 2, scale].map(
    (value) =>
      html`<line class="grid" x1="${LEFT}" x2="${WIDTH - 8}" y1="${y(value)}" y2="${y(value)}"></line><text x="${LEFT - 6}" y="${y(value) + 4}" text-anchor="end">${value}</text>`,
  );
  const first = minutes[0]?.time.slice(11, 16) ?? '';
  const last = minutes.at(-1)?.time.slice(11, 16) ?? '';
  return html`<figure class="chart"><svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${said}">
${grid}
<text x="${LEFT}" y="${HEIGHT - 6}">${first}</text><text x="${WIDTH - 8}" y="${HEIGHT - 6}" text-anchor="end">${last}</text>
<polyline class="in" points="${line('smtpIn')}"></polyline><polyline class="out" points="${line('smtpOut')}"></polyline>
</svg><figcaption>Recipients per minute: <span class="key in">smtpIn</span> (solid line), <span class="key out">smtpOut</span> (dashed line)</figcaption></figure>`;
}

/** 1, 2 or 5 times a power of ten, at least 2 so that its half is whole. */
function roundUp(value: number): number {
  for (let power = 1; ; power *= 10) {
    for (const step of [2, 5, 10]) if (step * power >= value && (step * power) % 2 === 0) return step * power;
  }
}
