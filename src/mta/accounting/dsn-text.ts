/**
 * Texts that stand in parentheses after an enhanced status code. Readers compare them, so they are fixed: those that
 * the accounting guide prints, else the meaning in RFC 3463, in lower case.
 */
const details: ReadonlyMap<string, string> = new Map([
  ['0.0', 'undefined status'],
  ['1.0', 'other address status'],
  ['1.1', 'bad destination mailbox address'],
  ['1.2', 'bad destination system address'],
  ['1.3', 'bad destination mailbox address syntax'],
  ['1.4', 'destination mailbox address ambiguous'],
  ['1.5', 'destination address valid'],
  ['1.6', 'destination mailbox has moved, no forwarding address'],
  ['1.7', "bad sender's mailbox address syntax"],
  ['1.8', "bad sender's system address"],
  ['1.9', 'message relayed to non-compliant mailer'],
  ['1.10', 'recipient address has null mx'],
  ['2.0', 'mailbox-related failure'],
  ['2.1', 'mailbox disabled, not accepting messages'],
  ['2.2', 'mailbox full'],
  ['2.3', 'message length exceeds administrative limit'],
  ['2.4', 'mailing list expansion problem'],
  ['3.0', 'unknown mail system-related status'],
  ['3.1', 'mail system full'],
  ['3.2', 'system not accepting network messages'],
  ['3.3', 'system not capable of selected features'],
  ['3.4', 'message too big for system'],
  ['3.5', 'system incorrectly configured'],
  ['4.0', 'other or undefined network or routing status'],
  ['4.1', 'no answer from host'],
  ['4.2', 'bad connection'],
  ['4.3', 'directory server failure'],
  ['4.4', 'unable to route'],
  ['4.5', 'mail system congestion'],
  ['4.6', 'routing loop detected'],
  ['4.7', 'delivery time expired'],
  ['5.0', 'protocol-related failure'],
  ['5.1', 'invalid command'],
  ['5.2', 'syntax error'],
  ['5.3', 'too many recipients'],
  ['5.4', 'invalid command arguments'],
  ['5.5', 'wrong protocol version'],
  ['6.0', 'other or undefined media error'],
  ['6.1', 'media not supported'],
  ['6.2', 'conversion required and prohibited'],
  ['6.3', 'conversion required but not supported'],
  ['6.4', 'conversion with loss performed'],
  ['6.5', 'conversion failed'],
  ['7.0', 'other or undefined security status'],
  ['7.1', 'delivery not authorized'],
  ['7.2', 'mailing list expansion prohibited'],
  ['7.3', 'security conversion required but not possible'],
  ['7.4', 'security features not supported'],
  ['7.5', 'cryptographic failure'],
  ['7.6', 'cryptographic algorithm not supported'],
  ['7.7', 'message integrity failure'],
]);

/** Texts that belong to one cause, whatever the code's general meaning. */
export const statusTexts = {
  success: 'success',
  noSuchDomain: 'bad destination system: no such domain',
  noSuchVirtualMta: 'specified VirtualMTA does not exist',
  mailSystemFailure: 'mail system-related failure',
  transientFailure: 'transient failure',
} as const;

/** The text for an enhanced status code that a remote host or the RFCs gave. */
export function statusText(status: string): string {
  const [digit, subject = '', detail = ''] = status.split('.');
  if (digit === '2' && subject === '0') return statusTexts.success;
  return details.get(`${subject}.${detail}`) ?? details.get(`${subject}.0`) ?? 'undefined status';
}

/** `5.1.1 (bad destination mailbox address)`; '' for no status. */
export function statusWithText(status: string, text = ''): string {
  return status === '' ? '' : `${status} (${text === '' ? statusText(status) : text})`;
}

export interface PipeExit {
  readonly action: 'delivered' | 'bounce' | 'retry';
  readonly status: string;
  readonly text: string;
}

const exits: ReadonlyMap<number, PipeExit> = new Map(
  (
    [
      [0, 'delivered', '2.0.0'],
      [64, 'bounce', '5.5.4'],
      [65, 'bounce', '5.5.2'],
      [66, 'bounce', '5.3.0'],
      [67, 'bounce', '5.1.1'],
      [68, 'bounce', '5.1.2'],
      [69, 'bounce', '5.3.0'],
      [70, 'bounce', '5.3.0'],
      [71, 'retry', '4.3.0'],
      [72, 'bounce', '5.3.0'],
      [73, 'bounce', '5.2.0'],
      [74, 'retry', '4.3.0'],
      [75, 'retry', '4.0.0'],
      [76, 'bounce', '5.5.0'],
      [77, 'bounce', '5.7.1'],
      [78, 'bounce', '5.3.5'],
    ] as const
  ).map(([code, action, status]) => [code, { action, status, text: exitText(status) }]),
);

function exitText(status: string): string {
  if (status === '4.0.0') return statusTexts.transientFailure;
  return status.endsWith('.3.0') ? statusTexts.mailSystemFailure : statusText(status);
}

/** What the exit code of a pipe's program (sysexits.h) means; anything else is tried again. */
export function pipeExit(code: number | null): PipeExit {
  return (
    (code === null ? undefined : exits.get(code)) ?? {
      action: 'retry',
      status: '4.3.0',
      text: statusTexts.mailSystemFailure,
    }
  );
}
