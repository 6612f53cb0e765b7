/**
 * MX roll-up (delivery guide, section 10): mail for domains that the same hosts receive shares one queue. Which domains
 * these are is known from their MX answers only, so it changes with DNS.
 */
import type { Config } from '../../config/index.ts';

/** What the `mx` lines say about one roll-up queue. */
export interface RollupQueue {
  readonly queue: string;
  /** Hosts listed by name: R(Q). A domain joins when all of them are among its best hosts. */
  readonly hosts: readonly string[];
  /** Parents of `*.` lines. A domain joins when each of its best hosts is below one of them. */
  readonly parents: ReadonlySet<string>;
  /** Mail goes to the hosts of its own domain, not to hosts of the queue (`rollup-by-ip`). */
  readonly byIp: boolean;
}

/** The `mx` lines of a configuration, ready to be asked. */
export class RollupTable {
  /** In the order of their first lines: the first that fits is taken. */
  readonly queues: readonly RollupQueue[];
  readonly #byHost = new Map<string, RollupQueue[]>();
  readonly #byParent = new Map<string, RollupQueue[]>();
  readonly #byName: ReadonlyMap<string, RollupQueue>;

  constructor(rules: Config['mxRollups']) {
    const made = new Map<string, { hosts: string[]; parents: Set<string>; byIp: boolean }>();
    for (const { host, wildcard, queue, byIp } of rules) {
      const entry = made.get(queue) ?? { hosts: [], parents: new Set(), byIp: false };
      made.set(queue, entry);
      if (wildcard) {
        entry.parents.add(host);
        entry.byIp ||= byIp;
      } else if (!entry.hosts.includes(host)) entry.hosts.push(host);
    }
    this.queues = [...made].map(([queue, entry]) => ({ queue, ...entry }));
    this.#byName = new Map(this.queues.map((one) => [one.queue, one]));
    for (const one of this.queues) {
      const [host] = one.hosts;
      // A queue whose first host is not there cannot fit, so one entry per queue is enough.
      if (host !== undefined) push(this.#byHost, host, one);
      for (const parent of one.parents) push(this.#byParent, parent, one);
    }
  }

  get(queue: string): RollupQueue | undefined {
    return this.#byName.get(queue);
  }

  /** The queue of a domain whose MX hosts of lowest preference are these (lower case); null when none fits. */
  match(best: readonly string[]): string | null {
    const hosts = new Set(best);
    const candidates = new Set<RollupQueue>();
    for (const host of hosts) {
      for (const one of this.#byHost.get(host) ?? []) candidates.add(one);
      for (const parent of parentsOf(host)) {
        for (const one of this.#byParent.get(parent) ?? []) candidates.add(one);
      }
    }
    const fitting = [...candidates].filter((one) => fits(one, hosts));
    if (fitting.length < 2) return fitting[0]?.queue ?? null;
    return this.queues.find((one) => fitting.includes(one))!.queue;
  }
}

function fits({ hosts, parents }: RollupQueue, best: ReadonlySet<string>): boolean {
  if (hosts.length > 0 && hosts.every((host) => best.has(host))) return true;
  if (parents.size === 0) return false;
  for (const host of best) {
    let below = false;
    for (const parent of parentsOf(host)) below ||= parents.has(parent);
    if (!below) return false;
  }
  return true;
}

/** `c`, then `b.c` … of `a.b.c`, the longest first. */
function* parentsOf(host: string): Generator<string> {
  for (let dot = host.indexOf('.'); dot >= 0; dot = host.indexOf('.', dot + 1)) yield host.slice(dot + 1);
}

function push<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const list = map.get(key);
  if (list) list.push(value);
  else map.set(key, [value]);
}

const tables = new WeakMap<Config, RollupTable>();

/** The table of a configuration, made once. */
export function rollupTable(config: Config): RollupTable {
  let table = tables.get(config);
  if (!table) {
    table = new RollupTable(config.mxRollups);
    tables.set(config, table);
  }
  return table;
}

/** Whether mail in a roll-up queue has somewhere to go; without, a domain is better off on its own. */
export function hasRoute(config: Config, queue: string, vmta: string): boolean {
  const known = rollupTable(config).get(queue);
  if (!known) return false;
  return known.hosts.length > 0 || known.byIp || config.queue(queue, vmta).get('smtp-hosts') !== null;
}

/**
 * Whether the mail of a queue is to be tested at all: not where the operator has already said where it goes
 * (`queue-to`, `smtp-hosts`, `disable-mx-rollup`), nor what is no domain or a roll-up queue itself.
 */
export function mayRollUp(config: Config, domain: string, vmta: string): boolean {
  if (config.mxRollups.length === 0 || domain.startsWith('[') || domain.startsWith('{')) return false;
  if (rollupTable(config).get(domain)) return false;
  const settings = config.queue(domain, vmta);
  return (
    settings.get('type') === 'smtp' &&
    !settings.get('disable-mx-rollup') &&
    !settings.get('queue-to') &&
    settings.get('smtp-hosts') === null
  );
}
