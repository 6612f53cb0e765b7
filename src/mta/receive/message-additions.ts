import {
  beginsWithField,
  dateHeader,
  editHeaders,
  type Header,
  headerField,
  messageId,
} from '../../mail/header.ts';
import { escapeMerge } from '../../mail/mail-merge.ts';
import { REFERENCE_HEADER } from '../inbound/matcher.ts';
import { protocolWord, receivedHeader } from './received-header.ts';
import type { Submission } from './submission.ts';

export interface AdditionFacts {
  readonly at: number;
  readonly hostName: string;
  readonly spoolId: string;
  /** The signed id in Received; for mail merge the variable that stands for it. */
  readonly reference: string;
  /** The only recipient; '' when there are several. */
  readonly recipient: string;
  /** Complete fields of `include-headers-from`. */
  readonly included: readonly string[];
}

/** Header fields that reception puts on top: our Received, what follows directly after it, what is missing. */
export function addedFields(submission: Submission, header: Header, facts: AdditionFacts): string[] {
  const { origin, source, client, sender, merge } = submission;
  const fields: string[] = [];
  if (source.get('add-received-header')) {
    fields.push(
      receivedHeader({
        heloName: client.heloName,
        clientIp: client.remoteAddress,
        hostName: facts.hostName,
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
        id: facts.reference,
        recipient: facts.recipient,
        at: facts.at,
        // A file has no client to name.
        hideSource: source.get('hide-message-source') || origin === 'pickup',
      }),
    );
  }
  if (source.get('add-reference-header') && facts.reference !== '') {
    fields.push(headerField(REFERENCE_HEADER, facts.reference));
  }
  fields.push(...facts.included, ...(submission.addedFields ?? []));
  if (source.get('add-message-id-header') && !header.find('message-id')) {
    fields.push(headerField('Message-ID', messageId(facts.spoolId, facts.hostName)));
  }
  // Mail merge writes its own date, with [*date].
  const date = source.get('date-header-time') === 'delivery' || merge ? 'no' : source.get('add-date-header');
  if (date === 'override' || (date === 'yes' && !header.find('date'))) {
    fields.push(headerField('Date', dateHeader(facts.at)));
  }
  return fields;
}

/** Fields that go before ours come: those we replace, and Received under `remove-received-headers`. */
export function replacedFields({ source, merge }: Submission): string[] {
  const now = source.get('date-header-time') === 'reception' && source.get('add-date-header') === 'override';
  return [...(now && !merge ? ['Date'] : []), ...(source.get('remove-received-headers') ? ['Received'] : [])];
}

/** Our fields for a template: text that stands for itself, with a variable where each recipient has its own. */
export const MERGE_REFERENCE = '*reference';
export const MERGE_INCLUDED = '*included';
export const MERGE_INDEX = '*index';

export function templateHead(submission: Submission, header: Header, facts: AdditionFacts): Buffer {
  const reference = 'REFERENCE';
  const fields = addedFields(submission, header, {
    ...facts,
    reference,
    recipient: '',
    included: [],
  }).map(escapeMerge);
  const own = fields.findIndex((field) => field.startsWith(`${REFERENCE_HEADER}: `));
  if (own >= 0) fields[own] = fields[own]!.replace(reference, `[${MERGE_REFERENCE}]`);
  if (submission.source.get('add-received-header')) {
    // The last place: what comes before it holds words of the client.
    const [received = ''] = fields.splice(0, 1);
    const at = received.lastIndexOf(reference);
    fields.unshift(
      `${received.slice(0, at)}[${MERGE_REFERENCE}] for <[*to]>${received.slice(at + reference.length)}`,
      `[${MERGE_INCLUDED}]`,
    );
  } else fields.unshift(`[${MERGE_INCLUDED}]`);
  const id = messageId(facts.spoolId, facts.hostName);
  return Buffer.from(fields.map((field) => field.replace(id, `<[${MERGE_INDEX}].${id.slice(1)}`)).join(''));
}

const EMPTY_LINE = Buffer.from('\r\n');
/** An empty line, or what mailbox files put before the first field. */
const BEFORE_FIELDS = /^(?:\r?\n|>?From )/;

function beginsLikeHeader(raw: Buffer): boolean {
  return beginsWithField(raw) || BEFORE_FIELDS.test(raw.toString('latin1', 0, 10));
}

/**
 * The message with our fields on top and without those that they replace. Text that has no header gets the empty line
 * that it lacks, or its first line would be one of the header, or go on in our last field.
 */
export function withAdditions(raw: Buffer, fields: readonly string[], without: readonly string[]): Buffer {
  if (fields.length > 0 && raw.length > 0 && !beginsLikeHeader(raw)) {
    return editHeaders(Buffer.concat([EMPTY_LINE, raw]), { prepend: fields });
  }
  const edited = editHeaders(raw, { prepend: fields, remove: without });
  // What came in may be a view of far more.
  return edited === raw ? Buffer.from(raw) : edited;
}
