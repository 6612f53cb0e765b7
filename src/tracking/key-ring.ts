import { createSecretKey, type KeyObject, randomBytes } from 'node:crypto';
import { link, mkdir, open, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { reason, syncFolder, writeFileDurably } from '../system/durable-file.ts';
import { UserError } from '../system/user-error.ts';

/** `active` keys make links, `retired` ones still open them, links of `revoked` ones are dead. */
export type KeyState = 'active' | 'retired' | 'revoked';

export interface TrackingKey {
  /** 1 to 255; the second octet of every token. */
  readonly id: number;
  /** 256 bits for AES-256-GCM. */
  readonly secret: KeyObject;
  /** 256 bits for the keyed hash that makes nonces, so that no nonce serves two texts. */
  readonly nonceKey: Buffer;
  /** ISO 8601. */
  readonly created: string;
  readonly state: KeyState;
}

/** The file's form: JSON, mode 0600, shared by all MTAs and trackers of a tracking domain. */
interface KeyRingFile {
  readonly version: 1;
  readonly keys: readonly {
    readonly id: number;
    readonly secret: string;
    readonly nonceKey: string;
    readonly created: string;
    readonly state: KeyState;
  }[];
}

/** The keys of a tracking domain as last read from their file. */
export class KeyRing {
  readonly file: string;
  #keys: ReadonlyMap<number, TrackingKey>;
  #active: TrackingKey | null;
  #stamp: string;

  constructor(file: string, keys: readonly TrackingKey[], stamp: string) {
    this.file = file;
    this.#keys = new Map(keys.map((key) => [key.id, key]));
    this.#active = newestActive(keys);
    this.#stamp = stamp;
  }

  /** The key that makes new links; `null` if none is active, and then nothing is tracked. */
  get active(): TrackingKey | null {
    return this.#active;
  }

  get(id: number): TrackingKey | undefined {
    return this.#keys.get(id);
  }

  /** Reads the file again if it changed (after a rotation). Returns whether it had; throws `UserError` like opening. */
  async refresh(): Promise<boolean> {
    const seen = await stampOf(this.file);
    if (seen === this.#stamp) return false;
    const read = await readKeys(this.file);
    this.#keys = new Map(read.keys.map((key) => [key.id, key]));
    this.#active = newestActive(read.keys);
    this.#stamp = read.stamp;
    return true;
  }
}

function newestActive(keys: readonly TrackingKey[]): TrackingKey | null {
  return keys.filter((key) => key.state === 'active').at(-1) ?? null;
}

/**
 * Opens a key ring. With `create`, whichever process comes first makes it with one active key: the file appears
 * under its name whole and synced, and a second maker finds it there and uses it. Throws `UserError` when the file is
 * missing, unreadable, damaged, or readable by others.
 */
export async function openKeyRing(file: string, options: { create?: boolean } = {}): Promise<KeyRing> {
  const name = path.resolve(file);
  if (options.create) await createIfMissing(name);
  const { keys, stamp } = await readKeys(name);
  return new KeyRing(name, keys, stamp);
}

async function createIfMissing(file: string): Promise<void> {
  const folder = path.dirname(file);
  const temporary = `${file}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    if ((await stampOf(file)) !== '') return;
    await mkdir(folder, { recursive: true, mode: 0o750 });
    try {
      const handle = await open(temporary, 'wx', 0o600);
      try {
        await handle.writeFile(serialize([newKey(1)]));
        await handle.sync();
      } finally {
        await handle.close();
      }
      // link(2), unlike rename(2), refuses to replace what another process has just made.
      await link(temporary, file);
      await syncFolder(folder);
    } finally {
      await rm(temporary, { force: true });
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST' && (await stampOf(file)) !== '') return;
    throw new UserError(`${file} (tracking keys) cannot be made: ${reason(error)}`, { cause: error });
  }
}

/** Adds an active key and retires the others: new links use the new key, links in delivered mail go on working. */
export async function rotateKeys(file: string): Promise<number> {
  const { keys } = await readKeys(file);
  const id = [...Array(255).keys()].map((i) => i + 1).find((i) => !keys.some((key) => key.id === i));
  if (id === undefined)
    throw new UserError(`${file} (tracking keys) holds 255 keys; remove those whose links have expired`);
  const retired = keys.map((key) => (key.state === 'active' ? { ...key, state: 'retired' as const } : key));
  await writeFileDurably(file, serialize([...retired, newKey(id)]), 0o600);
  return id;
}

/** Marks a key as compromised: its links die. Revoking the last active key stops tracking until `rotateKeys`. */
export async function revokeKey(file: string, id: number): Promise<void> {
  const { keys } = await readKeys(file);
  if (!keys.some((key) => key.id === id)) throw new UserError(`${file} (tracking keys) has no key ${id}`);
  const marked = keys.map((key) => (key.id === id ? { ...key, state: 'revoked' as const } : key));
  await writeFileDurably(file, serialize(marked), 0o600);
}

function newKey(id: number): TrackingKey {
  return {
    id,
    secret: createSecretKey(randomBytes(32)),
    nonceKey: randomBytes(32),
    created: new Date().toISOString(),
    state: 'active',
  };
}

function serialize(keys: readonly TrackingKey[]): string {
  const file: KeyRingFile = {
    version: 1,
    keys: keys.map((key) => ({
      id: key.id,
      secret: key.secret.export().toString('base64'),
      nonceKey: key.nonceKey.toString('base64'),
      created: key.created,
      state: key.state,
    })),
  };
  return `${JSON.stringify(file, null, 2)}\n`;
}

/** Changes whenever the file is replaced; '' if it does not exist. */
async function stampOf(file: string): Promise<string> {
  try {
    const found = await stat(file, { bigint: true });
    return `${found.ino} ${found.mtimeNs} ${found.size}`;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw new UserError(`${file} (tracking keys) cannot be read: ${reason(error)}`, { cause: error });
  }
}

async function readKeys(file: string): Promise<{ keys: TrackingKey[]; stamp: string }> {
  let text: string;
  let stamp: string;
  try {
    const handle = await open(file, 'r');
    try {
      const found = await handle.stat({ bigint: true });
      if ((Number(found.mode) & 0o077) !== 0) {
        throw new UserError(`${file} (tracking keys) can be read by others; run: chmod 600 ${file}`);
      }
      stamp = `${found.ino} ${found.mtimeNs} ${found.size}`;
      text = await handle.readFile('utf8');
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(`${file} (tracking keys) cannot be read: ${reason(error)}`, { cause: error });
  }
  return { keys: parseKeys(file, text), stamp };
}

function parseKeys(file: string, text: string): TrackingKey[] {
  const damaged = (what: string) =>
    new UserError(`${file} (tracking keys) is damaged: ${what}; restore it from another MTA or tracker`);
  let parsed: KeyRingFile;
  try {
    parsed = JSON.parse(text) as KeyRingFile;
  } catch {
    // The parser's own message may quote the secret.
    throw damaged('it is no JSON');
  }
  if (parsed?.version !== 1 || !Array.isArray(parsed.keys))
    throw damaged('it has no "version": 1 and "keys"');
  const seen = new Set<number>();
  return (parsed as KeyRingFile).keys.map((key, i) => {
    const secret = Buffer.from(String(key?.secret), 'base64');
    const nonceKey = Buffer.from(String(key?.nonceKey), 'base64');
    const id = key?.id;
    if (!Number.isInteger(id) || id < 1 || id > 255 || seen.has(id))
      throw damaged(`key ${i + 1} has no id of its own`);
    if (secret.length !== 32 || nonceKey.length !== 32) throw damaged(`key ${id} does not have 256 bits`);
    if (!['active', 'retired', 'revoked'].includes(key.state)) throw damaged(`key ${id} has no known state`);
    seen.add(id);
    return {
      id,
      secret: createSecretKey(secret),
      // In memory of its own, so that it can be sent to another thread without its neighbours.
      nonceKey: Buffer.from(new Uint8Array(nonceKey).buffer),
      created: String(key.created),
      state: key.state,
    };
  });
}
