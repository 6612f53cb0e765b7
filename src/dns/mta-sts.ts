/**
 * Finds out which policy a mail domain has announced for those who deliver to it (RFC 8461). The policy comes over
 * HTTPS from `mta-sts.DOMAIN`, whose certificate is verified, and is kept for as long as it says: a forger who can
 * make the DNS record disappear does not make the policy disappear.
 */
import { request } from 'node:https';
import { isIPv6 } from 'node:net';
import { checkServerIdentity } from 'node:tls';
import type { Clock } from '../system/clock.ts';
import type { Log } from '../system/log.ts';
import { queryName } from './answers.ts';
import { TtlCache } from './cache.ts';
import { resolveHost } from './mail-route.ts';
import type { Resolver } from './resolver.ts';
import { readStsPolicy, readStsRecord, type StsPolicy } from './sts-policy.ts';
import { type StoredPolicy, StsStore } from './sts-store.ts';
import { Turnstile } from './turnstile.ts';

export type StsFound =
  | { readonly kind: 'policy'; readonly policy: StsPolicy }
  /** The domain announces none, or it could not be had: deliver as without MTA-STS (section 5). */
  | { readonly kind: 'none'; readonly reason: string };

export interface StsOptions {
  readonly resolver: () => Pick<Resolver, 'query'>;
  readonly clock: Clock;
  /** Default 443. */
  readonly port?: number;
  /** Certificates of authorities, PEM, in place of those of the platform. */
  readonly ca?: string;
  /** For one fetch in all; default a minute, as the RFC suggests. */
  readonly timeoutMs?: number;
  /** Where policies that are enforced outlive a restart; default nowhere. */
  readonly file?: string;
  readonly log?: Pick<Log, 'warn'>;
}

export interface StsPolicies {
  /** The policy of a mail domain (not of a host): that of the recipient's domain, or of the relay's. */
  policyFor(domain: string): Promise<StsFound>;
  /** Forgets a domain's policy, or all. */
  clear(domain?: string): void;
  /** Writes out what is to outlive the server. */
  close(): Promise<void>;
}

/** A policy that holds for long is looked at again once a day, so that it never runs out (section 3.3). */
const REFRESH_MS = 86_400_000;
/** A fetch that failed is not tried again for this id before (section 3.3). */
const FAILURE_MS = 300_000;
const MOST_BYTES = 65_536;
/** Kilobytes of policies in memory. */
const MOST_KEPT = 20_000;
const FETCHES_AT_A_TIME = 20;
const ADDRESSES_TRIED = 3;

interface Kept {
  readonly policy: StsPolicy;
  readonly id: string;
  readonly fetchedAt: number;
}

export function createStsPolicies(options: StsOptions): StsPolicies {
  return new Policies(options);
}

class Policies implements StsPolicies {
  readonly #options: StsOptions;
  readonly #kept = new TtlCache<Kept>(MOST_KEPT);
  readonly #failed = new TtlCache<string>(MOST_KEPT);
  readonly #asking = new Map<string, Promise<StsFound>>();
  readonly #store: StsStore | null;
  readonly #loaded: Promise<void>;
  readonly #turnstile = new Turnstile(FETCHES_AT_A_TIME);

  constructor(options: StsOptions) {
    this.#options = options;
    const { file, clock, log } = options;
    this.#store = file === undefined ? null : new StsStore(file, clock, (text) => log?.warn(text));
    this.#loaded = this.#load();
  }

  async close(): Promise<void> {
    await this.#loaded;
    await this.#store?.flush();
  }

  async #load(): Promise<void> {
    for (const { domain, ...kept } of (await this.#store?.load()) ?? []) this.#keep(domain, kept);
  }

  #keep(domain: string, kept: Kept): void {
    const { mx, maxAge } = kept.policy;
    const weight = 1 + Math.floor(mx.join('').length / 1024);
    this.#kept.set(domain, kept, kept.fetchedAt + maxAge, weight);
  }

  /** Those that are enforced, the most recently used first. */
  #stored(): StoredPolicy[] {
    const now = this.#options.clock.now();
    return [...this.#kept.entries()]
      .reverse()
      .filter(([, { policy, fetchedAt }]) => policy.mode === 'enforce' && fetchedAt + policy.maxAge > now)
      .map(([domain, kept]) => ({ domain, ...kept }));
  }

  async policyFor(domain: string): Promise<StsFound> {
    const name = queryName(domain);
    if (name === null) return { kind: 'none', reason: 'it is no domain' };
    await this.#loaded;
    const asking = this.#asking.get(name) ?? this.#find(name).finally(() => this.#asking.delete(name));
    this.#asking.set(name, asking);
    return await asking;
  }

