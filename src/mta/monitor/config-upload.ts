/** Replaces the configuration file by an uploaded one: `POST /configFile`, form field `file` (language guide, 15). */
import type { IncomingMessage } from 'node:http';
import { parseMime } from '../../mail/mime.ts';
import { parseMimeValue } from '../../mail/mime-parameters.ts';

/** As long as the configuration reader takes a file, and a little for the form around it. */
const LARGEST = 64 * 1024 * 1024 + 64 * 1024;

/** The text of the form's field `file`; null when the request has none or is too large. */
export async function uploadedFile(request: IncomingMessage): Promise<string | null> {
  const type = request.headers['content-type'] ?? '';
  if (!/^multipart\/form-data/i.test(type) || type.length > 500) {
    request.resume();
    return null;
  }
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > LARGEST) return null;
    chunks.push(chunk);
  }
  // A form is a MIME entity whose header is the request's.
  const raw = Buffer.concat([Buffer.from(`Content-Type: ${type}\r\n\r\n`), ...chunks]);
  for (const part of parseMime(raw).parts) {
    const disposition = parseMimeValue(part.header.get('content-disposition') ?? '', false);
    if (disposition?.parameters.get('name') !== 'file') continue;
    return raw.subarray(part.bodyStart, part.bodyEnd).toString('utf8');
  }
  return null;
}
