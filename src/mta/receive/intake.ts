/**
 * Takes a received message in: decides its VMTA, job and queue, adds what the configuration adds, stores it, and
 * hands its recipients to the scheduler. A 250 is answered only after the message and the record of its reception
 * are on disk together.
 */
import type { Settings } from '../../config/index.ts';
import { messageIdBase } from '../../events/message-id.ts';
import type { MessageFacts, Outcome, Received } from '../../events/outcome.ts';
import { domainToAscii } from '../../mail/address.ts';
import { dateHeader, editHeaders, Header, headerField, messageId } from '../../mail/header.ts';
import { decodeWords, firstAddress } from '../../mail/header-text.ts';
import { reply } from '../../smtp/index.ts';
import type { Spool } from '../../spool/spool.ts';
import type { Envelope, PendingRecipient } from '../../spool/stored-message.ts';
import type { Clock } from '../../system/clock.ts';
import type { Log } from '../../system/log.ts';
import type { Tracking } from '../deliver/tracking.ts';
import { messageIdOf, type ReferenceSigner } from '../inbound/reference.ts';
import type { ReportReader } from '../inbound/report-reader.ts';
import type { Placements } from '../route/placement.ts';
import type { PoolRotation } from '../route/pool-rotation.ts';
import { rewriteSender } from '../route/rewrite.ts';
import { chooseVmta } from '../route/vmta-choice.ts';
import { controlHeaders } from './control-headers.ts';
import { protocolWord, receivedHeader } from './received-header.ts';
import { qualified } from './recipient-rules.ts';
import {
  refused,
  type Submission,
  type SubmittedRecipient,
  type TakeMessage,
  type Verdict,
} from './submission.ts';

