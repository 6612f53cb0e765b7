/**
 * A value that goes with an object and ends with it. It stands on the object itself: what a WeakMap holds, keys included,
 * the engine frees only with a full collection of its memory, and with message contents as keys that was several a second
 * under load (docs/performance.md).
 */
export class Attached<O extends object, T> {
  readonly #key = Symbol('attached');

  get(object: O): T | undefined {
    return (object as Record<symbol, T | undefined>)[this.#key];
  }

  /** In place of the one before. `object` must not be frozen. */
  set(object: O, value: T): void {
    (object as Record<symbol, T | undefined>)[this.#key] = value;
  }
}
