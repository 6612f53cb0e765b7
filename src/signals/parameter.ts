/** JSON Schema 2020-12, as OpenAPI 3.1 takes it. */
export type JsonSchema = { readonly [keyword: string]: unknown };

/**
 * A parameter of a request, declared once beside the code that reads it. From the declaration come the check of the
 * value, the OpenAPI document and the form on the page to try the API.
 */
export interface Parameter {
  readonly name: string;
  readonly in: 'query' | 'path' | 'header';
  /** One sentence for the reader of the document. */
  readonly summary: string;
  /** Of one value; of a list, of each of its values. */
  readonly schema: JsonSchema;
  /** Several values, separated by the request's `delimiter`. */
  readonly list: boolean;
  readonly required: boolean;
  /** A value that is answered 200, as it would stand in the address. */
  readonly example: string;
}

interface More {
  readonly required?: boolean;
  readonly in?: Parameter['in'];
}

function declare(
  name: string,
  summary: string,
  schema: JsonSchema,
  list: boolean,
  example: string,
  more: More = {},
): Parameter {
  const place = more.in ?? 'query';
  return {
    ...{ name, summary, schema, list, example, in: place },
    required: more.required ?? place === 'path',
  };
}

/** Any text. */
export function text(name: string, summary: string, example: string, more?: More): Parameter {
  return declare(name, summary, { type: 'string' }, false, example, more);
}

/** One of these texts. */
export function choice(
  name: string,
  summary: string,
  values: readonly string[],
  more: More & { readonly default?: string } = {},
): Parameter {
  const schema = {
    type: 'string',
    enum: values,
    ...(more.default === undefined ? {} : { default: more.default }),
  };
  return declare(name, summary, schema, false, more.default ?? values[0]!, more);
}

/** Bounds of a whole number and what it is when absent; the reader of the value takes the same object. */
export interface WholeNumber {
  readonly default: number;
  readonly minimum: number;
  readonly maximum: number;
}

/** A whole number within bounds. */
export function integer(name: string, summary: string, bounds: WholeNumber, more?: More): Parameter {
  return declare(name, summary, { type: 'integer', ...bounds }, false, String(bounds.default), more);
}

/** Several texts. */
export function list(name: string, summary: string, example: string, more?: More): Parameter {
  return declare(name, summary, { type: 'string' }, true, example, more);
}

/** Several of these texts. */
export function choices(
  name: string,
  summary: string,
  values: readonly string[],
  example: string = values[0]!,
  more?: More,
): Parameter {
  return declare(name, summary, { type: 'string', enum: values }, true, example, more);
}

/** Several whole numbers of 32 bits. */
export function numbers(name: string, summary: string, example: string): Parameter {
  return declare(name, summary, { type: 'integer', minimum: 0, maximum: 2 ** 32 - 1 }, true, example);
}

/** The separator of every list of the request. */
export const delimiter: Parameter = declare(
  'delimiter',
  'What separates the values of lists in this request.',
  { type: 'string', minLength: 1, default: ',' },
  false,
  ',',
);
