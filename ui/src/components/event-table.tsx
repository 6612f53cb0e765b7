// biome-ignore-all lint/a11y/noRedundantRoles: below 640 px tables are laid out as blocks and would lose their roles.
import type { EventRow } from '../api.ts';
import { gist, textOf, timeOf } from '../story.ts';
import { words } from '../words.ts';
import { isoSeconds } from '../zone.ts';
import { TypeMark } from './mark.tsx';
import { Outside } from './outside.tsx';

/** Events, one a row. The time is the button that opens a row; the whole row takes the pointer too. */
export function EventTable({
  events,
  tz,
  selected,
  onOpen,
}: {
  events: readonly EventRow[];
  tz: string;
  selected: string;
  onOpen: (id: string) => void;
}) {
  return (
    <div class="sheet">
      <table id="events" class="grid cards events" role="table">
        <caption class="visually-hidden">
          {words.events.caption}, {tz}
        </caption>
        <thead role="rowgroup">
          <tr role="row">
            <th scope="col" role="columnheader" class="c-time">
              {words.events.time} ({tz})
            </th>
            <th scope="col" role="columnheader" class="c-type">
              {words.events.type}
            </th>
            <th scope="col" role="columnheader" class="c-rcpt">
              {words.events.recipient}
            </th>
            <th scope="col" role="columnheader" class="c-campaign">
              {words.events.campaign}
            </th>
            <th scope="col" role="columnheader" class="c-subject">
              {words.events.subject}
            </th>
            <th scope="col" role="columnheader" class="c-result">
              {words.events.result}
            </th>
          </tr>
        </thead>
        <tbody role="rowgroup">
          {events.map((event) => {
            const id = textOf(event, 'event_id');
            const ms = timeOf(event);
            const open = () => onOpen(id);
            return (
              <tr
                key={id}
                role="row"
                aria-current={id === selected ? 'true' : undefined}
                onClick={(click) => {
                  const inner = click.target instanceof Element ? click.target.closest('a, button') : null;
                  if (!inner && String(getSelection() ?? '') === '') open();
                }}
              >
                <th scope="row" role="rowheader" class="c-time">
                  <button type="button" class="opener" aria-expanded={id === selected} onClick={open}>
                    {Number.isFinite(ms) ? isoSeconds(ms, tz) : textOf(event, 'timestamp')}
                  </button>
                </th>
                <td role="cell" class="c-type" data-label={words.events.type}>
                  <TypeMark type={textOf(event, 'type')} />
                </td>
                <Cell kind="c-rcpt" label={words.events.recipient} text={recipient(event)} />
                <Cell
                  kind="c-campaign minor"
                  label={words.events.campaign}
                  text={textOf(event, 'campaign_id')}
                />
                <Cell kind="c-subject minor" label={words.events.subject} text={textOf(event, 'subject')} />
                <Cell kind="c-result" label={words.events.result} text={gist(event)} />
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}

function Cell({ kind, label, text }: { kind: string; label: string; text: string }) {
  return (
    <td role="cell" class={`${kind} ${text ? '' : 'blank'}`} data-label={label}>
      {text ? <Outside text={text} most={160} /> : <span class="muted">–</span>}
    </td>
  );
}

function recipient(event: EventRow): string {
  const address = textOf(event, 'rcpt_to') || textOf(event, 'raw_rcpt_to');
  if (address) return address;
  return textOf(event, 'rcpt_hash') ? `${words.events.hashed} · ${textOf(event, 'recipient_domain')}` : '';
}