export interface IntakeDeps {
  readonly spool: Spool;
  readonly newSpoolId: () => string;
  readonly references: ReferenceSigner;
  readonly reports: ReportReader;
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

const LONGEST_SUBJECT = 998;

export function createIntake(deps: IntakeDeps): TakeMessage {
  return (submission) => takeMessage(deps, submission);
}

async function takeMessage(deps: IntakeDeps, submission: Submission): Promise<Verdict> {
  const { config, source, client, sender: given } = submission;
  const raw = submission.parts[0]!.content;
  const now = deps.clock.now();
  const header = new Header(raw);

  const hops = header.all('received').length;
  if (hops > source.get('max-message-hops')) {
    return refused(reply(554, '5.4.6', `routing loop: the message has passed ${hops} hosts`));
  }
  const control = controlHeaders(header, source, config);
  const recipients = submission.recipients.map((recipient) => ({
    ...recipient,
    address: qualified(recipient.address, config, source),
  }));
  const from = firstAddress(header.get('from') ?? '');
  const sender = rewriteSender(config, source, qualified(given.address, config, source));
  const choice = chooseVmta({
    config,
    source,
    header,
    sender,
    recipients,
    session: client,
    pools: deps.pools,
  });
  if ('code' in choice) return refused(choice);

  const spoolId = deps.newSpoolId();
  const ordinary: SubmittedRecipient[] = [];
  const outcomes: Outcome[] = [];
  for (const recipient of recipients) {
    const read = deps.reports.read(config, recipient.address, {
      raw,
      session: client,
      at: now,
      log: deps.log,
    });
    outcomes.push(...read.outcomes);
    if (read.deliver) ordinary.push(recipient);
  }

  const single = ordinary.length === 1;
  const base = messageIdBase(now);
  const added = addedHeaders(deps, submission, header, {
    now,
    id: deps.references.sign(spoolId, base, single),
    spoolId,
    recipient: single ? ordinary[0]!.address : '',
  });
  const stored =
    added.length > 0 ? editHeaders(raw, { prepend: added, remove: replaced(source) }) : Buffer.from(raw);
  const identity = header.get('sender') ?? header.get('from') ?? '';
  // What the events of the reception say. The delivery decides by the same rule for the queue it then goes through.
  const flagsOf = deps.tracking().flagsFor(config, { vmta: choice.vmta, sender, content: stored, source });
  const placement = deps.placements.begin(config, submission.origin);
  const queueOf = (address: string) => placement.queue(asciiDomain(address), choice.vmta);
  const tracking = (address: string) => flagsOf(queueOf(address).domain);

  const facts: MessageFacts = {
    spoolId,
    receivedAt: now,
    sender,
    from: from?.address ?? '',
    fromName: from?.name ?? '',
    senderDomain: asciiDomain(firstAddress(identity)?.address ?? ''),
    subject: decodeWords(header.get('subject') ?? '', LONGEST_SUBJECT),
    size: stored.length,
    source: submission.origin,
    heloName: client.heloName,
    clientIp: client.remoteAddress,
    localIp: client.localAddress,
    user: client.user ?? '',
    vmta: choice.vmta,
    pool: choice.pool,
    jobId: submission.jobId || control.jobId,
    envId: control.envId || given.envId,
    headers: wantedHeaders(header, deps.headersWanted()),
    customMessageId: control.customMessageId,
    subaccountId: control.subaccountId,
    ...(ordinary[0] ? tracking(ordinary[0].address) : flagsOf(asciiDomain(recipients[0]!.address))),
  };
  const envelope: Envelope = {
    facts,
    recipients: ordinary.map(({ address, originalRecipient, notify }) => ({
      address,
      originalRecipient,
      messageId: messageIdOf(base, address, single),
      notify,
    })),
    eightBit: given.eightBit,
    smtpUtf8: given.smtpUtf8,
    returnContent: given.returnContent,
    removeHeaders: control.remove,
    ...control.atDelivery,
    suppressReports: source.get('suppress-local-dsn'),
  };
  const pending = envelope.recipients.map(
    ({ address }, index): PendingRecipient => ({
      spoolId,
      index,
      ...queueOf(address),
      receivedAt: now,
      attempts: 0,
      holdUntil: 0,
      priority: choice.priority,
    }),
  );
  for (const { address, originalRecipient, messageId: id } of envelope.recipients) {
    const received: Received = {
      kind: 'received',
      at: now,
      message: { ...facts, ...tracking(address) },
      recipient: { address, originalRecipient, messageId: id },
    };
    outcomes.push(received);
  }
  try {
    await placement.counted();
    await deps.spool.store(envelope, stored, pending, outcomes, submission.claim);
  } catch (error) {
    placement.undo();
    throw error;
  }
  deps.onReceived(recipients.length, stored.length);
  deps.enqueue(pending);
  return { accepted: true, spoolId, reply: reply(250, '2.0.0', `message accepted, id ${spoolId}`) };
}

function addedHeaders(
  deps: IntakeDeps,
  { origin, source, client, sender }: Submission,
  header: Header,
  facts: { now: number; id: string; spoolId: string; recipient: string },
): string[] {
  const added: string[] = [];
  if (source.get('add-received-header')) {
    added.push(
      receivedHeader({
        heloName: client.heloName,
        clientIp: client.remoteAddress,
        hostName: deps.hostName,
        protocol:
          origin === 'smtp'
            ? protocolWord({
                esmtp: client.esmtp,
                tls: client.tls,
                auth: client.user !== null,
                utf8: sender.smtpUtf8,
              })
            : origin === 'http'
              ? 'HTTP'
              : 'pickup',
        id: facts.id,
        recipient: facts.recipient,
        at: facts.now,
        // A file has no client to name.
        hideSource: source.get('hide-message-source') || origin === 'pickup',
      }),
    );
  }
  if (source.get('add-message-id-header') && !header.find('message-id')) {
    added.push(headerField('Message-ID', messageId(facts.spoolId, deps.hostName)));
  }
  const date = source.get('date-header-time') === 'delivery' ? 'no' : source.get('add-date-header');
  if (date === 'override' || (date === 'yes' && !header.find('date'))) {
    added.push(headerField('Date', dateHeader(facts.now)));
  }
  return added;
}

/** `add-date-header override` at reception: the Date that the message came with goes. */
function replaced(source: Settings<'source'>): string[] {
  const now = source.get('date-header-time') === 'reception' && source.get('add-date-header') === 'override';
  return now ? ['Date'] : [];
}

function wantedHeaders(header: Header, wanted: ReadonlySet<string>): [string, string][] {
  if (wanted.size === 0) return [];
  const found: [string, string][] = [];
  for (const field of header.fields) {
    if (wanted.has(field.key)) found.push([field.name, header.value(field)]);
  }
  return found;
}

/** Domain of an address in A-labels and lower case; as it stands when it is no valid domain. */
export function asciiDomain(address: string): string {
  const domain = address.slice(address.lastIndexOf('@') + 1);
  return domainToAscii(domain) ?? domain.toLowerCase();
}
