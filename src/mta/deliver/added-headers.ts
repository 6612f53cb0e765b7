/** Header fields that a message gets when it goes, because they tell about the delivery itself. */
import type { Settings } from '../../config/index.ts';
import type { MessageFacts } from '../../events/outcome.ts';
import { dateHeader, type Header, headerField } from '../../mail/header.ts';
import type { Envelope } from '../../spool/stored-message.ts';

/** The queue that a message goes through. */
export interface QueueName {
  readonly domain: string;
  readonly vmta: string;
}

export interface AddingRequest {
  /** The message as it is stored. */
  readonly header: Header;
  /** Names in lower case that are taken out. A name may be added here when its fields are to be replaced. */
  readonly remove: Set<string>;
  readonly envelope: Envelope;
  /** Of the recipient. */
  readonly facts: MessageFacts;
  readonly queue: QueueName;
  readonly settings: Settings<'domain'>;
  readonly now: number;
}

/** Whether `addedWhenItGoes` could have anything to say about a message in this queue. */
export function mayAdd(envelope: Envelope, settings: Settings<'domain'>): boolean {
  return (
    envelope.dateAtDelivery !== undefined ||
    envelope.tellVmta === true ||
    settings.get('add-x-msys-api-header')
  );
}

/** Complete fields, to stand after the last one of the message. */
export function addedWhenItGoes(request: AddingRequest): string[] {
  const { header, remove, envelope, facts, queue, settings, now } = request;
  const stays = (name: string) => !remove.has(name) && header.find(name) !== undefined;
  const added: string[] = [];
  // Never on mail merge: there it is written `[*date]`.
  const date = envelope.template ? undefined : envelope.dateAtDelivery;
  if (date === 'override') remove.add('date');
  if (date && !stays('date')) added.push(headerField('Date', dateHeader(now)));
  if (envelope.tellVmta && !stays('x-virtual-mta')) added.push(headerField('X-Virtual-MTA', queue.vmta));
  if (settings.get('add-x-msys-api-header') && !stays('x-msys-api')) {
    added.push(msysApiHeader(facts, settings));
  }
  return added;
}

/**
 * X-MSYS-API for SparkPost's SMTP relay (D11.3): one line of JSON in ASCII. It is not folded: a fold within a string
 * would put a control character there, which JSON forbids.
 */
function msysApiHeader({ jobId }: MessageFacts, settings: Settings<'domain'>): string {
  const pool = settings.get('sparkpost-ip-pool');
  const json = JSON.stringify({
    ...(jobId === '' ? {} : { campaign_id: jobId }),
    options: { sandbox: settings.get('sparkpost-sandbox'), ...(pool ? { ip_pool: pool } : {}) },
  });
  const ascii = json.replace(
    /[\u007f-\uffff]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  return `X-MSYS-API: ${ascii}\r\n`;
}
