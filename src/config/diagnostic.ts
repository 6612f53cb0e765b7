/** Where a value was written: the file (as read, absolute) and its physical line, counted from 1. */
export interface Origin {
  readonly file: string;
  readonly line: number;
}

/**
 * One thing to say about a configuration. An error keeps the configuration from loading; a warning is accepted but
 * suspicious. `line` and `column` count from 1; `text` is the offending part as written (secrets left out).
 */
export interface Diagnostic {
  readonly severity: 'error' | 'warning';
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly text: string;
  readonly message: string;
  readonly hint?: string;
}

/** What is wrong with a value; `offset` counts from the start of the value's text, `text` is the part at fault. */
export class Fault {
  readonly message: string;
  readonly hint: string | undefined;
  readonly offset: number | undefined;
  readonly text: string | undefined;

  constructor(message: string, at: { hint?: string; offset?: number; text?: string } = {}) {
    this.message = message;
    this.hint = at.hint;
    this.offset = at.offset;
    this.text = at.text;
  }
}

/**
 * The shape of PowerMTA's own messages (User's Guide 6.3.38): `Error in line 11 of /etc/pmta/config: argument
 * missing`, then the offending text and its column, and what to do, when we know it.
 */
export function formatDiagnostic(d: Diagnostic): string {
  const kind = d.severity === 'error' ? 'Error' : 'Warning';
  const text = d.message.includes(d.text) ? '' : `: "${excerpt(d.text, 40)}"`;
  const at = d.text === '' ? '' : `, column ${d.column}${text}`;
  return `${kind} in line ${d.line} of ${d.file}: ${d.message}${at}${d.hint ? ` (${d.hint})` : ''}`;
}

/** `file:line`, or `default`. */
export function formatOrigin(origin: Origin | null): string {
  return origin ? `${origin.file}:${origin.line}` : 'default';
}

/** What may be shown of text out of a file: short, and on one line. */
export function excerpt(text: string, length = 80): string {
  const clean = text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, '\ufffd');
  return clean.length > length ? `${clean.slice(0, length - 1)}…` : clean;
}

/**
 * Collects diagnostics in the order they are found. Beyond `limit` errors only their number is kept, so that a file
 * of rubbish does not fill the memory with complaints.
 */
export class Findings {
  readonly list: Diagnostic[] = [];
  errors = 0;
  readonly limit: number;
  #warnings = 0;

  constructor(limit = 1000) {
    this.limit = limit;
  }

  add(d: Diagnostic): void {
    const count = d.severity === 'error' ? ++this.errors : ++this.#warnings;
    if (count <= this.limit) this.list.push(d);
  }

  error(at: Origin, message: string, more: { column?: number; text?: string; hint?: string } = {}): void {
    this.#say('error', at, message, more);
  }

  warn(at: Origin, message: string, more: { column?: number; text?: string; hint?: string } = {}): void {
    this.#say('warning', at, message, more);
  }

  #say(
    severity: 'error' | 'warning',
    at: Origin,
    message: string,
    more: { column?: number; text?: string; hint?: string },
  ): void {
    this.add({
      severity,
      file: at.file,
      line: at.line,
      column: more.column ?? 1,
      text: excerpt(more.text ?? ''),
      message,
      ...(more.hint === undefined ? {} : { hint: more.hint }),
    });
  }
}
