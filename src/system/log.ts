import type { Writable } from 'node:stream';

/** A value that may stand in a log line. Objects are refused on purpose: they carry secrets unseen. */
export type LogValue = string | number | boolean | null | undefined;

export interface Log {
  info(message: string, fields?: Readonly<Record<string, LogValue>>): void;
  warn(message: string, fields?: Readonly<Record<string, LogValue>>): void;
  error(message: string, fields?: Readonly<Record<string, LogValue>>): void;
  /** The same log under another component name. */
  named(component: string): Log;
}

/** Text from outside must not forge or break a line: control and direction characters become \xNN or \uNNNN. */
export function printable(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, (c) => {
    const code = c.charCodeAt(0);
    return code < 256
      ? `\\x${code.toString(16).padStart(2, '0')}`
      : `\\u${code.toString(16).padStart(4, '0')}`;
  });
}

/** `YYYY-MM-DD HH:MM:SS` in local time, the prefix that readers of PowerMTA's log expect. */
export function logTime(ms: number): string {
  const d = new Date(ms);
  const two = (n: number) => String(n).padStart(2, '0');
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
}

/**
 * A log that writes one line per entry. As text: time, component, severity if not plain, message, `key=value` fields.
 * As JSON: an object with `time` (ISO 8601), `level`, `component`, `message` and the fields.
 */
export function createLog(
  out: Writable,
  component: string,
  now: () => number = Date.now,
  format: 'text' | 'json' = 'text',
): Log {
  if (format === 'json') return createJsonLog(out, component, now);
  const write = (severity: string, message: string, fields?: Readonly<Record<string, LogValue>>) => {
    let line = `${logTime(now())} ${component}: ${severity}${printable(message)}`;
    for (const [key, value] of Object.entries(fields ?? {})) {
      if (value === undefined || value === null || value === '') continue;
      const text = printable(String(value));
      line += ` ${key}=${/[\s"=]/.test(text) ? JSON.stringify(text) : text}`;
    }
    out.write(`${line}\n`);
  };
  return {
    info: (message, fields) => write('', message, fields),
    warn: (message, fields) => write('warning: ', message, fields),
    error: (message, fields) => write('error: ', message, fields),
    named: (name) => createLog(out, name, now),
  };
}

function createJsonLog(out: Writable, component: string, now: () => number): Log {
  const write = (level: string, message: string, fields: Readonly<Record<string, LogValue>> = {}) => {
    const time = new Date(now()).toISOString();
    const known = Object.entries(fields).filter(([, value]) => value !== undefined && value !== null);
    const entry = { time, level, component, message: printable(message) };
    const rest = known.map(([key, value]) => [key, typeof value === 'string' ? printable(value) : value]);
    out.write(`${JSON.stringify({ ...entry, ...Object.fromEntries(rest) })}\n`);
  };
  return {
    info: (message, fields) => write('info', message, fields),
    warn: (message, fields) => write('warning', message, fields),
    error: (message, fields) => write('error', message, fields),
    named: (name) => createJsonLog(out, name, now),
  };
}

/** A log that keeps nothing, for tests and one-shot commands. */
export const silentLog: Log = { info() {}, warn() {}, error() {}, named: () => silentLog };
