/** The body of a request to the Transmissions API: read strictly, so that nothing a client asks for is passed over. */
import { parseAddress } from '../../../mail/address.ts';
import { isJobName } from '../../../mail/job-name.ts';
import { withCrlf } from '../line-ends.ts';

export interface Transmission {
  /** '' when none was named. */
  readonly campaignId: string;
  readonly smtpUtf8: boolean;
  readonly recipients: readonly { readonly address: string; readonly returnPath: string }[];
  /** Recipients whose address is none. */
  readonly rejected: number;
  /** Lines ended by CRLF. */
  readonly content: Buffer;
}

/** What is wrong, for the client's developer. */
export type BadTransmission = { readonly bad: string };

export interface TransmissionRules {
  readonly mostRecipients: number;
  readonly mostBytes: number;
}

/** The format needs four levels. */
const DEEPEST = 16;

class Bad extends Error {}

/** Reads a body; never throws. */
export function parseTransmission(body: Buffer, rules: TransmissionRules): Transmission | BadTransmission {
  try {
    return read(json(body), rules);
  } catch (error) {
    if (error instanceof Bad) return { bad: error.message };
    throw error;
  }
}

function json(body: Buffer): unknown {
  if (isDeep(body)) throw new Bad(`the JSON is nested deeper than ${DEEPEST} levels`);
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(body);
  } catch {
    throw new Bad('the body is not UTF-8');
  }
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new Bad('the body is not valid JSON');
  }
}

/** Whether brackets nest deeper than anybody needs; looks at no value. */
function isDeep(body: Buffer): boolean {
  let depth = 0;
  let quoted = false;
  for (let i = 0; i < body.length; i++) {
    const c = body[i]!;
    if (quoted) {
      if (c === 0x5c) i++;
      else if (c === 0x22) quoted = false;
    } else if (c === 0x22) quoted = true;
    else if (c === 0x7b || c === 0x5b) {
      if (++depth > DEEPEST) return true;
    } else if (c === 0x7d || c === 0x5d) depth--;
  }
  return false;
}

type Fields = ReadonlyMap<string, unknown>;

function object(value: unknown, where: string, allowed: readonly string[]): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new Bad(`${where} must be an object`);
  }
  const fields = new Map(Object.entries(value));
  for (const name of fields.keys()) {
    if (!allowed.includes(name)) throw new Bad(`${where} has the unsupported field ${quoted(name)}`);
  }
  return fields;
}

/** A name from outside, short enough for a sentence. */
function quoted(name: string): string {
  return JSON.stringify(name.length > 60 ? `${name.slice(0, 60)}…` : name);
}

function text(fields: Fields, name: string, where = name): string | null {
  const value = fields.get(name);
  if (value === undefined) return null;
  if (typeof value !== 'string') throw new Bad(`${where} must be a string`);
  return value;
}

function sender(fields: Fields, where: string): string | null {
  const value = text(fields, 'return_path', where);
  if (value !== null && !parseAddress(value)) throw new Bad(`${where} must be an e-mail address`);
  return value;
}

function read(value: unknown, rules: TransmissionRules): Transmission {
  const root = object(value, 'the body', ['return_path', 'campaign_id', 'options', 'recipients', 'content']);
  const returnPath = sender(root, 'return_path');
  const campaignId = text(root, 'campaign_id') ?? '';
  if (root.has('campaign_id') && !isJobName(campaignId)) {
    throw new Bad('campaign_id must be 1 to 64 printable ASCII characters without blanks');
  }
  const smtpUtf8 = utf8Option(root);
  const { recipients, rejected } = readRecipients(root, returnPath, rules);
  if (!smtpUtf8) {
    const beyond = (address: string) => /[^\u0000-\u007f]/.test(parseAddress(address)?.local ?? '');
    if (recipients.some((one) => beyond(one.address) || beyond(one.returnPath))) {
      throw new Bad('an address with a local part beyond ASCII needs options.smtputf8');
    }
  }
  return { campaignId, smtpUtf8, recipients, rejected, content: readContent(root, rules) };
}

function utf8Option(root: Fields): boolean {
  if (!root.has('options')) return false;
  const options = object(root.get('options'), 'options', ['smtputf8']);
  const value = options.get('smtputf8') ?? false;
  if (typeof value !== 'boolean') throw new Bad('options.smtputf8 must be true or false');
  return value;
}

function readRecipients(
  root: Fields,
  common: string | null,
  { mostRecipients }: TransmissionRules,
): Pick<Transmission, 'recipients' | 'rejected'> {
  const list = root.get('recipients');
  if (!Array.isArray(list)) throw new Bad('recipients must be an array');
  if (list.length === 0) throw new Bad('recipients must name at least one recipient');
  if (list.length > mostRecipients) throw new Bad(`more than ${mostRecipients} recipients`);
  const recipients: { address: string; returnPath: string }[] = [];
  let rejected = 0;
  for (const [i, value] of list.entries()) {
    const where = `recipients[${i}]`;
    const fields = object(value, where, ['address', 'return_path']);
    const returnPath = sender(fields, `${where}.return_path`) ?? common;
    if (returnPath === null) throw new Bad(`return_path is missing for ${where}`);
    const given = fields.get('address');
    if (given === undefined) throw new Bad(`${where}.address is missing`);
    let address: string | null;
    if (typeof given === 'string') address = given;
    else address = text(object(given, `${where}.address`, ['email']), 'email', `${where}.address.email`);
    if (address === null) throw new Bad(`${where}.address.email is missing`);
    if (parseAddress(address)) recipients.push({ address, returnPath });
    else rejected++;
  }
  if (recipients.length === 0) throw new Bad('no recipient has a valid address');
  return { recipients, rejected };
}

function readContent(root: Fields, { mostBytes }: TransmissionRules): Buffer {
  if (!root.has('content')) throw new Bad('content is missing');
  const content = text(
    object(root.get('content'), 'content', ['email_rfc822']),
    'email_rfc822',
    'content.email_rfc822',
  );
  if (content === null || content === '') throw new Bad('content.email_rfc822 is missing');
  if (!content.isWellFormed()) throw new Bad('content.email_rfc822 holds half of a surrogate pair');
  const message = withCrlf(Buffer.from(content));
  if (!message) throw new Bad('content.email_rfc822 holds a CR that is not part of a line end');
  if (message.length > mostBytes) throw new Bad(`the message has more than ${mostBytes} bytes`);
  return message;
}
