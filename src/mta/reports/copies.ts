/** `bcc-upon-delivery`: a blind copy of what was delivered (guide section 3.3.10.12). */
import type { Config } from '../../config/index.ts';
import { editHeaders } from '../../mail/header.ts';
import type { Spool } from '../../spool/spool.ts';
import { factsFor } from '../../spool/stored-message.ts';
import { mergedContent } from '../deliver/merged-content.ts';
import type { Told } from '../deliver/outcome-writer.ts';
import { returnPath } from '../deliver/return-path.ts';
import type { OwnMailMaker } from './own-mail.ts';

/**
 * One copy for the recipients of a message that were delivered together, one for each where their messages differ.
 * It is the message as it was stored: without tracking, so that who reads the copy does not count as the recipient.
 */
export function copiesOf(
  queue: { domain: string; vmta: string },
  told: readonly Told[],
  { config, spool, mail }: { config: Config; spool: Spool; mail: OwnMailMaker },
) {
  const to = config.queue(queue.domain, queue.vmta).get('bcc-upon-delivery');
  if (!to) return [];
  const seen = new Set<string>();
  const made: ReturnType<OwnMailMaker['make']>[] = [];
  for (const { envelope, index, outcome } of told) {
    if (outcome.kind !== 'delivered' || envelope.ownMail) continue;
    const { spoolId } = envelope.facts;
    const key = envelope.template || envelope.verp ? `${spoolId} ${index}` : spoolId;
    if (seen.has(key)) continue;
    seen.add(key);
    const stored = spool.content(spoolId);
    const merged = stored && mergedContent(envelope, index, stored);
    if (!merged) continue;
    const facts = factsFor(envelope, index);
    made.push(
      mail.make({
        spoolId: mail.newSpoolId(),
        sender: returnPath(envelope, index),
        recipients: [to],
        content: Buffer.from(editHeaders(merged, { remove: envelope.removeHeaders })),
        vmta: queue.vmta,
        like: facts,
      }),
    );
  }
  return made;
}
