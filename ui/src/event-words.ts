/** The vocabulary of events: types, bounce classes, fields; each with a label and what it means. */

export type Tone = 'good' | 'bad' | 'warn' | 'plain';

export interface EventType {
  readonly type: string;
  readonly label: string;
  readonly group: 'Sending' | 'Engagement' | 'Feedback' | 'Generation';
  readonly tone: Tone;
  /** Place in the life of a message, for events of the same second. */
  readonly rank: number;
}

export const eventTypes: readonly EventType[] = [
  { type: 'injection', label: 'Injection', group: 'Sending', tone: 'plain', rank: 10 },
  { type: 'delay', label: 'Delay', group: 'Sending', tone: 'warn', rank: 20 },
  { type: 'delivery', label: 'Delivery', group: 'Sending', tone: 'good', rank: 30 },
  { type: 'bounce', label: 'Bounce', group: 'Sending', tone: 'bad', rank: 30 },
  { type: 'policy_rejection', label: 'Policy rejection', group: 'Sending', tone: 'bad', rank: 5 },
  { type: 'out_of_band', label: 'Out-of-band bounce', group: 'Sending', tone: 'bad', rank: 80 },
  { type: 'initial_open', label: 'Initial open', group: 'Engagement', tone: 'plain', rank: 40 },
  { type: 'open', label: 'Open', group: 'Engagement', tone: 'plain', rank: 41 },
  { type: 'click', label: 'Click', group: 'Engagement', tone: 'plain', rank: 50 },
  { type: 'amp_initial_open', label: 'AMP initial open', group: 'Engagement', tone: 'plain', rank: 42 },
  { type: 'amp_open', label: 'AMP open', group: 'Engagement', tone: 'plain', rank: 43 },
  { type: 'amp_click', label: 'AMP click', group: 'Engagement', tone: 'plain', rank: 51 },
  { type: 'spam_complaint', label: 'Spam complaint', group: 'Feedback', tone: 'bad', rank: 70 },
  { type: 'list_unsubscribe', label: 'List unsubscribe', group: 'Feedback', tone: 'warn', rank: 60 },
  { type: 'link_unsubscribe', label: 'Link unsubscribe', group: 'Feedback', tone: 'warn', rank: 61 },
  { type: 'generation_failure', label: 'Generation failure', group: 'Generation', tone: 'bad', rank: 1 },
  { type: 'generation_rejection', label: 'Generation rejection', group: 'Generation', tone: 'bad', rank: 2 },
];

const typesByName: ReadonlyMap<string, EventType> = new Map(eventTypes.map((t) => [t.type, t]));

/** What is known about a type; one that is not in the vocabulary keeps its own name. */
export function eventType(type: string): EventType {
  return typesByName.get(type) ?? { type, label: type, group: 'Sending', tone: 'plain', rank: 90 };
}

export function isEventType(type: string): boolean {
  return typesByName.has(type);
}

export interface BounceClass {
  readonly code: number;
  readonly name: string;
  readonly category: 'Hard' | 'Soft' | 'Block' | 'Admin' | 'Undetermined';
}

export const bounceClasses: readonly BounceClass[] = [
  { code: 1, name: 'Undetermined', category: 'Undetermined' },
  { code: 10, name: 'Invalid recipient', category: 'Hard' },
  { code: 20, name: 'Soft bounce', category: 'Soft' },
  { code: 21, name: 'DNS failure', category: 'Soft' },
  { code: 22, name: 'Mailbox full', category: 'Soft' },
  { code: 23, name: 'Too large', category: 'Soft' },
  { code: 24, name: 'Timeout', category: 'Soft' },
  { code: 25, name: 'Admin failure', category: 'Admin' },
  { code: 30, name: 'Generic bounce: no recipient', category: 'Hard' },
  { code: 40, name: 'Generic bounce', category: 'Soft' },
  { code: 50, name: 'Mail block', category: 'Block' },
  { code: 51, name: 'Spam block', category: 'Block' },
  { code: 52, name: 'Spam content', category: 'Block' },
  { code: 53, name: 'Prohibited attachment', category: 'Block' },
  { code: 54, name: 'Relaying denied', category: 'Block' },
  { code: 60, name: 'Auto-reply', category: 'Soft' },
  { code: 70, name: 'Transient failure', category: 'Soft' },
  { code: 80, name: 'Subscribe', category: 'Admin' },
  { code: 90, name: 'Unsubscribe', category: 'Hard' },
  { code: 100, name: 'Challenge-response', category: 'Soft' },
];

