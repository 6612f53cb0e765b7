/** The two texts of MTA-STS (RFC 8461): the TXT record that announces a policy (3.1) and the policy itself (3.2). */
import { queryName } from './answers.ts';

export interface StsPolicy {
  /** `enforce`: deliver only to hosts of the policy, with TLS and a valid certificate. `testing`: only report. */
  readonly mode: 'enforce' | 'testing' | 'none';
  /** Host names, or `*.` and the name of their parent. */
  readonly mx: readonly string[];
  /** Milliseconds. */
  readonly maxAge: number;
}

/** Upper bound of `max_age`: a year, and what the RFC adds to it. */
const LONGEST_AGE_S = 31_557_600;

/** The id in a `_mta-sts` record; null when the text is no such record. */
export function readStsRecord(text: string): string | null {
  const [version, ...fields] = text.split(';').map((field) => field.trim());
  if (version !== 'v=STSv1') return null;
  const id = fields.find((field) => field.startsWith('id='))?.slice(3) ?? '';
  return /^[A-Za-z0-9]{1,32}$/.test(id) ? id : null;
}

/** The policy in a file, or what is wrong with it. Fields that are not known are passed over. */
export function readStsPolicy(text: string): StsPolicy | string {
  const first = new Map<string, string>();
  const mx: string[] = [];
  for (const line of text.split(/\r?\n/)) {
    const colon = line.indexOf(':');
    if (colon < 0) continue;
    const key = line.slice(0, colon).trim();
    const value = line.slice(colon + 1).trim();
    if (key === 'mx') {
      const wild = value.startsWith('*.');
      const name = queryName(wild ? value.slice(2) : value);
      if (name !== null) mx.push(wild ? `*.${name}` : name);
    } else if (!first.has(key)) first.set(key, value);
  }
  if (first.get('version') !== 'STSv1') return 'it is not of version STSv1';
  const mode = first.get('mode');
  if (mode !== 'enforce' && mode !== 'testing' && mode !== 'none') return 'its mode is not known';
  const age = first.get('max_age') ?? '';
  if (!/^\d{1,10}$/.test(age)) return 'it has no valid max_age';
  if (mode !== 'none' && mx.length === 0) return 'it names no mx';
  return { mode, mx, maxAge: Math.min(Number(age), LONGEST_AGE_S) * 1000 };
}

/** Whether a mail host is one of the policy (section 4.1): `*.` stands for exactly one label. */
export function stsAllows(policy: StsPolicy, host: string): boolean {
  const name = host.replace(/\.$/, '').toLowerCase();
  const dot = name.indexOf('.');
  const wild = dot < 0 ? null : `*.${name.slice(dot + 1)}`;
  return policy.mx.some((pattern) => pattern === name || pattern === wild);
}
