/**
 * How a field's value looks on the wire. `numeric-string` is digits inside a string (a JSON number is accepted too),
 * `unix-seconds-string` may carry a fraction, `boolean` also arrives as `"1"`/`"0"` and `"true"`/`"false"`.
 */
export type FieldType =
  | 'string'
  | 'numeric-string'
  | 'unix-seconds-string'
  | 'iso8601'
  | 'boolean'
  | 'integer'
  | 'object'
  | 'array<string>';

export interface Field {
  readonly name: string;
  readonly type: FieldType;
  readonly summary: string;
  /** A plausible value, as it would stand in a search result. */
  readonly sample: string | number | boolean | object;
  /** `ingest`: senders give it, search and webhooks do not show it. */
  readonly surface: 'all' | 'ingest';
  /** Reports group or compute by it, so a sender does well to give it. */
  readonly reporting: boolean;
}

type Row = readonly [
  name: string,
  type: FieldType,
  summary: string,
  sample: Field['sample'],
  flags?: 'ingest' | 'reporting',
];

const rows: readonly Row[] = [
  ['type', 'string', 'Kind of event.', 'injection', 'reporting'],
  ['timestamp', 'unix-seconds-string', 'When it happened.', '1704067201', 'reporting'],
  [
    'event_id',
    'string',
    'Names the event; a second event of the same id is a duplicate.',
    '4417230098211530021',
    'reporting',
  ],
  [
    'message_id',
    'string',
    'Joins all events of one message to one recipient.',
    '0000a17c3e65f0d1b2c4',
    'reporting',
  ],
  [
    'custom_message_id',
    'string',
    "The sender's own id of the message; takes the place of message_id.",
    'order-8812-ada',
    'ingest',
  ],
  ['rcpt_to', 'string', 'Envelope recipient in lower case.', 'ada@example.net', 'reporting'],
  ['raw_rcpt_to', 'string', 'Envelope recipient in the letter case it was given in.', 'Ada@example.net'],
  [
    'rcpt_hash',
    'string',
    'SHA-1 of the lower-case recipient, in place of rcpt_to; hexadecimal or base64.',
    '5f0a8f9d1fb1ae1cb8fbd4d80e1a4b7ca9a38fa9',
  ],
  ['rcpt_domain', 'string', 'Domain of a recipient given as rcpt_hash.', 'example.net', 'ingest'],
  ['recipient_domain', 'string', 'Domain of the recipient.', 'example.net'],
  ['routing_domain', 'string', 'Domain that the message was routed to.', 'example.net', 'reporting'],
  ['rcpt_meta', 'object', "The sender's data about this recipient.", { customer: '8812' }],
  ['rcpt_tags', 'array<string>', "The sender's labels for this recipient.", ['trial']],
  ['rcpt_type', 'string', 'cc, bcc or archive when the message is a copy.', 'cc'],
  ['rcpt_subs', 'object', 'Substitution values used to generate the message.', { first_name: 'Ada' }],
  ['msg_from', 'string', 'Envelope sender.', 'bounces@mail.brand.example', 'reporting'],
  ['friendly_name', 'string', 'Display name in the From header.', 'Brand', 'ingest'],
  ['subject', 'string', 'Subject of the message.', 'Your January news', 'reporting'],
  ['friendly_from', 'string', 'Address in the From header.', 'news@brand.example', 'reporting'],
  ['sending_domain', 'string', 'Domain that the message is from.', 'brand.example', 'reporting'],
  ['campaign_id', 'string', 'Campaign; the job for mail from an MTA.', 'january', 'reporting'],
  ['template_id', 'string', 'Template that the message was made from.', 'newsletter', 'reporting'],
  ['template_version', 'numeric-string', 'Version of that template.', '3'],
  [
    'transmission_id',
    'string',
    'API call or SMTP message that produced the message.',
    '65832150921904138',
    'reporting',
  ],
  ['subaccount_id', 'integer', 'Subaccount; 0 or absent is the main account.', 101, 'reporting'],
  ['customer_id', 'integer', 'Account, set by the service.', 1],
  ['sending_ip', 'string', 'Address that the message was sent from.', '192.0.2.17', 'reporting'],
  ['ip_pool', 'string', 'IP pool that the message was sent through.', 'promo', 'reporting'],
  ['binding', 'string', 'VirtualMTA or binding; stands in for sending_ip.', 'mta-7', 'ingest'],
  ['binding_group', 'string', 'VirtualMTA pool or binding group; stands in for ip_pool.', 'promo', 'ingest'],
  ['ip_pool_raw', 'string', 'IP pool as the MTA named it.', 'promo', 'ingest'],
  ['transactional', 'numeric-string', '1 when the message was marked transactional.', '1'],
  ['mailbox_provider', 'string', "Provider of the recipient's mailbox, found by the service.", 'Gmail'],
  ['mailbox_provider_region', 'string', 'Region of that provider, found by the service.', 'Global'],
  ['msg_size', 'numeric-string', 'Size of the message in bytes.', '20480'],
  ['injection_time', 'iso8601', 'When the message was injected.', '2024-01-01T00:00:01.000Z'],
  ['recv_method', 'string', 'How the message came in: esmtp, smtp or rest.', 'esmtp', 'reporting'],
  [
    'open_tracking',
    'boolean',
    'The message carries a pixel for opens; the health score needs it.',
    true,
    'reporting',
  ],
  ['click_tracking', 'boolean', 'Links of the message are tracked.', true],
  ['initial_pixel', 'boolean', 'The message carries a pixel at its top.', true],
  ['amp_enabled', 'boolean', 'The message has an AMP part.', false],
  ['ab_test_id', 'string', 'A/B test that the message belongs to.', 'subject-line-1'],
  ['ab_test_version', 'numeric-string', 'Version of that A/B test.', '1'],
  [
    'scheduled_time',
    'iso8601',
    'When a scheduled transmission was due to be generated.',
    '2024-01-01T00:00:00.000Z',
  ],
  ['pathway', 'string', 'Inbound pathway in the MTA.', 'default', 'ingest'],
  ['pathway_group', 'string', 'Group of inbound pathways in the MTA.', 'default', 'ingest'],
  ['snippet_count', 'numeric-string', 'Snippets used in the content.', '0', 'ingest'],
  ['node_name', 'string', 'Host name of the MTA.', 'mta1.brand.example', 'ingest'],
  ['conn_name', 'string', 'Connection in the MTA.', 'A8/53-1201', 'ingest'],
  ['conn_stage', 'numeric-string', 'Stage of that connection.', '4', 'ingest'],
  ['msg_spoolname', 'string', 'Id of the message in the spool.', '7F3A', 'ingest'],
  ['msg_batchname', 'string', 'Id of the batch in the MTA.', '7F3B', 'ingest'],
  ['delv_method', 'string', 'How the message left: esmtp, smtp.', 'esmtp', 'reporting'],
  [
    'ip_address',
    'string',
    'The other side: remote mail host of a message event, HTTP client of an engagement.',
    '198.51.100.25',
  ],
  ['num_retries', 'numeric-string', 'Attempts before this one.', '0', 'reporting'],
  ['queue_time', 'numeric-string', 'Milliseconds from injection to this attempt.', '1250', 'reporting'],
  ['outbound_tls', 'numeric-string', '1 when delivered over TLS, 0 when not.', '1'],
  ['device_token', 'string', 'Token of a push device.', '45c19189783f867973f6e6a5cca60061'],
  ['bounce_class', 'numeric-string', 'Bounce classification code.', '10', 'reporting'],
  ['error_code', 'numeric-string', 'SMTP reply code of the failure.', '550', 'reporting'],
  [
    'reason',
    'string',
    'Why it failed, with addresses masked so that like failures group.',
    '550 5.1.1 ...@... no such user',
    'reporting',
  ],
  ['raw_reason', 'string', 'Why it failed, as received.', '550 5.1.1 ada@example.net no such user'],
  ['remote_addr', 'string', 'Address of the host that submitted the message.', '192.0.2.14'],
  ['fbtype', 'string', 'Kind of complaint, as in RFC 5965.', 'abuse', 'reporting'],
  ['report_by', 'string', 'Who reported the complaint.', 'fbl.example.net'],
  ['report_to', 'string', 'Where the complaint was sent.', 'fbl@brand.example'],
  ['sms_src', 'string', 'SMS source address.', '1234'],
  ['sms_dst', 'string', 'SMS destination address.', '5678'],
  ['sms_text', 'string', 'SMS text.', 'Hello'],
  ['stat_type', 'string', 'SMS status type.', 'SMSC Delivery'],
  ['stat_state', 'string', 'SMS status.', 'Delivered'],
  ['dr_latency', 'numeric-string', 'Delay of the SMS delivery report.', '0.02'],
  ['target_link_url', 'string', 'Where the link leads.', 'https://brand.example/offer', 'reporting'],
  ['target_link_name', 'string', 'Name that the HTML gives to the link.', 'offer'],
  [
    'geo_ip',
    'object',
    'Place of the HTTP client: country, region, city, latitude, longitude, zip, postal_code.',
    {
      country: 'NL',
      region: 'NH',
      city: 'Amsterdam',
      latitude: 52.37,
      longitude: 4.9,
      zip: 1012,
      postal_code: '1012',
    },
  ],
  ['user_agent', 'string', 'User-Agent header of the HTTP client.', 'Mozilla/5.0'],
  ['user_agent_parsed', 'object', 'What that header says.', { agent_family: 'Firefox', is_proxy: false }],
  ['mailfrom', 'string', 'Envelope sender of the unsubscribe request.', 'ada@example.net'],
  ['relay_id', 'string', 'Id of the relayed inbound message.', '3b1e6a52c1d04d9a'],
  ['webhook_id', 'string', 'Relay webhook that got the message.', '12006026105470'],
  [
    'ab_test',
    'object',
    'The A/B test: id, name, version, mode, metric, default template, variants, winner.',
    { id: 'subject-line-1', version: 1 },
  ],
  ['batch_id', 'string', 'The ingest batch.', '7f0f0c1e-5a6b-4a57-9d55-0c6f7d2c9b10'],
  ['number_succeeded', 'integer', 'Events taken from the batch.', 500],
  ['number_duplicates', 'integer', 'Events dropped because they were known.', 0],
  ['number_failed', 'integer', 'Events of the batch that were refused.', 2],
  [
    'expiration_timestamp',
    'iso8601',
    'When the stored batch can no longer be fetched.',
    '2024-01-11T00:00:01.000Z',
  ],
  ['error_type', 'string', 'validation, system, decompress, duplicate_batch or empty_batch.', 'validation'],
  ['retryable', 'boolean', 'Whether sending the same batch again can help.', false],
  [
    'href',
    'string',
    'Where the refused events can be fetched.',
    'https://signals.example/api/v1/ingest/events/failures/7f0f0c1e-5a6b-4a57-9d55-0c6f7d2c9b10',
  ],
];

/** Every field of every event, by name. */
export const fields: ReadonlyMap<string, Field> = new Map(
  rows.map(([name, type, summary, sample, flag]) => [
    name,
    {
      name,
      type,
      summary,
      sample,
      surface: flag === 'ingest' ? 'ingest' : 'all',
      reporting: flag === 'reporting',
    },
  ]),
);

/** The field of that name, which must exist. */
export function field(name: string): Field {
  const found = fields.get(name);
  if (!found) throw new Error(`no event field is called ${name}`);
  return found;
}
