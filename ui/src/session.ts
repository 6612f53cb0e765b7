/**
 * Who is signed in. The token lives in the tab's own storage and nowhere else; a tab opened beside a signed-in one
 * asks it for the token, so that a link opened in a new tab shows its page at once.
 */
import { computed, signal } from '@preact/signals';
import { Api, type Session } from './api.ts';

const STORAGE_KEY = 'posthorn.session';
const ASK_MS = 250;

export const session = signal<Session | null>(null);

/** False until it is known whether some tab is signed in. */
export const sessionKnown = signal(false);

/** Set when a session was there and ended under the reader's hands: the page stays, a dialog asks again. */
export const interrupted = signal(false);

const noSession = new Api('', () => {});

/** The API for the present session. */
export const api = computed(() => {
  const present = session.value;
  return present ? new Api(present.token, () => lost(present)) : noSession;
});

const tabs = typeof BroadcastChannel === 'undefined' ? null : new BroadcastChannel('posthorn.session');

export function signedIn(next: Session): void {
  session.value = next;
  interrupted.value = false;
  try {
    sessionStorage.setItem(STORAGE_KEY, JSON.stringify(next));
  } catch {
    // Without storage the session lasts until the tab is reloaded.
  }
}

/** Signs out here and in every other tab. */
export function signOut(): void {
  void api.peek().signOut();
  forget();
  tabs?.postMessage({ kind: 'signed-out' });
}

function forget(): void {
  session.value = null;
  interrupted.value = false;
  try {
    sessionStorage.removeItem(STORAGE_KEY);
  } catch {
    // Nothing was stored then.
  }
}

function lost(which: Session): void {
  if (session.peek() === which) interrupted.value = true;
}

/** Finds a session: this tab's, else another tab's. Called once. */
export async function startSession(now: number): Promise<void> {
  tabs?.addEventListener('message', ({ data }: MessageEvent) => {
    const present = session.peek();
    if (data?.kind === 'ask' && present && !interrupted.peek())
      tabs.postMessage({ kind: 'session', session: present });
    if (data?.kind === 'signed-out' && present) forget();
    // An answer that a busy tab gives late is still one.
    const late =
      data?.kind === 'session' && !present && sessionKnown.peek() ? readSession(data.session, now) : null;
    if (late) signedIn(late);
  });
  const own = stored(now);
  const found = own ?? (await fromOtherTab(now));
  if (found && !session.peek()) signedIn(found);
  sessionKnown.value = true;
}

function stored(now: number): Session | null {
  try {
    return readSession(JSON.parse(sessionStorage.getItem(STORAGE_KEY) ?? 'null'), now);
  } catch {
    return null;
  }
}

function fromOtherTab(now: number): Promise<Session | null> {
  if (!tabs) return Promise.resolve(null);
  return new Promise((resolve) => {
    const done = (found: Session | null) => {
      tabs.removeEventListener('message', hear);
      clearTimeout(timer);
      resolve(found);
    };
    const hear = ({ data }: MessageEvent) => {
      const found = data?.kind === 'session' ? readSession(data.session, now) : null;
      if (found) done(found);
    };
    const timer = setTimeout(() => done(null), ASK_MS);
    tabs.addEventListener('message', hear);
    tabs.postMessage({ kind: 'ask' });
  });
}

function readSession(value: unknown, now: number): Session | null {
  if (typeof value !== 'object' || value === null) return null;
  const { token, endsAt } = value as Record<string, unknown>;
  if (typeof token !== 'string' || token === '') return null;
  if (typeof endsAt === 'number' && endsAt <= now) return null;
  return { token, endsAt: typeof endsAt === 'number' ? endsAt : null };
}
