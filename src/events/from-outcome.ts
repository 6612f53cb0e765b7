import { createHash } from 'node:crypto';
import { bounceClassOf, replyParts } from './bounce-class.ts';
import { maskedReason, withoutRecipient } from './mask.ts';
import type {
  AttemptFacts,
  Bounced,
  Complaint,
  Deferred,
  Delivered,
  MatchedMessage,
  MessageFacts,
  Outcome,
  Received,
  RecipientFacts,
  RemoteBounce,
  StatusFacts,
} from './outcome.ts';

export interface EventOptions {
  /** Id of the event from the outcome's sequence number; see `eventIds`. */
  readonly eventId: (seq: number) => string;
  /** Host name of this MTA. */
  readonly nodeName: string;
  /** Subaccount that the events belong to; 0 is the main account. */
  readonly subaccount: number;
  /** `sha1`: the recipient leaves this host only as a hash, and diagnostics without it. */
  readonly privacy: 'retain' | 'sha1';
  /** Source address of a VMTA that has just one; '' if unknown. Receptions have no attempt to take it from. */
  readonly sendingIp?: (vmta: string) => string;
}

/** An ingest line: `{"msys":{"message_event":{…}}}`. */
export interface EventLine {
  readonly msys: { readonly message_event: Readonly<Record<string, string | number | boolean>> };
}

type Fields = Record<string, string | number | boolean>;

/** Longest diagnostic that goes along; a reply may be as long as its sender likes. */
const LONGEST_REASON = 4000;

/**
 * The event that an outcome is to Signals, `null` if it is none: failures of a whole queue concern nobody, relay
 * and delay reports have no event, and a report that matches no message of ours says nothing about anybody.
 */
export function eventOf(outcome: Outcome, seq: number, options: EventOptions): EventLine | null {
  const fields = fieldsOf(outcome, options);
  if (!fields) return null;
  const event: Fields = {
    type: fields.type ?? '',
    event_id: options.eventId(seq),
    timestamp: String(Math.floor(outcome.at / 1000)),
  };
  for (const [name, value] of Object.entries(fields)) {
    if (value !== '') event[name] = typeof value === 'string' ? value.toWellFormed() : value;
  }
  if (options.subaccount > 0) event.subaccount_id = options.subaccount;
  if (options.nodeName !== '') event.node_name = options.nodeName;
  return { msys: { message_event: event } };
}

function fieldsOf(outcome: Outcome, options: EventOptions): Fields | null {
  switch (outcome.kind) {
    case 'received':
      return received(outcome, options);
    case 'delivered':
      return delivered(outcome, options);
    case 'bounced':
      return bounced(outcome, options);
    case 'deferred':
      return deferred(outcome, options);
    case 'remote-bounce':
      return outcome.matched && remoteBounce(outcome, outcome.matched, options);
    case 'complaint':
      return outcome.matched && complaint(outcome, outcome.matched, options);
    case 'queue-deferred':
    case 'remote-status':
      return null;
  }
}

function received(outcome: Received, options: EventOptions): Fields {
  const { vmta } = outcome.message;
  return {
    type: 'reception',
    ...ofMessage(outcome.message, outcome.recipient, options),
    binding: vmta,
    binding_group: outcome.message.pool,
    sending_ip: options.sendingIp?.(vmta) ?? '',
  };
}

function delivered(outcome: Delivered, options: EventOptions): Fields {
  return {
    type: 'delivery',
    ...ofMessage(outcome.message, outcome.recipient, options),
    ...ofAttempt(outcome.attempt, outcome.message, options),
    ...waited(outcome, outcome.attempt.retries),
    outbound_tls: outcome.attempt.tlsProtocol === '' ? '0' : '1',
  };
}

function deferred(outcome: Deferred, options: EventOptions): Fields {
  return {
    type: 'tempfail',
    ...ofMessage(outcome.message, outcome.recipient, options),
    ...ofAttempt(outcome.attempt, outcome.message, options),
    ...waited(outcome, outcome.attempt.retries),
    outbound_tls: outcome.attempt.tlsProtocol === '' ? '0' : '1',
    ...ofFailure(outcome.result, outcome.recipient.address, options),
  };
}

function bounced(outcome: Bounced, options: EventOptions): Fields {
  const { message } = outcome;
  // The queue that it waited in at last: a cold VMTA or a reroute may have had it.
  const vmta = outcome.queue.slice(outcome.queue.lastIndexOf('/') + 1);
  const attempt = outcome.attempt
    ? ofAttempt(outcome.attempt, message, options)
    : {
        binding: vmta,
        binding_group: message.pool,
        sending_ip: options.sendingIp?.(vmta) ?? '',
      };
  return {
    type: 'inband',
    ...ofMessage(message, outcome.recipient, options),
    ...attempt,
    ...waited(outcome, outcome.retries),
    ...ofFailure(outcome.result, outcome.recipient.address, options),
  };
}

