/** Where outcomes are written down: accounting files and event files of the configuration in force, and the upload. */
import path from 'node:path';
import type { Config } from '../config/index.ts';
import { startUploader, type Uploader } from '../connector/uploader.ts';
import type { OutcomeView } from '../events/outcome.ts';
import type { Spool } from '../spool/spool.ts';
import type { Clock } from '../system/clock.ts';
import type { Log } from '../system/log.ts';
import type { AcctFileView } from './accounting/acct-file.ts';
import { acctFileView } from './accounting/from-config.ts';
import { type Publisher, startPublisher } from './accounting/publisher.ts';
import { signalsViewFromConfig } from './accounting/signals-from-config.ts';
import { succeedAcctFiles } from './accounting/succession.ts';
import type { CountersView } from './monitor/counters.ts';

export interface RecordsDeps {
  readonly spool: Spool;
  readonly counters: CountersView;
  readonly stateDir: string;
  readonly hostName: string;
  readonly clock: Clock;
  readonly log: Log;
}

/** Records are in their files so much later at most. */
const REST_MS = 50;
/** A rotation waits no longer for the last records of a file. */
const ROTATION_MS = 5000;

export class Records {
  readonly #deps: RecordsDeps;
  readonly #eventsDir: string;
  #publisher: Publisher | null = null;
  #uploader: Uploader | null = null;
  #acctFiles = new Map<string, AcctFileView>();

  constructor(deps: RecordsDeps) {
    this.#deps = deps;
    this.#eventsDir = path.join(deps.stateDir, 'sparkpost');
  }

  /** There is more in the journal. */
  notify(): void {
    this.#publisher?.notify();
  }

  /** Outcomes and event files not yet where they belong. */
  get backlog(): { outcomes: number; eventFiles: number } {
    return { outcomes: this.#publisher?.backlog ?? 0, eventFiles: this.#uploader?.pending() ?? 0 };
  }

  /**
   * Writes from now on as this configuration says. Outcomes wait in the journal meanwhile, and each view goes on from
   * its checkpoint, so none is lost or told twice by the change.
   */
  async apply(config: Config): Promise<void> {
    const { spool, counters, hostName, clock, log } = this.#deps;
    await this.#uploader?.close();
    await this.#publisher?.close();
    this.#uploader = null;
    this.#publisher = null;
    const tools = { clock, log: log.named('acct'), owner: spool.id };
    const views: OutcomeView[] = [counters];
    this.#acctFiles = new Map();
    for (const acct of config.acctFiles) {
      const view = acctFileView(config, acct, tools);
      views.push(view);
      if ('rotate' in view) this.#acctFiles.set(acct.target, view as AcctFileView);
    }
    await succeedAcctFiles(spool, views, tools.log);
    const files = { dir: this.#eventsDir, nodeName: hostName };
    const signalsView = signalsViewFromConfig(() => config, files, tools);
    if (signalsView) views.push(signalsView);
    this.#publisher = await startPublisher(spool, views, clock, log, REST_MS);
    // After the view: it may have to take lines back from a file that the uploader would take.
    if (config.signals) this.#uploader = this.#upload(config.signals);
  }

  /** Begins new accounting files (`pmta rotate acct`), or one, named as in the configuration; those that were. */
  async rotate(file: string | undefined): Promise<string[]> {
    const names = [...this.#acctFiles.keys()].filter((name) => file === undefined || name === file);
    const views = names.map((name) => this.#acctFiles.get(name)!);
    await Promise.all(views.map((view) => view.rotate()));
    // Also after a restart nothing is added to a file that was said to be complete.
    for (const view of views) this.#publisher?.save(view);
    // A script compresses the old file next: it should be complete, unless its disk is full.
    for (let waited = 0; waited < ROTATION_MS && views.some((view) => view.closing); waited += REST_MS) {
      await new Promise<void>((resolve) => this.#deps.clock.after(REST_MS, resolve));
    }
    return names;
  }

  /** Resolves when everything journaled so far is written; rejects after `withinMs`. */
  async drain(withinMs: number): Promise<void> {
    await this.#publisher?.drain(withinMs);
  }

  async close(): Promise<void> {
    await this.#publisher?.close();
    await this.#uploader?.close();
  }

  #upload(signals: NonNullable<Config['signals']>): Uploader {
    return startUploader({
      dir: this.#eventsDir,
      url: signals.get('upload-url'),
      apiKey: signals.get('api-key') ?? '',
      verbose: signals.get('log-verbose'),
      minFreeSpace: signals.get('min-free-space'),
      clock: this.#deps.clock,
      log: this.#deps.log,
    });
  }
}
