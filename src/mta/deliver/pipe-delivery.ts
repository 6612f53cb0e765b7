/** `type pipe`: one process per recipient with the message on its standard input (guide sections 3.3.10.97, 7.3). */
import type { Config } from '../../config/index.ts';
import { pipeExit } from '../accounting/dsn-text.ts';
import type { ConnectionGrant } from '../queue/scheduler.ts';
import { noAttempt } from './attempt.ts';
import { expandArguments, splitCommand } from './command-line.ts';
import type { Transport } from './delivery.ts';
import { macrosOf } from './macros.ts';
import { Programs } from './run-program.ts';
import { localStatus } from './status.ts';
import type { RecipientResult } from './transaction.ts';
import { type Handover, type Job, type WorkLoopDeps, workThrough } from './work-loop.ts';

export class PipeDelivery implements Transport {
  readonly #deps: WorkLoopDeps;
  readonly #programs: Programs;

  constructor(deps: WorkLoopDeps) {
    this.#deps = deps;
    this.#programs = new Programs(deps.clock);
  }

  /** Kills the programs that still run; their recipients are tried again. */
  stop(): void {
    this.#programs.killAll();
  }

  async run(grant: ConnectionGrant, config: Config): Promise<void> {
    const { queue } = grant;
    const attempt = noAttempt(queue, config.vmtas.get(queue.vmta.toLowerCase())!, 'pipe');
    await workThrough(this.#deps, grant, config, {
      attempt,
      // One process is one recipient: what one of them meets says nothing about the others.
      atMost: 1,
      action: 'delivered',
      handOver: async (job): Promise<Handover> => {
        const result = await this.#deliver(job);
        if (result.kind === 'unusable') {
          const status = localStatus('4.3.5', 'system incorrectly configured', config);
          return { attempt, tried: [], queueFailure: { status, error: result.error } };
        }
        return { attempt, tried: [{ item: job.items[0]!, result }] };
      },
    });
  }

  async #deliver(job: Job): Promise<RecipientResult | { kind: 'unusable'; error: string }> {
    const { settings, config, envelope, items, queue } = job;
    const { clock, log } = this.#deps;
    const line = settings.get('command') ?? '';
    const words = splitCommand(line);
    const origin = settings.origin('command');
    const where = origin ? ` (${origin.file}:${origin.line})` : '';
    if (!words)
      return { kind: 'unusable', error: `command ${JSON.stringify(line)}${where} names no program` };
    const { index } = items[0]!;
    const args = expandArguments(words, macrosOf(job, index, clock.now()));
    if (!args) {
      return { kind: 'refused', status: localStatus('5.5.4', 'invalid command arguments', config) };
    }
    const end = await this.#programs.run({
      program: args[0]!,
      args: args.slice(1),
      input: job.content,
      inputTimeoutMs: settings.get('data-send-timeout'),
      endTimeoutMs: settings.get('smtp-data-termination-timeout'),
    });
    if (end.kind === 'not-started') {
      return { kind: 'unusable', error: `command ${JSON.stringify(words[0])}${where}: ${end.error}` };
    }
    const exit = pipeExit(end.kind === 'exited' ? end.code : null);
    if (exit.action !== 'delivered' || end.output !== '') {
      const how = end.kind === 'exited' ? `exit code ${end.code}` : end.why;
      log.info(`${queue.name}: ${words[0]}: ${how}${end.output === '' ? '' : `: ${end.output}`}`, {
        id: envelope.facts.spoolId,
        recipient: envelope.recipients[index]!.address,
      });
    }
    const status = localStatus(exit.status, exit.text, config);
    if (exit.action === 'delivered') return { kind: 'delivered', status };
    return { kind: exit.action === 'bounce' ? 'refused' : 'deferred', status };
  }
}
