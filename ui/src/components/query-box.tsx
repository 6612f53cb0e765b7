import { useSignal } from '@preact/signals';
import { useId, useRef } from 'preact/hooks';
import type { Filter } from '../address.ts';
import { type Facet, offers, readQuery } from '../facets.ts';
import { useKeys } from '../keys.ts';
import { navigate } from '../router.ts';
import { messageHref } from '../views.ts';
import { words } from '../words.ts';
import { type Choice, Combo } from './combo.tsx';

interface OfferChoice extends Choice {
  readonly text: string;
}

/** The event list's query box: `word:value` becomes a chip. */
export function QueryBox({
  seen,
  facets,
  tz,
  onFilters,
}: {
  facets: readonly Facet[];
  /** Values of the rows on the page, by facet, for completion. */
  seen: ReadonlyMap<string, ReadonlySet<string>>;
  tz: string;
  onFilters: (filters: readonly Filter[]) => void;
}) {
  const id = useId();
  const text = useSignal('');
  const problems = useSignal<readonly string[]>([]);
  const field = useRef<HTMLInputElement>(null);
  useKeys([{ keys: '/', does: words.events.query, run: () => field.current?.focus() }]);

  const submit = (given: string) => {
    const read = readQuery(given, facets);
    problems.value = read.problems;
    if (read.problems.length > 0) return;
    if (read.message !== null) {
      navigate(messageHref(read.message, tz));
      return;
    }
    if (read.filters.length > 0) onFilters(read.filters);
    text.value = '';
  };
  const choices: OfferChoice[] = offers(text.value, seen, facets)
    .slice(0, 12)
    .map((offer) => ({ key: offer.text, text: offer.text, label: offer.label, hint: offer.hint }));

  return (
    <div class="query">
      <Combo
        label={words.events.query}
        placeholder={words.events.placeholder}
        text={text.value}
        onText={(next) => {
          text.value = next;
          problems.value = [];
        }}
        choices={choices}
        onChoose={(choice) => {
          const next = text.value.replace(/\S*$/, '') + choice.text;
          if (choice.text.endsWith(':')) text.value = next;
          else submit(next);
        }}
        onSubmit={submit}
        fieldRef={field}
        describedBy={problems.value.length > 0 ? id : undefined}
      />
      <button type="button" class="button" onClick={() => submit(text.value)}>
        {words.events.add}
      </button>
      {problems.value.length > 0 && (
        <p id={id} class="error-text query-problem" role="alert">
          {problems.value.join(' ')}
        </p>
      )}
    </div>
  );
}
