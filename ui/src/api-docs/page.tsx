import { useState } from 'preact/hooks';
import type { ApiDocument, Operation } from './document.ts';
import { Try } from './try.tsx';

function matches({ path, summary, id }: Operation, words: string): boolean {
  const text = `${path} ${summary} ${id}`.toLowerCase();
  return words
    .toLowerCase()
    .split(/\s+/)
    .every((word) => text.includes(word));
}

function One({ operation, apiKey }: { operation: Operation; apiKey: string }) {
  const [open, setOpen] = useState(location.hash === `#${operation.id}`);
  return (
    <details
      id={operation.id}
      class="api-operation"
      open={open}
      onToggle={(event) => setOpen(event.currentTarget.open)}
    >
      <summary>
        <span class="api-method">{operation.method}</span> <code>{operation.path}</code>{' '}
        <span class="muted">{operation.summary}</span>
      </summary>
      {open && (
        <div class="api-body">
          {operation.description.split('\n\n').map((paragraph) => (
            <p key={paragraph}>{paragraph}</p>
          ))}
          <Try operation={operation} apiKey={apiKey} />
          <h3>Statuses</h3>
          <dl>
            {operation.responses.map(({ status, description }) => (
              <div key={status}>
                <dt>{status}</dt>
                <dd>{description}</dd>
              </div>
            ))}
          </dl>
        </div>
      )}
    </details>
  );
}

/** All operations by what they are about; the key is kept in this page and nowhere else. */
export function Page({ api }: { api: ApiDocument }) {
  const [key, setKey] = useState('');
  const [words, setWords] = useState('');
  const found = api.operations.filter((operation) => matches(operation, words.trim()));
  return (
    <main class="api-docs">
      <h1>
        {api.title} <span class="muted">API, version {api.version}</span>
      </h1>
      <p>
        {api.description} This page is made from <a href="/api/v1/openapi.json">its OpenAPI document</a>.
      </p>
      <div class="api-key">
        <div class="api-field">
          <label for="api-key">API key</label>
          <input
            id="api-key"
            class="field"
            type="password"
            autocomplete="off"
            aria-describedby="api-key-about"
            value={key}
            onInput={(event) => setKey(event.currentTarget.value.trim())}
          />
          <p id="api-key-about" class="muted">
            Sent with what you try, kept nowhere; it is gone when you leave. What you send here is done.
          </p>
        </div>
        <div class="api-field">
          <label for="api-find">Find</label>
          <input
            id="api-find"
            class="field"
            type="search"
            value={words}
            onInput={(event) => setWords(event.currentTarget.value)}
          />
          <p class="muted" role="status">
            {found.length} of {api.operations.length}
          </p>
        </div>
      </div>
      {api.tags
        .map((tag) => ({ tag, operations: found.filter((operation) => operation.tag === tag.name) }))
        .filter(({ operations }) => operations.length > 0)
        .map(({ tag, operations }) => (
          <section key={tag.name} aria-labelledby={`tag-${tag.name}`}>
            <h2 id={`tag-${tag.name}`}>{tag.name}</h2>
            <p class="muted">{tag.description}</p>
            {operations.map((operation) => (
              <One key={operation.id} operation={operation} apiKey={key} />
            ))}
          </section>
        ))}
    </main>
  );
}
