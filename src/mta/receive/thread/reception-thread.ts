/** The thread of SMTP reception: sockets, TLS, sessions and what is decided about them. Started by `ThreadedReception`. */
import { parentPort, workerData } from 'node:worker_threads';
import { systemClock as clock } from '../../../system/clock.ts';
import { rootBy } from '../../../system/privileges.ts';
import { UserError } from '../../../system/user-error.ts';
import { InboundChecks } from '../checks/inbound-checks.ts';
import { Listeners, type Sessions } from '../listeners.ts';
import { Reception } from '../reception.ts';
import { ConfigsInUse } from './configs-in-use.ts';
import { forwardedLog } from './forwarded-log.ts';
import { HandOver } from './hand-over.ts';
import type { FromReception, ReceptionThreadData, ToReception } from './messages.ts';
import { RemoteResolver } from './remote-resolver.ts';
import { RemoteRoot } from './remote-root.ts';
import { TimingSums } from './timing-sums.ts';

const { hostName, sessions } = workerData as ReceptionThreadData;
const say = (message: FromReception, transfer: ArrayBuffer[] = []) =>
  parentPort!.postMessage(message, transfer);

const log = forwardedLog(say);
const configs = new ConfigsInUse((config) => say({ kind: 'unused', config }));
const handOver = new HandOver(say, (config) => configs.numberOf(config));
const resolver = new RemoteResolver(say);
const root = new RemoteRoot(say);
rootBy(root.raise);
const timings = new TimingSums(clock, (sums) => say({ kind: 'timed', ...sums }));
let refusal: string | null = null;

const reception = new Reception({
  config: () => configs.inForce,
  takeMessage: handOver.take,
  spoolRefusal: () => refusal,
  checks: [new InboundChecks({ resolver: () => resolver, hostName, clock, log })],
  onTimed: (took) => timings.add(took),
  hostName,
  clock,
  log,
});

/** As reception itself, with each session counted: how many there are, and which configuration they go by. */
const counted: Sessions = {
  get openSessions() {
    return reception.openSessions;
  },
  get mostSessions() {
    return reception.mostSessions;
  },
  isProxy: (...of) => reception.isProxy(...of),
  accept(...of) {
    const acceptance = reception.accept(...of);
    if (typeof acceptance === 'string' || 'code' in acceptance) return acceptance;
    const leave = configs.enter();
    count();
    const { options, handlers } = acceptance;
    return {
      options,
      handlers: {
        ...handlers,
        onClose(why, session) {
          handlers.onClose?.(why, session);
          count();
          leave();
        },
      },
    };
  },
};

function count(): void {
  Atomics.store(sessions, 0, reception.openSessions);
  Atomics.store(sessions, 1, reception.mostSessions);
}

const listeners = new Listeners(counted, clock, log);

async function answer(ask: number, work: () => Promise<void>): Promise<void> {
  try {
    await work();
    say({ kind: 'done', ask, addresses: listeners.addresses });
  } catch (error) {
    const { message, stack } = error as Error;
    say({ kind: 'failed', ask, message, fault: error instanceof UserError ? null : (stack ?? message) });
  }
}

parentPort!.on('message', (message: ToReception) => {
  switch (message.kind) {
    case 'judged':
      handOver.judged(message.messages);
      break;
    case 'dns-answered':
      resolver.answered(message);
      break;
    case 'root-given':
      root.given(message);
      break;
    case 'refusal':
      refusal = message.why;
      break;
    case 'apply':
      refusal = message.refusal;
      void answer(message.ask, () => configs.apply(message, (config) => listeners.apply(config)));
      break;
    case 'close':
      void answer(message.ask, () => listeners.close(message.graceMs));
      break;
  }
});
