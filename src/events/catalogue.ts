import { type Field, field } from './fields.ts';

/** Wrapper under `msys` that tells an event's class. Ingest takes the first seven; the service makes the last. */
export type EventClass =
  | 'message_event'
  | 'track_event'
  | 'gen_event'
  | 'adaptive_event'
  | 'unsubscribe_event'
  | 'relay_event'
  | 'ab_test_event'
  | 'ingest_event';

/** Wrappers that an ingested line may carry. */
export const ingestClasses: readonly EventClass[] = [
  'message_event',
  'track_event',
  'gen_event',
  'adaptive_event',
  'unsubscribe_event',
  'relay_event',
  'ab_test_event',
];

/**
 * One kind of event. Senders use `ingestType`, search, webhooks and metrics use `publicType`; ingest accepts both.
 * Source: SparkPost API documentation, Events and Events Ingest.
 */
export interface EventType {
  readonly class: EventClass;
  readonly publicType: string;
  /** `null`: made by the service, never ingested. */
  readonly ingestType: string | null;
  readonly displayName: string;
  readonly summary: string;
  readonly fields: readonly Field[];
  /** Fields without which ingest refuses the event. */
  readonly required: readonly string[];
  /** Fields that the public documentation calls mandatory and that real senders leave out; never enforced. */
  readonly listedRequired: readonly string[];
  /** Whether the event must say whom it concerns (`rcpt_to`, or `rcpt_hash` with `rcpt_domain`). */
  readonly recipient: 'required' | 'optional' | 'none';
}

const always = 'type timestamp event_id';
const account = 'subaccount_id customer_id';
const messageId = 'message_id custom_message_id';
const recipient =
  'rcpt_to raw_rcpt_to rcpt_hash rcpt_domain recipient_domain routing_domain rcpt_meta rcpt_tags';
const sender = 'friendly_from sending_domain campaign_id template_id template_version transmission_id';
const source =
  'sending_ip ip_pool binding binding_group ip_pool_raw transactional mailbox_provider mailbox_provider_region';
const message = `${always} ${messageId} ${recipient} rcpt_type msg_from subject ${sender} ${account} ${source} msg_size injection_time`;
const tracking = 'open_tracking click_tracking initial_pixel amp_enabled';
const abTest = 'ab_test_id ab_test_version';
const node = 'friendly_name node_name conn_name conn_stage msg_spoolname msg_batchname';
const attempt = 'delv_method ip_address num_retries queue_time';
const failure = 'bounce_class error_code reason raw_reason';
const web = 'target_link_url geo_ip user_agent user_agent_parsed';
const engagement = `${message} ${attempt} ${tracking} ${abTest}`;
const generation = `${always} ${recipient} rcpt_subs msg_from ${sender} ${account} ${source} error_code reason raw_reason recv_method ${abTest}`;
const relay = `${always} msg_from ${account} sending_ip relay_id webhook_id`;
const relayOut = `${relay} routing_domain ip_pool delv_method num_retries queue_time`;
const batch = `${always} batch_id ${account} number_succeeded number_duplicates expiration_timestamp`;

type Row = readonly [
  cls: EventClass,
  publicType: string,
  ingestType: string | null,
  displayName: string,
  summary: string,
  fields: string,
  listedRequired?: string,
];

