import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { signIn } from '../api.ts';
import { Horn } from '../components/icon.tsx';
import { SignInForm } from '../components/sign-in-form.tsx';
import { navigate } from '../router.ts';
import { session, signedIn } from '../session.ts';
import { words } from '../words.ts';

/** Stands at `/sign-in`, and at any address while nobody is signed in, so that the address outlives signing in. */
export function SignIn({ link }: { link: boolean }) {
  const token = useSignal(link ? takeToken() : '');
  const fault = useSignal('');

  useEffect(() => {
    if (!link) return;
    if (!token.value) {
      if (session.peek()) navigate('/', { replace: true });
      return;
    }
    void signIn(token.value, Date.now()).then((answer) => {
      token.value = '';
      if (answer.ok) {
        signedIn(answer.value);
        navigate('/', { replace: true });
      } else if (answer.fault.kind === 'network') fault.value = answer.fault.message;
      else fault.value = words.session.linkUsed;
    });
  }, []);

  useEffect(() => {
    if (link && !token.value && session.value) navigate('/', { replace: true });
  }, [session.value, token.value]);

  return (
    <main class="sign-in-page" id="content">
      <div>
        <p class="brand">
          <Horn />
          <span>{words.product}</span>
        </p>
        <h1 tabIndex={-1}>{words.session.title}</h1>
        {token.value ? (
          <p role="status">{words.session.checking}</p>
        ) : (
          <>
            <p class="muted">{words.session.byLink}</p>
            <SignInForm key={fault.value} fault={fault.value} />
          </>
        )}
      </div>
    </main>
  );
}

/** Reads the link's token and takes it out of the address at once, so that no history keeps it. */
function takeToken(): string {
  const token = new URLSearchParams(location.hash.slice(1)).get('token') ?? '';
  if (token) history.replaceState(history.state, '', location.pathname + location.search);
  return token;
}
