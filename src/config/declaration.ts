import type { ValueType } from './values/value-type.ts';

/** Where a directive may stand: the file itself (`global`) or inside a tag of this name. */
export type Scope =
  | 'global'
  | 'source'
  | 'domain'
  | 'virtual-mta'
  | 'virtual-mta-pool'
  | 'smtp-listener'
  | 'transmissions-api'
  | 'transmissions-api-listener'
  | 'smtp-user'
  | 'source-group'
  | 'spool'
  | 'acct-file'
  | 'bounce-processor'
  | 'feedback-loop-processor'
  | 'email-patterns'
  | 'address-list'
  | 'pattern-list'
  | 'smtp-pattern-list'
  | 'rewrite-list'
  | 'domain-key-list'
  | 'mx-rollup-list'
  | 'bounce-category-patterns'
  | 'aliases'
  | 'dns'
  | 'signals'
  | 'signals-filter'
  | 'proxy'
  | 'gm-imprinter';

/**
 * What a directive does in Posthorn: what PowerMTA does with it; something else, said how; nothing, said why. A test
 * holds that a directive marked `honoured` or `differs` is read by name somewhere outside this folder.
 */
export type Effect = 'honoured' | { readonly differs: string } | { readonly none: string };

/** Until a part of the MTA reads a directive, this is the honest mark. */
export const notReadYet = { none: 'not read yet' } as const;

/** Old switches without a meaning of their own. */
export const obsolete = { none: 'obsolete in PowerMTA itself; accepted and ignored' } as const;

/** One directive, declared once: parser, checks, look-up, reports, completion and reference all come from this. */
export interface Declaration {
  readonly scopes: readonly Scope[];
  readonly type: ValueType<unknown>;
  /** In the directive's own syntax; absent when unset means null (or the type's empty value). */
  readonly default?: string;
  /** A default that is found at run time, in words. */
  readonly defaultText?: string;
  /** The directive whose effective value is used when this one is unset; `global:` looks at file level. */
  readonly defaultFrom?: string;
  /** Several lines in one block accumulate; else the last one counts. */
  readonly repeatable?: true;
  /** How a VMTA's value is found (`vmta-pool-global` and so on); sources and domains have their own chains. */
  readonly inherits?: 'vmta, pool' | 'vmta, global' | 'vmta, pool, global' | 'all of vmta, pool, global';
  /** `""` takes away an inherited value. */
  readonly emptyClears?: true;
  readonly deprecated?: true;
  /** The directive of the same scope whose other spelling this is. */
  readonly aliasOf?: string;
  /** Turns the text of the other spelling into text for `aliasOf`. */
  readonly translate?: (text: string) => string;
  /** Why the line is accepted and has no effect of its own elsewhere in the configuration (old spellings). */
  readonly documented?: false;
  /** An addition of ours that PowerMTA does not know. */
  readonly ours?: true;
  /** Unit of a bare number. */
  readonly unit?: string;
  /** When its absence is an error. */
  readonly required?: string;
  /** What a change needs, when a reload is not enough. */
  readonly reload?: string;
  readonly tier: 'core' | 'common' | 'rare';
  /** Sections of the PowerMTA 5.0 User's Guide. */
  readonly section?: string;
  readonly summary: string;
  readonly effect: Effect;
}

/** A set of declarations by name (lower case). */
export type Declarations = Readonly<Record<string, Declaration>>;

/** What happens when a tag with the same argument comes again. */
export type Repeat = 'merge' | 'unique' | 'independent' | 'append';

/** One tag. */
export interface Tag {
  readonly parents: readonly Scope[];
  readonly argument: 'required' | 'optional' | 'none';
  readonly grammar?: string;
  readonly repeat: Repeat;
  readonly aliasOf?: string;
  readonly deprecated?: true;
  readonly documented?: false;
  readonly required?: string;
  readonly reload?: string;
  readonly tier: 'core' | 'common' | 'rare';
  readonly section?: string;
  readonly summary: string;
}
