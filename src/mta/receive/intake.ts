/**
 * Takes a received message in: decides its VMTA, job and queue, adds what the configuration adds, stores it, and
 * hands its recipients to the scheduler. A 250 is answered only after the message and the record of its reception
 * are on disk together.
 */
import type { Settings } from '../../config/index.ts';
import { messageIdBase } from '../../events/message-id.ts';
import type { MessageFacts, Outcome, Received } from '../../events/outcome.ts';
import { editHeaders, Header, headerField } from '../../mail/header.ts';
import { type MaybeLater, reply } from '../../smtp/index.ts';
import type { ReportMark } from '../../spool/sent-mail.ts';
import type { Spool } from '../../spool/spool.ts';
import {
  type Envelope,
  type PendingRecipient,
  REFUSED_QUEUE,
  type StoredRecipient,
  type StoredTemplate,
} from '../../spool/stored-message.ts';
import type { Clock } from '../../system/clock.ts';
import { type Log, printable } from '../../system/log.ts';
import type { Tracking, TrackingFlags } from '../deliver/tracking.ts';
import { FORWARDED_HEADER } from '../inbound/forwards.ts';
import { messageIdOf, type ReferenceSigner } from '../inbound/reference.ts';
import type { ReportReader } from '../inbound/report-reader.ts';
import { firstDelayNotice } from '../reports/delay-notices.ts';
import type { OwnMailMaker } from '../reports/own-mail.ts';
import type { Placement, Placements } from '../route/placement.ts';
import type { PoolRotation } from '../route/pool-rotation.ts';
import { aliasTargets } from './aliases.ts';
import type { ControlFacts } from './control-headers.ts';
import {
  asciiDomain,
  type Copy,
  type CopyQuestion,
  type Decided,
  decideCopies,
  vmtaRewriteList,
} from './copies.ts';
import { rewriteFrom } from './from-rewriting.ts';
import { hopsRefusal } from './hops.ts';
import { IncludedHeaders } from './included-headers.ts';
import { joinParts, octets, type Template } from './merge-template.ts';
import {
  type AdditionFacts,
  addedFields,
  MERGE_INCLUDED,
  MERGE_INDEX,
  MERGE_REFERENCE,
  replacedFields,
  templateHead,
  withAdditions,
} from './message-additions.ts';
import { refused, type Submission, type TakeMessage, type Verdict } from './submission.ts';

export interface IntakeDeps {
  readonly spool: Spool;
  readonly newSpoolId: () => string;
  readonly references: ReferenceSigner;
  readonly reports: ReportReader;
  /** Makes the copies of what the reader could not read. */
  readonly mail: OwnMailMaker;
  readonly pools: PoolRotation;
  /** Which queue each recipient joins. */
  readonly placements: Placements;
  /** Whether tracking would change this message: what its events say about open and click tracking. */
  readonly tracking: () => Tracking;
  /** Header names, lower case, that accounting columns ask for. */
  readonly headersWanted: () => ReadonlySet<string>;
  /** The message is stored: its recipients may be delivered. */
  readonly enqueue: (recipients: readonly PendingRecipient[]) => void;
  /** For the traffic figures. */
  readonly onReceived: (recipients: number, bytes: number) => void;
  readonly hostName: string;
  readonly clock: Clock;
  readonly log: Log;
}

export function createIntake(deps: IntakeDeps): TakeMessage {
  const intake = new Intake(deps);
  return (submission) => intake.take(submission);
}

/** What is stored and written down about a submission, once all of it is decided. */
interface Prepared {
  readonly envelope: Envelope;
  readonly content: Buffer;
  readonly pending: readonly PendingRecipient[];
  readonly outcomes: readonly Outcome[];
}

class Intake {
  readonly #deps: IntakeDeps;
  readonly #included: IncludedHeaders;

