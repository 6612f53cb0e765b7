import { useSignal } from '@preact/signals';
import { useId } from 'preact/hooks';
import { Api } from '../api.ts';
import { signedIn } from '../session.ts';
import { words } from '../words.ts';

/** The way in with an API key. Also what the dialog over an ended session asks. */
export function SignInForm({ fault }: { fault?: string }) {
  const id = useId();
  const key = useSignal('');
  const problem = useSignal(fault ?? '');
  const busy = useSignal(false);

  const submit = async (event: Event) => {
    event.preventDefault();
    const given = key.value.trim();
    if (!/^[0-9a-f]{40}$/i.test(given)) {
      problem.value = words.session.keyShape;
      return;
    }
    busy.value = true;
    const refused = await new Api(given, () => {}).check();
    busy.value = false;
    if (refused) problem.value = refused.kind === 'signed-out' ? words.session.keyUnknown : refused.message;
    else signedIn({ token: given, endsAt: null });
  };

  return (
    <div class="sign-in">
      <form onSubmit={submit} noValidate>
        <span class="labelled">
          <label for={id}>{words.session.key}</label>
          <input
            id={id}
            class="field mono"
            type="password"
            autocomplete="off"
            spellcheck={false}
            value={key.value}
            aria-invalid={problem.value !== '' && key.value !== ''}
            aria-describedby={`${id}-hint ${problem.value ? `${id}-problem` : ''}`}
            onInput={(event) => {
              key.value = event.currentTarget.value;
              problem.value = '';
            }}
          />
        </span>
        <p id={`${id}-hint`} class="muted">
          {words.session.keyHint}
        </p>
        {problem.value && (
          <p id={`${id}-problem`} class="error-text" role="alert">
            {problem.value}
          </p>
        )}
        <button type="submit" class="button primary" disabled={busy.value}>
          {words.session.submit}
        </button>
      </form>
    </div>
  );
}
