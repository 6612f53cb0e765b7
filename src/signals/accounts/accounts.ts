import { createHash, randomBytes, randomUUID } from 'node:crypto';
import ipaddr from 'ipaddr.js';
import type { DocumentStore } from './document-store.ts';
import { allGrants, subaccountGrants } from './grants.ts';
import { Sessions } from './sessions.ts';
import { grantsOfRole, Users } from './users.ts';

/** An API key as it is kept: the key itself is known to its owner only. */
export interface ApiKey {
  readonly id: string;
  readonly label: string;
  readonly short_key: string;
  readonly grants: readonly string[];
  /** 0 is the main account. */
  readonly subaccount_id: number;
  /** Addresses and networks that may use it; none = all. */
  readonly valid_ips: readonly string[];
  readonly username: string;
  /** ISO 8601. */
  readonly created_at: string;
}

/** Who makes a request. */
export interface Caller {
  readonly kind: 'key' | 'session';
  /** Names the caller in logs: the key's id or the user's name. */
  readonly name: string;
  /** First four digits of the key; absent for a user. */
  readonly shortKey?: string;
  readonly grants: ReadonlySet<string>;
  readonly subaccountId: number;
  readonly validIps: readonly string[];
  /** The first key, which may make sign-in links. */
  readonly isAdmin: boolean;
}

const ADMIN_KEY_ID = 'admin';
const ADMIN_USER = 'admin';

const hashOf = (secret: string) => createHash('sha256').update(secret).digest('hex');

/** Whether a text has the shape of an API key: 40 hexadecimal digits, as PowerMTA demands. */
export function isApiKey(text: string): boolean {
  return /^[0-9a-f]{40}$/i.test(text);
}

/** A fault in a request to make a key; `param` names the field. */
export class InvalidKeyRequest extends Error {
  readonly param: string;
  constructor(message: string, param: string) {
    super(message);
    this.param = param;
  }
}

export interface NewKey {
  readonly label: string;
  readonly grants: readonly string[];
  readonly validIps: readonly string[];
  readonly subaccountId: number;
  readonly username: string;
}

/** API keys, users and sessions: who asks. Secrets are kept as hashes only. */
export class Accounts {
  readonly users: Users;
  readonly sessions: Sessions;
  readonly #documents: DocumentStore;
  readonly #now: () => number;

  constructor(documents: DocumentStore, now: () => number) {
    this.#documents = documents;
    this.#now = now;
    this.users = new Users(documents, now);
    this.sessions = new Sessions(documents, now);
  }

  /** Makes `key` the first key, in place of an earlier first key, and sees that the user `admin` exists. */
  async setAdminKey(key: string): Promise<void> {
    const lookup = hashOf(key.toLowerCase());
    const known = await this.#documents.find<ApiKey>('api-key', lookup);
    if (known?.id !== ADMIN_KEY_ID) {
      if (known) await this.#documents.remove('api-key', known.id);
      await this.#documents.remove('api-key', ADMIN_KEY_ID);
      const document: ApiKey = {
        id: ADMIN_KEY_ID,
        label: 'First key',
        short_key: key.slice(0, 4).toLowerCase(),
        grants: [...allGrants],
        subaccount_id: 0,
        valid_ips: [],
        username: ADMIN_USER,
        created_at: this.#isoNow(),
      };
      await this.#documents.add('api-key', ADMIN_KEY_ID, document, lookup);
    }
    await this.users.add({ username: ADMIN_USER, access_level: 'admin' });
  }

  /** The caller that an API key or session token stands for; `null` if it is neither. */
  async identify(secret: string): Promise<Caller | null> {
    if (isApiKey(secret)) {
      const found = await this.#documents.find<ApiKey>('api-key', hashOf(secret.toLowerCase()));
      return found ? callerOfKey(found.document) : null;
    }
    const username = await this.sessions.userOf(secret);
    const user = username === null ? null : await this.users.get(username);
    if (!user) return null;
    return {
      kind: 'session',
      name: user.username,
      grants: grantsOfRole(user.access_level),
      subaccountId: 0,
      validIps: [],
      isAdmin: false,
    };
  }

