import type { EventPage, EventRow } from '../api.ts';
import { EventDetail, RawJson, readable } from '../components/event-detail.tsx';
import { TypeMark } from '../components/mark.tsx';
import { DroppedNotice } from '../components/notices.tsx';
import { Outside } from '../components/outside.tsx';
import { Empty, Loaded, Skeleton } from '../components/states.tsx';
import { fieldOf } from '../event-words.ts';
import { duration } from '../format.ts';
import { useKeys } from '../keys.ts';
import { useResource } from '../resource.ts';
import { now, refresh } from '../router.ts';
import { api } from '../session.ts';
import { gist, inOrder, pauses, textOf, timeOf, verdict } from '../story.ts';
import { useView, type ViewState } from '../use-view.ts';
import { messageSpec } from '../views.ts';
import { words } from '../words.ts';
import { isoSeconds } from '../zone.ts';

const factFields = [
  'rcpt_to',
  'subject',
  'friendly_from',
  'msg_from',
  'campaign_id',
  'template_id',
  'subaccount_id',
  'ip_pool',
  'sending_ip',
  'sending_domain',
  'mailbox_provider',
  'msg_size',
  'rcpt_tags',
  'rcpt_meta',
  'message_id',
  'transmission_id',
];

/** The whole story of one message, from what every event of it says. */
export function Message({ id }: { id: string }) {
  const state = useView(messageSpec);
  const page = useResource<EventPage>(id, (signal) => api.peek().message(id, now.peek(), signal));
  useKeys([{ keys: 'r', does: words.range.refresh, run: refresh }]);
  return (
    <>
      <DroppedNotice dropped={state.dropped} />
      <Loaded from={page} grant="message_events/view" skeleton={<Skeleton kind="table" />}>
        {(value) =>
          value.events.length === 0 ? (
            <section class="panel">
              <Empty title={words.message.none}>
                <p>
                  <Outside text={id} most={120} />
                </p>
                <p>{words.message.noneText}</p>
                <p>
                  <a class="button" href="/events">
                    {words.message.toEvents}
                  </a>
                </p>
              </Empty>
            </section>
          ) : (
            <Story events={inOrder(value.events)} state={state} />
          )
        }
      </Loaded>
    </>
  );
}

function Story({ events, state }: { events: readonly EventRow[]; state: ViewState }) {
  const { view, change } = state;
  const outcome = verdict(events, now.value);
  const gaps = pauses(events);
  const selected = events.find((event) => textOf(event, 'event_id') === view.sel);
  const select = (to: string) => change({ sel: to });
  const step = (by: number) => {
    const at = selected ? events.indexOf(selected) : -1;
    const next = events[Math.max(0, Math.min(events.length - 1, at + by))];
    if (next) change({ sel: textOf(next, 'event_id') }, { replace: true });
  };
  useKeys([
    { keys: 'j', does: 'Next event', run: () => step(1) },
    { keys: 'k', does: 'Previous event', run: () => step(-1) },
    { keys: 'Escape', does: 'Close the event', run: () => view.sel && change({ sel: '' }) },
  ]);
  const injected = events.some((event) => textOf(event, 'type') === 'injection');
  return (
    <>
      <p class={`verdict mark ${outcome.tone}`}>{outcome.text}</p>
      <div class="message-layout">
        <section class="panel" aria-labelledby="timeline-title">
          <header>
            <h2 id="timeline-title">{words.message.timeline}</h2>
            <p>{view.tz}</p>
          </header>
          <ol class="timeline">
            {!injected && (
              <li class="missing">
                <span class="mark plain muted">{words.message.noInjection}</span>
              </li>
            )}
            {events.map((event, i) => (
              <Moment
                key={textOf(event, 'event_id') || i}
                event={event}
                pause={gaps[i] ?? 0}
                tz={view.tz}
                selected={event === selected}
                onSelect={select}
              />
            ))}
          </ol>
          <RawJson
            value={events}
            open={view.raw === '1'}
            onOpen={(open) => {
              if (open !== (view.raw === '1')) change({ raw: open ? '1' : '0' }, { replace: true });
            }}
          />
        </section>
        {selected ? (
          <EventDetail
            event={selected}
            tz={view.tz}
            raw={false}
            onRaw={() => {}}
            onClose={() => change({ sel: '' })}
          />
        ) : (
          <Facts events={events} tz={view.tz} />
        )}
      </div>
    </>
  );
}

function Moment({
  event,
  pause,
  tz,
  selected,
  onSelect,
}: {
  event: EventRow;
  pause: number;
  tz: string;
  selected: boolean;
  onSelect: (id: string) => void;
}) {
  const ms = timeOf(event);
  const type = textOf(event, 'type');
  const text = gist(event);
  const facts = circumstances(event);
  return (
    <>
      {pause > 0 && <li class="pause">{words.message.pause(duration(pause))}</li>}
      <li>
        <div class="when">
          <b>
            <TypeMark type={type} />
          </b>
          <button
            type="button"
            class="opener link"
            aria-expanded={selected}
            onClick={() => onSelect(selected ? '' : textOf(event, 'event_id'))}
          >
            {Number.isFinite(ms) ? isoSeconds(ms, tz) : textOf(event, 'timestamp')}
          </button>
        </div>
        {text && (
          <div>
            <Outside text={text} most={600} />
          </div>
        )}
        <div class="facts">
          <Outside text={facts} most={300} />
        </div>
      </li>
    </>
  );
}

/** Who talked to whom, in a few words. */
function circumstances(event: EventRow): string {
  const other = textOf(event, 'ip_address');
  const source = textOf(event, 'sending_ip');
  const type = textOf(event, 'type');
  if (type === 'injection') {
    return [textOf(event, 'recv_method'), textOf(event, 'msg_from')].filter(Boolean).join(' · ');
  }
  if (/open$|click$/.test(type)) return other && `client ${other}`;
  return [source && `from ${source}`, other && `to ${other}`].filter(Boolean).join(' ');
}

function Facts({ events, tz }: { events: readonly EventRow[]; tz: string }) {
  // The newest word on a field is the best: later events are enriched.
  const known = factFields.flatMap((name) => {
    const event = events.findLast((one) => textOf(one, name) !== '');
    return event ? [{ field: fieldOf(name), event }] : [];
  });
  return (
    <section class="panel" aria-labelledby="facts-title">
      <header>
        <h2 id="facts-title">{words.message.facts}</h2>
      </header>
      <div class="fields">
        <dl>
          {known.map(({ field, event }) => (
            <div key={field.name}>
              <dt>{field.label}</dt>
              <dd>{readable(field.name, textOf(event, field.name), event, tz)}</dd>
            </div>
          ))}
        </dl>
      </div>
    </section>
  );
}
