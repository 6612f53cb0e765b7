import type { Declaration, Declarations, Scope, Tag } from '../declaration.ts';
import type { Origin } from '../diagnostic.ts';
import type { ValueType } from '../values/value-type.ts';
import { acctFileDirectives, spoolDirectives } from './acct-file.ts';
import { additionalDirectives } from './additional.ts';
import { domainHandlingDirectives } from './domain-handling.ts';
import { domainLimitsDirectives } from './domain-limits.ts';
import { domainRetryDirectives } from './domain-retry.ts';
import { domainSigningDirectives } from './domain-signing.ts';
import { domainTransportDirectives } from './domain-transport.ts';
import { globalDirectives } from './global.ts';
import { globalHttpDirectives } from './global-http.ts';
import { globalIntakeDirectives } from './global-intake.ts';
import {
  dnsDirectives,
  proxyDirectives,
  smtpListenerDirectives,
  smtpUserDirectives,
  sourceGroupDirectives,
  transmissionsApiDirectives,
  transmissionsApiListenerDirectives,
} from './listeners.ts';
import {
  addressListDirectives,
  bounceCategoryPatternsDirectives,
  bounceProcessorDirectives,
  emailPatternsDirectives,
  mxRollupListDirectives,
  patternListDirectives,
  rewriteListDirectives,
  smtpPatternListDirectives,
} from './lists.ts';
import { signalsDirectives, signalsFilterDirectives } from './signals.ts';
import { sourceDirectives } from './source.ts';
import { sourceChecksDirectives } from './source-checks.ts';
import { sourceHeadersDirectives } from './source-headers.ts';
import { tags } from './tags.ts';
import { virtualMtaDirectives } from './virtual-mta.ts';

const tables = [
  globalDirectives,
  globalHttpDirectives,
  globalIntakeDirectives,
  sourceDirectives,
  sourceChecksDirectives,
  sourceHeadersDirectives,
  virtualMtaDirectives,
  domainHandlingDirectives,
  domainLimitsDirectives,
  domainRetryDirectives,
  domainSigningDirectives,
  domainTransportDirectives,
  acctFileDirectives,
  spoolDirectives,
  smtpListenerDirectives,
  smtpUserDirectives,
  sourceGroupDirectives,
  dnsDirectives,
  proxyDirectives,
  transmissionsApiDirectives,
  transmissionsApiListenerDirectives,
  bounceProcessorDirectives,
  emailPatternsDirectives,
  addressListDirectives,
  patternListDirectives,
  smtpPatternListDirectives,
  bounceCategoryPatternsDirectives,
  mxRollupListDirectives,
  rewriteListDirectives,
  signalsDirectives,
  signalsFilterDirectives,
  additionalDirectives,
] as const;

type Table = (typeof tables)[number];

type InScope<D, S extends Scope> = D extends { readonly scopes: readonly (infer X)[] }
  ? S extends X
    ? D
    : never
  : never;

/** Names of a scope's directives; other spellings are not names: their values are found under the present one. */
export type NameOf<S extends Scope> = Table extends infer T
  ? T extends Table
    ? {
        [N in keyof T]: [InScope<T[N], S>] extends [never]
          ? never
          : T[N] extends { readonly aliasOf: string }
            ? never
            : N;
      }[keyof T] &
        string
    : never
  : never;

/** The declaration of a name in a scope. */
export type DeclarationOf<S extends Scope, N extends string> = Table extends infer T
  ? T extends Table
    ? N extends keyof T
      ? InScope<T[N], S>
      : never
    : never
  : never;

type Parsed<D> = D extends { readonly type: ValueType<infer T> } ? T : never;

/** One line of a directive that may be repeated: objects carry where they were written. */
export type Repeated<T> = T extends string | number | boolean ? T : T & { readonly origin: Origin };

type ValueOfDeclaration<D> = D extends { readonly repeatable: true }
  ? readonly Repeated<Parsed<D>>[]
  : D extends { readonly type: { readonly empty: unknown } }
    ? Parsed<D>
    : D extends { readonly default: string }
      ? D extends { readonly emptyClears: true }
        ? Parsed<D> | null
        : Parsed<D>
      : Parsed<D> | null;

/** What `get` hands out for a name in a scope: see docs/reference/directives.md for units. */
export type ValueOf<S extends Scope, N extends string> = ValueOfDeclaration<DeclarationOf<S, N>>;

/** A declaration under its name. */
export interface Named extends Declaration {
  readonly name: string;
}

const byScope = new Map<Scope, Map<string, Named>>();

for (const table of tables as readonly Declarations[]) {
  for (const [name, declaration] of Object.entries(table)) {
    const named: Named = { name, ...declaration };
    for (const scope of declaration.scopes) {
      const names = byScope.get(scope) ?? new Map<string, Named>();
      byScope.set(scope, names);
      if (names.has(name)) throw new Error(`${name} is declared twice for ${scope}`);
      names.set(name, named);
    }
  }
}

/** The directives that may stand in a scope, by name. */
export function directivesIn(scope: Scope): ReadonlyMap<string, Named> {
  return byScope.get(scope) ?? new Map();
}

/** The declaration of a name in a scope, if it belongs there. */
export function directive(scope: Scope, name: string): Named | undefined {
  return byScope.get(scope)?.get(name);
}

/** Every declaration once, in the order of the source. */
export function allDirectives(): readonly Named[] {
  return (tables as readonly Declarations[]).flatMap((t) =>
    Object.entries(t).map(([name, declaration]) => ({ name, ...declaration })),
  );
}

/** The scopes in which a name is known. */
export function scopesOf(name: string): Scope[] {
  return [...byScope].filter(([, names]) => names.has(name)).map(([scope]) => scope);
}

/** A tag under its name. */
export function tag(name: string): Tag | undefined {
  return Object.hasOwn(tags, name) ? (tags as Readonly<Record<string, Tag>>)[name] : undefined;
}

/** Names of the tags that may stand in a scope. */
export function tagsIn(scope: Scope): string[] {
  return Object.entries(tags as Readonly<Record<string, Tag>>)
    .filter(([, t]) => t.parents.includes(scope))
    .map(([name]) => name);
}

export const allTags: Readonly<Record<string, Tag>> = tags;
