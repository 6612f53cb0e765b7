import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Caller } from '../accounts/accounts.ts';
import type { JsonSchema, Parameter } from '../parameter.ts';
import type { Query } from '../search/parameters.ts';
import type { Services } from './context.ts';

/**
 * Who may call: `anyone`, any known `caller`, or a caller who holds one of these grants (SparkPost's names,
 * `accounts/grants.ts`).
 */
export type Access = 'anyone' | 'caller' | readonly string[];

/** What a request may carry. */
export type Body =
  | {
      /** JSON object of this schema; fields that it does not name are ignored. */
      readonly schema: JsonSchema;
      /** The same fields may come as `application/x-www-form-urlencoded`. */
      readonly form?: boolean;
      readonly example: Readonly<Record<string, unknown>>;
    }
  | {
      /** The bytes as they come, unread: the handler takes `call.request.body`, a stream. */
      readonly stream: string;
      /** What a client has to say, `Content-Encoding: gzip`. */
      readonly encoding: string;
    };

/** What a request that went well is answered. */
export interface Good {
  readonly status: 200 | 204;
  readonly description: string;
  /** Of the whole body; `null` when there is none. */
  readonly schema: JsonSchema | null;
  /** `application/json` if absent. */
  readonly type?: string;
  readonly example?: unknown;
}

/** What a schema lets through, as a type: the keywords that our bodies use. */
type Value<S> = S extends { type: 'string' }
  ? string
  : S extends { type: 'integer' | 'number' }
    ? number
    : S extends { type: 'boolean' }
      ? boolean
      : S extends { type: 'array'; items: infer Items }
        ? readonly Value<Items>[]
        : S extends { type: 'object'; properties: object }
          ? Fields<S>
          : unknown;

type Required<S> = S extends { required: readonly (infer Name)[] } ? Name : never;

/** The fields of a body of this schema. */
export type Fields<S> = S extends { properties: infer P }
  ? { readonly [N in keyof P as N extends Required<S> ? N : never]: Value<P[N]> } & {
      readonly [N in keyof P as N extends Required<S> ? never : N]?: Value<P[N]>;
    }
  : Readonly<Record<string, unknown>>;

/** A request that has passed every check of its declaration. */
export interface Call<Given = Readonly<Record<string, unknown>>> {
  readonly services: Services;
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  /** The declared query parameters that are present; reading another one is a fault of the program and throws. */
  readonly query: Query;
  /** The declared fields of the body. */
  readonly body: Given;
  /** Who asks; throws where `anyone` may. */
  readonly caller: Caller;
  /** Value of a declared path parameter, decoded. */
  readonly path: (name: string) => string;
  /** `X-MSYS-SUBACCOUNT`, where it is declared; `null` when absent. */
  readonly subaccount: number | null;
}

/**
 * One method on one path. Everything that is known of it from outside stands here: the service registers and checks
 * by it, and the OpenAPI document is written from it.
 */
export interface Endpoint {
  /** `operationId`; names the call in generated clients, and in logs and metrics. */
  readonly id: string;
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** As OpenAPI writes it: `/api/v1/api-keys/{id}`. */
  readonly path: string;
  readonly tag: Tag;
  /** A few words. */
  readonly summary: string;
  readonly description?: string;
  readonly access: Access;
  readonly parameters: readonly Parameter[];
  readonly body: Body | null;
  readonly good: Good;
  /** Statuses of expected faults, beside those that every such call may meet. */
  readonly faults: readonly number[];
  /** Most bytes of the body; 1 MiB if absent. */
  readonly bodyLimit?: number;
  /** Checks before the body is read. Throws `RequestError`. */
  readonly before?: (call: Call) => void;
  /** Counts toward the key's rate limit; true if absent. */
  readonly limited?: boolean;
  /** Sends the answer: what it returns becomes the body, unless it has sent one itself and returns `call.reply`. */
  readonly handle: (call: Call) => Promise<unknown>;
}

export const tags = {
  Events: 'Search of events and of the outcomes of ingest batches.',
  Ingest: 'Taking events.',
  Metrics: 'Counts of events by time and by what they belong to.',
  Signals: 'Health score, spam traps and engagement of recipients.',
  'Data privacy': 'Erasure of recipients.',
  Account: 'Signing in, keys, users, subaccounts.',
  Service: 'About the service itself.',
} as const;
export type Tag = keyof typeof tags;

interface Declared<Schema extends JsonSchema> {
  readonly id: string;
  readonly method: Endpoint['method'];
  readonly path: string;
  readonly tag: Tag;
  readonly summary: string;
  readonly description?: string;
  readonly access: Access;
  readonly parameters?: readonly Parameter[];
  readonly body?:
    | {
        readonly schema: Schema;
        readonly form?: boolean;
        readonly example: Readonly<Record<string, unknown>>;
      }
    | { readonly stream: string; readonly encoding: string };
  readonly good: Good;
  readonly faults?: readonly number[];
  readonly bodyLimit?: number;
  readonly before?: (call: Call) => void;
  readonly limited?: boolean;
  readonly handle: (call: Call<Fields<Schema>>) => Promise<unknown>;
}

/** Declares an end point; the type of `call.body` comes from the schema of its body. */
export function endpoint<const Schema extends JsonSchema>(declared: Declared<Schema>): Endpoint {
  const { parameters = [], body = null, faults = [] } = declared;
  return { ...declared, parameters, body, faults } as Endpoint;
}

/** A good answer in SparkPost's envelope: `{"results": …}`. */
export function results(description: string, schema: JsonSchema, example?: unknown): Good {
  return {
    status: 200,
    description,
    schema: { type: 'object', required: ['results'], properties: { results: schema } },
    ...(example === undefined ? {} : { example: { results: example } }),
  };
}

/** 204. */
export const nothing: Good = { status: 204, description: 'Done.', schema: null };

export const objectSchema = (properties: Readonly<Record<string, JsonSchema>> = {}): JsonSchema => ({
  type: 'object',
  properties,
});
export const arrayOf = (items: JsonSchema): JsonSchema => ({ type: 'array', items });
