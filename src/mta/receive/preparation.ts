/** Makes what is stored and written down about a submission of what was decided about it. */
import type { Settings } from '../../config/index.ts';
import { messageIdBase } from '../../events/message-id.ts';
import type { MessageFacts, Outcome, Received } from '../../events/outcome.ts';
import type { Header } from '../../mail/header.ts';
import type { MaybeLater } from '../../smtp/index.ts';
import {
  type Envelope,
  type PendingRecipient,
  REFUSED_QUEUE,
  type StoredRecipient,
  type StoredTemplate,
} from '../../spool/stored-message.ts';
import type { Log } from '../../system/log.ts';
import type { Tracking, TrackingFlags } from '../deliver/tracking.ts';
import { messageIdOf, type ReferenceSigner } from '../inbound/reference.ts';
import { firstDelayNotice } from '../reports/delay-notices.ts';
import type { Placement } from '../route/placement.ts';
import type { ControlFacts } from './control-headers.ts';
import { asciiDomain, type Copy, type CopyQuestion, vmtaRewriteList } from './copies.ts';
import { rewriteFrom } from './from-rewriting.ts';
import { IncludedHeaders } from './included-headers.ts';
import { octets, type Template } from './merge-template.ts';
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

export interface PreparationDeps {
  readonly references: ReferenceSigner;
  /** Whether tracking would change this message: what its events say about open and click tracking. */
  readonly tracking: () => Tracking;
  /** Header names, lower case, that accounting columns ask for. */
  readonly headersWanted: () => ReadonlySet<string>;
  readonly hostName: string;
  readonly log: Log;
}

/** All that was decided about one submission. */
export interface Decision {
  readonly question: CopyQuestion;
  readonly copies: readonly Copy[];
  readonly control: ControlFacts;
  readonly spoolId: string;
  /** The first recipient's, whether its copy goes on or was a report for us. */
  readonly first: Copy;
  readonly placement: Placement;
}

/** What is stored and written down about a submission, once all of it is decided. */
export interface Prepared {
  readonly envelope: Envelope;
  readonly content: Buffer;
  readonly pending: readonly PendingRecipient[];
  readonly outcomes: readonly Outcome[];
}

export class Preparation {
  readonly #deps: PreparationDeps;
  readonly #included: IncludedHeaders;

  constructor(deps: PreparationDeps) {
    this.#deps = deps;
    this.#included = new IncludedHeaders(deps.log);
  }

  ordinary(decision: Decision, raw: Buffer): MaybeLater<Prepared> {
    const { question, copies, spoolId, first } = decision;
    const { submission, header, at } = question;
    const { config, source } = submission;
    // Reports whose recipients were all a processor's: nothing of the mail is stored, so nothing is made of it.
    if (copies.length === 0) {
      const facts = this.#facts(question, first, spoolId, raw.length);
      return this.#prepared(decision, { facts, recipients: [], content: raw, remove: [] });
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
    const remove = namesPresent(decision.control.remove, header, added);
    return this.#prepared(decision, { facts, recipients, content, remove });
  }

  merge(decision: Decision, template: Template): MaybeLater<Prepared> {
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
    // Each recipient's variables may bring any field.
    const { remove } = decision.control;
    return this.#prepared(decision, { facts, recipients, content, remove }, stored);
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
    made: {
      readonly facts: MessageFacts;
      readonly recipients: readonly StoredRecipient[];
      readonly content: Buffer;
      readonly remove: readonly string[];
    },
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
    readonly remove: readonly string[];
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
    removeHeaders: made.remove,
    ...control.atDelivery,
    suppressReports: source.get('suppress-local-dsn'),
    ...(template ? { template } : {}),
    ...(sender.verp || source.get('verp-default') ? { verp: true } : {}),
  };
  return { envelope, content, pending, outcomes };
}

/** Those of the names that the message has, or gets from us: a delivery need not look for the others in each message. */
function namesPresent(names: readonly string[], header: Header, added: readonly string[]): readonly string[] {
  if (header.truncated) return names;
  return names.filter((name) => {
    const ours = `${name.toLowerCase()}:`;
    return header.find(name) || added.some((field) => field.toLowerCase().startsWith(ours));
  });
}

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
