import type { Config } from '../../config/index.ts';

/** Counts the sessions of each source group, which share its `max-smtp-in` and have `reserved-smtp-in` for themselves. */
export class SourceGroups {
  readonly #open = new Map<string, number>();

  /** Counts one session more; answers how to count it out again, or null when the group is full. */
  enter(name: string, config: Config): (() => void) | null {
    const key = name.toLowerCase();
    const settings = config.sourceGroups.get(key);
    if (!settings) return () => {};
    const open = this.#open.get(key) ?? 0;
    if (open >= settings.get('max-smtp-in')) return null;
    this.#open.set(key, open + 1);
    return () => {
      const left = (this.#open.get(key) ?? 1) - 1;
      if (left > 0) this.#open.set(key, left);
      else this.#open.delete(key);
    };
  }

  /** Connections that groups other than this one have reserved and do not use now. */
  reservedForOthers(name: string, config: Config): number {
    const own = name.toLowerCase();
    let kept = 0;
    for (const [key, settings] of config.sourceGroups) {
      const reserved = settings.get('reserved-smtp-in');
      // "unlimited", the guide's printed default, would keep everybody out.
      if (key === own || !Number.isFinite(reserved)) continue;
      kept += Math.max(0, reserved - (this.#open.get(key) ?? 0));
    }
    return kept;
  }
}