function remoteBounce(outcome: RemoteBounce, matched: MatchedMessage, options: EventOptions): Fields {
  return {
    type: 'outofband',
    ...ofMatched(matched, options),
    delv_method: 'esmtp',
    ...ofFailure(outcome.result, matched.recipient, options),
  };
}

function complaint(outcome: Complaint, matched: MatchedMessage, options: EventOptions): Fields {
  return {
    type: 'feedback',
    ...ofMatched(matched, options),
    delv_method: 'esmtp',
    fbtype: outcome.feedbackType.toLowerCase().slice(0, 64) || 'abuse',
    report_by: (outcome.reportingMta || outcome.userAgent).slice(0, 255),
    report_to: outcome.sentTo,
  };
}

function ofMessage(message: MessageFacts, recipient: RecipientFacts, options: EventOptions): Fields {
  const secret = options.privacy === 'sha1' ? recipient.address : null;
  const hide = (text: string) => (secret === null ? text : withoutRecipient(text, secret));
  return {
    message_id: recipient.messageId,
    custom_message_id: message.customMessageId,
    ...ofRecipient(recipient.address, options),
    msg_from: hide(message.sender),
    friendly_from: message.from,
    friendly_name: message.fromName,
    subject: hide(message.subject),
    campaign_id: message.jobId,
    msg_size: String(message.size),
    recv_method: receivedBy[message.source],
    open_tracking: message.openTracking,
    initial_pixel: message.initialPixel,
    click_tracking: message.clickTracking,
    msg_spoolname: message.spoolId,
    ...(message.senderDomain === '' ? {} : { sending_domain: message.senderDomain.toLowerCase() }),
  };
}

function ofMatched(matched: MatchedMessage, options: EventOptions): Fields {
  return {
    message_id: matched.messageId,
    custom_message_id: matched.customMessageId ?? '',
    ...ofRecipient(matched.recipient, options),
    msg_from:
      options.privacy === 'sha1' ? withoutRecipient(matched.sender, matched.recipient) : matched.sender,
    friendly_from: matched.from,
    sending_domain: matched.senderDomain.toLowerCase(),
    campaign_id: matched.jobId,
    binding: matched.vmta,
    binding_group: matched.pool,
    sending_ip: matched.sendingIp,
  };
}

function ofRecipient(address: string, options: EventOptions): Fields {
  const lower = address.toLowerCase();
  const domain = lower.slice(lower.lastIndexOf('@') + 1);
  if (options.privacy === 'sha1') {
    return {
      rcpt_hash: createHash('sha1').update(lower).digest('hex'),
      rcpt_domain: domain,
      routing_domain: domain,
    };
  }
  return { rcpt_to: lower, raw_rcpt_to: address === lower ? '' : address, routing_domain: domain };
}

function ofAttempt(attempt: AttemptFacts, message: MessageFacts, options: EventOptions): Fields {
  // An attempt that ended before it had a connection is bound to no address.
  const bound = attempt.sourceIp !== '' && attempt.sourceIp !== '0.0.0.0';
  return {
    binding: attempt.vmta,
    binding_group: message.pool,
    sending_ip: bound ? attempt.sourceIp : (options.sendingIp?.(attempt.vmta) ?? ''),
    ip_address: attempt.destinationIp,
    delv_method:
      attempt.transport === 'smtp' ? (attempt.esmtp.length > 0 ? 'esmtp' : 'smtp') : attempt.transport,
  };
}

function waited(outcome: { readonly at: number; readonly message: MessageFacts }, retries: number): Fields {
  return {
    num_retries: String(retries),
    queue_time: String(Math.max(0, Math.round(outcome.at - outcome.message.receivedAt))),
  };
}

function ofFailure(result: StatusFacts, recipient: string, options: EventOptions): Fields {
  const reply = result.diagnostic.replace(/^\s*[\w-]{1,20}\s*;\s*/, '');
  const own = `${result.status} ${result.statusText}`.trim();
  const raw = (reply || own || 'unknown').slice(0, LONGEST_REASON);
  const shown = options.privacy === 'sha1' ? withoutRecipient(raw, recipient) : raw;
  const code = replyParts(result.diagnostic).code;
  return {
    bounce_class: String(result.bounceClass || bounceClassOf(result).code || 1),
    error_code: code > 0 ? String(code) : '',
    reason: maskedReason(shown),
    raw_reason: shown,
  };
}

const receivedBy: Readonly<Record<MessageFacts['source'], string>> = {
  smtp: 'esmtp',
  api: 'rest',
  http: 'rest',
  pickup: 'smtp',
};
