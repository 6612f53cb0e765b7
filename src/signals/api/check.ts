import { Ajv2020, type ErrorObject, type ValidateFunction } from 'ajv/dist/2020.js';
import type { JsonSchema, Parameter } from '../parameter.ts';
import { badParameter, RequestError } from '../request-error.ts';
import { listOf, type Query } from '../search/parameters.ts';

// The first fault ends a check: all of them could be as many as a hostile body has fields.
const options = { ownProperties: true, verbose: true, strict: true, allowUnionTypes: true } as const;
/** Values of addresses and forms are texts. */
const ofTexts = new Ajv2020({ ...options, coerceTypes: true });
const ofJson = new Ajv2020(options);

const SHOWN = 64;

/** What is wrong, as the end of a sentence that begins with the name. */
function fault(error: ErrorObject): string {
  const schema = error.parentSchema as Readonly<Record<string, unknown>>;
  switch (error.keyword) {
    case 'required':
      return 'is required';
    case 'minLength':
      return schema.minLength === 1 ? 'is required' : `must have at least ${schema.minLength} characters`;
    case 'minItems':
      return schema.minItems === 1 ? 'is required' : `must have at least ${schema.minItems} items`;
    case 'maxLength':
      return `must have at most ${schema.maxLength} characters`;
    case 'maxItems':
      return `must have at most ${schema.maxItems} items`;
    case 'enum': {
      const values = schema.enum as readonly string[];
      if (values.length <= 10) return `must be one of ${values.join(', ')}`;
      return `has a value that does not exist: ${String(error.data).slice(0, SHOWN)}`;
    }
    case 'minimum':
    case 'maximum':
      return `must be a whole number from ${schema.minimum} to ${schema.maximum}`;
    case 'type':
      if (schema.type === 'integer' && schema.minimum !== undefined) {
        return `must be a whole number from ${schema.minimum} to ${schema.maximum}`;
      }
      return `must be a${/^[aeio]/.test(String(schema.type)) ? 'n' : ''} ${schema.type}`;
    default:
      return error.message ?? 'is not valid';
  }
}

/** Field or parameter that an error is about: the outermost one. */
function nameOf(error: ErrorObject): string {
  const [, name] = error.instancePath.split('/');
  const missing = (error.params as { missingProperty?: string }).missingProperty;
  return (name ?? missing ?? 'body').replaceAll('~1', '/').replaceAll('~0', '~');
}

/** Checks the parameters of one place by their declarations. */
export class ParameterCheck {
  readonly #parameters: readonly Parameter[];
  readonly #validate: ValidateFunction;

  constructor(parameters: readonly Parameter[]) {
    this.#parameters = parameters;
    this.#validate = ofTexts.compile({
      type: 'object',
      properties: Object.fromEntries(
        parameters.map((p) => [p.name, p.list ? { type: 'array', items: p.schema } : p.schema]),
      ),
      required: parameters.filter((p) => p.required).map((p) => p.name),
    });
  }

  /** Throws `RequestError` 400 with the name of the parameter. */
  check(query: Query): void {
    const values: Record<string, string | string[]> = Object.create(null);
    for (const { name, list } of this.#parameters) {
      const value = list ? listOf(query, name) : query.get(name);
      if (value !== undefined && value !== null) values[name] = value;
    }
    if (this.#validate(values)) return;
    const [error] = this.#validate.errors!;
    // SparkPost's extended codes: 1401 required parameter missing, 1200 invalid parameters.
    const why = fault(error!);
    throw badParameter(nameOf(error!), why, why === 'is required' ? '1401' : '1200');
  }
}

/** Checks a body by its declaration and takes the declared fields out of it. */
export class BodyCheck {
  readonly #fields: readonly string[];
  readonly #json: ValidateFunction;
  readonly #form: ValidateFunction;

  constructor(schema: JsonSchema) {
    this.#fields = Object.keys((schema.properties ?? {}) as object);
    this.#json = ofJson.compile(schema);
    this.#form = ofTexts.compile(schema);
  }

  /** `undefined` stands for no body. Throws `RequestError` 400. */
  check(body: unknown): Record<string, unknown> {
    const given: unknown = body ?? {};
    const isForm = given instanceof Map;
    if (typeof given !== 'object' || given === null || Array.isArray(given)) {
      throw new RequestError(400, 'The body must be a JSON object', { code: '1300' });
    }
    const fields: Record<string, unknown> = Object.create(null);
    for (const name of this.#fields) {
      const value = isForm
        ? given.get(name)
        : Object.hasOwn(given, name)
          ? (given as Record<string, unknown>)[name]
          : undefined;
      // An empty value is an absent one; null too.
      if (value !== undefined && value !== null && value !== '') fields[name] = value;
    }
    const validate = isForm ? this.#form : this.#json;
    if (validate(fields)) return fields;
    const [error] = validate.errors!;
    const why = fault(error!);
    throw badParameter(nameOf(error!), why, why === 'is required' ? '1400' : '1300');
  }
}