  constructor(deps: IntakeDeps) {
    this.#deps = deps;
    this.#included = new IncludedHeaders(deps.log);
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
      const preparing = template ? this.#prepareMerge(all, template) : this.#prepareOrdinary(all, header.raw);
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

  #prepareOrdinary(decision: Decision, raw: Buffer): MaybeLater<Prepared> {
    const { question, copies, spoolId, first } = decision;
    const { submission, header, at } = question;
    const { config, source } = submission;
    // Reports whose recipients were all a processor's: nothing of the mail is stored, so nothing is made of it.
    if (copies.length === 0) {
      const facts = this.#facts(question, first, spoolId, raw.length);
      return this.#prepared(decision, { facts, recipients: [], content: raw });
    }
    const single = copies.length === 1;
    const base = messageIdBase(at);
    const added = addedFields(submission, header, {
      at,
      hostName: this.#deps.hostName,
      spoolId,
      reference: this.#deps.references.sign(spoolId, base, single),
      recipient: single ? copies[0]!.address : '',
      included: this.#included.fieldsFor(config, first.facts.vmta),
    });
    const lists = [source.get('rewrite-list'), vmtaRewriteList(question, first.facts)];
    const content = withAdditions(rewriteFrom(raw, config, lists), added, replacedFields(submission));
    const facts = this.#facts(question, first, spoolId, content.length);
    const recipients = copies.map(
      (copy): StoredRecipient => ({
        address: copy.address,
        originalRecipient: copy.submitted.originalRecipient,
        messageId: messageIdOf(base, copy.address, single),
        notify: copy.submitted.notify,
        ...(copy.refusal ? { refusal: copy.refusal } : {}),
      }),
    );
    return this.#prepared(decision, { facts, recipients, content });
  }

  #prepareMerge(decision: Decision, template: Template): MaybeLater<Prepared> {
    const { question, copies, spoolId, first } = decision;
    const { submission, header, at } = question;
    const { config, source } = submission;
    const additions: AdditionFacts = {
      at,
      hostName: this.#deps.hostName,
      spoolId,
      reference: '',
      recipient: '',
      included: [],
    };
    const head = templateHead(submission, header, additions);
    // The header stands in the part that comes first.
    const [start, ...others] = template.parts.map((part) => template.raw.subarray(part.start, part.end));
    const edited = withAdditions(
      rewriteFrom(start!, config, [source.get('rewrite-list')]),
      [],
      replacedFields(submission),
    );
    const content = Buffer.concat([head, edited, ...others]);
    const moved = head.length + edited.length - start!.length;
    const parts = template.parts.map((part, i) => ({
      number: part.number,
      start: i === 0 ? head.length : part.start + moved,
      end: part.end + moved,
    }));
    const stored: StoredTemplate = { head: head.length, parts, expandUndefined: template.expandUndefined };
    const facts = this.#facts(question, first, spoolId, content.length);
    const recipients = copies.map((copy, index): StoredRecipient => {
      const messageId = messageIdBase(at);
      const included = this.#included.fieldsFor(config, copy.facts.vmta);
      return {
        address: copy.address,
        originalRecipient: copy.submitted.originalRecipient,
        messageId,
        notify: copy.submitted.notify,
        own: copy.facts,
        merge: {
          parts: copy.merge!.parts,
          values: [
            ...copy.merge!.values.filter(([name]) => name !== '*to'),
            ['*to', octets(copy.address)],
            [MERGE_REFERENCE, this.#deps.references.sign(spoolId, messageId, true)],
            [MERGE_INCLUDED, octets(included.join(''))],
            [MERGE_INDEX, String(index + 1)],
          ],
        },
        ...(copy.refusal ? { refusal: copy.refusal } : {}),
      };
    });
    return this.#prepared(decision, { facts, recipients, content }, stored);
  }

  #facts({ submission, header, at }: CopyQuestion, first: Copy, spoolId: string, size: number): MessageFacts {
    const { client } = submission;
    return {
      spoolId,
      receivedAt: at,
      ...first.facts,
      size,
      source: submission.origin,
      heloName: client.heloName,
      clientIp: client.remoteAddress,
      localIp: client.localAddress,
      user: client.user ?? '',
      headers: wantedHeaders(header, this.#deps.headersWanted()),
      openTracking: false,
      initialPixel: false,
      clickTracking: false,
    };
  }

