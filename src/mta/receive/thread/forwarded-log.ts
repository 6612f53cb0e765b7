/** A log whose lines another thread writes. */
import type { Log, LogValue } from '../../../system/log.ts';

export interface LogEntry {
  readonly kind: 'log';
  /** Null: that of the log that it is written to. */
  readonly component: string | null;
  readonly level: 'info' | 'warn' | 'error';
  readonly message: string;
  readonly fields: Readonly<Record<string, LogValue>> | undefined;
}

export function forwardedLog(say: (entry: LogEntry) => void, component: string | null = null): Log {
  const to =
    (level: LogEntry['level']): Log['info'] =>
    (message, fields) =>
      say({ kind: 'log', component, level, message, fields });
  return {
    info: to('info'),
    warn: to('warn'),
    error: to('error'),
    named: (name) => forwardedLog(say, name),
  };
}

export function writeEntry(log: Log, { component, level, message, fields }: LogEntry): void {
  (component === null ? log : log.named(component))[level](message, fields);
}
