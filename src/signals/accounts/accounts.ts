import { createHash, randomBytes, randomUUID, scrypt, timingSafeEqual } from 'node:crypto';
import ipaddr from 'ipaddr.js';
import { type DocumentStore, VersionConflict } from './document-store.ts';
import { allGrants, subaccountGrants } from './grants.ts';

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

export interface User {
  readonly username: string;
  readonly access_level: 'admin';
  /** `salt:hash`, both hexadecimal; none when the user signs in by link only. */
  readonly password?: string;
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

interface Session {
  readonly username: string;
  readonly lastUsed: number;
}

interface SignInToken {
  readonly username: string;
  readonly expires: number;
}

export const SESSION_IDLE_MS = 12 * 3600_000;
export const SIGN_IN_TOKEN_MS = 15 * 60_000;
/** A session's last use is written down no more often than this. */
const SESSION_TOUCH_MS = 60_000;
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

/** API keys, users, sessions and sign-in tokens. Secrets are kept as hashes only. */
export class Accounts {
  readonly #documents: DocumentStore;
  readonly #now: () => number;

  constructor(documents: DocumentStore, now: () => number) {
    this.#documents = documents;
    this.#now = now;
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
    if (!(await this.#documents.get('user', ADMIN_USER))) {
      const user: User = { username: ADMIN_USER, access_level: 'admin' };
      await this.#documents.add('user', ADMIN_USER, user);
    }
  }

  /** The caller that an API key or session token stands for; `null` if it is neither. */
  async identify(secret: string): Promise<Caller | null> {
    if (isApiKey(secret)) {
      const found = await this.#documents.find<ApiKey>('api-key', hashOf(secret.toLowerCase()));
      return found ? callerOfKey(found.document) : null;
    }
    if (!/^[A-Za-z0-9_-]{43}$/.test(secret)) return null;
    const id = hashOf(secret);
    const session = await this.#documents.get<Session>('session', id);
    if (!session) return null;
    const idle = this.#now() - session.document.lastUsed;
    if (idle > SESSION_IDLE_MS) {
      await this.#documents.remove('session', id);
      return null;
    }
    if (idle > SESSION_TOUCH_MS) {
      try {
        const used: Session = { ...session.document, lastUsed: this.#now() };
        await this.#documents.replace('session', id, session.version, used);
      } catch (error) {
        // Another request of the same session has just done the same.
        if (!(error instanceof VersionConflict)) throw error;
      }
    }
    return {
      kind: 'session',
      name: session.document.username,
      grants: allGrants,
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

  /** A token that signs its bearer in, once, within 15 minutes. */
  async createSignInToken(username: string): Promise<{ token: string; expires: number }> {
    await this.#removeStale();
    const token = randomBytes(32).toString('base64url');
    const expires = this.#now() + SIGN_IN_TOKEN_MS;
    const document: SignInToken = { username, expires };
    await this.#documents.add('sign-in-token', hashOf(token), document);
    return { token, expires };
  }

  /** Uses a sign-in token up; a new session's token, or `null` if the token is unknown, used or too old. */
  async redeemSignInToken(token: string): Promise<string | null> {
    if (!/^[A-Za-z0-9_-]{43}$/.test(token)) return null;
    const id = hashOf(token);
    const found = await this.#documents.get<SignInToken>('sign-in-token', id);
    // Of several at once only one removes it, and only that one gets in.
    if (!found || !(await this.#documents.remove('sign-in-token', id))) return null;
    if (found.document.expires < this.#now()) return null;
    return this.#createSession(found.document.username);
  }

  /** Sets or clears the password of a user. */
  async setPassword(username: string, password: string): Promise<boolean> {
    const found = await this.#documents.get<User>('user', username);
    if (!found) return false;
    const salt = randomBytes(16);
    const hash = await derive(password, salt);
    const user: User = {
      ...found.document,
      password: `${salt.toString('hex')}:${hash.toString('hex')}`,
    };
    await this.#documents.replace('user', username, found.version, user);
    return true;
  }

  /** A new session's token for the right name and password, else `null`; both take the same time. */
  async signInByPassword(username: string, password: string): Promise<string | null> {
    const user = (await this.#documents.get<User>('user', username))?.document;
    const [salt, hash] = (user?.password ?? `${'00'.repeat(16)}:${'00'.repeat(32)}`).split(':');
    const derived = await derive(password.slice(0, 1024), Buffer.from(salt!, 'hex'));
    if (!timingSafeEqual(derived, Buffer.from(hash!, 'hex')) || !user?.password) return null;
    return this.#createSession(username);
  }

  async signOut(sessionToken: string): Promise<void> {
    await this.#documents.remove('session', hashOf(sessionToken));
  }

  async #createSession(username: string): Promise<string> {
    await this.#removeStale();
    const token = randomBytes(32).toString('base64url');
    const session: Session = { username, lastUsed: this.#now() };
    await this.#documents.add('session', hashOf(token), session);
    return token;
  }

  async #removeStale(): Promise<void> {
    const now = this.#now();
    for (const { id, document } of await this.#documents.list<Session>('session')) {
      if (now - document.lastUsed > SESSION_IDLE_MS) await this.#documents.remove('session', id);
    }
    for (const { id, document } of await this.#documents.list<SignInToken>('sign-in-token')) {
      if (document.expires < now) await this.#documents.remove('sign-in-token', id);
    }
  }

  #isoNow(): string {
    return new Date(this.#now()).toISOString();
  }
}

function derive(password: string, salt: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    scrypt(
      password.normalize('NFKC'),
      salt,
      32,
      { N: 2 ** 15, r: 8, p: 1, maxmem: 64 * 2 ** 20 },
      (e, key) => (e ? reject(e) : resolve(key)),
    );
  });
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
