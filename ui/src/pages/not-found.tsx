import { Empty } from '../components/states.tsx';
import { words } from '../words.ts';

export function NotFound() {
  return (
    <section class="panel">
      <Empty title={words.states.notFound}>
        <p>{words.states.notFoundText}</p>
        <p>
          <a class="button" href="/">
            {words.nav.overview}
          </a>
        </p>
      </Empty>
    </section>
  );
}
