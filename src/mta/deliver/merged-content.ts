import { mergeMessage } from '../../mail/mail-merge.ts';
import type { Envelope } from '../../spool/stored-message.ts';

/** Most octets of one merged message; reception has looked already, with the limit of the source. */
const LARGEST = 512 * 1024 * 1024;

/**
 * The message of one recipient, of what is stored: mail merge's parts and variables put together. Ordinary content
 * comes back itself. Null when it can not be made, which reception rules out for what it accepts.
 */
export function mergedContent(envelope: Envelope, index: number, content: Buffer): Buffer | null {
  const { template, recipients } = envelope;
  if (!template) return content;
  const merge = recipients[index]!.merge;
  return mergeMessage(content, template, merge?.parts ?? null, new Map(merge?.values), {
    expandUndefined: template.expandUndefined,
    limit: LARGEST,
  });
}
