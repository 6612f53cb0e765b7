import { useSignal } from '@preact/signals';
import type { ComponentChildren } from 'preact';
import { useLayoutEffect, useRef } from 'preact/hooks';
import type { Filter } from '../address.ts';
import { announce } from '../announce.ts';
import type { EventRow } from '../api.ts';
import { copyText } from '../copy.ts';
import { bounceClassName, type Field, fieldGroups, fieldOf, placeOf } from '../event-words.ts';
import { eventFacets } from '../facets.ts';
import { bytes, duration } from '../format.ts';
import { textOf, timeOf } from '../story.ts';
import { messageHref } from '../views.ts';
import { words } from '../words.ts';
import { isoSeconds } from '../zone.ts';
import { Icon } from './icon.tsx';
import { Outside } from './outside.tsx';

const LONGEST_FIELD = 4000;
const LONGEST_RAW = 200_000;

/** All fields of one event in groups, then the event as it came. */
export function EventDetail({
  event,
  tz,
  raw,
  onRaw,
  onClose,
  onFilter,
}: {
  event: EventRow;
  tz: string;
  raw: boolean;
  onRaw: (open: boolean) => void;
  onClose: () => void;
  onFilter?: (filter: Filter) => void;
}) {
  const title = useRef<HTMLHeadingElement>(null);
  const explain = useSignal(false);
  const id = textOf(event, 'event_id');
  useLayoutEffect(() => {
    title.current?.focus({ preventScroll: true });
    title.current?.scrollIntoView({ block: 'nearest' });
  }, [id]);

  const named = Object.entries(event)
    .filter(([, value]) => value !== null && value !== undefined && value !== '')
    .map(([name]) => fieldOf(name));
  const message = textOf(event, 'message_id');
  const curl = `curl -H "Authorization: $KEY" '${location.origin}/api/v1/events/message?event_ids=${encodeURIComponent(id)}&from=${textOf(event, 'timestamp').slice(0, 19)}Z'`;
  return (
    <aside class="panel detail" aria-labelledby="detail-title">
      <header>
        <h2 id="detail-title" ref={title} tabIndex={-1}>
          {words.events.detail}
        </h2>
        <span class="spring" />
        <button
          type="button"
          class="button quiet small"
          aria-pressed={explain.value}
          onClick={() => {
            explain.value = !explain.value;
          }}
        >
          {words.events.explain}
        </button>
        <button
          type="button"
          class="button quiet small icon-only"
          aria-label={words.events.close}
          onClick={onClose}
        >
          <Icon name="close" />
        </button>
      </header>
      <div class="fields">
        {message && (
          <p class="story-link">
            <a href={messageHref(message, tz)}>{words.events.story}</a>
          </p>
        )}
        {fieldGroups.map((group) => {
          const fields = named
            .filter((field) => field.group === group)
            .sort((a, b) => placeOf(a.name) - placeOf(b.name));
          if (fields.length === 0) return null;
          return (
            <section key={group}>
              <h3>{group}</h3>
              <dl>
                {fields.map((field) => (
                  <FieldLine
                    key={field.name}
                    field={field}
                    event={event}
                    tz={tz}
                    explain={explain.value}
                    onFilter={onFilter}
                  />
                ))}
              </dl>
            </section>
          );
        })}
      </div>
      <RawJson value={event} open={raw} onOpen={onRaw}>
        <CopyButton text={curl} label={words.events.copyCurl} />
      </RawJson>
    </aside>
  );
}

function FieldLine({
  field,
  event,
  tz,
  explain,
  onFilter,
}: {
  field: Field;
  event: EventRow;
  tz: string;
  explain: boolean;
  onFilter: ((filter: Filter) => void) | undefined;
}) {
  const text = textOf(event, field.name);
  const facet = onFilter ? eventFacets.find((f) => f.field === field.name) : undefined;
  const label = field.label;
  return (
    <div>
      <dt>
        <Outside text={label} most={60} />
      </dt>
      <dd>{readable(field.name, text, event, tz)}</dd>
      <dd class="tools">
        {facet && (
          <button
            type="button"
            class="button quiet small icon-only"
            aria-label={words.events.filterBy(label)}
            onClick={() => onFilter?.({ facet: facet.key, op: 'eq', value: text })}
          >
            <Icon name="filter" />
          </button>
        )}
        <CopyButton text={text} label={`${words.events.copy}: ${label}`} icon />
      </dd>
      {explain && <dd class="meaning">{field.meaning}</dd>}
    </div>
  );
}

/** A field's value as people read it; what is not known stays the text that came. */
export function readable(name: string, text: string, event: EventRow, tz: string): ComponentChildren {
  switch (name) {
    case 'timestamp': {
      const ms = timeOf(event);
      return Number.isFinite(ms) ? (
        <span class="num">{`${isoSeconds(ms, tz)} ${tz}`}</span>
      ) : (
        <Outside text={text} />
      );
    }
    case 'bounce_class':
      return <Outside text={bounceClassName(text)} />;
    case 'queue_time':
      return /^\d+$/.test(text) ? duration(Number(text)) : <Outside text={text} />;
    case 'msg_size':
      return /^\d+$/.test(text) ? bytes(Number(text)) : <Outside text={text} />;
    default:
      return <Outside text={text} most={LONGEST_FIELD} />;
  }
}

export function CopyButton({ text, label, icon = false }: { text: string; label: string; icon?: boolean }) {
  const copy = async () => announce((await copyText(text)) ? words.events.copied : words.events.notCopied);
  return (
    <button
      type="button"
      class={`button quiet small ${icon ? 'icon-only' : ''}`}
      aria-label={icon ? label : undefined}
      onClick={copy}
    >
      <Icon name="copy" />
      {!icon && label}
    </button>
  );
}

/** The event as the API gave it, hidden characters named. */
export function RawJson({
  value,
  open,
  onOpen,
  children,
}: {
  value: unknown;
  open: boolean;
  onOpen: (open: boolean) => void;
  children?: ComponentChildren;
}) {
  const text = open ? JSON.stringify(value, null, 2) : '';
  return (
    <details class="raw" open={open} onToggle={(event) => onOpen(event.currentTarget.open)}>
      <summary>{words.events.raw}</summary>
      {open && (
        <>
          <CopyButton text={text} label={words.events.copy} />
          {children}
          <pre>
            <Outside text={text} most={LONGEST_RAW} keep={'\n'} />
          </pre>
        </>
      )}
    </details>
  );
}
