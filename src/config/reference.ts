import type { Declaration, Effect, Scope, Tag } from './declaration.ts';
import { allDirectives, allTags, directivesIn, type Named, tagsIn } from './directives/index.ts';
import { LayeredSettings } from './settings.ts';

const TIERS = ['core', 'common', 'rare'] as const;

function effectInWords(effect: Effect): string {
  if (effect === 'honoured') return 'honoured';
  return 'differs' in effect ? `differs: ${effect.differs}` : `no effect: ${effect.none}`;
}

function defaultInWords(d: Declaration): string {
  if (d.default !== undefined) return `\`${d.default}\``;
  if (d.defaultText) return d.defaultText;
  if (d.defaultFrom) return `that of ${d.defaultFrom.replace('global:', '')}`;
  return '';
}

const cell = (text: string): string => text.replaceAll('|', '\\|');

function notes(d: Named): string {
  const facts = [
    d.summary,
    ...(d.aliasOf ? [`Now \`${d.aliasOf}\`.`] : []),
    ...(d.deprecated ? ['Old.'] : []),
    ...(d.documented === false ? ['Not in the guide.'] : []),
    ...(d.ours ? ['An addition of Posthorn.'] : []),
    ...(d.repeatable ? ['May be repeated.'] : []),
    ...(d.inherits ? [`Looked up in: ${d.inherits}.`] : []),
    ...(d.emptyClears ? ['`""` clears it.'] : []),
    ...(d.unit ? [`In ${d.unit}.`] : []),
    ...(d.required ? [`Required: ${d.required}.`] : []),
    ...(d.reload ? [`A change needs: ${d.reload}.`] : []),
  ];
  return facts.join(' ');
}

function tagLine(name: string, tag: Tag): string {
  const argument = tag.grammar ? ` ${tag.grammar}` : '';
  const parents = tag.parents.map((p) => (p === 'global' ? 'file' : `<${p}>`)).join(', ');
  return `| \`<${cell(`${name}${argument}`)}>\` | ${parents} | ${cell(tag.summary)} |`;
}

/** The scopes in the order of the source. */
function scopes(): Scope[] {
  return [...new Set(allDirectives().flatMap((d) => d.scopes))];
}

/** docs/reference/directives.md, whole. It is made from the declarations; a test holds that it is current. */
export function referencePage(): string {
  const all = allDirectives();
  const out = [
    '# Directives',
    '',
    `Every directive that Posthorn reads: ${all.length}, and ${Object.keys(allTags).length} tags. This page is made from the declarations in`,
    '`src/config/directives/`; after a change there run `node_modules/.bin/node src/config/write-reference.ts`.',
    '',
    'Values are written as in PowerMTA: `BOOL` yes or no; `INTERVAL` as `1d12h`; `SIZE` as `20M`; `RATE` as `500/h`;',
    '`CIDR` as `10/8`; `DOMPAT` as `a.example`, `*.a.example`, `[*.]a.example`, `[192.0.2/24]` or `*`.',
    '',
    '## Tags',
    '',
    '| Tag | Inside | |',
    '|---|---|---|',
    ...Object.entries(allTags).map(([name, tag]) => tagLine(name, tag)),
    '',
  ];
  for (const scope of scopes()) {
    out.push(scope === 'global' ? '## At file level' : `## In \`<${scope}>\``, '');
    out.push('| Directive | Value | Default | | Effect |', '|---|---|---|---|---|');
    for (const d of [...directivesIn(scope).values()].sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const value = cell(d.type.grammar).replace(/([<*[])/g, '\\$1');
      out.push(
        `| \`${d.name}\` | ${value} | ${cell(defaultInWords(d))} | ${cell(notes(d))} | ${cell(effectInWords(d.effect))} |`,
      );
    }
    out.push('');
  }
  return out.join('\n');
}

/**
 * How many directives there are, and what became of them, by tier. `parsed`: text becomes a value. `resolved`: the
 * settings of a scope answer for it. `without` have no effect.
 */
export function coverage(): readonly {
  readonly tier: string;
  readonly declared: number;
  readonly parsed: number;
  readonly resolved: number;
  readonly honoured: number;
  readonly differently: number;
  readonly without: number;
}[] {
  const count = (tier: string, of: readonly Named[]) => ({
    tier,
    declared: of.length,
    parsed: of.filter((d) => typeof d.type.parse === 'function').length,
    resolved: of.filter(answers).length,
    honoured: of.filter((d) => d.effect === 'honoured').length,
    differently: of.filter((d) => typeof d.effect === 'object' && 'differs' in d.effect).length,
    without: of.filter((d) => typeof d.effect === 'object' && 'none' in d.effect).length,
  });
  const all = allDirectives();
  return [
    ...TIERS.map((tier) =>
      count(
        tier,
        all.filter((d) => d.tier === tier),
      ),
    ),
    count('all', all),
  ];
}

/** Whether settings of its scopes have a value for it when nothing sets it. */
function answers(declaration: Named): boolean {
  return declaration.scopes.every((scope) => {
    const value: unknown = new LayeredSettings(scope, []).get(declaration.name as never);
    return value !== undefined;
  });
}

/** What may be typed where, for shells and editors: tags, directives and their words per scope. */
export function completionData(): Readonly<
  Record<
    string,
    { readonly tags: readonly string[]; readonly directives: Readonly<Record<string, readonly string[]>> }
  >
> {
  return Object.fromEntries(
    scopes().map((scope) => [
      scope,
      {
        tags: tagsIn(scope),
        directives: Object.fromEntries(
          [...directivesIn(scope).values()]
            .filter((d) => !d.deprecated)
            .map((d) => [d.name, d.type.words ?? []]),
        ),
      },
    ]),
  );
}
