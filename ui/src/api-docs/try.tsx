import { useState } from 'preact/hooks';
import { addressOf, curlOf, exampleOf, headersOf, type Operation, type Parameter } from './document.ts';

interface Answer {
  readonly head: string;
  readonly text: string;
  readonly failed: boolean;
}

const MOST_SHOWN = 200_000;

async function compressed(text: string): Promise<ArrayBuffer> {
  const stream = new Blob([text]).stream().pipeThrough(new CompressionStream('gzip'));
  return new Response(stream).arrayBuffer();
}

async function ask(
  operation: Operation,
  values: ReadonlyMap<string, string>,
  body: string,
  key: string,
): Promise<Answer> {
  const headers = new Headers(headersOf(operation, values));
  if (key !== '') headers.set('Authorization', key);
  const init: RequestInit = { method: operation.method, headers };
  if (operation.body?.kind === 'json') {
    headers.set('Content-Type', 'application/json');
    init.body = body;
  } else if (operation.body?.kind === 'stream') {
    headers.set('Content-Type', 'application/x-ndjson');
    headers.set('Content-Encoding', 'gzip');
    init.body = await compressed(body);
  }
  const began = performance.now();
  try {
    const response = await fetch(addressOf(operation, values), init);
    const type = response.headers.get('content-type') ?? '';
    const ms = Math.round(performance.now() - began);
    const id = response.headers.get('x-request-id') ?? '';
    const head = `${response.status} ${response.statusText} · ${ms} ms · request ${id}`;
    if (type.includes('gzip')) return { head, text: `(${type}, not shown)`, failed: !response.ok };
    return { head, text: shown(await response.text()), failed: !response.ok };
  } catch {
    return { head: 'No answer came. Is the service running?', text: '', failed: true };
  }
}

function shown(text: string): string {
  const cut = (all: string) => (all.length > MOST_SHOWN ? `${all.slice(0, MOST_SHOWN)}\n…` : all);
  try {
    return cut(JSON.stringify(JSON.parse(text), null, 2));
  } catch {
    return cut(text);
  }
}

function kindOf({ schema }: Parameter): string {
  if (schema.type === 'array') return 'list';
  return String(schema.type ?? 'text');
}

function Field(props: { id: string; parameter: Parameter; value: string; onValue: (text: string) => void }) {
  const { id, parameter: p, value, onValue } = props;
  const common = { id, 'aria-describedby': `${id}-about`, required: p.required };
  return (
    <div class="api-field">
      <label for={id}>
        <code>{p.name}</code>{' '}
        <span class="muted">
          {kindOf(p)}
          {p.required ? ', required' : ''}
        </span>
      </label>
      {p.schema.enum && p.schema.type !== 'array' ? (
        <select class="select" {...common} value={value} onChange={(e) => onValue(e.currentTarget.value)}>
          <option value="">(none)</option>
          {p.schema.enum.map((one) => (
            <option key={one} value={one}>
              {one}
            </option>
          ))}
        </select>
      ) : (
        <input
          class="field"
          {...common}
          value={value}
          autocomplete="off"
          spellcheck={false}
          onInput={(e) => onValue(e.currentTarget.value)}
        />
      )}
      <p id={`${id}-about`} class="muted">
        {p.description} Example: <code>{exampleOf(p)}</code>
      </p>
    </div>
  );
}

/** Text that may be longer than its box; what scrolls has to be reached by keys. */
function Scrolled({ name, text }: { name: string; text: string }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: see above
    <section class="api-scroll" aria-label={name} tabIndex={0}>
      <pre>{text}</pre>
    </section>
  );
}

/** The form of one operation, and what was answered. */
export function Try({ operation, apiKey }: { operation: Operation; apiKey: string }) {
  const [values, setValues] = useState<ReadonlyMap<string, string>>(new Map());
  const [body, setBody] = useState(operation.body?.example ?? '');
  const [answer, setAnswer] = useState<Answer | null>(null);
  const [waits, setWaits] = useState(false);
  const { id, parameters } = operation;
  const send = async (event: Event) => {
    event.preventDefault();
    setWaits(true);
    setAnswer(await ask(operation, values, body, apiKey));
    setWaits(false);
  };
  const examples = () =>
    // The advanced filters put the simple ones out of force; they are left for him who wants them.
    setValues(
      new Map(parameters.filter((p) => p.name !== 'query_filters').map((p) => [p.name, exampleOf(p)])),
    );
  return (
    <form onSubmit={send}>
      {parameters.map((p) => (
        <Field
          key={p.name}
          id={`${id}-${p.name}`}
          parameter={p}
          value={values.get(p.name) ?? ''}
          onValue={(text) => setValues(new Map(values).set(p.name, text))}
        />
      ))}
      {operation.body && (
        <div class="api-field">
          <label for={`${id}-body`}>
            {operation.body.kind === 'json' ? 'Body, JSON' : 'Lines of JSON; sent compressed'}
          </label>
          <textarea
            id={`${id}-body`}
            class="field"
            rows={8}
            spellcheck={false}
            value={body}
            onInput={(e) => setBody(e.currentTarget.value)}
          />
        </div>
      )}
      <div class="api-buttons">
        <button class="button primary" type="submit" disabled={waits}>
          {waits ? 'Waiting …' : 'Send'}
        </button>
        {parameters.length > 0 && (
          <button class="button" type="button" onClick={examples}>
            Fill in the examples
          </button>
        )}
      </div>
      <p class="muted">
        For a shell, with the key in <code>$KEY</code>:
      </p>
      <Scrolled name="curl command" text={curlOf(operation, values, body, location.origin)} />
      <div aria-live="polite">
        {answer && <p class={answer.failed ? 'api-failed' : 'api-good'}>{answer.head}</p>}
      </div>
      {answer && answer.text !== '' && <Scrolled name="Answer" text={answer.text} />}
    </form>
  );
}
