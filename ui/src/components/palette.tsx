import { useSignal } from '@preact/signals';
import { useLayoutEffect, useRef } from 'preact/hooks';
import { readQuery } from '../facets.ts';
import { visible } from '../outside-text.ts';
import { navigate, place } from '../router.ts';
import { chooseTheme } from '../theme.ts';
import { eventsHref, findPage, messageHref, pageHref } from '../views.ts';
import { words } from '../words.ts';
import { type Choice, Combo } from './combo.tsx';
import { Dialog } from './dialog.tsx';

interface Target extends Choice {
  /** Address to go to, or '' for an action. */
  readonly href: string;
  act?(): void;
}

/** One box for everything: recognises what was typed and offers where it leads. */
export function Palette({ onClose }: { onClose: () => void }) {
  const text = useSignal('');
  const field = useRef<HTMLInputElement>(null);
  useLayoutEffect(() => field.current?.focus(), []);

  const go = (target: Target, beside = false) => {
    onClose();
    if (target.act) target.act();
    else if (beside) open(target.href, '_blank', 'noopener');
    else navigate(target.href);
  };
  const found = targets(text.value.trim());
  return (
    <Dialog title={words.search.title} onClose={onClose} className="palette" bare>
      <Combo
        label={words.search.title}
        placeholder={words.search.placeholder}
        text={text.value}
        onText={(next) => {
          text.value = next;
        }}
        choices={found}
        onChoose={go}
        onSubmit={() => {
          if (found[0]) go(found[0]);
        }}
        fieldRef={field}
        always
      />
      {found.length === 0 && (
        <p class="muted" role="status">
          {words.search.none}
        </p>
      )}
    </Dialog>
  );
}

function targets(text: string): Target[] {
  const { path, search } = place.value;
  const from = findPage(path).page;
  const pages: Target[] = (['overview', 'events'] as const).map((page) => ({
    key: page,
    label: words.nav[page],
    hint: 'page',
    href: pageHref(page, from, search),
  }));
  const actions: Target[] = (['light', 'dark', 'system'] as const).map((choice) => ({
    key: choice,
    label: words.theme[choice],
    hint: 'action',
    href: '',
    act: () => chooseTheme(choice),
  }));
  const named = [...pages, ...actions].filter((t) => t.label.toLowerCase().includes(text.toLowerCase()));
  if (!text) return named;
  const found: Target[] = [];
  const scope = { t: '24h', tz: 'UTC' };
  const read = readQuery(text);
  if (read.message !== null) {
    found.push({
      key: 'message',
      label: `Message ${visible(read.message)}`,
      hint: 'its whole story',
      href: messageHref(read.message, 'UTC'),
    });
  } else if (read.filters.length > 0 && read.problems.length === 0) {
    found.push({
      key: 'filters',
      label: `Events: ${visible(text)}`,
      hint: 'last 24 hours',
      href: eventsHref({ ...scope, f: read.filters }),
    });
  } else if (!/[:\s]/.test(text)) {
    found.push({
      key: 'campaign',
      label: `Campaign ${visible(text)}`,
      hint: 'its events, last 24 hours',
      href: eventsHref({ ...scope, f: [{ facet: 'campaign', op: 'eq', value: text }] }),
    });
    if (!text.includes('@')) {
      found.push({
        key: 'id',
        label: `Message ${visible(text)}`,
        hint: 'by its id',
        href: messageHref(text, 'UTC'),
      });
    }
  }
  return named.length > 0 && !read.filters.length && read.message === null
    ? [...named, ...found]
    : [...found, ...named];
}
