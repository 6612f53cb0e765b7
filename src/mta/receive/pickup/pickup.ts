/** Takes the files of the pickup folder as mail (delivery guide, section 18). */
import { type FSWatcher, watch } from 'node:fs';
import type { Config } from '../../../config/index.ts';
import { SpoolWriteError } from '../../../spool/spool-write-error.ts';
import type { Clock } from '../../../system/clock.ts';
import { reason, requireWritableFolder } from '../../../system/durable-file.ts';
import type { Log } from '../../../system/log.ts';
import { statusText } from '../../accounting/dsn-text.ts';
import { describeStatus } from '../../deliver/status.ts';
import { suppressionFault } from '../recipient-rules.ts';
import type { TakeMessage } from '../submission.ts';
import { FileLocks } from './file-locks.ts';
import { parsePickupFile } from './parse-file.ts';
import type { FileRules } from './pickup-content.ts';
import { type ClaimedFile, PickupFolder, printable } from './pickup-folder.ts';

export interface PickupDeps {
  readonly takeMessage: TakeMessage;
  /** Which claimed files' messages are stored: see `Spool.store`. */
  readonly spool: {
    readonly id: string;
    wasTaken(claim: string): boolean;
    forgetTaken(claims: readonly string[]): Promise<void>;
  };
  /** Why no message can be taken now (disk nearly full); null when all is well. */
  readonly spoolRefusal: () => string | null;
  readonly clock: Clock;
  readonly log: Log;
}

/** How often the folder is looked at when nothing says that it changed. */
const POLL_MS = 1_000;
/** From a sign of change to the look: many files come at once. */
const GATHER_MS = 50;
/** A file that could not be taken for now is tried again after this long. */
const RETRY_MS = 10_000;
/** Files claimed at a time: they share one sync of the folder. */
const BATCH = 256;
/** Small files read at a time; larger ones go one by one. */
const AT_ONCE = 16;
const SMALL_FILE = 1024 * 1024;
/** Beyond the message itself: x-receiver lines or commands. */
const MOST_ENVELOPE_BYTES = 32 * 1024 * 1024;
/** What one message may take of this process when the settings have no limit; as over SMTP. */
const LARGEST_MESSAGE = 256 * 1024 * 1024;
const MOST_RECIPIENTS = 50_000;

export class Pickup {
  readonly #deps: PickupDeps;
  #config: Config | null = null;
  #folder: PickupFolder | null = null;
  #watcher: FSWatcher | null = null;
  #cancel = () => {};
  /** When the next look at the folder is due; null while none is. */
  #nextAt: number | null = null;
  #running: Promise<void> | null = null;
  #again = false;
  #closed = false;
  /** Claims that were refused for now, and when to try them again. */
  #later = new Map<string, number>();
  #complained = '';

  constructor(deps: PickupDeps) {
    this.#deps = deps;
  }

  /** The folder, for people; null when none is configured. */
  get folder(): string | null {
    return this.#folder?.directory ?? null;
  }

