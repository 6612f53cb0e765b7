/** `type file`: mail into new files of a folder, or at the end of an mbox file (guide section 3.3.10.96). */
import { open, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import type { Config } from '../../config/index.ts';
import { reason, syncFolder } from '../../system/durable-file.ts';
import type { QueuedRecipient } from '../queue/queue.ts';
import type { ConnectionGrant } from '../queue/scheduler.ts';
import { noAttempt } from './attempt.ts';
import type { Transport } from './delivery.ts';
import { destinationPath, hasMacros } from './file-path.ts';
import { macrosOf } from './macros.ts';
import { Mboxes } from './mbox.ts';
import { returnPath } from './return-path.ts';
import { localStatus } from './status.ts';
import type { TriedRecipient } from './transaction.ts';
import { type Handover, type Job, type WorkLoopDeps, workThrough } from './work-loop.ts';

export interface FileDeliveryDeps extends WorkLoopDeps {
  /** Folder of the server's own files. */
  readonly stateDir: string;
}

export class FileDelivery implements Transport {
  readonly #deps: FileDeliveryDeps;
  readonly #mboxes: Mboxes;

  constructor(deps: FileDeliveryDeps) {
    this.#deps = deps;
    this.#mboxes = new Mboxes(path.join(deps.stateDir, 'mbox-notes'));
  }

  async run(grant: ConnectionGrant, config: Config): Promise<void> {
    const { queue } = grant;
    const attempt = noAttempt(queue, config.vmtas.get(queue.vmta.toLowerCase())!, 'file');
    await workThrough(this.#deps, grant, config, {
      attempt,
      atMost: Number.POSITIVE_INFINITY,
      action: 'delivered',
      handOver: async (job) => ({ attempt, ...(await this.#write(job)) }),
    });
  }

  /** One file, or one mail in an mbox, for all recipients whose path is the same. */
  async #write(job: Job): Promise<Omit<Handover, 'attempt'>> {
    const { settings, config, items, queue } = job;
    const template = settings.get('file-destination') ?? '';
    if (!template.startsWith('/')) {
      const status = localStatus('4.3.5', 'system incorrectly configured', config);
      const error = `file-destination ${JSON.stringify(template)} is not an absolute path`;
      return { tried: [], queueFailure: { status, error } };
    }
    const now = this.#deps.clock.now();
    const tried: TriedRecipient[] = [];
    const done: (() => void)[] = [];
    const places = new Map<string, QueuedRecipient[]>();
    for (const item of items) {
      const made = destinationPath(template, macrosOf(job, item.index, now));
      const place = made && path.normalize(made);
      if (place === null) {
        const status = localStatus('5.1.1', 'bad destination mailbox address', config);
        tried.push({ item, result: { kind: 'refused', status } });
        continue;
      }
      const same = places.get(place);
      if (same) same.push(item);
      else places.set(place, [item]);
    }
    // In one order everywhere: an mbox is ours until this is recorded, and two deliveries may each want the other's.
    for (const [place, recipients] of [...places].sort(([a], [b]) => (a < b ? -1 : 1))) {
      try {
        done.push(await this.#deliver(job, place, recipients));
        const status = localStatus('2.0.0', 'success', config);
        for (const item of recipients) tried.push({ item, result: { kind: 'delivered', status } });
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        const words = `${place}: ${reason(error)}`;
        if (!hasMacros(template, macrosOf(job, items[0]!.index, now))) {
          const status = localStatus('4.3.0', 'mail system-related failure', config);
          return { tried, queueFailure: { status, error: words }, recorded: () => all(done) };
        }
        this.#deps.log.warn(`${queue.name}: ${words}`);
        const tooLong = code === 'ENAMETOOLONG';
        const status = tooLong
          ? localStatus('5.1.1', 'bad destination mailbox address', config)
          : localStatus('4.3.0', 'mail system-related failure', config);
        const result = { kind: tooLong ? ('refused' as const) : ('deferred' as const), status };
        for (const item of recipients) tried.push({ item, result });
      }
    }
    return { tried, recorded: () => all(done) };
  }

  /** Resolves when the mail is on disk under its final name. */
  async #deliver(job: Job, place: string, items: readonly QueuedRecipient[]): Promise<() => void> {
    const { envelope, settings, content } = job;
    const { index } = items[0]!;
    const sender = returnPath(envelope, index);
    // The same on every attempt: what a kill made us write before is replaced and does not stand there twice.
    const name = `${envelope.facts.spoolId}-${index}`;
    const format = settings.get('file-format');
    if (format === 'append-mbox') {
      return this.#mboxes.append(place, { key: name, sender, at: this.#deps.clock.now(), content });
    }
    const lines =
      format === 'newfile-pickup'
        ? pickupLines(
            sender,
            items.map((item) => envelope.recipients[item.index]!.address),
            content,
          )
        : '';
    await newFile(place, name, [Buffer.from(lines), content]);
    return () => {};
  }
}

/**
 * What a pickup folder reads the envelope from (guide section 7.2). A message that itself begins with such a line would
 * name recipients of its own choice to whoever reads the folder, and none of our rules about them has been asked: a
 * field of ours stands between.
 */
function pickupLines(sender: string, recipients: readonly string[], content: Buffer): string {
  const between = /^x-[a-z-]+[ \t]*:/i.test(content.toString('latin1', 0, 100))
    ? ['Comments: the message']
    : [];
  const lines = [`x-sender: ${sender}`, ...recipients.map((address) => `x-receiver: ${address}`)];
  return [...lines, ...between, ''].join('\r\n');
}

/** Written as `NAME.tmp` and renamed when it is whole and on disk, so that a reader of `*.msg` never sees a part. */
async function newFile(folder: string, name: string, content: readonly Buffer[]): Promise<void> {
  const temporary = path.join(folder, `${name}.tmp`);
  await rm(temporary, { force: true });
  const handle = await open(temporary, 'wx', 0o640);
  try {
    try {
      for (const piece of content) await handle.writeFile(piece);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, path.join(folder, `${name}.msg`));
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncFolder(folder);
}

function all(calls: readonly (() => void)[]): void {
  for (const call of calls) call();
}
