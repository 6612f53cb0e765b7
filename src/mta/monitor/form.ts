/** What a request asks for: its path, and the fields of its query and of its form together. */
import type { IncomingMessage } from 'node:http';

const LARGEST_FORM = 64 * 1024;

/** Fields of the query and of an `application/x-www-form-urlencoded` body; null when the body is too large. */
export async function requestFields(
  request: IncomingMessage,
  url: URL,
  largest = LARGEST_FORM,
): Promise<URLSearchParams | null> {
  const fields = new URLSearchParams(url.search);
  const isForm = /^application\/x-www-form-urlencoded\b/i.test(request.headers['content-type'] ?? '');
  if (request.method !== 'POST' || !isForm) {
    request.resume();
    return fields;
  }
  let size = 0;
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > largest) return null;
    chunks.push(chunk);
  }
  for (const [name, value] of new URLSearchParams(Buffer.concat(chunks).toString('utf8')))
    fields.set(name, value);
  return fields;
}
