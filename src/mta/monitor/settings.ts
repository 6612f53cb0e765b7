/** `show settings`: what applies to a queue, from the same declarations that the parser uses (section 4.6). */
import { type Config, explain } from '../../config/index.ts';
import type { Tree } from './answer.ts';

/** `queue` is `DOMAIN[/VMTA]`; without a VMTA the settings of `{default}` are shown. Text when it names nothing. */
export function settingsTree(config: Config, queue: string): Tree | string {
  const slash = queue.lastIndexOf('/');
  const domain = slash < 0 ? queue : queue.slice(0, slash);
  const vmta = slash < 0 ? '{default}' : queue.slice(slash + 1);
  if (domain === '') return 'show settings needs DOMAIN or DOMAIN/VMTA';
  if (!config.vmtas.has(vmta.toLowerCase())) return `there is no VirtualMTA "${vmta.slice(0, 100)}"`;
  const [ofVmta, ofQueue] = [explain(config, { vmta }), explain(config, { vmta, domain })].map(
    (explanations, i) => explanations.find(({ title }) => title.startsWith(i === 0 ? 'VMTA' : 'queue')),
  );
  return {
    name: `${domain}/${vmta}`,
    vmta: valuesOf(ofVmta?.values ?? []),
    queue: valuesOf(ofQueue?.values ?? []),
  };
}

function valuesOf(values: readonly { readonly directive: string; readonly value: string }[]): Tree {
  const sorted = [...values].sort(
    (a, b) => rank(a.directive) - rank(b.directive) || compare(a.directive, b.directive),
  );
  // Nothing is `""` in the text alone.
  return Object.fromEntries(
    sorted.map(({ directive, value }) => [spelled(directive), value === '""' ? '' : value]),
  );
}

/** `type` stands first, the rest in the order of the alphabet. */
function rank(directive: string): number {
  return directive === 'type' ? 0 : 1;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Protocol switches are printed with capitals, as scripts expect. */
function spelled(directive: string): string {
  return directive.replace(/tlsv/, 'TLSv').replace(/sslv/, 'SSLv');
}

export function settingsText(tree: Tree): string {
  const block = (title: string, values: Tree) => [
    title,
    '-'.repeat(title.length),
    ...Object.entries(values).map(([name, value]) => `${name} ${value === '' ? '""' : value}`),
    '',
  ];
  return [
    ...block('Virtual MTA Settings', tree.vmta as Tree),
    ...block('Queue Settings', tree.queue as Tree),
  ].join('\n');
}
