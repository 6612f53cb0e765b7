/**
 * Whether, and how strictly, a connection to one host is encrypted (delivery guide, section 13; RFC 7672; RFC 8461).
 * DANE is stronger than MTA-STS, and both are stronger than the directives.
 */
import { isIP } from 'node:net';
import { checkServerIdentity } from 'node:tls';
import type { Settings } from '../../config/index.ts';
import type { Resolver, StsPolicies } from '../../dns/index.ts';
import { stsAllows } from '../../dns/index.ts';
import type { SmtpClientTls } from '../../smtp/index.ts';
import type { Clock } from '../../system/clock.ts';
import type { Log } from '../../system/log.ts';
import { daneFault, peerChain, usableRecords } from './dane.ts';
import type { Destination } from './destinations.ts';
import { TlsContexts } from './tls-context.ts';

export type TlsPolicy =
  | { readonly kind: 'use'; readonly tls: SmtpClientTls }
  /** This host may not be used now; why, in words. */
  | { readonly kind: 'unusable'; readonly error: string };

export interface TlsPoliciesDeps {
  readonly resolver: () => Resolver;
  readonly stsPolicies: StsPolicies;
  readonly clock: Clock;
  readonly log: Log;
}

/** Sessions that are kept for resumption; the oldest goes. */
const MOST_SESSIONS = 1000;

export class TlsPolicies {
  readonly #deps: TlsPoliciesDeps;
  readonly #contexts = new TlsContexts();
  readonly #sessions = new Map<string, Buffer>();

  constructor(deps: TlsPoliciesDeps) {
    this.#deps = deps;
  }

  /** Never throws for what stands in DNS or a file. */
  async for(host: Destination, settings: Settings<'domain'>): Promise<TlsPolicy> {
    if (!settings.get('use-starttls')) return { kind: 'use', tls: { mode: 'no' } };
    try {
      return (
        (await this.#dane(host, settings)) ??
        (await this.#mtaSts(host, settings)) ??
        this.#configured(host, settings)
      );
    } catch (error) {
      // A file of the configuration that cannot be used: without it the connection would be less than was asked for.
      return { kind: 'unusable', error: (error as Error).message };
    }
  }

  /** Null when DANE does not apply. */
  async #dane(host: Destination, settings: Settings<'domain'>): Promise<TlsPolicy | null> {
    if (!settings.get('use-dane') || !host.nameIsTrusted || isIP(host.name) !== 0) return null;
    const found = await this.#deps.resolver().tlsa(host.name, host.port);
    if (found.kind === 'none') return null;
    if (found.kind === 'failure') {
      // Whoever can keep the answer from us could make us send in the clear (RFC 7672 section 2.1.1).
      return { kind: 'unusable', error: `TLSA records of ${host.name}: ${found.reason}` };
    }
    const records = usableRecords(found.records);
    const names = [...new Set([found.base, host.name, host.mailDomain])].filter((name) => name !== '');
    const { clock } = this.#deps;
    return {
      kind: 'use',
      tls: {
        mode: 'require',
        servername: found.base,
        secureContext: this.#contexts.strict(settings),
        // Records of which none can be used still say that there is TLS (section 2.2).
        check: (socket) => {
          if (records.length === 0) return null;
          const fault = daneFault(records, peerChain(socket), names, clock.now());
          return fault && `DANE: ${fault}`;
        },
      },
    };
  }

  /** Null when no policy applies. */
  async #mtaSts(host: Destination, settings: Settings<'domain'>): Promise<TlsPolicy | null> {
    if (!settings.get('use-mta-sts') || host.mailDomain === '') return null;
    const found = await this.#deps.stsPolicies.policyFor(host.mailDomain);
    if (found.kind === 'none' || found.policy.mode === 'none') return null;
    const allowed = stsAllows(found.policy, host.name);
    const outside = `MTA-STS: ${host.name} is not in the policy of ${host.mailDomain}`;
    if (found.policy.mode === 'testing') {
      if (!allowed) this.#deps.log.warn(`${outside} (mode testing)`);
      return this.#testing(host, settings);
    }
    if (!allowed) return { kind: 'unusable', error: outside };
    const secureContext = this.#contexts.strict(settings);
    return {
      kind: 'use',
      tls: { mode: 'require', servername: host.name, verify: 'chain', secureContext },
    };
  }

  /** As without a policy; what it would have refused is logged. */
  #testing(host: Destination, settings: Settings<'domain'>): TlsPolicy {
    const policy = this.#configured(host, settings);
    if (policy.kind !== 'use') return policy;
    const check: SmtpClientTls['check'] = (socket) => {
      const wrong = socket.authorized
        ? checkServerIdentity(host.name, socket.getPeerCertificate())?.message
        : String(socket.authorizationError);
      if (wrong) this.#deps.log.warn(`MTA-STS: certificate of ${host.name} (mode testing): ${wrong}`);
      return null;
    };
    return { kind: 'use', tls: { ...policy.tls, check } };
  }

  #configured(host: Destination, settings: Settings<'domain'>): TlsPolicy {
    const verify = settings.get('smtp-tls-ca-file') ? 'authority' : 'no';
    return {
      kind: 'use',
      tls: {
        mode: settings.get('require-starttls') ? 'require' : 'opportunistic',
        servername: host.name,
        verify,
        secureContext: this.#contexts.configured(settings),
        ...(settings.get('reuse-ssl-session') && verify === 'no' ? this.#resumption(host) : {}),
      },
    };
  }

  #resumption({ name, address, port }: Destination): Pick<SmtpClientTls, 'session' | 'onSession'> {
    const key = `${name} ${address} ${port}`;
    const session = this.#sessions.get(key);
    return {
      ...(session ? { session } : {}),
      onSession: (offered) => {
        this.#sessions.delete(key);
        if (this.#sessions.size >= MOST_SESSIONS) {
          const [oldest] = this.#sessions.keys();
          this.#sessions.delete(oldest!);
        }
        this.#sessions.set(key, offered);
      },
    };
  }
}
