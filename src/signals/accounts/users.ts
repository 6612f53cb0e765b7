import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { type DocumentStore, VersionConflict } from './document-store.ts';
import { allGrants } from './grants.ts';

/** What a user may do: `admin` everything, `reporting` look at everything. */
export const roles = ['admin', 'reporting'] as const;
export type Role = (typeof roles)[number];

export interface User {
  readonly username: string;
  readonly access_level: Role;
  readonly email?: string;
  readonly first_name?: string;
  readonly last_name?: string;
  /** ISO 8601. */
  readonly created?: string;
  readonly last_login?: string;
  /** `salt:hash`, both hexadecimal; none when the user signs in by link only. */
  readonly password?: string;
}

const reportingGrants: ReadonlySet<string> = new Set(
  // SparkPost's web interface opens its Signals pages on `signals/manage` alone; nothing there can be changed.
  [...allGrants].filter((grant) => grant.endsWith('/view') || grant === 'signals/manage'),
);

export function grantsOfRole(role: Role): ReadonlySet<string> {
  return role === 'admin' ? allGrants : reportingGrants;
}

export const LEAST_PASSWORD = 10;
export const MOST_PASSWORD = 1024;

/** A name that cannot be taken for something else in an address, a log or a terminal. */
export function isUsername(text: string): boolean {
  return /^[\p{L}\p{N}][\p{L}\p{N}._+@-]{0,127}$/u.test(text);
}

/** People who sign in by name and password. Passwords are kept as scrypt hashes. */
export class Users {
  readonly #documents: DocumentStore;
  readonly #now: () => number;

  constructor(documents: DocumentStore, now: () => number) {
    this.#documents = documents;
    this.#now = now;
  }

  /** Adds a user; false when there is one of this name. */
  async add(user: Omit<User, 'created' | 'last_login' | 'password'>): Promise<boolean> {
    const created = new Date(this.#now()).toISOString();
    try {
      await this.#documents.add<User>('user', user.username, { ...user, created });
      return true;
    } catch (error) {
      if (error instanceof VersionConflict) return false;
      throw error;
    }
  }

  async get(username: string): Promise<User | null> {
    return (await this.#documents.get<User>('user', username))?.document ?? null;
  }

  async list(): Promise<User[]> {
    return (await this.#documents.list<User>('user')).map((s) => s.document);
  }

  async remove(username: string): Promise<boolean> {
    return this.#documents.remove('user', username);
  }

  /** False when there is no such user. */
  async setPassword(username: string, password: string): Promise<boolean> {
    const salt = randomBytes(16);
    const hash = await derive(password, salt);
    return this.#change(username, { password: `${salt.toString('hex')}:${hash.toString('hex')}` });
  }

  /** The user of this name and password, else `null`; both take the same time. */
  async check(username: string, password: string): Promise<User | null> {
    const user = await this.get(username);
    const [salt, hash] = (user?.password ?? `${'00'.repeat(16)}:${'00'.repeat(32)}`).split(':');
    const derived = await derive(password.slice(0, MOST_PASSWORD), Buffer.from(salt!, 'hex'));
    if (!timingSafeEqual(derived, Buffer.from(hash!, 'hex')) || !user?.password) return null;
    await this.#change(username, { last_login: new Date(this.#now()).toISOString() });
    return user;
  }

  async #change(username: string, changes: Partial<User>): Promise<boolean> {
    for (;;) {
      const found = await this.#documents.get<User>('user', username);
      if (!found) return false;
      try {
        await this.#documents.replace('user', username, found.version, { ...found.document, ...changes });
        return true;
      } catch (error) {
        // Someone else has changed the user meanwhile: his change stays, and ours comes on top.
        if (!(error instanceof VersionConflict)) throw error;
      }
    }
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
