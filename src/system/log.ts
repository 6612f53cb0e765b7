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

/** A log that writes one line per entry: time, component, severity if not plain, message, `key=value` fields. */
export function createLog(out: Writable, component: string, now: () => number = Date.now): Log {
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

/** A log that keeps nothing, for tests and one-shot commands. */
export const silentLog: Log = { info() {}, warn() {}, error() {}, named: () => silentLog };