  #prepared(
    decision: Decision,
    made: { facts: MessageFacts; recipients: readonly StoredRecipient[]; content: Buffer },
    template?: StoredTemplate,
  ): MaybeLater<Prepared> {
    const { question, copies, placement } = decision;
    const { config, source } = question.submission;
    const { recipients, content } = made;
    // What the events of the reception say. The delivery decides by the same rule for the queue it then goes through.
    const known = new Map<string, ReturnType<Tracking['flagsFor']>>();
    const flagsOf = ({ facts }: Copy, domain: string): MaybeLater<TrackingFlags> => {
      const key = `${facts.vmta} ${template ? facts.senderDomain : ''}`;
      let ofDomain = known.get(key);
      if (!ofDomain) {
        const { vmta, sender } = facts;
        ofDomain = this.#deps.tracking().flagsFor(config, { vmta, sender, content, source });
        if (known.size > MOST_FLAGS) known.clear();
        known.set(key, ofDomain);
      }
      return ofDomain(domain);
    };
    const flags: MaybeLater<TrackingFlags>[] = [];
    const later = new Set<Promise<TrackingFlags>>();
    const queues: { domain: string; vmta: string }[] = [];
    for (const [index, copy] of copies.entries()) {
      const domain = asciiDomain(recipients[index]!.address);
      const queue = copy.refusal
        ? { domain: REFUSED_QUEUE, vmta: copy.facts.vmta }
        : placement.queue(domain, copy.facts.vmta, template !== undefined);
      queues.push(queue);
      const tracked = flagsOf(copy, copy.refusal ? domain : queue.domain);
      if (tracked instanceof Promise) later.add(tracked);
      flags.push(tracked);
    }
    const all = { ...made, template, queues };
    // Most messages are not tracked, and are not kept waiting for anything.
    if (later.size === 0) return envelopeOf(decision, { ...all, flags: flags as TrackingFlags[] });
    return Promise.all(flags).then((found) => envelopeOf(decision, { ...all, flags: found }));
  }
}

/** Envelope, queue entries and records of a message that is about to be stored; a place in each list per recipient. */
function envelopeOf(
  { question: { submission }, control, copies }: Decision,
  made: {
    readonly facts: MessageFacts;
    readonly recipients: readonly StoredRecipient[];
    readonly content: Buffer;
    readonly template: StoredTemplate | undefined;
    readonly queues: readonly { domain: string; vmta: string }[];
    readonly flags: readonly TrackingFlags[];
  },
): Prepared {
  const { config, source, sender } = submission;
  const { recipients, content, template } = made;
  const { spoolId, receivedAt } = made.facts;
  const pending: PendingRecipient[] = [];
  const outcomes: Received[] = [];
  let facts: MessageFacts | null = null;
  for (const [index, copy] of copies.entries()) {
    const { address, originalRecipient, messageId } = recipients[index]!;
    const queue = made.queues[index]!;
    const message = { ...made.facts, ...copy.facts, ...made.flags[index]! };
    facts ??= message;
    outcomes.push({
      kind: 'received',
      at: receivedAt,
      message,
      recipient: { address, originalRecipient, messageId },
    });
    pending.push({
      spoolId,
      index,
      ...queue,
      receivedAt,
      attempts: 0,
      holdUntil: 0,
      priority: copy.priority,
      size: message.size,
      ...(copy.facts.jobId === '' ? {} : { job: copy.facts.jobId }),
      ...(copy.windows && !copy.refusal ? { windows: copy.windows } : {}),
      delayNoticeAt: firstDelayNotice(config, recipients[index]!, queue, receivedAt),
    });
  }
  const envelope: Envelope = {
    facts: facts ?? made.facts,
    recipients,
    eightBit: sender.eightBit,
    smtpUtf8: sender.smtpUtf8,
    returnContent: sender.returnContent,
    ...returnDefault(source),
    removeHeaders: control.remove,
    ...control.atDelivery,
    suppressReports: source.get('suppress-local-dsn'),
    ...(template ? { template } : {}),
    ...(sender.verp || source.get('verp-default') ? { verp: true } : {}),
  };
  return { envelope, content, pending, outcomes };
}

/** All that was decided about one submission. */
interface Decision {
  readonly question: CopyQuestion;
  readonly copies: readonly Copy[];
  readonly control: ControlFacts;
  readonly spoolId: string;
  /** The first recipient's, whether its copy goes on or was a report for us. */
  readonly first: Copy;
  readonly placement: Placement;
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

/** VMTAs and sender domains whose tracking is remembered while one submission is taken. */
const MOST_FLAGS = 100;

/** `dsn-return-default`: for our own reports; no host that we send to is asked for what the submitter did not ask. */
function returnDefault(source: Settings<'source'>): Pick<Envelope, 'returnDefault'> {
  const given = source.get('dsn-return-default');
  return given === 'system' ? {} : { returnDefault: given };
}

function wantedHeaders(header: Header, wanted: ReadonlySet<string>): [string, string][] {
  if (wanted.size === 0) return [];
  const found: [string, string][] = [];
  for (const field of header.fields) {
    if (wanted.has(field.key)) found.push([field.name, header.value(field)]);
  }
  return found;
}
