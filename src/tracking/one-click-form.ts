import type { IncomingMessage } from 'node:http';

/** `unusual` forms (empty, other fields) unsubscribe all the same: the token in the address is what counts. */
export type OneClickForm = 'one-click' | 'unusual' | 'too long';

/** More than any form of RFC 8058 with its multipart headers. */
const LONGEST = 65_536;

/**
 * Reads the body of a one-click POST (RFC 8058 section 3.2, urlencoded or multipart) and says what it was. `then` is
 * not called when the client leaves before the end.
 */
export function readForm(request: IncomingMessage, then: (form: OneClickForm) => void): void {
  const chunks: Buffer[] = [];
  let size = 0;
  const onData = (chunk: Buffer) => {
    size += chunk.length;
    if (size <= LONGEST) {
      chunks.push(chunk);
      return;
    }
    request.off('data', onData).off('end', onEnd);
    request.resume();
    then('too long');
  };
  const onEnd = () => {
    const text = Buffer.concat(chunks).toString('latin1');
    then(isOneClick(text) ? 'one-click' : 'unusual');
  };
  request.on('data', onData);
  request.on('end', onEnd);
}

function isOneClick(text: string): boolean {
  if (/(?:^|&)List-Unsubscribe=One-Click(?:&|\s*$)/i.test(text)) return true;
  return /name="?List-Unsubscribe"?[\s\S]{1,500}One-Click/i.test(text);
}
