import type { Config, PatternResult, PatternRule } from '../../config/index.ts';
import type { Header } from '../../mail/header.ts';

/** What rules of a pattern list look at. */
export interface PatternInput {
  readonly mailFrom: string;
  readonly rcptTo: readonly string[];
  readonly header: Header;
}

/** Lists that call lists: as deep as anybody would, and no loop. */
const DEEPEST = 20;

/**
 * The first rule of a list that matches, `call-to` and nested lists followed (delivery guide, section 3; language
 * guide 4.3). Null when none does. A nested list without a match lets the list around it go on.
 */
export function selectByPattern(
  config: Config,
  name: string,
  input: PatternInput,
  depth = 0,
): PatternResult | null {
  const list = config.lists.patternLists.get(name.toLowerCase());
  if (!list || depth > DEEPEST) return null;
  return firstMatch(config, list.rules, input, depth);
}

function firstMatch(
  config: Config,
  rules: readonly PatternRule[],
  input: PatternInput,
  depth: number,
): PatternResult | null {
  for (const rule of rules) {
    if (!matches(rule, input)) continue;
    if (rule.nested) {
      const inner = firstMatch(config, rule.nested, input, depth + 1);
      if (inner) return inner;
      continue;
    }
    if (!rule.result) continue;
    return rule.result.callTo ? selectByPattern(config, rule.result.callTo, input, depth + 1) : rule.result;
  }
  return null;
}

function matches({ subject, pattern }: PatternRule, input: PatternInput): boolean {
  if (subject.kind === 'always' || !pattern) return true;
  switch (subject.kind) {
    case 'header':
      // Raw, with folding and blanks: anchors must allow for them.
      return input.header
        .all(subject.header)
        .some((field) => pattern.test(input.header.rawValue(field).toString('latin1')));
    case 'mail-from':
      return matchesAddress(pattern, input.mailFrom);
    case 'rcpt-to':
      return input.rcptTo.some((address) => matchesAddress(pattern, address));
  }
}

/** Operators anchor patterns with and without the angle brackets in mind; both ways count. */
function matchesAddress(pattern: { test(subject: string): boolean }, address: string): boolean {
  return pattern.test(address) || pattern.test(`<${address}>`);
}