const rows: readonly Row[] = [
  [
    'message_event',
    'injection',
    'reception',
    'Injection',
    'A message was accepted for delivery.',
    `${message} recv_method ${tracking} ${abTest} ${node} scheduled_time pathway pathway_group snippet_count`,
    'recv_method',
  ],
  [
    'message_event',
    'delivery',
    'delivery',
    'Delivery',
    'The remote host accepted the message.',
    `${message} recv_method ${attempt} outbound_tls device_token ${tracking} ${abTest} ${node}`,
    'delv_method',
  ],
  [
    'message_event',
    'bounce',
    'inband',
    'Bounce',
    'The message failed for good: refused by the remote host, expired, or stopped here.',
    `${message} recv_method ${attempt} ${failure} device_token snippet_count ${tracking} ${abTest} ${node}`,
    'recv_method',
  ],
  [
    'message_event',
    'delay',
    'tempfail',
    'Delay',
    'An attempt failed for now and will be repeated.',
    `${message} recv_method ${attempt} ${failure} outbound_tls device_token ${tracking} ${abTest} ${node}`,
    'delv_method',
  ],
  [
    'message_event',
    'policy_rejection',
    'rejection',
    'Policy Rejection',
    'A message was refused before it was queued, so it has no injection.',
    `${message} recv_method ${failure} remote_addr ${abTest} ${node}`,
    'recv_method',
  ],
  [
    'message_event',
    'out_of_band',
    'outofband',
    'Out of Band',
    'A report of failure came after the remote host had accepted the message.',
    `${message} recv_method ${attempt} ${failure} device_token ${abTest} ${node}`,
    'recv_method delv_method',
  ],
  [
    'message_event',
    'spam_complaint',
    'feedback',
    'Spam Complaint',
    'The recipient called the message spam.',
    `${message} recv_method ${attempt} fbtype report_by report_to ${abTest} ${node}`,
    'fbtype delv_method',
  ],
  [
    'message_event',
    'sms_status',
    'sms_status',
    'SMS Status',
    'Status of a text message. Obsolete.',
    `${always} ${account} delv_method recv_method ip_address ip_pool sending_ip routing_domain reason raw_reason sms_src sms_dst sms_text stat_type stat_state dr_latency`,
  ],
  [
    'track_event',
    'open',
    'open',
    'Open',
    'The pixel at the end of the message was fetched.',
    `${engagement} ${web}`,
    'delv_method',
  ],
  [
    'track_event',
    'initial_open',
    'initial_open',
    'Initial Open',
    'The pixel at the top of the message was fetched.',
    `${engagement} ${web}`,
    'delv_method',
  ],
  [
    'track_event',
    'click',
    'click',
    'Click',
    'A tracked link was followed.',
    `${engagement} ${web} target_link_name`,
    'delv_method',
  ],
  [
    'track_event',
    'amp_open',
    'amp_open',
    'AMP Open',
    'The pixel at the end of the AMP part was fetched.',
    `${engagement} ${web}`,
    'delv_method',
  ],
  [
    'track_event',
    'amp_initial_open',
    'amp_initial_open',
    'AMP Initial Open',
    'The pixel at the top of the AMP part was fetched.',
    `${engagement} ${web}`,
    'delv_method',
  ],
  [
    'track_event',
    'amp_click',
    'amp_click',
    'AMP Click',
    'A tracked link of the AMP part was followed.',
    `${engagement} ${web} target_link_name`,
    'delv_method',
  ],
  [
    'gen_event',
    'generation_failure',
    'gen_fail',
    'Generation Failure',
    'The message could not be generated.',
    generation,
    'recv_method',
  ],
  [
    'gen_event',
    'generation_rejection',
    'gen_rejection',
    'Generation Rejection',
    'The message was not generated because of policy or suppression.',
    `${generation} subject bounce_class`,
    'recv_method',
  ],
  [
    'unsubscribe_event',
    'list_unsubscribe',
    'list',
    'List Unsubscribe',
    'The recipient used the List-Unsubscribe header.',
    `${engagement} recv_method mailfrom`,
    'delv_method recv_method',
  ],
  [
    'unsubscribe_event',
    'link_unsubscribe',
    'link',
    'Link Unsubscribe',
    'The recipient followed an unsubscribe link.',
    `${engagement} recv_method mailfrom user_agent target_link_url target_link_name`,
    'delv_method recv_method',
  ],
  [
    'relay_event',
    'relay_injection',
    'relay_injection',
    'Relay Injection',
    'An inbound message was accepted.',
    `${relay} rcpt_to raw_rcpt_to routing_domain ip_pool msg_size`,
  ],
  [
    'relay_event',
    'relay_rejection',
    'relay_rejection',
    'Relay Rejection',
    'An inbound message was refused.',
    `${relay} rcpt_to raw_rcpt_to remote_addr ${failure}`,
  ],
  [
    'relay_event',
    'relay_delivery',
    'relay_delivery',
    'Relay Delivery',
    'An inbound message was handed to its HTTP end point.',
    relayOut,
  ],
  [
    'relay_event',
    'relay_tempfail',
    'relay_tempfail',
    'Relay Temporary Failure',
    'The HTTP end point failed for now.',
    `${relayOut} error_code reason raw_reason`,
  ],
  [
    'relay_event',
    'relay_permfail',
    'relay_permfail',
    'Relay Permanent Failure',
    'The HTTP end point was given up.',
    `${relayOut} error_code reason raw_reason outbound_tls`,
  ],
  [
    'ab_test_event',
    'ab_test_completed',
    'ab_test_completed',
    'A/B Test Completed',
    'An A/B test has ended and has a winner.',
    `${always} ${account} ab_test`,
  ],
  [
    'ab_test_event',
    'ab_test_cancelled',
    'ab_test_cancelled',
    'A/B Test Cancelled',
    'An A/B test was stopped.',
    `${always} ${account} ab_test`,
  ],
  [
    'ingest_event',
    'success',
    null,
    'Ingest Success',
    'A batch was processed and every event of it is good.',
    batch,
  ],
  [
    'ingest_event',
    'error',
    null,
    'Ingest Error',
    'A batch could not be processed, or events of it were refused.',
    `${batch} number_failed error_type retryable href`,
  ],
];

