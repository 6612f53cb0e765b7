/** The plain form of a pickup file: x-sender and x-receiver lines, then the message (delivery guide, D18.2). */
import { isAscii } from 'node:buffer';
import { isFault, parseAddress } from '../../../smtp/index.ts';
import { NO_VARIABLES, type SubmittedRecipient } from '../submission.ts';
import { bad, type FileRules, type PickupContent } from './pickup-content.ts';

const LF = 0x0a;
const DOT = 0x2e;

const FIELD = /^(x-sender|x-receiver|x-envid|x-job|x-sender-override)[ \t]*:/i;
/** The longest of these names, blanks before the colon and the colon. */
const NAME_WINDOW = 64;
/** More than any address; what is longer is refused unread. */
const LONGEST_LINE = 2_000;
const LONGEST_ENVID = 100;

/** Whether the file begins as the plain form does. */
export function isPlainFile(content: Buffer): boolean {
  return /^x-sender(?:-override)?[ \t]*:/i.test(content.toString('latin1', 0, NAME_WINDOW));
}

/** `content` has CRLF line ends. */
export function parsePlainFile(content: Buffer, rules: FileRules): PickupContent {
  const single = new Map<string, string>();
  const recipients: SubmittedRecipient[] = [];
  let utf8 = false;
  let at = 0;
  for (let number = 1; at < content.length; number++) {
    const field = FIELD.exec(content.toString('latin1', at, Math.min(content.length, at + NAME_WINDOW)));
    if (!field) break;
    const name = field[1]!.toLowerCase();
    const end = content.indexOf(LF, at);
    const next = end < 0 ? content.length : end + 1;
    if (next - at > LONGEST_LINE) return bad(`line ${number}: ${name} is longer than ${LONGEST_LINE} bytes`);
    const value = content.toString('utf8', at + field[0].length, next).trim();
    at = next;
    if (name === 'x-receiver') {
      if (recipients.length >= rules.mostRecipients)
        return bad(`more than ${rules.mostRecipients} recipients`);
      const path = parseAddress(value, false, rules.unqualified, '5.1.3');
      if (isFault(path)) return bad(`line ${number}: x-receiver: ${path.text}`);
      utf8 ||= path.internationalized;
      recipients.push(receiver(path.address));
    } else if (single.has(name)) return bad(`line ${number}: ${name} is there twice`);
    else single.set(name, value);
  }
  if (!single.has('x-sender')) return bad('there is no x-sender line at the beginning');
  for (const name of ['x-sender', 'x-sender-override']) {
    const value = single.get(name);
    if (value === undefined) continue;
    const path = parseAddress(value, true, rules.unqualified, '5.1.7');
    if (isFault(path)) return bad(`${name}: ${path.text}`);
    utf8 ||= path.internationalized;
    single.set(name, path.address);
  }
  const envId = single.get('x-envid') ?? '';
  if (envId.length > LONGEST_ENVID || !/^[ -~]*$/.test(envId)) {
    return bad(`x-envid: at most ${LONGEST_ENVID} printable ASCII characters`);
  }
  if (recipients.length === 0) return bad('there is no x-receiver line');
  for (const { address } of recipients) {
    const fault = rules.suppressed?.(address);
    if (fault) return bad(`x-receiver: ${fault.text}`);
  }
  if (at >= content.length) return bad('there is no message after the x- lines');
  const message = rules.removeDot ? withoutDots(content.subarray(at)) : content.subarray(at);
  if (message.length > rules.mostBytes) return bad(`the message has more than ${rules.mostBytes} bytes`);
  return {
    kind: 'message',
    heloName: '',
    sender: {
      address: single.get('x-sender-override') ?? single.get('x-sender')!,
      envId,
      returnContent: '',
      eightBit: !isAscii(message),
      smtpUtf8: utf8,
      verp: false,
    },
    // Whatever it holds, it becomes a job name later, as that of the header does: no mail waits in the bad folder for it.
    jobId: single.get('x-job') ?? '',
    recipients,
    merge: false,
    parts: [{ number: 1, content: message }],
  };
}

function receiver(address: string): SubmittedRecipient {
  return { address, originalRecipient: '', notify: [], variables: NO_VARIABLES, refusal: null };
}

/** D18.6: of two dots at the beginning of a line one goes. */
function withoutDots(message: Buffer): Buffer {
  const pieces: Buffer[] = [];
  let from = 0;
  for (let line = 0; line < message.length; ) {
    if (message[line] === DOT && message[line + 1] === DOT) {
      pieces.push(message.subarray(from, line));
      from = line + 1;
    }
    const pair = message.indexOf('\r\n..', line, 'latin1');
    if (pair < 0) break;
    line = pair + 2;
  }
  if (from === 0 && pieces.length === 0) return message;
  pieces.push(message.subarray(from));
  return Buffer.concat(pieces);
}
