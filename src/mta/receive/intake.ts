import type { Outcome } from '../../events/outcome.ts';
import { editHeaders, Header, headerField } from '../../mail/header.ts';
import { reply } from '../../smtp/index.ts';
import type { ReportMark } from '../../spool/sent-mail.ts';
import type { Spool } from '../../spool/spool.ts';
import type { PendingRecipient } from '../../spool/stored-message.ts';
import type { Clock } from '../../system/clock.ts';
import { printable } from '../../system/log.ts';
import { FORWARDED_HEADER } from '../inbound/forwards.ts';
import type { ReportReader } from '../inbound/report-reader.ts';
import type { OwnMailMaker } from '../reports/own-mail.ts';
import type { Placements } from '../route/placement.ts';
import type { PoolRotation } from '../route/pool-rotation.ts';
import { aliasTargets } from './aliases.ts';
import { type Copy, type CopyQuestion, type Decided, decideCopies } from './copies.ts';
import { hopsRefusal } from './hops.ts';
import { joinParts, type Template } from './merge-template.ts';
import { Preparation, type PreparationDeps, type Prepared } from './preparation.ts';
import { refused, type Submission, type TakeMessage, type Verdict } from './submission.ts';

export interface IntakeDeps extends PreparationDeps {
  readonly spool: Spool;
  readonly newSpoolId: () => string;
  readonly reports: ReportReader;
  /** Makes the copies of what the reader could not read. */
  readonly mail: OwnMailMaker;
  readonly pools: PoolRotation;
  /** Which queue each recipient joins. */
  readonly placements: Placements;
  /** The message is stored: its recipients may be delivered. */
  readonly enqueue: (recipients: readonly PendingRecipient[]) => void;
  /** For the traffic figures. */
  readonly onReceived: (recipients: number, bytes: number) => void;
  readonly clock: Clock;
}

export function createIntake(deps: IntakeDeps): TakeMessage {
  const intake = new Intake(deps);
  return (submission) => intake.take(submission);
}

class Intake {
  readonly #deps: IntakeDeps;
  readonly #preparation: Preparation;

  constructor(deps: IntakeDeps) {
    this.#deps = deps;
    this.#preparation = new Preparation(deps);
  }

  async take(submission: Submission): Promise<Verdict> {
    const { clock, pools, log } = this.#deps;
    const { config, source, client } = submission;
    const at = clock.now();
    const template = submission.merge
      ? joinParts(submission.parts, config.global.get('mailmerge-expands-undefined-variables'))
      : null;
    const raw = template ? template.raw : submission.parts[0]!.content;
    const header = new Header(raw);
    const looping = hopsRefusal(header, source);
    if (looping) return refused(looping);
    const question: CopyQuestion = { submission, header, template, pools, at };
    // What need not wait does not: each wait costs every message a turn of the queue of promises.
    const deciding = decideCopies(question);
    const decided = deciding instanceof Promise ? await deciding : deciding;
    if ('code' in decided) return refused(decided);
    const { control } = decided;
    if (control.subaccountFault !== '') {
      log.warn('X-SP-Subaccount-Id names no subaccount; the configured one counts', {
        client: client.remoteAddress,
        value: control.subaccountFault,
      });
    }
    const returned =
      template || !this.#mayBeReport(decided.copies, submission)
        ? { ...NO_REPORT, remaining: decided.copies }
        : await this.#withoutReports(decided.copies, raw, submission, at);
    try {
      return await this.#store(question, template, decided, returned);
    } finally {
      this.#deps.reports.finished(returned.reported);
    }
  }

