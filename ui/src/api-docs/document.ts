/** The parts of our OpenAPI document that the page shows. */
export interface Schema {
  readonly type?: string | readonly string[];
  readonly enum?: readonly string[];
  readonly items?: Schema;
  readonly default?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
}

export interface Parameter {
  readonly name: string;
  readonly in: 'query' | 'path' | 'header';
  readonly description: string;
  readonly required: boolean;
  readonly schema: Schema;
  readonly example: unknown;
}

export interface Operation {
  readonly id: string;
  readonly method: string;
  readonly path: string;
  readonly tag: string;
  readonly summary: string;
  readonly description: string;
  readonly parameters: readonly Parameter[];
  /** Example of a JSON body; `stream` for lines that are sent compressed; `null` for none. */
  readonly body: { readonly kind: 'json' | 'stream'; readonly example: string } | null;
  readonly responses: readonly { readonly status: string; readonly description: string }[];
}

export interface ApiDocument {
  readonly title: string;
  readonly version: string;
  readonly description: string;
  readonly tags: readonly { readonly name: string; readonly description: string }[];
  readonly operations: readonly Operation[];
}

// biome-ignore lint/suspicious/noExplicitAny: our own document, checked by the service's tests
type Json = any;

/** Reads the document of the service; references are followed. */
export function readDocument(json: Json): ApiDocument {
  const resolve = (value: Json): Json => {
    if (typeof value?.$ref !== 'string') return value;
    return value.$ref
      .slice(2)
      .split('/')
      .reduce((at: Json, part: string) => at[part], json);
  };
  const operations = Object.entries<Json>(json.paths).flatMap(([path, methods]) =>
    Object.entries<Json>(methods).map(([method, operation]): Operation => {
      const content = operation.requestBody?.content;
      const media = content?.['application/json'];
      return {
        ...{ id: operation.operationId, method: method.toUpperCase(), path, tag: operation.tags[0] },
        ...{ summary: operation.summary, description: operation.description },
        parameters: (operation.parameters ?? []).map(resolve),
        body: media
          ? { kind: 'json', example: JSON.stringify(media.example, null, 2) }
          : content
            ? { kind: 'stream', example: '' }
            : null,
        responses: Object.entries<Json>(operation.responses).map(([status, response]) => ({
          status,
          description: resolve(response).description,
        })),
      };
    }),
  );
  const { title, version, description } = json.info;
  return { title, version, description, tags: json.tags, operations };
}

export const exampleOf = (p: Parameter): string =>
  Array.isArray(p.example) ? p.example.join(',') : String(p.example);

/** The address of a request with these values; empty ones are left out. */
export function addressOf(operation: Operation, values: ReadonlyMap<string, string>): string {
  const query = new URLSearchParams();
  let { path } = operation;
  for (const p of operation.parameters) {
    const value = values.get(p.name) ?? '';
    if (p.in === 'path') path = path.replace(`{${p.name}}`, encodeURIComponent(value));
    else if (p.in === 'query' && value !== '') query.set(p.name, value);
  }
  return query.size > 0 ? `${path}?${query}` : path;
}

/** Headers that are parameters. */
export function headersOf(operation: Operation, values: ReadonlyMap<string, string>): [string, string][] {
  return operation.parameters
    .filter((p) => p.in === 'header' && (values.get(p.name) ?? '') !== '')
    .map((p) => [p.name, values.get(p.name)!]);
}

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

/** The same request for a shell; the key is a variable, so that it is in nobody's history. */
export function curlOf(
  operation: Operation,
  values: ReadonlyMap<string, string>,
  body: string,
  origin: string,
): string {
  const parts = ['curl'];
  if (operation.method !== 'GET') parts.push(`-X ${operation.method}`);
  parts.push('-H "Authorization: $KEY"');
  for (const [name, value] of headersOf(operation, values)) parts.push(`-H ${quoted(`${name}: ${value}`)}`);
  if (operation.body?.kind === 'json')
    parts.push("-H 'Content-Type: application/json'", `--data ${quoted(body)}`);
  if (operation.body?.kind === 'stream') {
    parts.push(
      "-H 'Content-Type: application/x-ndjson' -H 'Content-Encoding: gzip' --data-binary @events.gz",
    );
  }
  parts.push(quoted(`${origin}${addressOf(operation, values)}`));
  return parts.join(' ');
}
