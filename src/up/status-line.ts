import type { WriteStream } from 'node:tty';
import type { Reconciliation } from './reconciliation.ts';
import type { LiveCounts } from './up.ts';

/** Between two status lines where they cannot be overwritten (a file, a pipe). */
const PLAIN_EVERY_MS = 5000;

/** What `posthorn up` prints: lines that stay, and one status line that is rewritten on a terminal. */
export class StatusLine {
  readonly #out: WriteStream;
  readonly #json: boolean;
  #shown = '';
  #plainAt = 0;

  constructor(out: WriteStream, json: boolean) {
    this.#out = out;
    this.#json = json;
  }

  /** A line that stays. */
  say(line: string): void {
    if (this.#json) {
      this.#out.write(`${JSON.stringify({ message: line })}\n`);
      return;
    }
    this.#clear();
    this.#out.write(`${line}\n${this.#out.isTTY ? this.#shown : ''}`);
  }

  ready(addresses: readonly (readonly [name: string, address: string])[], signInUrl: string): void {
    if (this.#json) {
      this.#out.write(`${JSON.stringify({ addresses: Object.fromEntries(addresses), signIn: signInUrl })}\n`);
      return;
    }
    const width = Math.max(...addresses.map(([name]) => name.length));
    for (const [name, address] of addresses) this.say(`  ${name.padEnd(width)}  ${address}`);
    this.say(`\nSign in (once, within 15 minutes): ${signInUrl}\n`);
  }

  show(counts: LiveCounts): void {
    if (this.#json) {
      this.#out.write(`${JSON.stringify({ counts })}\n`);
      return;
    }
    const line =
      `submitted ${counts.submitted} · delivered ${counts.delivered} · bounced ${counts.bounced}` +
      ` · queued ${counts.queued} · events ingested ${counts.eventsIngested}`;
    if (this.#out.isTTY) {
      this.#clear();
      this.#shown = line.slice(0, Math.max(20, (this.#out.columns ?? 80) - 1));
      this.#out.write(this.#shown);
    } else if (Date.now() - this.#plainAt >= PLAIN_EVERY_MS) {
      this.#plainAt = Date.now();
      this.#out.write(`${line}\n`);
    }
  }

  result(reconciliation: Reconciliation, text: string): void {
    if (this.#json) this.#out.write(`${JSON.stringify({ reconciliation })}\n`);
    else this.say(`\n${text}`);
  }

  end(): void {
    this.#clear();
    this.#shown = '';
  }

  #clear(): void {
    if (this.#out.isTTY && this.#shown !== '') this.#out.write('\r\u001b[K');
  }
}
