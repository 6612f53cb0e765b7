import { UserError } from '../system/user-error.ts';

/** Reads `HOST:PORT` or `[V6]:PORT`; a `UserError` names the option. */
export function hostAndPort(option: string, text: string): { host: string; port: number } {
  const parts = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s]+)):(\d{1,5})$/.exec(text);
  const port = Number(parts?.[3]);
  const host = parts?.[1] ?? parts?.[2];
  if (!host || !(port <= 65_535)) {
    throw new UserError(`${option} ${text} is not HOST:PORT`, { exitCode: 2 });
  }
  return { host, port };
}

/** Reads a whole number within bounds; a `UserError` names the option. */
export function wholeNumber(option: string, text: string, from: number, to: number): number {
  const value = Number(text);
  if (!/^\d{1,16}$/.test(text) || value < from || value > to) {
    throw new UserError(`${option} ${text} is not a whole number from ${from} to ${to}`, { exitCode: 2 });
  }
  return value;
}
