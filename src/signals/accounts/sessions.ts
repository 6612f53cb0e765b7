import { createHash, randomBytes } from 'node:crypto';
import { type DocumentStore, VersionConflict } from './document-store.ts';

interface Session {
  readonly username: string;
  readonly lastUsed: number;
  /** Of the refresh token that came with it, which ends with it when the user signs out. */
  readonly refresh?: string;
}

/** Something that is good once, or for a time. */
interface Pass {
  readonly username: string;
  readonly expires: number;
}

export const SESSION_IDLE_MS = 12 * 3600_000;
export const SIGN_IN_TOKEN_MS = 15 * 60_000;
/** How long a user who asks to be remembered is. */
export const REFRESH_TOKEN_MS = 14 * 86_400_000;
/** A session's last use is written down no more often than this. */
const SESSION_TOUCH_MS = 60_000;

const hashOf = (secret: string) => createHash('sha256').update(secret).digest('hex');
const newToken = () => randomBytes(32).toString('base64url');
const isToken = (text: string) => /^[A-Za-z0-9_-]{43}$/.test(text);

/** Sessions of users, the tokens that renew them, and the links that begin one. Tokens are kept as hashes. */
export class Sessions {
  readonly #documents: DocumentStore;
  readonly #now: () => number;

  constructor(documents: DocumentStore, now: () => number) {
    this.#documents = documents;
    this.#now = now;
  }

  /** A new session's token; `remember` adds one that can make more of them. */
  async begin(username: string, remember = false): Promise<{ token: string; refresh: string | null }> {
    await this.#removeStale();
    const token = newToken();
    const refresh = remember ? newToken() : null;
    if (refresh !== null) {
      const pass: Pass = { username, expires: this.#now() + REFRESH_TOKEN_MS };
      await this.#documents.add('refresh-token', hashOf(refresh), pass);
    }
    const session: Session = {
      ...{ username, lastUsed: this.#now() },
      ...(refresh === null ? {} : { refresh: hashOf(refresh) }),
    };
    await this.#documents.add('session', hashOf(token), session);
    return { token, refresh };
  }

  /**
   * A new session for the bearer of a refresh token, else `null`. The token stays good: SparkPost's web interface
   * keeps the one it has.
   */
  async renew(refresh: string): Promise<{ username: string; token: string } | null> {
    if (!isToken(refresh)) return null;
    const pass = (await this.#documents.get<Pass>('refresh-token', hashOf(refresh)))?.document;
    if (!pass || pass.expires < this.#now()) return null;
    const token = newToken();
    const session: Session = { username: pass.username, lastUsed: this.#now(), refresh: hashOf(refresh) };
    await this.#documents.add('session', hashOf(token), session);
    return { username: pass.username, token };
  }

  /** Whose session a token is; `null` if it is none or has ended. Counts as a use. */
  async userOf(token: string): Promise<string | null> {
    if (!isToken(token)) return null;
    const id = hashOf(token);
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
    return session.document.username;
  }

  /** Ends a session and what could renew it. */
  async end(token: string): Promise<void> {
    const id = hashOf(token);
    const session = await this.#documents.get<Session>('session', id);
    if (session?.document.refresh !== undefined) {
      await this.#documents.remove('refresh-token', session.document.refresh);
    }
    await this.#documents.remove('session', id);
  }

  /** Ends everything that this user has begun. */
  async endAllOf(username: string): Promise<void> {
    for (const kind of ['refresh-token', 'session', 'sign-in-token']) {
      for (const { id, document } of await this.#documents.list<{ username: string }>(kind)) {
        if (document.username === username) await this.#documents.remove(kind, id);
      }
    }
  }

  /** A token that signs its bearer in, once, within 15 minutes. */
  async createSignInToken(username: string): Promise<{ token: string; expires: number }> {
    await this.#removeStale();
    const token = newToken();
    const pass: Pass = { username, expires: this.#now() + SIGN_IN_TOKEN_MS };
    await this.#documents.add('sign-in-token', hashOf(token), pass);
    return { token, expires: pass.expires };
  }

  /** Uses a sign-in token up; a new session's token, or `null` if the token is unknown, used or too old. */
  async redeemSignInToken(token: string): Promise<string | null> {
    if (!isToken(token)) return null;
    const id = hashOf(token);
    const found = await this.#documents.get<Pass>('sign-in-token', id);
    // Of several at once only one removes it, and only that one gets in.
    if (!found || !(await this.#documents.remove('sign-in-token', id))) return null;
    if (found.document.expires < this.#now()) return null;
    return (await this.begin(found.document.username)).token;
  }

  async #removeStale(): Promise<void> {
    const now = this.#now();
    for (const { id, document } of await this.#documents.list<Session>('session')) {
      if (now - document.lastUsed > SESSION_IDLE_MS) await this.#documents.remove('session', id);
    }
    for (const kind of ['sign-in-token', 'refresh-token']) {
      for (const { id, document } of await this.#documents.list<Pass>(kind)) {
        if (document.expires < now) await this.#documents.remove(kind, id);
      }
    }
  }
}
