/**
 * A fault that the person who started the command can mend: wrong configuration, busy port, unwritable folder.
 * The message is one sentence that says what happened, where, and what to do; `cli` prints it and exits with
 * `exitCode` (1 failed, 2 wrong usage). Anything else that is thrown is a broken invariant and prints its stack.
 */
export class UserError extends Error {
  readonly exitCode: 1 | 2;

  constructor(message: string, options: { exitCode?: 1 | 2; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.name = 'UserError';
    this.exitCode = options.exitCode ?? 1;
  }
}
