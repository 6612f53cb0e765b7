import type { Block, Line, Setting } from './block.ts';
import type { Scope } from './declaration.ts';
import { Fault, type Origin } from './diagnostic.ts';
import { directive, type Named, type NameOf, type ValueOf } from './directives/index.ts';
import type { ListType } from './values/value-type.ts';

/** The effective values of one source, VMTA, queue, listener and so on. */
export interface Settings<S extends Scope> {
  /** The value of a directive, its default when nothing sets it. Units: milliseconds, bytes; see `ValueOf`. */
  get<N extends NameOf<S>>(name: N): ValueOf<S, N>;
  /** Where the value was written; null when it is the default. */
  origin(name: NameOf<S>): Origin | null;
}

/** A value with everything that a better match kept from counting, best first. */
export interface History {
  readonly declaration: Named;
  readonly lines: readonly (Line & { readonly block: Block })[];
}

const defaults = new WeakMap<object, Map<string, unknown>>();

/** The default of a declaration as a value. */
function defaultOf(declaration: Named): unknown {
  let known = defaults.get(declaration.type);
  if (!known) {
    known = new Map();
    defaults.set(declaration.type, known);
  }
  const text = declaration.repeatable ? undefined : declaration.default;
  // Directives share types: one may repeat, and of one no default may be known.
  const key = declaration.repeatable ? 'list' : text === undefined ? 'unset' : `text ${text}`;
  if (known.has(key)) return known.get(key);
  const value = text === undefined ? unset(declaration) : declaration.type.parse({ text, folder: '/' });
  if (value instanceof Fault)
    throw new Error(`default of ${declaration.name} is not valid: ${value.message}`);
  known.set(key, value);
  return value;
}

/** What stands for "not set". */
export function unset(declaration: Named): unknown {
  if (declaration.repeatable) return [];
  const type = declaration.type as Partial<ListType<unknown>>;
  return type.empty === undefined ? null : type.empty;
}

/** The value that the lines of one block amount to. */
function effectiveValue(setting: Setting): unknown {
  if (!setting.declaration.repeatable) return setting.lines.at(-1)!.value;
  return setting.lines
    .filter((l) => l.value !== null)
    .map((l) => (typeof l.value === 'object' ? { ...l.value, origin: l.origin } : l.value));
}

/**
 * Settings out of layers, the best match first: each directive is looked up on its own and the first layer that sets
 * it counts, as a whole when it repeats. Values are found once and kept.
 */
export class LayeredSettings<S extends Scope> implements Settings<S> {
  readonly scope: S;
  readonly layers: readonly Block[];
  readonly #global: Block | null;
  readonly #found = new Map<string, { value: unknown; origin: Origin | null }>();

  /** `global` is where defaults are taken from that are values of the file level. */
  constructor(scope: S, layers: readonly Block[], global: Block | null = null) {
    this.scope = scope;
    this.layers = layers;
    this.#global = global;
  }

  get<N extends NameOf<S>>(name: N): ValueOf<S, N> {
    return this.#find(name).value as ValueOf<S, N>;
  }

  origin(name: NameOf<S>): Origin | null {
    return this.#find(name).origin;
  }

  /** A value by a name that is only known at run time; undefined when the scope has no such directive. */
  look(name: string): { readonly value: unknown; readonly origin: Origin | null } | undefined {
    return directive(this.scope, name) ? this.#find(name) : undefined;
  }

  /** Every line that could have given the value, the one that did first. */
  history(name: string): History {
    const declaration = directive(this.scope, name);
    if (!declaration) throw new Error(`${name} is no directive of <${this.scope}>`);
    const lines: (Line & { block: Block })[] = [];
    for (const block of this.layers) {
      for (const line of block.lines(name).toReversed()) lines.push({ ...line, block });
    }
    return { declaration, lines };
  }

  #find(name: string): { value: unknown; origin: Origin | null } {
    const known = this.#found.get(name);
    if (known) return known;
    const found = this.#resolve(name);
    this.#found.set(name, found);
    return found;
  }

  #resolve(name: string): { value: unknown; origin: Origin | null } {
    for (const block of this.layers) {
      const setting = block.settings.get(name);
      if (setting) return { value: effectiveValue(setting), origin: setting.lines.at(-1)!.origin };
    }
    const declaration = directive(this.scope, name);
    if (!declaration) throw new Error(`${name} is no directive of <${this.scope}>`);
    const from = declaration.defaultFrom;
    if (from?.startsWith('global:')) {
      const setting = this.#global?.settings.get(from.slice(7));
      if (setting) return { value: effectiveValue(setting), origin: setting.lines.at(-1)!.origin };
    } else if (from) {
      return this.#find(from);
    }
    return { value: defaultOf(declaration), origin: null };
  }
}
