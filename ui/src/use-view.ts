/** The state of the present page: read from its address, changed by going to another address. */
import { type Dropped, readView, type View, type ViewSpec, writeView } from './address.ts';
import { navigate, place } from './router.ts';

export interface ViewState {
  readonly view: View;
  /** Parts of the address that were no valid value. */
  readonly dropped: readonly Dropped[];
  /** Goes to the changed state. Kinds of change that are not steps of the reader's way leave no history entry. */
  change(part: Partial<View>, options?: { replace?: boolean; state?: object }): void;
}

export function useView(spec: ViewSpec): ViewState {
  const { path, search } = place.value;
  const { view, dropped } = readView(search, spec);
  return {
    view,
    dropped,
    change: (part, options) => navigate(path + writeView({ ...view, ...part }, spec), options),
  };
}