  /** A new key; the full key is in the answer and nowhere else. Throws `InvalidKeyRequest`. */
  async createKey(wanted: NewKey): Promise<{ key: string; document: ApiKey }> {
    checkNewKey(wanted);
    const key = randomBytes(20).toString('hex');
    const document: ApiKey = {
      id: randomUUID(),
      label: wanted.label,
      short_key: key.slice(0, 4),
      grants: [...new Set(wanted.grants)],
      subaccount_id: wanted.subaccountId,
      valid_ips: [...wanted.validIps],
      username: wanted.username,
      created_at: this.#isoNow(),
    };
    await this.#documents.add('api-key', document.id, document, hashOf(key));
    return { key, document };
  }

  async listKeys(): Promise<ApiKey[]> {
    return (await this.#documents.list<ApiKey>('api-key')).map((s) => s.document);
  }

  async getKey(id: string): Promise<ApiKey | null> {
    return (await this.#documents.get<ApiKey>('api-key', id))?.document ?? null;
  }

  /** Removes a key; 'admin' for the first key, which cannot be removed. */
  async removeKey(id: string): Promise<'removed' | 'unknown' | 'admin'> {
    if (id === ADMIN_KEY_ID) return 'admin';
    return (await this.#documents.remove('api-key', id)) ? 'removed' : 'unknown';
  }

  /** A new session for the right name and password, else `null`; both take the same time. */
  async signInByPassword(
    username: string,
    password: string,
    remember: boolean,
  ): Promise<{ token: string; refresh: string | null } | null> {
    const user = await this.users.check(username, password);
    return user && this.sessions.begin(username, remember);
  }

  #isoNow(): string {
    return new Date(this.#now()).toISOString();
  }
}

function callerOfKey(key: ApiKey): Caller {
  return {
    kind: 'key',
    name: key.id,
    shortKey: key.short_key,
    grants: new Set(key.grants),
    subaccountId: key.subaccount_id,
    validIps: key.valid_ips,
    isAdmin: key.id === ADMIN_KEY_ID,
  };
}

function checkNewKey(wanted: NewKey): void {
  const label = wanted.label.trim();
  if (label === '' || label.length > 1024) throw new InvalidKeyRequest("'label' is required", 'label');
  if (wanted.grants.length === 0) throw new InvalidKeyRequest("'grants' is required", 'grants');
  for (const grant of wanted.grants) {
    if (!allGrants.has(grant)) throw new InvalidKeyRequest(`unknown grant '${grant.slice(0, 64)}'`, 'grants');
    if (wanted.subaccountId > 0 && !subaccountGrants.has(grant)) {
      throw new InvalidKeyRequest(`a subaccount key may not hold the grant '${grant}'`, 'grants');
    }
  }
  for (const network of wanted.validIps) {
    if (!parseNetwork(network)) {
      throw new InvalidKeyRequest(
        `'${network.slice(0, 64)}' is neither an address nor a network`,
        'valid_ips',
      );
    }
  }
}

/** Whether a text is an address or a network that `isValidIp` takes. */
export const isNetwork = (text: string): boolean => parseNetwork(text) !== null;

function parseNetwork(text: string): [ipaddr.IPv4 | ipaddr.IPv6, number] | null {
  try {
    if (text.includes('/')) return ipaddr.parseCIDR(text);
    const address = ipaddr.parse(text);
    return [address, address.kind() === 'ipv4' ? 32 : 128];
  } catch {
    return null;
  }
}

/** Whether a client's address is among these addresses and networks; none = all are. */
export function isValidIp(address: string, validIps: readonly string[]): boolean {
  if (validIps.length === 0) return true;
  let parsed: ipaddr.IPv4 | ipaddr.IPv6;
  try {
    parsed = ipaddr.process(address);
  } catch {
    return false;
  }
  return validIps.some((text) => {
    const network = parseNetwork(text);
    return network !== null && network[0].kind() === parsed.kind() && parsed.match(network);
  });
}
