import { STATUS_CODES } from 'node:http';
import type { JsonSchema, Parameter } from '../parameter.ts';
import { type Access, type Body, type Endpoint, tags } from './endpoint.ts';

type Json = Record<string, unknown>;

/** Faults that every call may meet; those of its own are in its declaration. */
function faultsOf(endpoint: Endpoint): readonly number[] {
  const all = new Set(endpoint.faults);
  if (endpoint.access !== 'anyone') for (const status of [401, 429]) all.add(status);
  if (Array.isArray(endpoint.access)) all.add(403);
  if (endpoint.parameters.length > 0 || endpoint.body) all.add(400);
  if (endpoint.body) for (const status of [413, 415]) all.add(status);
  for (const status of [500, 503]) all.add(status);
  return [...all].sort((a, b) => a - b);
}

const meanings: Readonly<Record<number, string>> = {
  400: 'A parameter or the body is not valid; `errors[0].param` names it.',
  401: 'No key, or one that is not known.',
  403: 'The key lacks the grant, or may not be used from this address.',
  404: 'There is nothing of this name.',
  409: 'Something else stands in the way.',
  413: 'The body is too large.',
  415: 'Content-Type or Content-Encoding is not the one wanted.',
  429: 'Too many requests: wait as many seconds as Retry-After says.',
  500: 'A fault of the service; the request id finds it in the log.',
  503: 'The service is busy; try again later.',
};

const errorSchema: JsonSchema = {
  type: 'object',
  required: ['errors'],
  properties: {
    errors: {
      type: 'array',
      minItems: 1,
      items: {
        type: 'object',
        required: ['message'],
        properties: {
          message: { type: 'string', description: 'Short, always there.' },
          description: { type: 'string', description: 'More, where there is more to say.' },
          code: { type: 'string', description: "SparkPost's extended code." },
          param: { type: 'string', description: 'Parameter or field that is wrong.' },
        },
      },
    },
  },
};

function parameterOf(p: Parameter): Json {
  const { schema } = p;
  return {
    name: p.name,
    in: p.in,
    description: p.summary,
    required: p.required,
    ...(p.list
      ? { schema: { type: 'array', items: schema }, style: 'form', explode: false, example: listExample(p) }
      : { schema, example: typed(p.example, schema) }),
  };
}

const typed = (value: string, schema: JsonSchema): unknown =>
  schema.type === 'integer' || schema.type === 'number' ? Number(value) : value;

const listExample = (p: Parameter): unknown[] => p.example.split(',').map((v) => typed(v, p.schema));

function bodyOf(body: Body): Json {
  if ('stream' in body) {
    const schema = { type: 'string', format: 'binary' };
    return {
      required: true,
      description: `${body.stream} Sent with \`Content-Encoding: ${body.encoding}\`.`,
      content: { 'application/x-ndjson': { schema } },
    };
  }
  const media = { schema: body.schema, example: body.example };
  return {
    required: true,
    content: {
      'application/json': media,
      ...(body.form ? { 'application/x-www-form-urlencoded': media } : {}),
    },
  };
}

const headers = {
  'X-Request-Id': { description: 'Names the request in the log.', schema: { type: 'string' } },
};

function goodOf({ good }: Endpoint): Json {
  if (good.schema === null) return { description: good.description, headers };
  const example = good.example === undefined ? {} : { example: good.example };
  const type = good.type ?? 'application/json';
  return { description: good.description, headers, content: { [type]: { schema: good.schema, ...example } } };
}

function securityOf(access: Access): Json[] {
  return access === 'anyone' ? [] : [{ key: [] }, { basic: [] }];
}

function describedAccess(access: Access): string {
  if (access === 'anyone') return 'Needs no key.';
  if (access === 'caller') return 'Needs a key, whatever its grants.';
  return `Needs a key with the grant ${access.map((g) => `\`${g}\``).join(' or ')}.`;
}

/** Names for the declarations that several end points share, so that the document has each once. */
function sharedOf(endpoints: readonly Endpoint[]): ReadonlyMap<Parameter, string> {
  const uses = new Map<Parameter, number>();
  for (const { parameters } of endpoints) {
    for (const p of parameters) uses.set(p, (uses.get(p) ?? 0) + 1);
  }
  const names = new Map<Parameter, string>();
  const taken = new Set<string>();
  for (const [parameter, n] of uses) {
    if (n === 1) continue;
    let name = parameter.name;
    for (let i = 2; taken.has(name); i++) name = `${parameter.name}-${i}`;
    names.set(parameter, name);
    taken.add(name);
  }
  return names;
}

function operationOf(endpoint: Endpoint, shared: ReadonlyMap<Parameter, string>): Json {
  const parameters = endpoint.parameters.map((p) =>
    shared.has(p) ? { $ref: `#/components/parameters/${shared.get(p)}` } : parameterOf(p),
  );
  const { description, access } = endpoint;
  return {
    operationId: endpoint.id,
    tags: [endpoint.tag],
    summary: endpoint.summary,
    description: [description, describedAccess(access)].filter(Boolean).join('\n\n'),
    security: securityOf(access),
    ...(Array.isArray(access) ? { 'x-grants': access } : {}),
    ...(parameters.length > 0 ? { parameters } : {}),
    ...(endpoint.body ? { requestBody: bodyOf(endpoint.body) } : {}),
    responses: {
      [endpoint.good.status]: goodOf(endpoint),
      ...Object.fromEntries(
        faultsOf(endpoint).map((status) => [status, { $ref: `#/components/responses/${status}` }]),
      ),
    },
  };
}

/** The OpenAPI 3.1 document of these end points, which check requests by the same declarations. */
export function openApiDocument(endpoints: readonly Endpoint[], version: string): Json {
  const shared = sharedOf(endpoints);
  const paths: Record<string, Json> = Object.create(null);
  for (const endpoint of endpoints) {
    paths[endpoint.path] ??= {};
    paths[endpoint.path]![endpoint.method.toLowerCase()] = operationOf(endpoint, shared);
  }
  const used = new Set(endpoints.flatMap(faultsOf));
  return {
    openapi: '3.1.0',
    info: {
      title: 'Posthorn Signals',
      version,
      description:
        "Events, metrics and scores of mail. Paths, parameters and answers are SparkPost's. Unknown parameters and fields are ignored; an empty value is an absent one; a slash at the end of a path is nothing.",
      license: { name: 'Apache 2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    tags: Object.entries(tags).map(([name, description]) => ({ name, description })),
    paths,
    components: {
      securitySchemes: {
        key: {
          type: 'apiKey',
          in: 'header',
          name: 'Authorization',
          description: 'The key as it is: 40 hexadecimal digits, or the token of a session.',
        },
        basic: { type: 'http', scheme: 'basic', description: 'The key as user name, no password.' },
      },
      parameters: Object.fromEntries([...shared].map(([p, name]) => [name, parameterOf(p)])),
      schemas: { Errors: errorSchema },
      responses: Object.fromEntries(
        [...used]
          .sort((a, b) => a - b)
          .map((status) => [
            status,
            {
              description: meanings[status] ?? STATUS_CODES[status] ?? 'A fault.',
              headers,
              content: { 'application/json': { schema: { $ref: '#/components/schemas/Errors' } } },
            },
          ]),
      ),
    },
  };
}