  /** Brings a configuration into force. UserError when its folders cannot be used; nothing has changed then. */
  async apply(config: Config): Promise<void> {
    const named = config.global.get('pickup');
    const before = this.#folder;
    let folder: PickupFolder | null = null;
    if (named && before?.directory === named.directory && before.bad === named.bad) folder = before;
    else if (named) {
      await requireWritableFolder(named.directory, 'pickup');
      await requireWritableFolder(named.bad, 'pickup, files that cannot be taken');
      folder = new PickupFolder(named.directory, named.bad, this.#deps.spool.id);
      await folder.prepare();
    }
    this.#config = config;
    if (folder === before) return;
    await this.#running;
    this.#folder = folder;
    this.#watch();
    this.#soon(0);
  }

  /** Finishes the files in hand and takes no more. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancel();
    this.#watcher?.close();
    await this.#running;
  }

  #watch(): void {
    this.#watcher?.close();
    this.#watcher = null;
    const folder = this.#folder;
    if (!folder) return;
    try {
      this.#watcher = watch(folder.directory, { persistent: false }, (_, name) => {
        if (name === null || !PickupFolder.isHidden(name)) this.#soon(GATHER_MS);
      });
      this.#watcher.on('error', () => this.#watcher?.close());
    } catch (error) {
      this.#deps.log.info(`the pickup folder is polled: ${reason(error)}`, { folder: folder.directory });
    }
  }

  #soon(ms: number): void {
    if (this.#closed || !this.#folder) return;
    if (this.#running) {
      this.#again = true;
      return;
    }
    const now = this.#deps.clock.now();
    // A sign of change puts no look off: with one every few milliseconds there would never be any.
    if (this.#nextAt !== null && this.#nextAt <= now + ms) return;
    this.#cancel();
    this.#nextAt = now + ms;
    this.#cancel = this.#deps.clock.after(ms, () => {
      this.#nextAt = null;
      this.#running = this.#round().then((more) => {
        this.#running = null;
        const hurry = more ? 0 : this.#again ? GATHER_MS : POLL_MS;
        this.#again = false;
        this.#soon(hurry);
      });
    });
  }

  /** One look at the folder; true when more is waiting there. Never rejects. */
  async #round(): Promise<boolean> {
    const folder = this.#folder;
    if (!folder) return false;
    const refusal = this.#deps.spoolRefusal();
    if (refusal !== null) {
      this.#complain(`pickup waits: ${refusal}`);
      return false;
    }
    try {
      const locks = await FileLocks.read();
      const now = this.#deps.clock.now();
      const claimed = await folder.claim(BATCH, locks, now, async (name) => {
        await this.#bad(
          folder,
          folder.pathOf(name),
          printable(name),
          now.toString(16),
          'it is no regular file',
        );
      });
      await this.#process(folder, await folder.claimed());
      this.#complained = '';
      return claimed === BATCH;
    } catch (error) {
      this.#complain(`pickup waits: ${reason(error)}`);
      return false;
    }
  }

  async #process(folder: PickupFolder, files: readonly ClaimedFile[]): Promise<void> {
    const now = this.#deps.clock.now();
    const due = files.filter(({ claim }) => (this.#later.get(claim) ?? 0) <= now);
    const stored: ClaimedFile[] = [];
    const waiting = due.filter(({ size }) => size <= SMALL_FILE);
    const worker = async () => {
      for (let file = waiting.pop(); file && !this.#closed; file = waiting.pop()) {
        if (await this.#take(folder, file)) stored.push(file);
      }
    };
    const workers = await Promise.allSettled(Array.from({ length: AT_ONCE }, worker));
    for (const file of due) {
      if (this.#closed) break;
      if (file.size > SMALL_FILE && (await this.#take(folder, file))) stored.push(file);
    }
    await folder.remove(stored);
    // Only now: a file that a power cut brings back must be known.
    await this.#deps.spool.forgetTaken(stored.map(({ claim }) => claim));
    const failed = workers.find((one) => one.status === 'rejected');
    if (failed) throw failed.reason;
  }

  /** True when the file's message is on disk and the file can go. */
  async #take(folder: PickupFolder, file: ClaimedFile): Promise<boolean> {
    const { spool, log } = this.#deps;
    if (spool.wasTaken(file.claim)) return true;
    const config = this.#config!;
    const source = config.sourceFor({ clientIp: null, reserved: '{pickup}' });
    const rules: FileRules = {
      mostBytes: Math.min(source.get('max-message-size'), LARGEST_MESSAGE),
      mostRecipients: Math.min(source.get('max-rcpt-per-message'), MOST_RECIPIENTS),
      unqualified: source.get('auto-qualify-domain'),
      removeDot: config.global.get('pickup-remove-dot'),
      refusal: ({ code, enhanced, text }) =>
        describeStatus(enhanced, statusText(enhanced), `smtp;${code} ${enhanced} ${text}`, config),
      suppressed: (address) => {
        const fault = suppressionFault(address, config, source)?.reply;
        return fault ? { code: fault.code, enhanced: fault.enhanced ?? '', text: String(fault.text) } : null;
      },
    };
    const raw = await folder.read(file, rules.mostBytes + MOST_ENVELOPE_BYTES);
    const content =
      typeof raw === 'string' ? ({ kind: 'bad', reason: raw } as const) : parsePickupFile(raw, rules);
    if (content.kind === 'bad') {
      await this.#bad(folder, file.path, file.name, file.claim, content.reason);
      return false;
    }
    const { heloName, sender, recipients, merge, parts, jobId } = content;
    try {
      const verdict = await this.#deps.takeMessage({
        origin: 'pickup',
        client: { heloName, remoteAddress: '', localAddress: '', user: null, tls: false, esmtp: false },
        source,
        config,
        sender,
        recipients,
        merge,
        parts,
        ...(jobId ? { jobId } : {}),
        claim: file.claim,
      });
      this.#later.delete(file.claim);
      if (verdict.accepted) return true;
      const { code, text } = verdict.reply;
      if (code >= 500) await this.#bad(folder, file.path, file.name, file.claim, [text].flat().join(' '));
      else this.#retryLater(file, [text].flat().join(' '));
    } catch (error) {
      if (!(error instanceof SpoolWriteError)) log.error('a pickup file failed', { reason: reason(error) });
      this.#retryLater(file, reason(error));
    }
    return false;
  }

  #retryLater(file: ClaimedFile, why: string): void {
    this.#later.set(file.claim, this.#deps.clock.now() + RETRY_MS);
    this.#deps.log.warn('a pickup file is tried again later', { file: file.path, reason: why });
  }

  async #bad(
    folder: PickupFolder,
    from: string | Buffer,
    name: string,
    tag: string,
    why: string,
  ): Promise<void> {
    const moved = await folder.moveToBad(from, name, tag);
    this.#later.delete(tag);
    this.#deps.log.warn('a pickup file cannot be taken', { file: name, reason: why, moved });
  }

  /** The same trouble is told once, not every second. */
  #complain(text: string): void {
    if (text === this.#complained) return;
    this.#complained = text;
    this.#deps.log.error(text, { folder: this.#folder?.directory });
  }
}
