/** Whether the screen is a small one (one column, cards instead of tables). The same border as in the style sheets. */
import { signal } from '@preact/signals';

const query = typeof matchMedia === 'undefined' ? null : matchMedia('(max-width: 639px)');

export const isSmall = signal(query?.matches ?? false);
query?.addEventListener('change', (event) => {
  isSmall.value = event.matches;
});
