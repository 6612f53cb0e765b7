import { type Config, formatDiagnostic, loadConfig } from '../../../config/index.ts';
import { UserError } from '../../../system/user-error.ts';
import type { ToReception } from './messages.ts';

interface InUse {
  readonly number: number;
  readonly config: Config;
  /** Sessions that began with it. */
  sessions: number;
}

type Apply = Extract<ToReception, { readonly kind: 'apply' }>;

/**
 * Configurations of the thread of reception, under the numbers that both threads know them by: the one in force, and
 * those that sessions began with. A configuration cannot be handed over, so the thread reads the same texts again.
 */
export class ConfigsInUse {
  readonly #unused: (number: number) => void;
  readonly #all = new Map<number, InUse>();
  #inForce: InUse | null = null;

  /** `unused` is told a number that nobody has any more. */
  constructor(unused: (number: number) => void) {
    this.#unused = unused;
  }

  get inForce(): Config {
    return this.#inForce!.config;
  }

  /** Of a configuration that is in force, or that a session has. */
  numberOf(config: Config): number {
    if (this.#inForce?.config === config) return this.#inForce.number;
    for (const known of this.#all.values()) if (known.config === config) return known.number;
    throw new Error(`nobody has the configuration ${config.file} that a message came under`);
  }

  /** Counts a session that begins now; answers how to count it out again. */
  enter(): () => void {
    const begun = this.#inForce!;
    begun.sessions++;
    return () => {
      begun.sessions--;
      this.#forgetUnused();
    };
  }

  /** Reads a configuration and brings it into force when `bind` has done its part; else nothing has changed. */
  async apply(order: Apply, bind: (config: Config) => Promise<void>): Promise<void> {
    const next = this.#all.get(order.config) ?? {
      number: order.config,
      config: read(order),
      sessions: 0,
    };
    const before = this.#inForce;
    // The first must be there when the first client comes; later ones wait until all is bound.
    this.#inForce ??= next;
    this.#all.set(next.number, next);
    try {
      await bind(next.config);
      this.#inForce = next;
    } catch (error) {
      this.#inForce = before;
      throw error;
    } finally {
      this.#forgetUnused();
    }
  }

  #forgetUnused(): void {
    for (const [number, known] of this.#all) {
      if (known === this.#inForce || known.sessions > 0) continue;
      this.#all.delete(number);
      this.#unused(number);
    }
  }
}

function read({ file, texts }: Apply): Config {
  const { config, diagnostics } = loadConfig(file, { texts });
  if (config && config.files.join('\n') === [...texts.keys()].join('\n')) return config;
  const fault = diagnostics.find(({ severity }) => severity === 'error');
  throw new UserError(
    `${file}: something that it names was changed while it was read${fault ? ` (${formatDiagnostic(fault)})` : ''}; nothing is changed, try again`,
  );
}
