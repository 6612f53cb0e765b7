/** What a configuration comes to at run time; a reload replaces all of it at once, or nothing. */
import type { Config } from '../config/index.ts';
import { createResolver, type Resolver } from '../dns/index.ts';
import type { Clock } from '../system/clock.ts';
import type { Log } from '../system/log.ts';
import { headersInColumns } from './accounting/from-config.ts';
import type { ContentWork } from './content/index.ts';
import { DkimSigner } from './deliver/dkim-choice.ts';
import { Tracking } from './deliver/tracking.ts';
import { type PrecacheSettings, readPrecacheSettings } from './precached-domains.ts';

export interface InForce {
  readonly config: Config;
  readonly dkim: DkimSigner;
  readonly tracking: Tracking;
  readonly resolver: Resolver;
  readonly precache: PrecacheSettings;
  /** Header names, lower case, that accounting columns ask for. */
  readonly headersWanted: ReadonlySet<string>;
}

/** UserError when a key or another file that the configuration names cannot be used. */
export async function putInForce(
  config: Config,
  stateDir: string,
  clock: Clock,
  log: Log,
  content: ContentWork,
  before: InForce | null,
): Promise<InForce> {
  return {
    config,
    dkim: await DkimSigner.load(config),
    tracking: await Tracking.open(config, stateDir, content, log),
    precache: await readPrecacheSettings(config),
    resolver: resolverFor(config, clock, log, before),
    headersWanted: headersInColumns(config),
  };
}

/** The cache outlives a reload as long as the same servers are asked. */
function resolverFor(config: Config, clock: Clock, log: Log, before: InForce | null): Resolver {
  const servers = config.global.get('name-server').map(({ ip, port }) => ({ address: ip, port: port ?? 53 }));
  const asked = before?.config.global.get('name-server').map(({ ip, port }) => `${ip} ${port ?? 53}`);
  if (before && asked?.join() === servers.map(({ address, port }) => `${address} ${port}`).join()) {
    return before.resolver;
  }
  return createResolver({ servers, clock, log });
}
