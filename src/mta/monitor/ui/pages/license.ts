import { html } from '../html.ts';
import { fault } from '../parts.ts';
import { askWords, type View, type Visit } from '../visit.ts';

/** In PowerMTA's place for entering a license: there is none to enter. */
export async function licensePage(visit: Visit): Promise<View> {
  const title = 'License';
  const asked = await askWords<{ license: Readonly<Record<string, string>> }>(visit, ['show', 'license']);
  if ('fault' in asked) return { code: asked.code, title, body: fault(asked.fault) };
  const facts = Object.entries(asked.data.license).filter(([, value]) => value !== '');
  return {
    title,
    body: html`<p>No license is needed, and nothing is entered here.</p>
<dl>${facts.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>`,
  };
}
