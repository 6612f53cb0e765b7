/** A request that cannot be answered as asked: becomes `{"errors":[…]}` with this status. */
export class RequestError extends Error {
  readonly status: number;
  readonly code: string | undefined;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(
    status: number,
    message: string,
    more: { code?: string; details?: Readonly<Record<string, unknown>> } = {},
  ) {
    super(message);
    this.name = 'RequestError';
    this.status = status;
    this.code = more.code;
    this.details = more.details ?? {};
  }
}

/** A parameter or field that makes no sense (400); SparkPost's code 1200 is "invalid params". */
export function badParameter(name: string, why: string, code = '1200'): RequestError {
  return new RequestError(400, `'${name}' ${why}`, { code, details: { param: name } });
}
