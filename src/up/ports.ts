import { createServer } from 'node:net';
import { listen } from '../system/listen.ts';

/** The ports of one running set, counted from one base so that several sets run side by side. All on loopback. */
export interface Ports {
  readonly signals: number;
  readonly tracker: number;
  readonly submission: number;
  readonly inbound: number;
  readonly management: number;
  readonly sinkSmtp: number;
  readonly sinkDns: number;
  readonly sinkControl: number;
}

export const DEFAULT_PORT_BASE = 7700;
export const HOST = '127.0.0.1';

export function portsFrom(base: number): Ports {
  return {
    signals: base,
    tracker: base + 1,
    submission: base + 2,
    inbound: base + 3,
    management: base + 4,
    sinkSmtp: base + 5,
    sinkDns: base + 6,
    sinkControl: base + 7,
  };
}

/** Throws `UserError` that names the first port that another program has. */
export async function requireFreePorts(ports: Ports): Promise<void> {
  for (const [name, port] of Object.entries(ports) as [string, number][]) {
    const server = createServer();
    await listen(server, HOST, port, `${name}, --port-base`);
    await new Promise((resolve) => server.close(resolve));
  }
}
