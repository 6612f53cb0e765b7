import type { Config } from './config.ts';
import type { Scope } from './declaration.ts';
import { formatOrigin, type Origin } from './diagnostic.ts';
import { directivesIn, type Named } from './directives/index.ts';
import { LayeredSettings } from './settings.ts';
import { showValue } from './show.ts';

/** One effective value: what it is, where it was set, and what it kept from counting. */
export interface Explained {
  readonly directive: string;
  readonly value: string;
  /** Null for a default. */
  readonly origin: Origin | null;
  /** The block that set it, as its tag. */
  readonly block: string | null;
  readonly overrode: readonly { readonly value: string; readonly origin: Origin; readonly block: string }[];
}

export interface Explanation {
  /** What is explained, in the guide's words: `queue a.example/v1`, `source 192.0.2.1`. */
  readonly title: string;
  readonly values: readonly Explained[];
}

const tagOf = (block: { scope: Scope; argument: string }): string =>
  block.scope === 'global' ? 'file' : `<${block.scope}${block.argument ? ` ${block.argument}` : ''}>`;

function explainOne(settings: LayeredSettings<Scope>, declaration: Named): Explained {
  const { name } = declaration;
  const { value, origin } = settings.look(name)!;
  const { lines } = settings.history(name);
  const winner = lines[0];
  const shown = (line: (typeof lines)[number]) => showValue(declaration, line.value, line.text.trim());
  const same = declaration.repeatable ? lines.filter((l) => l.block === winner?.block) : lines.slice(0, 1);
  const text = declaration.repeatable
    ? same.toReversed().map(shown).join(' | ') || '""'
    : showValue(declaration, value, winner ? winner.text.trim() : null);
  return {
    directive: name,
    value: text,
    origin: origin?.line === 0 ? null : origin,
    block: winner ? tagOf(winner.block) : null,
    overrode: lines
      .filter((l) => !same.includes(l))
      .map((l) => ({ value: shown(l), origin: l.origin, block: tagOf(l.block) })),
  };
}

/** All settings of a scope, explained, by name. */
export function explainSettings(settings: LayeredSettings<Scope>): Explained[] {
  return [...directivesIn(settings.scope).values()]
    .filter((d) => !d.aliasOf)
    .map((d) => explainOne(settings, d))
    .sort((a, b) => (a.directive < b.directive ? -1 : 1));
}

/** What applies to a queue, a VMTA, a client and a user, as far as they are named. */
export function explain(
  config: Config,
  about: {
    readonly vmta?: string;
    readonly domain?: string;
    readonly source?: string;
    readonly user?: string;
  },
): Explanation[] {
  const out: Explanation[] = [];
  const add = (title: string, settings: unknown) => {
    if (settings instanceof LayeredSettings) out.push({ title, values: explainSettings(settings) });
  };
  const vmta = about.vmta ?? '{default}';
  if (about.vmta !== undefined || about.domain !== undefined) {
    add(`VMTA ${vmta}`, (config.vmtas.get(vmta.toLowerCase()) ?? config.vmtas.get('{default}')!).settings);
  }
  if (about.domain !== undefined)
    add(`queue ${about.domain}/${vmta}`, config.queueLayers(about.domain, vmta));
  if (about.source !== undefined || about.user !== undefined) {
    const user = about.user === undefined ? undefined : config.users.get(about.user);
    const title = [about.source ?? 'any address', ...(about.user ? [`user ${about.user}`] : [])].join(', ');
    add(`source ${title}`, config.sourceFor({ clientIp: about.source ?? null, user }));
  }
  return out;
}

/** As text; values that were set somewhere first, defaults after them. */
export function formatExplanation(explanation: Explanation, options: { defaults: boolean }): string {
  const out = [`${explanation.title}:`];
  for (const e of explanation.values) {
    if (!e.origin && !e.block && !options.defaults) continue;
    const where = e.origin
      ? `${formatOrigin(e.origin)} ${e.block}`
      : e.block
        ? `preset of ${e.block}`
        : 'default';
    out.push(`  ${e.directive} ${e.value}    # ${where}`);
    for (const o of e.overrode)
      out.push(`      overrode ${o.value}    # ${formatOrigin(o.origin)} ${o.block}`);
  }
  return `${out.join('\n')}\n`;
}
