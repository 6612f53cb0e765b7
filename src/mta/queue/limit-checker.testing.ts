/**
 * Checks a trace of what was granted against the limits, and nothing else: it knows no counter of the scheduler. Answers
 * what was exceeded, in words.
 */
import type { Limit } from './hold.ts';
import type { LimitSource, QueueLimits } from './limits.ts';
import type { TraceEvent } from './simulated-world.testing.ts';

/** Bytes are known after the fact: so much more may go than a volume allows (messages of at most 5000 bytes). */
const OVERDRAW = 15_000;
/** So many complaints are enough. */
const MOST = 20;

export function exceeded(trace: readonly TraceEvent[], limits: LimitSource): string[] {
  const faults: string[] = [];
  const say = (text: string) => {
    if (faults.length < MOST) faults.push(text);
  };
  const queueLimits = (name: string): QueueLimits => {
    const slash = name.lastIndexOf('/');
    return limits.queue(name.slice(0, slash), name.slice(slash + 1));
  };
  const sourceOf = (queue: string, source: string) => queueLimits(queue).source?.(source);
  const rates = new Rates(say);
  const open = new Open(say);
  const messages = new Map<number, number>();
  const connected = new Set<number>();
  const lastOpen = new Map<string, number>();
  for (const event of trace) {
    const { at, id, queue } = event;
    const all = queueLimits(queue);
    switch (event.kind) {
      case 'open': {
        const { vmta, mode } = event;
        const interval = all.rampupInterval.value;
        const before = lastOpen.get(queue);
        if (before !== undefined && at - before < interval)
          say(`${queue}: opened ${at - before} ms after the last`);
        lastOpen.set(queue, at);
        open.more(`queue ${queue}`, all[mode as 'normal'].maxConnections.value);
        open.more(`VMTA ${vmta}`, limits.vmta(vmta).connections.value);
        open.more('server', limits.serverConnections().value);
        break;
      }
      case 'close':
        for (const key of [`queue ${queue}`, `VMTA ${event.vmta}`, 'server']) open.less(key);
        break;
      case 'reserve': {
        const { host, address, source } = event;
        if (!connected.has(id)) rates.add(`connects of ${queue}`, all.normal.connectRate, at, 1);
        connected.add(id);
        const own = sourceOf(queue, source);
        if (own) rates.add(`connects of ${queue} from ${source}`, own.connectRate, at, 1);
        open.more(`${queue} from ${source}`, own?.connections.value ?? Number.POSITIVE_INFINITY);
        open.more(`${host} from ${source}`, limits.hostConnections(host).value);
        open.more(address, limits.addressConnections(address).value);
        break;
      }
      case 'free':
        for (const key of [
          `${queue} from ${event.source}`,
          `${event.host} from ${event.source}`,
          event.address,
        ])
          open.less(key);
        break;
      case 'send': {
        const { vmta, source, recipients, mode } = event;
        const sent = (messages.get(id) ?? 0) + 1;
        messages.set(id, sent);
        if (sent > all.maxMessagesPerConnection.value) say(`connection ${id} of ${queue}: ${sent} messages`);
        if (recipients > all.maxRecipientsPerMessage.value) say(`${queue}: ${recipients} recipients at once`);
        rates.add(`recipients of ${queue} in ${mode}`, all[mode as 'normal'].messageRate, at, recipients);
        rates.add(`recipients of VMTA ${vmta}`, limits.vmta(vmta).messageRate, at, recipients);
        const own = sourceOf(queue, source);
        if (own) rates.add(`recipients of ${queue} from ${source}`, own.messageRate, at, recipients);
        break;
      }
      case 'bytes': {
        const { vmta, source, bytes, mode } = event;
        rates.add(`bytes of ${queue} in ${mode}`, all[mode as 'normal'].dataRate, at, bytes, OVERDRAW);
        rates.add(`bytes of VMTA ${vmta}`, limits.vmta(vmta).dataRate, at, bytes, OVERDRAW);
        const own = sourceOf(queue, source);
        if (own) rates.add(`bytes of ${queue} from ${source}`, own.dataRate, at, bytes, OVERDRAW);
        break;
      }
    }
  }
  return faults;
}

/** Things open at once. */
class Open {
  readonly #counts = new Map<string, number>();
  readonly #say: (text: string) => void;

  constructor(say: (text: string) => void) {
    this.#say = say;
  }

  more(key: string, most: number): void {
    const count = (this.#counts.get(key) ?? 0) + 1;
    this.#counts.set(key, count);
    if (count > most) this.#say(`${key}: ${count} connections, ${most} allowed`);
  }

  less(key: string): void {
    this.#counts.set(key, this.#counts.get(key)! - 1);
  }
}

/** Things in any window of a period that ends with one of them: those are the fullest. */
class Rates {
  readonly #windows = new Map<string, { times: number[]; counts: number[]; head: number; sum: number }>();
  readonly #say: (text: string) => void;

  constructor(say: (text: string) => void) {
    this.#say = say;
  }

  add(key: string, { value, perMs = 1000 }: Limit, at: number, count: number, overdraw = 0): void {
    if (value === Number.POSITIVE_INFINITY) return;
    let window = this.#windows.get(key);
    if (!window) {
      window = { times: [], counts: [], head: 0, sum: 0 };
      this.#windows.set(key, window);
    }
    window.times.push(at);
    window.counts.push(count);
    window.sum += count;
    while (window.times[window.head]! <= at - perMs) window.sum -= window.counts[window.head++]!;
    if (window.sum > value + overdraw) this.#say(`${key}: ${window.sum} in ${perMs} ms, ${value} allowed`);
  }
}
