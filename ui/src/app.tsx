import { useSignal } from '@preact/signals';
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import { announcement } from './announce.ts';
import { Dialog } from './components/dialog.tsx';
import { Horn, Icon, type IconName } from './components/icon.tsx';
import { KeysDialog } from './components/keys-dialog.tsx';
import { Lamp } from './components/lamp.tsx';
import { Palette } from './components/palette.tsx';
import { SignInForm } from './components/sign-in-form.tsx';
import { useKeys } from './keys.ts';
import { visible } from './outside-text.ts';
import { Events } from './pages/events.tsx';
import { Message } from './pages/message.tsx';
import { NotFound } from './pages/not-found.tsx';
import { Overview } from './pages/overview.tsx';
import { SignIn } from './pages/sign-in.tsx';
import { navigate, pageChanges, place } from './router.ts';
import { interrupted, session, sessionKnown, signOut } from './session.ts';
import { chooseTheme, type ThemeChoice, themeChoice } from './theme.ts';
import { type Found, findPage, pageHref } from './views.ts';
import { words } from './words.ts';

const themeOrder: readonly ThemeChoice[] = ['system', 'light', 'dark'];

export function App() {
  const found = findPage(place.value.path);
  if (found.page === 'sign-in') return <SignIn link />;
  if (!session.value) return sessionKnown.value ? <SignIn link={false} /> : null;
  return <Shell found={found} />;
}

function Shell({ found }: { found: Found }) {
  const open = useSignal<'' | 'keys' | 'search'>('');
  const title = useRef<HTMLHeadingElement>(null);
  const { search } = place.value;
  const to = (page: 'overview' | 'events') => pageHref(page, found.page, search);
  const close = () => {
    open.value = '';
  };

  useKeys([
    { keys: '?', does: words.keys.title, run: () => (open.value = 'keys') },
    { keys: '/', does: words.search.title, run: () => (open.value = 'search') },
    { keys: 'mod+k', does: words.search.title, run: () => (open.value = 'search') },
    { keys: 'g o', does: words.nav.overview, run: () => navigate(to('overview')) },
    { keys: 'g e', does: words.nav.events, run: () => navigate(to('events')) },
    {
      keys: 'z',
      does: 'Zoom out',
      run: () => {
        if ((history.state as { zoomed?: boolean } | null)?.zoomed) history.back();
      },
    },
  ]);

  const name = titleOf(found);
  const table = found.page === 'events' ? '#events' : found.page === 'overview' ? '#campaigns' : '';
  const changes = pageChanges.value;
  useEffect(() => {
    document.title = [found.id && visible(found.id).slice(0, 60), name, words.product]
      .filter(Boolean)
      .join(' · ');
  }, [name, found.id]);
  useLayoutEffect(() => {
    if (changes === 0) return;
    scrollTo(0, 0);
    title.current?.focus({ preventScroll: true });
  }, [changes]);

  return (
    <>
      <a class="skip" href="#content">
        {words.skip.content}
      </a>
      {table && (
        <a class="skip" href={table}>
          {words.skip.table}
        </a>
      )}
      <div class="shell">
        <header class="topbar">
          <h1 ref={title} tabIndex={-1}>
            {found.page === 'message' && (
              <a class="crumb" href={to('events')}>
                {words.nav.events} /{' '}
              </a>
            )}
            {name}
          </h1>
          <span class="spring" />
          <button type="button" class="find" onClick={() => (open.value = 'search')}>
            <Icon name="search" />
            <span>{words.search.open}</span>
            <kbd>{found.page === 'events' ? 'Ctrl K' : '/'}</kbd>
          </button>
          <Lamp />
          <ThemeButton />
          <button
            type="button"
            class="button quiet icon-only"
            aria-label={words.session.signOut}
            title={words.session.signOut}
            onClick={signOut}
          >
            <Icon name="out" />
          </button>
        </header>
        <nav class="rail" aria-label={words.nav.label}>
          <a class="brand" href="/">
            <Horn />
            <span>{words.product}</span>
          </a>
          <ul>
            <Entry
              icon="overview"
              name={words.nav.overview}
              href={to('overview')}
              here={found.page === 'overview'}
            />
            <Entry
              icon="events"
              name={words.nav.events}
              href={to('events')}
              here={found.page === 'events' || found.page === 'message'}
            />
          </ul>
          <button type="button" class="foot" onClick={() => (open.value = 'keys')}>
            <Icon name="keys" />
            <span>{words.nav.keys}</span>
          </button>
        </nav>
        <main id="content" tabIndex={-1}>
          <Page found={found} />
        </main>
      </div>
      <div class="visually-hidden" role="status" aria-live="polite">
        {announcement.value}
      </div>
      {open.value === 'keys' && <KeysDialog onClose={close} />}
      {open.value === 'search' && <Palette onClose={close} />}
      {interrupted.value && (
        <Dialog title={words.session.ended}>
          <p>{words.session.endedText}</p>
          <SignInForm />
        </Dialog>
      )}
    </>
  );
}

function Page({ found }: { found: Found }) {
  switch (found.page) {
    case 'overview':
      return <Overview />;
    case 'events':
      return <Events />;
    case 'message':
      return <Message key={found.id} id={found.id} />;
    default:
      return <NotFound />;
  }
}

function titleOf(found: Found): string {
  if (found.page === 'overview') return words.overview.title;
  if (found.page === 'events') return words.events.title;
  return found.page === 'message' ? words.message.title : words.states.notFound;
}

function Entry({ icon, name, href, here }: { icon: IconName; name: string; href: string; here: boolean }) {
  return (
    <li>
      <a href={href} aria-current={here ? 'page' : undefined} title={name}>
        <Icon name={icon} />
        <span>{name}</span>
      </a>
    </li>
  );
}

function ThemeButton() {
  const choice = themeChoice.value;
  const next = themeOrder[(themeOrder.indexOf(choice) + 1) % themeOrder.length]!;
  return (
    <button
      type="button"
      class="button quiet icon-only"
      aria-label={`${words.theme[choice]}. ${words.theme[next]}?`}
      title={words.theme[choice]}
      onClick={() => chooseTheme(next)}
    >
      <Icon name={choice} />
    </button>
  );
}
