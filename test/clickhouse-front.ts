/** A ClickHouse server for tests: `clickhouse-front-process.ts` as a process of its own, which fails on command. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';

/**
 * What the next statement meets: `reset`: not executed, the connection is cut; `lost`: executed, and the answer is lost;
 * `late`: the client loses the connection, and only then the statement runs, for long; `gateway`: a proxy's 502, not
 * executed; `refused`: the server's own failure, `code`; `hang`: the answer comes after `ms`; `cut`: in the middle of
 * the answer; `late-failure`: executed, with a failure at the end.
 */
export interface Fault {
  readonly kind: 'reset' | 'lost' | 'late' | 'gateway' | 'refused' | 'hang' | 'cut' | 'late-failure';
  /** A regular expression: which statements. */
  readonly statement: string;
  readonly times: number;
  readonly ms?: number;
  readonly code?: number;
}

export class ClickHouseFront {
  readonly #folder: string;
  #child: ChildProcess | null = null;
  #port = 0;
  /** Faults that statements have met. */
  readonly met: string[] = [];

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** With user and password, as `--clickhouse` takes it. */
  get url(): string {
    return `http://posthorn:${encodeURIComponent('secret: & word')}@127.0.0.1:${this.#port}/default`;
  }

  /** Starts it, on the port that it had if it was running before. */
  async start(): Promise<void> {
    const child = fork(path.join(import.meta.dirname, 'clickhouse-front-process.ts'), [
      this.#folder,
      String(this.#port),
    ]);
    this.#child = child;
    child.on('message', (told: { met?: string; statement?: string }) => {
      if (told.met) this.met.push(`${told.met} ${told.statement}`);
    });
    this.#port = await this.#told<number>('port');
  }

  async #told<T>(name: string): Promise<T> {
    for (;;) {
      const [message] = (await once(this.#child!, 'message')) as [Record<string, T>];
      if (name in message) return message[name]!;
    }
  }

  /** As a machine dies. */
  async kill(): Promise<void> {
    const child = this.#child!;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }

  /** These and no others from now on. */
  async fail(...faults: readonly Fault[]): Promise<void> {
    const armed = this.#told('armed');
    this.#child!.send({ faults });
    await armed;
  }

  /** The number that a SELECT of one gives. */
  async number(sql: string): Promise<number> {
    const url = new URL(this.url);
    const response = await fetch(`http://${url.host}/`, {
      method: 'POST',
      body: `SELECT toString(${sql})`,
      headers: {
        // A kept connection may be closed by the other side in the moment in which it is used again.
        connection: 'close',
        authorization: `Basic ${btoa(`posthorn:${decodeURIComponent(url.password)}`)}`,
      },
    });
    const text = await response.text();
    if (response.status !== 200) throw new Error(text);
    return Number(text.trim().replaceAll('"', ''));
  }
}