/** Classes whose events speak about no message. */
const withoutMessage: readonly EventClass[] = [
  'gen_event',
  'relay_event',
  'ab_test_event',
  'adaptive_event',
  'ingest_event',
];

/** Whether ingest wants a `message_id` (or `custom_message_id`) on events of this class. */
export function needsMessageId(cls: EventClass): boolean {
  return !withoutMessage.includes(cls);
}

function recipientRule(cls: EventClass, publicType: string): EventType['recipient'] {
  // Engagement finds its recipient through the message; so does a late report that names nobody.
  if (cls === 'track_event' || publicType === 'out_of_band') return 'optional';
  if (cls === 'relay_event' || cls === 'ab_test_event' || cls === 'ingest_event') return 'none';
  return publicType === 'sms_status' ? 'none' : 'required';
}

/** Every event, in the order in which documentation lists them. */
export const eventTypes: readonly EventType[] = rows.map(
  ([cls, publicType, ingestType, displayName, summary, names, listed]) => ({
    class: cls,
    publicType,
    ingestType,
    displayName,
    summary,
    fields: names.split(' ').map(field),
    required:
      ingestType === null
        ? []
        : needsMessageId(cls) && publicType !== 'sms_status'
          ? ['type', 'timestamp', 'event_id', 'message_id']
          : ['type', 'timestamp', 'event_id'],
    listedRequired: listed ? listed.split(' ') : [],
    recipient: recipientRule(cls, publicType),
  }),
);

const byPublicType = new Map(eventTypes.map((t) => [t.publicType, t]));
const byClassAndName = new Map<string, EventType>();
for (const type of eventTypes) {
  if (type.ingestType === null) continue;
  byClassAndName.set(`${type.class}/${type.publicType}`, type);
  byClassAndName.set(`${type.class}/${type.ingestType}`, type);
}

/** The event that search and webhooks call `publicType`. */
export function eventType(publicType: string): EventType | undefined {
  return byPublicType.get(publicType);
}

/** The event that a sender means by `type` inside the wrapper `cls`; either spelling. */
export function ingestedType(cls: EventClass, type: string): EventType | undefined {
  return byClassAndName.get(`${cls}/${type}`);
}
