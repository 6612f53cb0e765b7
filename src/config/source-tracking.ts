/**
 * What a `<source>` says about tracking, kept with each message it brings in: tracking is decided when the message
 * goes, and by then nobody knows any more through which listener and by which user it came.
 */
import { Block } from './block.ts';
import { Fault } from './diagnostic.ts';
import { directive, directivesIn } from './directives/index.ts';
import { LayeredSettings, type Settings } from './settings.ts';

/** Directives and their values as written, one pair for each line. */
export type SourceTracking = readonly (readonly [name: string, value: string])[];

const NAMES: readonly string[] = [...directivesIn('source').values()]
  .filter(({ name, scopes }) => /^(track|add-list-unsubscribe)/.test(name) && scopes.includes('virtual-mta'))
  .map(({ name }) => name);

/** Asked for each message, and the same for all that come in by the same settings. */
const known = new WeakMap<Settings<'source'>, SourceTracking>();

/** What the `<source>` blocks of a submission set, without what the file level sets. */
export function sourceTracking(source: Settings<'source'>): SourceTracking {
  let found = known.get(source);
  if (!found) {
    found = readSourceTracking(source);
    known.set(source, found);
  }
  return found;
}

function readSourceTracking(source: Settings<'source'>): SourceTracking {
  if (!(source instanceof LayeredSettings)) return [];
  const own = source.layers.filter((block) => block.scope === 'source');
  if (own.length === 0) return [];
  return NAMES.flatMap((name) => {
    const setting = own.find((block) => block.settings.has(name))?.settings.get(name);
    if (!setting) return [];
    const lines = setting.declaration.repeatable ? setting.lines : setting.lines.slice(-1);
    return lines.map(({ text }) => [name, text] as const);
  });
}

/** The same as a block. What this version does not understand any more is left out. */
export function sourceTrackingBlock(kept: SourceTracking): Block {
  const origin = { file: '<source> of the message', line: 0 };
  const block = new Block('source', '', origin, null);
  for (const [name, text] of kept) {
    const declaration = directive('source', name);
    const value = declaration?.type.parse({ text, folder: '/' });
    if (!declaration || value instanceof Fault) continue;
    const lines = block.settings.get(name)?.lines ?? [];
    lines.push({ value, text, written: name, origin });
    block.settings.set(name, { declaration, lines });
  }
  return block;
}
