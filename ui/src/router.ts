/** Where the reader is. One signal; links are plain `<a href>` and are caught here. */
import { batch, signal } from '@preact/signals';
import { movedTo } from './address.ts';

export interface Place {
  readonly path: string;
  /** Query part with its `?`, or ''. */
  readonly search: string;
}

export const place = signal<Place>({ path: '/', search: '' });

/** Moment that relative ranges are counted from: the last load, navigation or refresh. */
export const now = signal(Date.now());

/** Grows with every change of page (not of its query), so that the title can take the focus. */
export const pageChanges = signal(0);

/** Takes every reload of figures with it. */
export function refresh(): void {
  now.value = Date.now();
}

/** Goes to an address of this application. `replace` leaves no step in the history. */
export function navigate(to: string, options: { replace?: boolean; state?: object } = {}): void {
  const url = new URL(to, location.origin);
  const address = url.pathname + url.search + url.hash;
  if (options.replace) history.replaceState(options.state ?? history.state, '', address);
  else if (address !== location.pathname + location.search)
    history.pushState(options.state ?? {}, '', address);
  arrive();
}

function arrive(): void {
  const moved = movedTo(location.pathname);
  if (moved !== null) history.replaceState(history.state, '', moved + location.search + location.hash);
  const next: Place = { path: location.pathname, search: location.search };
  batch(() => {
    if (next.path !== place.value.path) pageChanges.value++;
    if (next.path !== place.value.path || next.search !== place.value.search) {
      place.value = next;
      now.value = Date.now();
    }
  });
}

/** Begins to listen. Called once. */
export function startRouter(): void {
  place.value = { path: '', search: '' };
  arrive();
  pageChanges.value = 0;
  addEventListener('popstate', arrive);
  document.addEventListener('click', (event) => {
    if (event.defaultPrevented || event.button !== 0) return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = event.target instanceof Element ? event.target.closest('a') : null;
    const href = link?.getAttribute('href');
    if (!link || !href?.startsWith('/') || href.startsWith('//') || href.startsWith('/api/')) return;
    if (link.target || link.hasAttribute('download')) return;
    event.preventDefault();
    navigate(href);
  });
}