  clear(domain?: string): void {
    const name = domain === undefined ? undefined : (queryName(domain) ?? domain);
    this.#kept.clear(name);
    this.#store?.changed(() => this.#stored());
    this.#failed.clear(name);
  }

  async #find(domain: string): Promise<StsFound> {
    const { clock, resolver } = this.#options;
    const kept = this.#kept.get(domain, clock.now());
    const otherwise = (reason: string): StsFound =>
      kept ? { kind: 'policy', policy: kept.policy } : { kind: 'none', reason };
    const found = await resolver().query(`_mta-sts.${domain}`, 'TXT');
    const texts = found.kind === 'answer' ? (found.records as readonly string[]) : [];
    const records = texts.filter((text) => /^v=STSv1[ \t]*(;|$)/.test(text));
    const id = records.length === 1 ? readStsRecord(records[0]!) : null;
    if (id === null) return otherwise('it announces no policy');
    const now = clock.now();
    if (kept && kept.id === id && now - kept.fetchedAt < REFRESH_MS) return otherwise('');
    // One failure per domain, with the id it was for: whoever changes the id is asked anew.
    if (this.#failed.get(domain, now) === id) return otherwise('its policy could not be fetched lately');
    const fetched = await this.#turnstile.pass(() => this.#fetch(domain));
    if (typeof fetched === 'string') {
      this.#failed.set(domain, id, clock.now() + FAILURE_MS);
      return otherwise(fetched);
    }
    const policy = fetched;
    this.#keep(domain, { policy, id, fetchedAt: clock.now() });
    if (policy.mode === 'enforce' || kept?.policy.mode === 'enforce') {
      this.#store?.changed(() => this.#stored());
    }
    return { kind: 'policy', policy };
  }

  async #fetch(domain: string): Promise<StsPolicy | string> {
    const host = `mta-sts.${domain}`;
    const found = await resolveHost(this.#options.resolver(), host);
    if (found.kind !== 'addresses') return `${host}: ${found.reason}`;
    let failure = '';
    for (const address of found.addresses.slice(0, ADDRESSES_TRIED)) {
      const got = await fetchPolicyFile(host, address, this.#options);
      if ('failure' in got) {
        failure = got.failure;
        if (got.final) break;
        continue;
      }
      const policy = readStsPolicy(got.text);
      return typeof policy === 'string' ? `the policy of ${host} cannot be used: ${policy}` : policy;
    }
    return failure;
  }
}

type File = { readonly text: string } | { readonly failure: string; readonly final: boolean };

/** One GET, no redirects (section 3.3), of bounded size and time, from a server whose certificate is verified. */
function fetchPolicyFile(host: string, address: string, options: StsOptions): Promise<File> {
  const { clock, port = 443, ca, timeoutMs = 60_000 } = options;
  return new Promise((resolve) => {
    let over = false;
    const end = (file: File) => {
      if (over) return;
      over = true;
      cancel();
      sent.destroy();
      resolve(file);
    };
    const fail = (text: string, final: boolean) => end({ failure: `https://${host}: ${text}`, final });
    const cancel = clock.after(timeoutMs, () => fail(`no answer in ${timeoutMs / 1000} s`, false));
    const sent = request({
      host: address,
      family: isIPv6(address) ? 6 : 4,
      port,
      servername: host,
      headers: { host, accept: 'text/plain' },
      path: '/.well-known/mta-sts.txt',
      // Said aloud, because an environment variable could turn it off.
      rejectUnauthorized: true,
      checkServerIdentity: (_, certificate) =>
        certificate.subjectaltname?.includes('DNS:')
          ? checkServerIdentity(host, certificate)
          : new Error('the certificate has no DNS name'),
      minVersion: 'TLSv1.2',
      ...(ca === undefined ? {} : { ca }),
      agent: false,
      maxHeaderSize: 16_384,
    });
    sent.on('error', (error) => fail(error.message, false));
    sent.on('response', (response) => {
      if (response.statusCode !== 200) return fail(`status ${response.statusCode}`, true);
      const type = response.headers['content-type'] ?? '';
      if (!/^text\/plain[ \t]*(;|$)/i.test(type)) return fail('the policy is not text/plain', true);
      const chunks: Buffer[] = [];
      let size = 0;
      response.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size > MOST_BYTES) return fail('the policy is too long', true);
        chunks.push(chunk);
      });
      response.on('error', (error) => fail(error.message, false));
      response.on('aborted', () => fail('the connection broke', false));
      response.on('end', () => end({ text: Buffer.concat(chunks).toString('utf8') }));
    });
    sent.end();
  });
}