/** A class in words: `10 · Invalid recipient (hard)`; the bare code when it is not in the table. */
export function bounceClassName(code: string): string {
  const found = bounceClasses.find((c) => String(c.code) === code);
  return found ? `${found.code} · ${found.name} (${found.category.toLowerCase()})` : code;
}

export type FieldGroup = 'Message' | 'Recipient' | 'Route' | 'Remote' | 'Result' | 'Engagement' | 'Identity';

export const fieldGroups: readonly FieldGroup[] = [
  'Result',
  'Message',
  'Recipient',
  'Route',
  'Remote',
  'Engagement',
  'Identity',
];

export interface Field {
  readonly name: string;
  readonly label: string;
  readonly group: FieldGroup;
  readonly meaning: string;
}

function field(group: FieldGroup, name: string, label: string, meaning: string): Field {
  return { name, label, group, meaning };
}

const fields: readonly Field[] = [
  field('Result', 'type', 'Type', 'What happened.'),
  field('Result', 'timestamp', 'Time', 'When it happened.'),
  field('Result', 'bounce_class', 'Bounce class', 'Kind of failure, by the class table.'),
  field('Result', 'error_code', 'Reply code', 'SMTP reply code of the failure.'),
  field(
    'Result',
    'reason',
    'Reason',
    'Text of the failure with its variable parts masked, so that equal failures group.',
  ),
  field('Result', 'raw_reason', 'Reason, as received', 'Text of the failure exactly as it came.'),
  field('Result', 'num_retries', 'Earlier attempts', 'Attempts that failed before this one; 0 on the first.'),
  field('Result', 'queue_time', 'Time in queue', 'From injection to this attempt.'),
  field('Result', 'fbtype', 'Complaint type', 'Feedback type of the report, as in RFC 5965.'),
  field('Result', 'report_by', 'Reported by', 'Who sent the complaint report.'),
  field('Result', 'report_to', 'Reported to', 'Where the complaint report was sent.'),
  field('Message', 'subject', 'Subject', 'Subject header of the message.'),
  field('Message', 'friendly_from', 'From', 'Address in the From header.'),
  field('Message', 'msg_from', 'Envelope sender', 'Address of MAIL FROM.'),
  field('Message', 'sending_domain', 'Sending domain', 'Domain of the From header.'),
  field('Message', 'campaign_id', 'Campaign', 'Campaign; a PowerMTA job.'),
  field('Message', 'template_id', 'Template', 'Template that the message was made from.'),
  field('Message', 'template_version', 'Template version', 'Version of that template.'),
  field('Message', 'msg_size', 'Size', 'Bytes of the message.'),
  field('Message', 'injection_time', 'Injected', 'When the message was taken in.'),
  field('Message', 'transactional', 'Transactional', 'Marked as transactional by its sender.'),
  field('Message', 'open_tracking', 'Open tracking', 'The message carries a tracking image.'),
  field('Message', 'click_tracking', 'Click tracking', 'Links of the message are tracked.'),
  field('Message', 'initial_pixel', 'Top image', 'A tracking image stands at the top as well.'),
  field('Message', 'amp_enabled', 'AMP part', 'The message has an AMP part.'),
  field('Message', 'ab_test_id', 'A/B test', 'Test that the message is part of.'),
  field('Message', 'ab_test_version', 'A/B version', 'Its version in that test.'),
  field('Recipient', 'rcpt_to', 'Recipient', 'Envelope recipient in lower case.'),
  field('Recipient', 'raw_rcpt_to', 'Recipient, as given', 'Envelope recipient with its own letter case.'),
  field(
    'Recipient',
    'rcpt_hash',
    'Recipient, hashed',
    'Stands for an address that the sender keeps to itself.',
  ),
  field('Recipient', 'recipient_domain', 'Recipient domain', 'Domain of the recipient.'),
  field('Recipient', 'rcpt_type', 'Recipient type', 'Set for copies: cc, bcc or archive.'),
  field('Recipient', 'rcpt_tags', 'Recipient tags', 'Labels attached to the recipient.'),
  field('Recipient', 'rcpt_meta', 'Recipient data', 'Free data attached to the recipient.'),
  field('Recipient', 'rcpt_subs', 'Substitution data', 'Values used when the message was made.'),
  field('Recipient', 'mailbox_provider', 'Mailbox provider', 'Provider that hosts the domain.'),
  field('Recipient', 'mailbox_provider_region', 'Provider region', 'Region of that provider.'),
  field('Route', 'subaccount_id', 'Subaccount', 'Subaccount that sent it; 0 is the primary account.'),
  field('Route', 'ip_pool', 'IP pool', 'Pool of the sending address; a VirtualMTA pool.'),
  field('Route', 'sending_ip', 'Sending IP', 'Address it was sent from, or the name of the binding.'),
  field('Route', 'routing_domain', 'Routing domain', 'Domain that the MTA routed to.'),
  field('Route', 'recv_method', 'Received by', 'How the message came in.'),
  field('Route', 'delv_method', 'Delivered by', 'How it left.'),
  field(
    'Remote',
    'ip_address',
    'Remote address',
    'The other side: a mail host, or the reader’s client on opens and clicks.',
  ),
  field('Remote', 'remote_addr', 'Submitted from', 'Address of the host that submitted the message.'),
  field('Remote', 'outbound_tls', 'TLS', 'Whether the delivery session was encrypted.'),
  field('Engagement', 'target_link_url', 'Link', 'Where the followed link leads.'),
  field('Engagement', 'target_link_name', 'Link name', 'Name given to the link in the message.'),
  field('Engagement', 'user_agent', 'User agent', 'What the client says it is.'),
  field('Engagement', 'user_agent_parsed', 'User agent, read', 'The same, taken apart.'),
  field(
    'Engagement',
    'engagement_class',
    'Judged as',
    'Whether a person or a machine seems to have done it.',
  ),
  field('Engagement', 'geo_ip', 'Place', 'Where the client’s address is registered.'),
  field('Engagement', 'mailfrom', 'Unsubscribe sender', 'Envelope sender of the unsubscribe mail.'),
  field('Identity', 'message_id', 'Message id', 'Shared by all events of one message.'),
  field('Identity', 'event_id', 'Event id', 'Names this event alone.'),
  field('Identity', 'transmission_id', 'Transmission id', 'Names the call or message that made it.'),
  field('Identity', 'customer_id', 'Account', 'Account number.'),
  field('Identity', 'batch_id', 'Batch', 'Ingest batch that it came in.'),
];

const fieldsByName: ReadonlyMap<string, Field> = new Map(fields.map((f) => [f.name, f]));
const fieldPlace: ReadonlyMap<string, number> = new Map(fields.map((f, i) => [f.name, i]));

/** What is known about a field; an unknown one is shown under its own name. */
export function fieldOf(name: string): Field {
  return (
    fieldsByName.get(name) ?? {
      name,
      label: name,
      group: 'Identity',
      meaning: 'Not in the published list of fields.',
    }
  );
}

/** Reading order of fields inside their group. */
export function placeOf(name: string): number {
  return fieldPlace.get(name) ?? fields.length;
}
