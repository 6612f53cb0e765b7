/** A request that cannot be answered as asked: becomes `{"errors":[…]}` with this status. */
export class RequestError extends Error {
  readonly status: number;
  readonly code: string | undefined;
  readonly details: Readonly<Record<string, unknown>>;
  /** Seconds after which the same request may do better. */
  readonly retryAfter: number | undefined;

  constructor(
    status: number,
    message: string,
    more: { code?: string; details?: Readonly<Record<string, unknown>>; retryAfter?: number } = {},
  ) {
    super(message);
    this.name = 'RequestError';
    this.status = status;
    this.code = more.code;
    this.details = more.details ?? {};
    this.retryAfter = more.retryAfter;
  }
}

/** A parameter or field that makes no sense (400); SparkPost's code 1200 is "invalid params". */
export function badParameter(name: string, why: string, code = '1200'): RequestError {
  return new RequestError(400, `'${name}' ${why}`, { code, details: { param: name } });
}
