import { chmodSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { UserError } from '../../../system/user-error.ts';

/** What was learnt about a domain: its first mail host, '' when it has none. */
export interface KnownHost {
  readonly host: string;
  /** Milliseconds since the epoch; after that it is asked again, and holds until the answer comes. */
  readonly until: number;
}

/** Domains known at the same time, the longest known dropped first. */
const MOST = 200_000;

/** First mail hosts by domain, in memory and in a file that a restart reads back. What is lost is asked again. */
export class MailHostCache {
  readonly #db: DatabaseSync;
  readonly #known = new Map<string, KnownHost>();
  readonly #unsaved = new Map<string, KnownHost>();

  /** Throws `UserError` when the file cannot be used. */
  constructor(file: string) {
    try {
      this.#db = new DatabaseSync(file, { timeout: 5000 });
      chmodSync(file, 0o600);
      this.#db.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
        CREATE TABLE IF NOT EXISTS mail_hosts (domain TEXT PRIMARY KEY, host TEXT NOT NULL, until INTEGER NOT NULL)
          STRICT, WITHOUT ROWID;`);
      const rows = this.#db.prepare('SELECT domain, host, until FROM mail_hosts ORDER BY until').all();
      for (const { domain, host, until } of rows as { domain: string; host: string; until: number }[]) {
        this.#known.set(domain, { host, until });
      }
    } catch (error) {
      throw new UserError(
        `${file} (mail hosts) cannot be opened: ${(error as Error).message}; it may be deleted, all in it is asked anew`,
        { cause: error },
      );
    }
  }

  get(domain: string): KnownHost | undefined {
    return this.#known.get(domain);
  }

  set(domain: string, known: KnownHost): void {
    this.#known.delete(domain);
    this.#known.set(domain, known);
    this.#unsaved.set(domain, known);
    if (this.#known.size > MOST) {
      const oldest = this.#known.keys().next().value!;
      this.#known.delete(oldest);
    }
  }

  /** Writes what is new. */
  save(): void {
    if (this.#unsaved.size === 0) return;
    const put = this.#db.prepare('INSERT OR REPLACE INTO mail_hosts (domain, host, until) VALUES (?, ?, ?)');
    this.#db.exec('BEGIN');
    try {
      for (const [domain, { host, until }] of this.#unsaved) put.run(domain, host, until);
      this.#db.exec(`DELETE FROM mail_hosts WHERE domain IN
        (SELECT domain FROM mail_hosts ORDER BY until DESC LIMIT -1 OFFSET ${MOST}); COMMIT`);
      this.#unsaved.clear();
    } catch (error) {
      this.#db.exec('ROLLBACK');
      throw error;
    }
  }

  close(): void {
    try {
      this.save();
    } finally {
      this.#db.close();
    }
  }
}
