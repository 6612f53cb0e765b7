import type { Settings } from '../../config/index.ts';

/** Counts the sessions of each source group, which share its `max-smtp-in`. */
export class SourceGroups {
  readonly #open = new Map<string, number>();

  /** Counts one session more; answers how to count it out again, or null when the group is full. */
  enter(name: string, settings: Settings<'source-group'> | undefined): (() => void) | null {
    if (!settings) return () => {};
    const key = name.toLowerCase();
    const open = this.#open.get(key) ?? 0;
    if (open >= settings.get('max-smtp-in')) return null;
    this.#open.set(key, open + 1);
    return () => {
      const left = (this.#open.get(key) ?? 1) - 1;
      if (left > 0) this.#open.set(key, left);
      else this.#open.delete(key);
    };
  }
}