  async #store(
    question: CopyQuestion,
    template: Template | null,
    decided: DecidedCopies,
    returned: Returned,
  ): Promise<Verdict> {
    const { spool, onReceived, enqueue } = this.#deps;
    const { submission, header } = question;
    const { config } = submission;
    const { control } = decided;
    const spoolId = this.#deps.newSpoolId();
    const copies = this.#expanded(returned.remaining, submission);
    const placement = this.#deps.placements.begin(config, submission.origin);
    const all = { question, copies, control, spoolId, first: decided.copies[0]!, placement };
    const forwarded = this.#forwarded(returned, header.raw);
    let prepared: Prepared;
    try {
      const preparing = template
        ? this.#preparation.merge(all, template)
        : this.#preparation.ordinary(all, header.raw);
      prepared = preparing instanceof Promise ? await preparing : preparing;
      const { envelope, content, pending, outcomes } = prepared;
      if (placement.counts) await placement.counted();
      await spool.store(
        envelope,
        content,
        pending,
        returned.outcomes.length + forwarded.length === 0
          ? outcomes
          : [...returned.outcomes, ...outcomes, ...forwarded.flatMap((made) => made.outcomes)],
        submission.claim,
        { created: forwarded.map(({ message }) => message), reported: returned.reported },
      );
    } catch (error) {
      placement.undo();
      throw error;
    }
    const { content, pending } = prepared;
    onReceived(decided.copies.length, content.length);
    enqueue(
      forwarded.length === 0
        ? pending
        : [...pending, ...forwarded.flatMap(({ message }) => message.recipients)],
    );
    return { accepted: true, spoolId, reply: reply(250, '2.0.0', `message accepted, id ${spoolId}`) };
  }

  #mayBeReport(copies: readonly Copy[], { config }: Submission): boolean {
    const { reports } = this.#deps;
    return copies.some(({ address, refusal }) => !refusal && reports.examines(config, address));
  }

  /** Takes reports about mail of ours out of the flow, as their processors are told to. */
  async #withoutReports(
    copies: readonly Copy[],
    raw: Buffer,
    { config, client }: Submission,
    at: number,
  ): Promise<Returned> {
    const { reports, log } = this.#deps;
    const arrival = { raw, session: client, at, addresses: copies.length, log };
    const outcomes: Outcome[] = [];
    const reported: ReportMark[] = [];
    const remaining: Copy[] = [];
    let forward: Returned['forward'] = null;
    for (const copy of copies) {
      if (copy.refusal || !reports.examines(config, copy.address)) {
        remaining.push(copy);
        continue;
      }
      // Nobody is told what becomes of mail to a processor: whoever sends reports may give any sender.
      const unanswered = { ...copy, submitted: { ...copy.submitted, notify: ['never' as const] } };
      // What the same report says to yet another address nobody needs; its mail goes on to whoever reads it.
      if (outcomes.length >= MOST_REPORTED) {
        remaining.push(unanswered);
        continue;
      }
      const read = await reports.read(config, copy.address, arrival);
      outcomes.push(...read.outcomes);
      reported.push(...read.reported);
      if (read.forwardTo.length > 0) forward ??= { to: read.forwardTo, sentTo: copy.address, copy };
      if (read.deliver) remaining.push(unanswered);
    }
    return { remaining, outcomes, reported, forward };
  }

  /** The copy of a report that could not be read, for people: the mail as it came, under a field that says whence. */
  #forwarded({ forward }: Returned, raw: Buffer): ReturnType<OwnMailMaker['make']>[] {
    if (!forward) return [];
    const { mail } = this.#deps;
    const { to, sentTo, copy } = forward;
    const field = headerField(FORWARDED_HEADER, printable(sentTo).slice(0, 900));
    return [
      mail.make({
        spoolId: mail.newSpoolId(),
        sender: '',
        recipients: to,
        content: editHeaders(raw, { prepend: [field] }),
        vmta: copy.facts.vmta,
      }),
    ];
  }

  /** Aliases, and the copy for `bcc`: after the VMTA was chosen, so that all of them go the same way. */
  #expanded(copies: readonly Copy[], { config, source, merge }: Submission): Copy[] {
    const expanded: Copy[] = [];
    for (const copy of copies) {
      if (copy.refusal) expanded.push(copy);
      else for (const address of aliasTargets(config, copy.address)) expanded.push({ ...copy, address });
    }
    const bcc = source.get('bcc');
    if (!bcc) return expanded;
    const addressed = new Set(expanded.map(({ address }) => address.toLowerCase()));
    const originals = merge ? expanded.filter(({ refusal }) => !refusal) : expanded.slice(0, 1);
    if (addressed.has(bcc.toLowerCase())) return expanded;
    for (const copy of originals) {
      // Nobody has asked for reports about this copy.
      const submitted = { ...copy.submitted, notify: ['never' as const], originalRecipient: '' };
      expanded.push({ ...copy, submitted, address: bcc, refusal: null });
    }
    return expanded;
  }
}

/** What is left of a submission when the reports in it are read. */
interface Returned {
  readonly remaining: readonly Copy[];
  readonly outcomes: readonly Outcome[];
  readonly reported: readonly ReportMark[];
  readonly forward: { readonly to: readonly string[]; readonly sentTo: string; readonly copy: Copy } | null;
}

const NO_REPORT = { outcomes: [], reported: [], forward: null };

type DecidedCopies = Extract<Decided, { readonly copies: unknown }>;

/** Outcomes of one mail's report, after which no further address of a processor has it examined. */
const MOST_REPORTED = 10_000;
