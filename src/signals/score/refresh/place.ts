import type { Engine } from '../../store/engine.ts';
import type { Retention } from '../../store/retention.ts';

/** Where the figures are kept, and for how long. */
export interface Place {
  readonly engine: Engine;
  readonly retention: Retention;
  /** See `slicesOf`. */
  readonly rowsPerSlice?: number;
}
