import { ConnectionCounter } from './connection-limits.ts';
import { DataVolume } from './data-volume.ts';
import type { VmtaLimits } from './limits.ts';
import { RateGate } from './rate-gate.ts';
import { RateLimiter } from './rate-limit.ts';

/** What all queues of one VMTA do together. */
export class VmtaUse {
  readonly connections: ConnectionCounter;
  readonly data: DataVolume;
  readonly messageGate: RateGate;
  readonly dataGate: RateGate;
  /** Whose turn it is among the VMTA's local addresses, by family (D5.7). */
  readonly turns: { 4: number; 6: number } = { 4: 0, 6: 0 };

  constructor(vmta: string, limits: () => VmtaLimits) {
    this.connections = new ConnectionCounter('vmta-connections', () => limits().connections, `VMTA ${vmta}`);
    const messages = new RateLimiter(() => limits().messageRate);
    this.messageGate = new RateGate('message-rate', messages, (now) => messages.whole(now));
    const data = new DataVolume(() => limits().dataRate);
    this.data = data;
    this.dataGate = new RateGate('data-volume-rate', data.limiter, (now) => {
      if (limits().dataRate.value === Number.POSITIVE_INFINITY) return Number.POSITIVE_INFINITY;
      return data.mayBegin(now) ? 1 : 0;
    });
  }

  get gates(): readonly RateGate[] {
    return [this.dataGate, this.messageGate];
  }
}
