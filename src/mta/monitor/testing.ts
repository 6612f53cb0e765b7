import { createServer } from 'node:net';
import type { TestContext } from 'node:test';
import { good } from '../../config/testing.ts';
import { TestClock } from '../../system/testing.ts';
import { limitsFromConfig } from '../limits-from-config.ts';
import { queuedRecipient } from '../queue/queued-recipient.ts';
import { Scheduler } from '../queue/scheduler.ts';
import { folder, keptLog } from '../testing.ts';
import { Destinations } from './destinations.ts';
import { Pauses } from './pauses.ts';
import { QueueEvents } from './queue-events.ts';
import { findRecipients } from './recipients.ts';
import { openMonitor } from './server.ts';
import { TrafficMeter } from './traffic.ts';

export const KEY = 'k'.repeat(32);

/** A monitor on a free port, and a question to it. */
export async function monitor(t: TestContext, access = 'http-access 127.0.0.1 admin') {
  const dir = folder(t);
  const config = good(
    `http-mgmt-port ${await freePort()}\nhttp-redirect-to-https no\nstate-dir ${dir}\nhttp-api-key ${KEY}\n${access}\n<domain *>\nmax-smtp-out 1\n</domain>`,
  );
  const clock = new TestClock();
  const { log, lines } = keptLog();
  const scheduler = new Scheduler(
    limitsFromConfig(() => config),
    { resume() {} },
  );
  const traffic = new TrafficMeter(clock.now());
  const state = { stopping: false, kicks: 0, tracked: false };
  const events = new QueueEvents(() => state.tracked);
  const opened = await openMonitor({
    config: () => config,
    control: {
      config: () => config,
      scheduler,
      kick: () => state.kicks++,
      reload: async () => ({ data: '', message: 'Configuration reloaded.' }),
      pauses: new Pauses(dir),
      events,
      destinations: new Destinations(),
      recipients: {
        find: (filter, now) => findRecipients(scheduler, () => undefined, filter, now),
        delete: () => 0,
        setPriority: () => 0,
      },
      counters: () => ({ totals: { received: 3, delivered: 1 }, backlog: { outcomes: 2, eventFiles: 1 } }),
      precached: () => [],
      clearDns() {},
      rotateAccounting: async () => [],
      rotateLog: async () => {},
      resetCounters() {},
      clock,
      trace: async () => null,
      logTrace() {},
      status: {
        version: '1.2.3',
        hostName: 'mta.test',
        hostId: 7,
        startedAt: clock.now(),
        traffic,
        scheduler,
        connections: () => ({ in: { cur: 1, max: 2, top: 3 }, out: { cur: 4, max: 5, top: 6 } }),
        resolver: () => ({ cached: 8, queries: { pending: 0, active: 0 } }),
        maxRecipients: () => 0,
        spoolReadPercent: () => 100,
        builtAt: clock.now(),
        messagesStored: () => 9,
        queueType: () => 'smtp',
        shuttingDown: () => state.stopping,
      },
    },
    shuttingDown: () => state.stopping,
    clock,
    log,
  });
  t.after(() => opened.close());
  const ask = (path: string, init: RequestInit = {}) => fetch(`http://127.0.0.1:${opened.port}${path}`, init);
  const add = (domain: string, n: number) => {
    for (let i = 0; i < n; i++) {
      const item = queuedRecipient({ spoolId: `${domain}${i}`, index: 0, receivedAt: clock.now() });
      scheduler.add(domain, '{default}', item, clock.now());
    }
  };
  return { port: opened.port!, ask, add, clock, lines, scheduler, traffic, events, state };
}

/** Below the range that the system takes the ports of outgoing connections from: of those, somebody could take it meanwhile. */
async function freePort(): Promise<number> {
  for (;;) {
    const port = 12_000 + Math.floor(Math.random() * 4_000);
    const server = createServer();
    const free = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false));
      server.listen(port, '127.0.0.1', () => resolve(true));
    });
    await new Promise((resolve) => server.close(resolve));
    if (free) return port;
  }
}
