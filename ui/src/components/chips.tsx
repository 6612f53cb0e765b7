import { type Filter, sameFilter } from '../address.ts';
import { eventTypes } from '../event-words.ts';
import { filterName } from '../facets.ts';
import { visible } from '../outside-text.ts';
import { words } from '../words.ts';
import { Icon } from './icon.tsx';
import { Outside } from './outside.tsx';
import { Popover } from './popover.tsx';

/** The filters in force, each removable. */
export function Chips({
  filters,
  onChange,
}: {
  filters: readonly Filter[];
  onChange: (f: readonly Filter[]) => void;
}) {
  if (filters.length === 0) return null;
  return (
    <>
      <ul class="chips" aria-label={words.events.filters}>
        {filters.map((filter) => (
          <li key={`${filter.facet}.${filter.value}`} class="chip">
            <span>
              <Outside text={filterName(filter)} most={90} />
            </span>
            <button
              type="button"
              aria-label={words.events.remove(visible(filterName(filter)))}
              onClick={() => onChange(filters.filter((f) => !sameFilter(f, filter)))}
            >
              <Icon name="close" />
            </button>
          </li>
        ))}
      </ul>
      {filters.length > 1 && (
        <button type="button" class="button quiet small" onClick={() => onChange([])}>
          {words.events.clear}
        </button>
      )}
    </>
  );
}

/** Types of events as check boxes in their groups. */
export function TypePicker({
  filters,
  onChange,
}: {
  filters: readonly Filter[];
  onChange: (f: readonly Filter[]) => void;
}) {
  const chosen = new Set(filters.filter((f) => f.facet === 'type').map((f) => f.value));
  const groups = [...new Set(eventTypes.map((t) => t.group))];
  const toggle = (type: string, on: boolean) => {
    const filter: Filter = { facet: 'type', op: 'eq', value: type };
    onChange(on ? [...filters, filter] : filters.filter((f) => !sameFilter(f, filter)));
  };
  return (
    <Popover
      button={
        <>
          {words.events.types}
          {chosen.size > 0 && ` (${chosen.size})`}
          <Icon name="down" />
        </>
      }
      buttonClass="button"
      label={words.events.types}
    >
      {() => (
        <div class="types">
          {groups.map((group) => (
            <fieldset key={group}>
              <legend>{group}</legend>
              {eventTypes
                .filter((t) => t.group === group)
                .map((t) => (
                  <label key={t.type}>
                    <input
                      type="checkbox"
                      checked={chosen.has(t.type)}
                      onChange={(event) => toggle(t.type, event.currentTarget.checked)}
                    />
                    {t.label}
                  </label>
                ))}
            </fieldset>
          ))}
        </div>
      )}
    </Popover>
  );
}
