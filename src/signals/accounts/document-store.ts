import { chmodSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { UserError } from '../../system/user-error.ts';

/** A document and the version it has in the store; versions grow by one with each change. */
export interface Stored<T> {
  readonly id: string;
  readonly version: number;
  readonly document: T;
}

/** Someone else changed the document since it was read. */
export class VersionConflict extends Error {}

/**
 * Small versioned JSON documents, by kind and id; what accounts, domains and alerts are kept in. SQLite here; another
 * database can stand behind the same calls, which is why they are asynchronous.
 */
export interface DocumentStore {
  get<T>(kind: string, id: string): Promise<Stored<T> | null>;
  /** The document of this kind whose `lookup` (unique within the kind) is this text. */
  find<T>(kind: string, lookup: string): Promise<Stored<T> | null>;
  /** All of a kind, oldest first. */
  list<T>(kind: string): Promise<Stored<T>[]>;
  /** Adds a document; throws `VersionConflict` if its id or lookup exists. */
  add<T>(kind: string, id: string, document: T, lookup?: string): Promise<void>;
  /** Replaces version `version`; throws `VersionConflict` if the stored one is another. */
  replace<T>(kind: string, id: string, version: number, document: T): Promise<void>;
  /** Removes it; whether it was there. With several at once, exactly one of them gets true. */
  remove(kind: string, id: string): Promise<boolean>;
  close(): Promise<void>;
}

interface Row {
  id: string;
  version: number;
  body: string;
}

function stored<T>(row: Row): Stored<T> {
  return { id: row.id, version: row.version, document: JSON.parse(row.body) as T };
}

/** Opens or makes the database file. Throws `UserError` when it cannot be used. */
export function openSqlite(file: string): DocumentStore {
  let db: DatabaseSync;
  try {
    db = new DatabaseSync(file, { timeout: 5000 });
    chmodSync(file, 0o600);
    db.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;
      CREATE TABLE IF NOT EXISTS documents (
        kind TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL, lookup TEXT, body TEXT NOT NULL,
        PRIMARY KEY (kind, id)) STRICT;
      CREATE UNIQUE INDEX IF NOT EXISTS documents_lookup ON documents (kind, lookup) WHERE lookup IS NOT NULL;`);
  } catch (error) {
    throw new UserError(
      `${file} (accounts) cannot be opened: ${(error as Error).message}; check its owner, or name another folder`,
      { cause: error },
    );
  }
  const get = db.prepare('SELECT id, version, body FROM documents WHERE kind = ? AND id = ?');
  const find = db.prepare('SELECT id, version, body FROM documents WHERE kind = ? AND lookup = ?');
  const list = db.prepare('SELECT id, version, body FROM documents WHERE kind = ? ORDER BY rowid');
  const add = db.prepare(
    'INSERT INTO documents (kind, id, version, lookup, body) VALUES (?, ?, 1, ?, ?) ON CONFLICT DO NOTHING',
  );
  const replace = db.prepare(
    'UPDATE documents SET body = ?, version = version + 1 WHERE kind = ? AND id = ? AND version = ?',
  );
  const remove = db.prepare('DELETE FROM documents WHERE kind = ? AND id = ?');
  return {
    async get<T>(kind: string, id: string) {
      const row = get.get(kind, id) as Row | undefined;
      return row ? stored<T>(row) : null;
    },
    async find<T>(kind: string, lookup: string) {
      const row = find.get(kind, lookup) as Row | undefined;
      return row ? stored<T>(row) : null;
    },
    async list<T>(kind: string) {
      return (list.all(kind) as unknown as Row[]).map((row) => stored<T>(row));
    },
    async add(kind, id, document, lookup) {
      const { changes } = add.run(kind, id, lookup ?? null, JSON.stringify(document));
      if (changes === 0) throw new VersionConflict(`${kind} ${id} exists`);
    },
    async replace(kind, id, version, document) {
      const { changes } = replace.run(JSON.stringify(document), kind, id, version);
      if (changes === 0) throw new VersionConflict(`${kind} ${id} was changed meanwhile`);
    },
    async remove(kind, id) {
      return remove.run(kind, id).changes > 0;
    },
    async close() {
      db.close();
    },
  };
}
